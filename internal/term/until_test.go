package term

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"
)

// TestUntil: a question that became idle ends, whether somebody types or not, and what
// is typed before is read. It was not interrupted: who asks must not take it for a Ctrl-C.
func TestUntil(t *testing.T) {
	from, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	defer to.Close()
	tty := &TTY{f: from, turn: new(Turn)}
	gone := errors.New("gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	r, done, err := tty.until(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := to.WriteString("secret\r"); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 17)
	if n, err := readHidden(r, p, func() error { return nil }); err != nil || string(p[:n]) != "secret" {
		t.Errorf("got %q, %v", p[:n], err)
	}
	time.AfterFunc(10*time.Millisecond, func() { cancel(gone) }) // while the next read waits
	if n, err := readHidden(r, p, func() error { return nil }); n != 0 || !errors.Is(err, context.Canceled) || errors.Is(err, ErrInterrupted) {
		t.Errorf("got %d, %v, want context.Canceled alone", n, err)
	}
	if _, err := to.WriteString("late\r"); err != nil {
		t.Fatal(err)
	}
	if n, err := r.Read(p); n != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("got %d, %v, want context.Canceled", n, err)
	}
	done()

	if tty.Foreground() {
		t.Error("a pipe is no terminal that could be asked on")
	}
	// Without an end it is the terminal itself.
	r, done, err = tty.until(context.Background())
	if err != nil || r != from {
		t.Errorf("got %v, %v", r, err)
	}
	done()
}
