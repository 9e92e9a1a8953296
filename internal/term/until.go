package term

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Foreground reports whether this process may ask: one in the background is stopped by
// the system when it does.
func (t *TTY) Foreground() bool {
	group, err := unix.IoctlGetInt(int(t.f.Fd()), unix.TIOCGPGRP) // #nosec G115 -- a descriptor fits
	return err == nil && group == unix.Getpgrp()
}

// background reports whether the system stops this process where it asks. Another session's
// terminal stops nobody.
func (t *TTY) background() bool {
	group, err := unix.IoctlGetInt(int(t.f.Fd()), unix.TIOCGPGRP) // #nosec G115 -- a descriptor fits
	return err == nil && group != unix.Getpgrp()
}

// until returns the terminal as a reader that ends with ctx, and what frees it.
func (t *TTY) until(ctx context.Context) (r io.Reader, done func(), err error) {
	if ctx.Done() == nil {
		return t.f, func() {}, nil
	}
	wake, woken, err := os.Pipe()
	if err != nil {
		return nil, nil, fmt.Errorf("asking: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = woken.Close() })
	return &untilReader{t.f, ctx, wake}, func() {
		if stop() {
			_ = woken.Close()
		}
		_ = wake.Close()
	}, nil
}

// untilReader reads from a terminal until the other end of wake is closed. A read that
// waits cannot be ended otherwise: a terminal knows no deadline.
type untilReader struct {
	f    *os.File
	ctx  context.Context
	wake *os.File
}

// Read reads what was typed. The error wraps errIdle and that of the context once that has
// ended.
func (u *untilReader) Read(p []byte) (int, error) {
	for {
		// #nosec G115 -- descriptors fit
		fds := []unix.PollFd{{Fd: int32(u.f.Fd()), Events: unix.POLLIN}, {Fd: int32(u.wake.Fd()), Events: unix.POLLIN}}
		_, err := unix.Poll(fds, -1)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return 0, fmt.Errorf("waiting for the answer: %w", err)
		case fds[1].Revents != 0:
			return 0, fmt.Errorf("%w: %w", errIdle, u.ctx.Err())
		default:
			return u.f.Read(p)
		}
	}
}
