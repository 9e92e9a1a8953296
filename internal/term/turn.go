package term

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// turnPause is how long Turn waits between two looks.
	turnPause = 50 * time.Millisecond
	// turnSilence is how long Turn waits before it says so.
	turnSilence = time.Second
)

// errBusy means that another process has the turn.
var errBusy = errors.New("term: another process asks at this terminal")

// Turn is what a process has of the turn at its terminal: one for all that it opens there. A
// question within the turn of its own process does not wait for that. It begins and ends with
// the outermost question that wants it; the zero Turn has not begun.
type Turn struct {
	mu    sync.Mutex // guards what follows
	depth int
	file  *os.File // holds the lock; nil: let go, or there is nothing to lock
}

// within begins a question within the turn, and reports whether there is one.
func (h *Turn) within() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.depth == 0 {
		return false
	}
	h.depth++
	return true
}

// begin begins a turn.
func (h *Turn) begin(f *os.File) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.depth++
	h.file = f
}

// end ends one question, and with the last of them the turn.
func (h *Turn) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.depth--; h.depth == 0 {
		h.putLocked(nil)
	}
}

// put keeps f, which may be nil, in place of the lock.
func (h *Turn) put(f *os.File) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.putLocked(f)
}

func (h *Turn) putLocked(f *os.File) {
	if h.file != nil {
		_ = h.file.Close()
	}
	h.file = f
}

// Turn waits until no other process has the turn at this terminal, and takes it: what two
// show at once, and what is typed then, would go to either, and the one that ends first
// would show what is typed for the other. Where it has to wait, it says so at the terminal.
// The turn is over with end, or with the process; a process that stops at a question lets
// it go meanwhile. Where the terminal's file cannot be opened, as after su, Turn waits for
// nobody. The error is that of ctx.
func (t *TTY) Turn(ctx context.Context) (end func(), err error) {
	if !t.turn.within() {
		f, err := t.wait(ctx)
		if err != nil {
			return nil, err
		}
		t.turn.begin(f)
	}
	return sync.OnceFunc(t.turn.end), nil
}

// again takes the turn that was let go.
func (t *TTY) again(ctx context.Context) error {
	f, err := t.wait(ctx)
	if err == nil {
		t.turn.put(f)
	}
	return err
}

// wait waits for the lock of the terminal's file; it is nil where there is none.
func (t *TTY) wait(ctx context.Context) (*os.File, error) {
	silent := time.NewTimer(turnSilence)
	defer silent.Stop()
	for {
		f, err := t.lock()
		if !errors.Is(err, errBusy) {
			return f, nil
		}
		select {
		case <-time.After(turnPause):
		case <-silent.C:
			// Where the other one asks, a line feed alone does not begin a line.
			_, _ = fmt.Fprint(t.f, "\r\nnsagent: another command asks at this terminal; this one waits for that\r\n")
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// forward waits, within the turn, until this process may ask. The system stops one that
// asks in the background: that must not happen while it has the turn.
func (t *TTY) forward(ctx context.Context) error {
	for t.background() {
		t.turn.put(nil)
		if err := drain(t.f); err != nil { // stops it
			return err
		}
		ignored := t.background() // the stop, that is
		if err := t.again(ctx); err != nil || ignored {
			return err
		}
	}
	return nil
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
