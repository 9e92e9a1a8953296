//go:build goexperiment.runtimesecret

package secret

import (
	"runtime"
	rtsecret "runtime/secret"
)

// Do calls f and then erases the registers and the stack that f used; heap
// memory allocated by f is erased when the garbage collector frees it. It does
// not reach goroutines that f starts, nor global variables.
//
// Without GOEXPERIMENT=runtimesecret, and off linux/amd64 and linux/arm64, Do
// only calls f; Info().RuntimeSecret says which it is.
func Do(f func()) { rtsecret.Do(f) }

// runtimeSecret says whether Do erases anything in this build.
const runtimeSecret = runtime.GOOS == "linux" && (runtime.GOARCH == "amd64" || runtime.GOARCH == "arm64")
