package keyringtest

import "syscall"

// dieWithParent has the kernel kill a daemon whose test is gone.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
