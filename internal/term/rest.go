package term

import (
	"errors"

	"golang.org/x/sys/unix"
)

// quiet is how long nothing must come in, in milliseconds, until a paste counts as
// over. Over SSH it comes in pieces.
const quiet = 30

// dropRest throws away what was typed or pasted and not read, and reports whether
// there was any. It is not shown. What is typed for another process is left to that.
func (t *TTY) dropRest() (some bool) {
	if !t.turn.within() {
		f, err := t.lock()
		if errors.Is(err, errBusy) {
			return false
		}
		t.turn.begin(f)
	}
	defer t.turn.end()
	if t.background() {
		return false
	}
	h, err := t.hide("")
	if err != nil {
		return false
	}
	defer h.end()
	var b [256]byte
	defer clear(b[:])
	for {
		p := []unix.PollFd{{Fd: int32(h.fd), Events: unix.POLLIN}} // #nosec G115 -- a descriptor fits
		if n, err := unix.Poll(p, quiet); err != nil || n == 0 || p[0].Revents&unix.POLLIN == 0 {
			return some
		}
		n, err := unix.Read(h.fd, b[:])
		if err != nil || n <= 0 {
			return some
		}
		some = true
	}
}
