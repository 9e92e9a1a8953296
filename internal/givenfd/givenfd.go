//go:build unix

// Package givenfd tells the descriptors that a process was given from those that it opened
// itself.
package givenfd

import (
	"errors"

	"golang.org/x/sys/unix"
)

// ErrOwn means that the process has opened a descriptor itself. Those that it was given
// outlived the beginning of its program, which what it opens does not.
var ErrOwn = errors.New("it was opened by this program itself")

// Check returns nil for a descriptor that the process was given, as by 3< FILE. The error is
// ErrOwn, or unix.EBADF where nothing is open at n.
func Check(n int) error {
	flags, err := unix.FcntlInt(uintptr(n), unix.F_GETFD, 0) // #nosec G115 -- a negative one is open nowhere
	if err != nil {
		return err
	}
	if flags&unix.FD_CLOEXEC != 0 {
		return ErrOwn
	}
	return nil
}
