package supervise

import (
	"fmt"
	"math"
	"net"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// deathSignal has the kernel tell a child that its parent is gone.
func deathSignal(s syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: s}
}

// socketpair returns two connected ends: of kind SOCK_SEQPACKET, which keeps
// packets apart, for the agent, and SOCK_STREAM for a helper.
func socketpair(kind int) (ours *net.UnixConn, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("making a socketpair: %w", err)
	}
	theirs = os.NewFile(uintptr(fds[1]), "child") // #nosec G115 -- a descriptor fits
	ours, err = unixConn(os.NewFile(uintptr(fds[0]), "parent"))
	if err != nil {
		_ = theirs.Close()
		return nil, nil, err
	}
	return ours, theirs, nil
}

// KeepDescriptors keeps from children what a shell or a service manager left open
// to this process, above the first three.
func KeepDescriptors() {
	err := unix.CloseRange(linkDescriptor, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	if err == nil {
		return
	}
	// Linux before 5.11 does not know the flag.
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return
	}
	for _, entry := range open {
		if fd, err := strconv.Atoi(entry.Name()); err == nil && fd >= linkDescriptor {
			unix.CloseOnExec(fd)
		}
	}
}
