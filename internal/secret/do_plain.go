//go:build !goexperiment.runtimesecret

package secret

// Do calls f, on Linux with signals blocked, so that the kernel saves no
// registers of it on a signal stack. Built with GOEXPERIMENT=runtimesecret it
// also erases the registers and the stack that f used, and heap memory allocated
// by f when the garbage collector frees it.
func Do(f func()) { withoutSignals(f) }

// runtimeSecret says whether Do erases anything in this build.
const runtimeSecret = false
