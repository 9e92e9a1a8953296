//go:build !unix

package harden

// Unreadable does nothing, as Process does.
func Unreadable() error { return nil }

// Readable does nothing: there is nothing to undo.
func Readable() error { return nil }

// Name does nothing: here a process is called by its program.
func Name(string) {}

// Process does nothing: this system has no such rights to give up.
func Process() error { return nil }
