//go:build !unix

package harden

// Unreadable does nothing, as Process does.
func Unreadable() error { return nil }

// Process does nothing: this system has no such rights to give up.
func Process() error { return nil }
