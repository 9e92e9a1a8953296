// Package secret holds every secret byte of nsagent: one arena of locked
// memory, handles to ranges of it that neither print nor compare, and the few
// operations that need the bytes themselves: HMAC-SHA256 from midstates,
// signatures with private keys, and opening what was sealed to this process.
//
// The guarantee, on Linux and built with GOEXPERIMENT=runtimesecret: outside the
// arena there is no copy of a secret, of a key derived from it or of a midstate,
// at no moment of a MAC, and after a signature or an HPKE opening once
// ReleaseMemory has run. The tests of this package measure it by scanning the
// memory of a live process as root. Without that experiment it holds for MACs
// alone, and Info reports the lower grade: Do then erases nothing, and a parsed
// private key stays on the heap.
//
// What the user must still do: keep Use callbacks short and let nothing derived
// from the slice escape them; never turn a borrowed slice into a string; run
// their own cryptography on borrowed bytes inside Do; Destroy what they Alloc.
package secret
