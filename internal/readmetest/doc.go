// Package readmetest runs what README.md tells people to type: each fenced block
// of shell, console or Python, in order, with a real nsagent, a real agent, a real
// keyring and, in place of NetSuite, nsagent mock. It has tests only.
//
// The word after the language says where a block runs: developer and ci are homes
// of their own, build is a clone of the repository.
package readmetest
