package term

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// turnPause is how long Turn waits between two looks.
const turnPause = 50 * time.Millisecond

// errBusy means that another process has the turn.
var errBusy = errors.New("term: another process asks at this terminal")

// Turn waits until no other process has the turn at this terminal, and takes it: what two
// show at once, and what is typed then, would go to either. It is over with end, or with
// the process. Where the terminal's file cannot be opened, as after su, Turn waits for
// nobody. The error is that of ctx.
func (t *TTY) Turn(ctx context.Context) (end func(), err error) {
	for {
		f, err := t.lock()
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, errBusy) {
			return func() {}, nil
		}
		select {
		case <-time.After(turnPause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Busy reports whether another process has the turn at this terminal.
func (t *TTY) Busy() bool {
	f, err := t.lock()
	if err == nil {
		_ = f.Close()
	}
	return errors.Is(err, errBusy)
}

// lock locks the file of the terminal until the file that it returns is closed.
func (t *TTY) lock() (*os.File, error) {
	f, err := t.file()
	if err != nil {
		return nil, err
	}
	if err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == nil { // #nosec G115 -- a descriptor fits
		return f, nil
	}
	_ = f.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = errBusy
	}
	return nil, err
}

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
