package term

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// file opens the file of the terminal itself: /dev/tty is one file for all terminals, and
// all users.
func (t *TTY) file() (*os.File, error) {
	n, err := unix.IoctlGetUint32(int(t.f.Fd()), unix.TIOCGDEV) // #nosec G115 -- a descriptor fits
	if err != nil {
		return nil, fmt.Errorf("finding the terminal: %w", err)
	}
	// Pseudo terminals have eight numbers of devices from 136 on (admin-guide/devices.txt of
	// Linux), consoles one.
	dev := uint64(n)
	path := fmt.Sprintf("/dev/tty%d", unix.Minor(dev))
	if major := unix.Major(dev); major >= 136 && major < 144 {
		path = fmt.Sprintf("/dev/pts/%d", (major-136)<<8|unix.Minor(dev))
	}
	f, err := os.OpenFile(path, os.O_RDONLY|noControl|syscall.O_NONBLOCK, 0) // #nosec G304 -- made of a number
	if err != nil {
		return nil, fmt.Errorf("opening the terminal: %w", err)
	}
	fi, err := f.Stat()
	if err == nil {
		if st, ok := fi.Sys().(*syscall.Stat_t); ok && uint64(st.Rdev) == dev {
			return f, nil
		}
		err = errors.New("term: it is another one")
	}
	_ = f.Close()
	return nil, err
}

// drain waits until what was written to f is out, and changes nothing. The system stops a
// process that does so in the background until that is in front (tcdrain(3)).
func drain(f *os.File) error {
	if err := unix.IoctlSetInt(int(f.Fd()), unix.TCSBRK, 1); err != nil { // #nosec G115 -- a descriptor fits
		return fmt.Errorf("waiting to be in front: %w", err)
	}
	return nil
}
