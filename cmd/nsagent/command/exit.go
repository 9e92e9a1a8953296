package command

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/term"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// codeColumn is where the stable code stands on the last line of an error.
const codeColumn = 66

// exitCode carries the exit code of a child that has printed its own error.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// usage is the error of a command line that is not right.
func usage(message, why, next string) error {
	return &client.Error{Code: pb.CodeUsage, Message: message, Why: why, Next: next}
}

// exit prints err in three short lines and returns its exit code.
func (e *env) exit(err error) int {
	if err == nil {
		return 0
	}
	if c := exitCode(0); errors.As(err, &c) {
		return int(c)
	}
	f := failure(err)
	message, why := oneLine(f.Message), oneLine(f.Why)
	lines := []string{"nsagent: " + message}
	if why != "" {
		lines = append(lines, "  "+why)
	}
	if f.Next != "" {
		lines = append(lines, "  "+oneLine(f.Next))
	}
	last := &lines[len(lines)-1]
	*last = fmt.Sprintf("%-*s [%s]", codeColumn, *last, f.Code)
	fmt.Fprintln(e.stderr, strings.Join(lines, "\n"))
	return pb.Lookup(f.Code).Exit
}

// failure returns err as one with a code.
func failure(err error) *client.Error {
	var f *client.Error
	switch {
	case errors.As(err, &f):
		return f
	case errors.Is(err, term.ErrInterrupted), errors.Is(err, context.Canceled):
		return &client.Error{Code: pb.CodeInternal, Message: "interrupted"}
	case errors.Is(err, term.ErrNoTerminal):
		return &client.Error{Code: pb.CodeUsage, Message: "there is no terminal to ask on", Next: "give it as a file:  --passphrase-file F"}
	case strings.HasPrefix(err.Error(), "unknown command"):
		return &client.Error{Code: pb.CodeUsage, Message: err.Error(), Next: "see:  nsagent --help"}
	default:
		return &client.Error{Code: pb.CodeInternal, Message: err.Error()}
	}
}

// oneLine keeps what another process sent from writing lines of its own.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || (r >= 0x80 && r < 0xa0) {
			return ' '
		}
		return r
	}, strings.TrimSpace(s))
}
