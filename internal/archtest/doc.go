// Package archtest holds the code against docs/layout.md: which package may
// import which, and the rules of shape that no linter knows. It has tests only.
//
// A new package fails here until the page has a row and a sentence for it.
package archtest
