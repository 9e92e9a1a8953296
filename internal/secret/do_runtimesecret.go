//go:build goexperiment.runtimesecret

package secret

import (
	"runtime"
	rtsecret "runtime/secret"
)

// Do calls f and then erases the registers and the stack that f used; heap
// memory allocated by f is erased when the garbage collector frees it, see
// ReleaseMemory. On Linux f runs with signals blocked, so that the kernel saves
// no registers of it on a signal stack. Do does not reach goroutines that f
// starts, nor global variables. Copy results out of f into memory of the caller.
//
// Without GOEXPERIMENT=runtimesecret, and off linux/amd64 and linux/arm64, Do
// erases nothing; Info().RuntimeSecret says which it is.
func Do(f func()) { withoutSignals(func() { rtsecret.Do(f) }) }

// runtimeSecret says whether Do erases anything in this build.
const runtimeSecret = runtime.GOOS == "linux" && (runtime.GOARCH == "amd64" || runtime.GOARCH == "arm64")
