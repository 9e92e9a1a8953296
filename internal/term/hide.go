package term

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"
)

// stopTime is how long a stop may take to take effect. In a session without job
// control there is none, and the question goes on.
const stopTime = 500 * time.Millisecond

// hiding is a terminal that shows nothing of what is typed, for one question.
type hiding struct {
	f      *os.File
	fd     int
	prompt string
	old    *term.State // nil: leave it as it is

	signals chan os.Signal
	resumed chan struct{} // the question was asked anew behind a stop
	done    chan struct{}
}

// hide asks, and shows nothing from then on until end is called. A signal that ends
// the process puts the terminal in order first.
func (t *TTY) hide(prompt string) (*hiding, error) {
	h := &hiding{
		f: t.f, fd: int(t.f.Fd()), prompt: prompt, // #nosec G115 -- a descriptor fits
		signals: make(chan os.Signal, 4), resumed: make(chan struct{}, 1), done: make(chan struct{}),
	}
	// Raw mode also keeps Ctrl-C from ending the process while echo is off.
	var err error
	if h.old, err = term.MakeRaw(h.fd); err != nil {
		return nil, fmt.Errorf("hiding what is typed: %w", err)
	}
	if now, err := term.GetState(h.fd); err == nil && *now == *h.old {
		h.old = nil // raw already: whoever made it so puts it in order, perhaps before this question ends
	}
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
	_, err := io.WriteString(h.f, strings.ReplaceAll(h.prompt, "\n", "\r\n"))
	return err
}

// end leaves the terminal as it was.
func (h *hiding) end() {
	h.show()
	signal.Stop(h.signals)
	close(h.done)
}

func (h *hiding) show() {
	if h.old != nil {
		_ = term.Restore(h.fd, h.old)
	}
	if h.prompt != "" {
		_, _ = fmt.Fprintln(h.f)
	}
}

// watch puts the terminal in order when a signal comes that ends the process, and
// then lets it. Behind a stop it hides anew what is typed: the shell has shown it.
func (h *hiding) watch() {
	for {
		select {
		case s := <-h.signals:
			if s == syscall.SIGCONT {
				h.again()
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

func (h *hiding) again() {
	_, _ = term.MakeRaw(h.fd)
	_ = h.ask()
	select {
	case h.resumed <- struct{}{}:
	default:
	}
}

// suspend stops the job, as Ctrl-Z does anywhere else, and returns when it goes on and
// the question was asked anew.
func (h *hiding) suspend() {
	h.show()
	_ = syscall.Kill(0, syscall.SIGTSTP)
	select {
	case <-h.resumed:
	case <-time.After(stopTime):
		h.again()
		<-h.resumed
	}
}
