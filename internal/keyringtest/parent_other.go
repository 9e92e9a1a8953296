//go:build !linux

package keyringtest

import "syscall"

// dieWithParent does nothing: this system cannot tell a child of its parent's end.
func dieWithParent() *syscall.SysProcAttr { return nil }
