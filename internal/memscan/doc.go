// Package memscan searches the memory of another process, or a file, for copies
// of secrets in every form that software leaves behind: raw, hex, base64,
// percent-encoded, and the derived values of HMAC-SHA256.
//
// It is the measure of internal/secret: what a scan as root finds outside locked
// pages is a leak. A scan that finds nothing proves nothing by itself; run the
// same needles against a process known to leak, which must show thousands.
//
// The scanner holds the secrets in clear and so belongs in a test or in a demo
// with canary secrets, in another process than the one it looks at. It cannot
// see CPU registers, and secrets should be random: windows of a repetitive one
// occur by chance.
package memscan
