package term

import (
	"os"

	"golang.org/x/sys/unix"
)

// Unread reports whether f is a pipe or socket whose reader has gone, so that nothing
// that is written to it will be read.
func Unread(f *os.File) bool {
	p := []unix.PollFd{{Fd: int32(f.Fd())}} // #nosec G115 -- a descriptor fits
	n, err := unix.Poll(p, 0)
	return err == nil && n > 0 && p[0].Revents&(unix.POLLERR|unix.POLLHUP|unix.POLLNVAL) != 0
}
