// Package secret holds every secret byte of nsagent: one arena of locked
// memory, handles to ranges of it that neither print nor compare, and the few
// operations that need the bytes themselves: HMAC-SHA256 from midstates,
// signatures with private keys, and opening what was sealed to this process.
//
// The guarantee, on Linux and built with GOEXPERIMENT=runtimesecret: outside the
// arena no copy of a secret, of a key derived from it or of a midstate is left
// behind by a MAC, nor by a signature or an HPKE opening once ReleaseMemory has
// run. The tests of this package measure it by scanning the memory of a live
// process as root. Elsewhere Do only calls its function; copies that the Go
// runtime makes may then outlive the call, and Info reports the lower grade.
//
// What the user must still do: keep Use callbacks short and let nothing derived
// from the slice escape them; never turn a borrowed slice into a string; run
// their own cryptography on borrowed bytes inside Do; Destroy what they Alloc.
package secret
