//go:build !goexperiment.runtimesecret

package secret

// Do calls f. Built with GOEXPERIMENT=runtimesecret it also erases the
// registers and the stack that f used, and heap memory allocated by f when the
// garbage collector frees it.
func Do(f func()) { f() }

// runtimeSecret says whether Do erases anything in this build.
const runtimeSecret = false
