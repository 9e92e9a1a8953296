package doctor

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Kernel says which of the kernel's protections are there, each by trying it.
func (h Host) Kernel() []Finding {
	return []Finding{memfdSecret(), landlock(), seccomp(), pidfd(), peerPidfd()}
}

func memfdSecret() Finding {
	const check = "kernel.memfd_secret"
	fd, err := unix.MemfdSecret(unix.O_CLOEXEC)
	if err != nil {
		return warn(check, fmt.Sprintf("no memfd_secret (%v)", err), "secrets lie in memory that is locked, and that root can read",
			"use Linux 5.14 or later; before 6.5 with the boot option secretmem.enable=1")
	}
	_ = unix.Close(fd)
	return ok(check, "secrets can lie where not even root reads them")
}

func landlock() Finding {
	const check = "kernel.landlock"
	const version = 1 // LANDLOCK_CREATE_RULESET_VERSION
	abi, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, version)
	if errno != 0 {
		return warn(check, fmt.Sprintf("no Landlock (%v)", errno), "the agent can open every file of yours",
			"use Linux 5.13 or later, with landlock in the boot option lsm=")
	}
	return ok(check, fmt.Sprintf("ABI %d: the agent is kept to its own directories", abi))
}

func seccomp() Finding {
	const check = "kernel.seccomp"
	const setFilter = 1 // SECCOMP_SET_MODE_FILTER
	// Without a filter the kernel that knows how to set one has nothing to read.
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, setFilter, 0, 0)
	if errno != unix.EFAULT {
		return warn(check, fmt.Sprintf("no system call filter (%v)", errno), "the agent is not kept from starting programs or opening sockets",
			"use a kernel with CONFIG_SECCOMP_FILTER; in a container, a runtime that lets filters through")
	}
	return ok(check, "the agent starts no program and opens no socket")
}

func pidfd() Finding {
	const check = "kernel.pidfd"
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		return warn(check, fmt.Sprintf("no pidfd (%v)", err), "a process that ended cannot be told from a new one with its number",
			"use Linux 5.3 or later")
	}
	_ = unix.Close(fd)
	return ok(check, "a process that ended is told from its successor")
}

func peerPidfd() Finding {
	const check = "kernel.peerpidfd"
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		defer func() { _, _ = unix.Close(pair[0]), unix.Close(pair[1]) }()
		var fd int
		if fd, err = unix.GetsockoptInt(pair[0], unix.SOL_SOCKET, unix.SO_PEERPIDFD); err == nil {
			_ = unix.Close(fd)
			return ok(check, "the kernel names the process at the other end of a socket")
		}
	}
	return warn(check, fmt.Sprintf("no SO_PEERPIDFD (%v)", err), "the process at the other end is found by its number, a moment later",
		"use Linux 6.5 or later")
}
