//go:build !unix

package socketpath

import "errors"

// errSystem says that ownership cannot be checked on this system.
var errSystem = errors.New("socketpath: owners of files cannot be checked on this system")

// EnsureDir refuses: without owners and modes no directory can be called safe.
func EnsureDir(string) error { return errSystem }

// CheckDir refuses as EnsureDir does.
func CheckDir(string) error { return errSystem }

// CheckSocket refuses: without owners no socket can be called safe.
func CheckSocket(string, ...uint32) error { return errSystem }
