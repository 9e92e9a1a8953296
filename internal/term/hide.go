package term

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/term"
)

// stopTime is how long a stop may take to take effect. In a session without job
// control there is none, and the question goes on.
const stopTime = 500 * time.Millisecond

// hiding is a terminal that shows nothing of what is typed, for one question.
type hiding struct {
	t      *TTY
	fd     int
	prompt string
	old    *term.State

	mu      sync.Mutex // guards what follows
	hidden  bool       // what is typed is not shown; false while the job is stopped
	signals chan os.Signal
	resumed chan struct{} // the job goes on
	done    chan struct{}
}

// hide asks, and shows nothing from then on until end is called. A signal that ends
// the process puts the terminal in order first. The turn is that of this process.
func (t *TTY) hide(prompt string) (*hiding, error) {
	h := &hiding{
		t: t, fd: int(t.f.Fd()), prompt: prompt, // #nosec G115 -- a descriptor fits
		signals: make(chan os.Signal, 4), resumed: make(chan struct{}, 1), done: make(chan struct{}),
	}
	// Raw mode also keeps Ctrl-C from ending the process while echo is off.
	var err error
	if h.old, err = term.MakeRaw(h.fd); err != nil {
		return nil, fmt.Errorf("hiding what is typed: %w", err)
	}
	h.hidden = true
	for _, s := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGCONT} {
		if !signal.Ignored(s) {
			signal.Notify(h.signals, s)
		}
	}
	go h.watch()
	if err := h.ask(); err != nil {
		h.end()
		return nil, fmt.Errorf("asking: %w", err)
	}
	return h, nil
}

// ask shows the question. In raw mode a line feed alone does not begin a line.
func (h *hiding) ask() error {
	_, err := io.WriteString(h.t.f, strings.ReplaceAll(h.prompt, "\n", "\r\n"))
	return err
}

// end leaves the terminal as it was.
func (h *hiding) end() {
	h.show()
	signal.Stop(h.signals)
	close(h.done)
}

// show leaves the terminal alone where it is shown already: another process may have its
// turn.
func (h *hiding) show() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.hidden {
		return
	}
	h.hidden = false
	_ = term.Restore(h.fd, h.old)
	if h.prompt != "" {
		_, _ = fmt.Fprintln(h.t.f)
	}
}

// watch puts the terminal in order when a signal comes that ends the process, and
// then lets it. Behind a stop it hides anew what is typed: the shell has shown it.
func (h *hiding) watch() {
	for {
		select {
		case s := <-h.signals:
			if s == syscall.SIGCONT {
				h.goOn()
				continue
			}
			h.show()
			if s == syscall.SIGQUIT { // of which Go would dump all stacks
				s = syscall.SIGTERM
			}
			signal.Reset(s)
			if self, err := os.FindProcess(os.Getpid()); err == nil {
				_ = self.Signal(s)
			}
			return
		case <-h.done:
			return
		}
	}
}

// goOn has the question asked anew: by suspend, where that has stopped the job.
func (h *hiding) goOn() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.hidden {
		h.againLocked()
		return
	}
	select {
	case h.resumed <- struct{}{}:
	default:
	}
}

func (h *hiding) againLocked() {
	_, _ = term.MakeRaw(h.fd)
	_ = h.ask()
}

// suspend stops the job, as Ctrl-Z does anywhere else, and returns when it goes on and
// the question was asked anew. Others have their turn meanwhile: nobody can answer what is
// stopped. An error is why it is not asked any more.
func (h *hiding) suspend(ctx context.Context) error {
	h.show()
	h.t.turn.put(nil)
	_ = syscall.Kill(0, syscall.SIGTSTP)
	select {
	case <-h.resumed:
	case <-time.After(stopTime):
	}
	err := h.t.again(ctx)
	if err == nil {
		err = h.t.forward(ctx)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errIdle, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case <-h.resumed:
	default:
	}
	h.hidden = true
	h.againLocked()
	return nil
}
