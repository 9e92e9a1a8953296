// Package term talks to the person at the terminal: it asks, and reads secrets
// without showing them, straight into locked memory.
package term

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"golang.org/x/term"

	"github.com/nsagent/nsagent/internal/secret"
)

// Errors about asking a person.
var (
	// ErrNoTerminal: there is nobody to ask.
	ErrNoTerminal = errors.New("term: no terminal")
	// ErrInterrupted: the person pressed Ctrl-C or Ctrl-D.
	ErrInterrupted = errors.New("term: interrupted")
	// ErrTooLong: the answer does not fit.
	ErrTooLong = errors.New("term: answer too long")
)

// errIdle means that a question became idle: nobody at the terminal has ended it.
var errIdle = errors.New("term: the question became idle")

// noControl keeps a terminal that is opened from becoming the controlling one.
const noControl = syscall.O_NOCTTY

// maxLine bounds an answer that is shown, in bytes.
const maxLine = 4096

// TTY is the terminal of the process, whatever standard input is.
type TTY struct {
	f      *os.File
	turn   *Turn
	hidden bool // a secret was asked for
}

// Open opens the controlling terminal or, in a session that has none, standard
// input if that is a terminal. Where neither is, the error is ErrNoTerminal. turn is that of
// the process.
func Open(turn *Turn) (*TTY, error) {
	f, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil && term.IsTerminal(int(os.Stdin.Fd())) { // #nosec G115 -- a descriptor fits
		f, err = os.OpenFile("/proc/self/fd/0", os.O_RDWR|noControl, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoTerminal, err)
	}
	return &TTY{f: f, turn: turn}, nil
}

// Close closes the terminal. Where a secret was asked for, what was pasted behind the
// last answer is thrown away: the shell would run it, and keep it in its history.
func (t *TTY) Close() error {
	if t.hidden && t.dropRest() {
		_, _ = fmt.Fprintln(t.f, "nsagent: more than one line was pasted; what stood behind it was left out")
	}
	return t.f.Close()
}

// Write shows p. What is secret in it leaves no copy in this process.
func (t *TTY) Write(p []byte) (int, error) { return t.f.Write(p) }

// Line asks and returns what was typed, without blanks around it.
func (t *TTY) Line(prompt string) (string, error) {
	if _, err := fmt.Fprint(t.f, prompt); err != nil {
		return "", fmt.Errorf("asking: %w", err)
	}
	var line []byte
	for b := make([]byte, 1); ; {
		n, err := t.f.Read(b)
		if n == 0 || errors.Is(err, io.EOF) {
			return "", ErrInterrupted
		}
		if err != nil {
			return "", fmt.Errorf("reading the answer: %w", err)
		}
		if b[0] == '\n' || b[0] == '\r' {
			return strings.TrimSpace(string(line)), nil
		}
		if len(line) == maxLine {
			return "", ErrTooLong
		}
		line = append(line, b[0])
	}
}

// Secret asks and reads an answer of at most limit bytes without showing it. The
// answer is never outside arena; the caller destroys it. It waits for its Turn.
func (t *TTY) Secret(arena *secret.Arena, prompt string, limit int) (secret.Bytes, error) {
	return t.SecretUntil(context.Background(), arena, prompt, limit)
}

// SecretUntil is Secret for a question that may become idle: it ends with ctx, whose
// error it returns then, and not ErrInterrupted.
func (t *TTY) SecretUntil(ctx context.Context, arena *secret.Arena, prompt string, limit int) (secret.Bytes, error) {
	from, done, err := t.until(ctx)
	if err != nil {
		return secret.Bytes{}, err
	}
	defer done()
	end, err := t.Turn(ctx)
	if err != nil {
		return secret.Bytes{}, err
	}
	defer end()
	if err := t.forward(ctx); err != nil {
		return secret.Bytes{}, err
	}
	h, err := t.hide(prompt)
	if err != nil {
		return secret.Bytes{}, err
	}
	defer h.end()
	t.hidden = true
	suspend := func() error { return h.suspend(ctx) }
	return arena.Fill(limit+1, func(p []byte) (int, error) { return readHidden(from, p, suspend) })
}

// readHidden reads a line from a terminal in raw mode into p, which has one byte
// more than the answer may have, and handles the keys that edit. It calls suspend for
// the key that stops a job, behind which the answer begins anew.
func readHidden(r io.Reader, p []byte, suspend func() error) (int, error) {
	const (
		ctrlC, ctrlD, ctrlU, ctrlZ, quit = 3, 4, 21, 26, 28
		backspace, del                   = 8, 127
	)
	for n := 0; ; {
		got, err := r.Read(p[n : n+1])
		if errors.Is(err, errIdle) {
			return 0, err
		}
		if got == 0 || err != nil {
			return 0, errors.Join(ErrInterrupted, err)
		}
		switch p[n] {
		case '\r', '\n':
			p[n] = 0
			return n, nil
		case ctrlC, ctrlD, quit:
			return 0, ErrInterrupted
		case ctrlU, ctrlZ:
			stop := p[n] == ctrlZ
			clear(p[:n+1])
			n = 0
			if !stop {
				continue
			}
			if err := suspend(); err != nil {
				return 0, err
			}
		case backspace, del:
			p[n] = 0
			// One character may be several bytes of UTF-8.
			for n > 0 {
				n--
				lead := p[n]&0xC0 != 0x80
				p[n] = 0
				if lead {
					break
				}
			}
		default:
			if n++; n == len(p) {
				return 0, ErrTooLong
			}
		}
	}
}
