//go:build unix && !linux

package harden

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Unreadable does nothing: this system has no such right to give up.
func Unreadable() error { return nil }

// Readable does nothing: there is nothing to undo.
func Readable() error { return nil }

// Name does nothing: here a process is called by its program.
func Name(string) {}

// Process forbids core files and sets umask 0077. This system has no way to keep
// other processes of the same user from reading this one.
func Process() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("forbidding core files: %w", err)
	}
	unix.Umask(0o077)
	return nil
}
