package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"unicode"

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
		err = e.stdout.failed()
	}
	if err == nil {
		return 0
	}
	if c := exitCode(0); errors.As(err, &c) {
		return int(c)
	}
	if errors.Is(err, syscall.EPIPE) {
		return 1 // who read the output has gone, as head does
	}
	f := failure(err)
	lines := []string{"nsagent: " + oneLine(f.Message)}
	if f.Code != pb.CodeOK {
		otherWhy, otherNext := linesOf(f.Code, e.command)
		why, next := f.Why, f.Next
		if next == "" {
			why, next = cutFix(why)
		}
		why, next = cmp.Or(plainText(oneLine(why)), otherWhy), cmp.Or(plainText(oneLine(next)), otherNext)
		lines = append(lines, "  "+why, fmt.Sprintf("%s [%s]", pad("  "+next, codeColumn), f.Code))
	}
	lines[0] = e.errScreen.paint(red, "nsagent:") + strings.TrimPrefix(lines[0], "nsagent:")
	fmt.Fprintln(e.stderr, withoutTokens(strings.Join(lines, "\n")))
	if e.failureCode != 0 {
		return e.failureCode
	}
	return pb.Lookup(f.Code).Exit
}

// linesOf returns the second and third line for a code where who made the error has none
// of its own; for a code of a newer agent, they say so. command is the one that runs, or "".
func linesOf(code pb.Code, command string) (why, next string) {
	page, known := findPage(string(code))
	if !known {
		return "the code is of a newer agent than this program", "see which it is:  nsagent status"
	}
	return page.why, strings.Replace(page.next, "nsagent COMMAND", cmp.Or(command, "nsagent"), 1)
}

// cutFix returns a reason without what it says is to be typed, and that.
func cutFix(why string) (string, string) {
	if before, fix, ok := strings.Cut(why, " (fix: "); ok {
		return before, strings.TrimSuffix(fix, ")")
	}
	if before, fix, ok := strings.Cut(why, "; run: "); ok {
		return before, "run:  " + fix
	}
	return why, ""
}

// failure returns err as one with a code.
func failure(err error) *client.Error {
	var f *client.Error
	switch {
	case errors.As(err, &f):
		return f
	case errors.Is(err, term.ErrInterrupted), errors.Is(err, context.Canceled):
		return &client.Error{Message: "interrupted"} // by the person, who needs no code
	case errors.Is(err, term.ErrTooLong):
		return &client.Error{Code: pb.CodeUsage, Message: "the answer is too long", Why: "nothing that is asked for has as much", Next: "try again; is that what was meant to be pasted?"}
	default:
		what, why, _ := strings.Cut(plain(err), ": ")
		f = &client.Error{Code: pb.CodeInternal, Message: what, Why: why}
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
			f.Next = system(err)
		}
		return f
	}
}

// system says what to do about an error of the file system; "" where there is
// nothing to say.
func system(err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "make room, and try again"
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return "make it writable, or set HOME or the XDG variables to another place"
	default:
		return ""
	}
}

// plain returns the text of err without names of packages and processes, which say
// nothing to people.
func plain(err error) string { return plainText(err.Error()) }

func plainText(s string) string {
	s = strings.ReplaceAll(s, "pathglob: pattern: ", "")
	for _, name := range []string{"parent process", "agent", "audit", "command", "config", "keyring", "nstest", "pinentry", "secret", "socketpath", "store", "supervise", "systemd", "term", "vault"} {
		s = strings.TrimPrefix(s, name+": ")
		s = strings.ReplaceAll(s, ": "+name+": ", ": ")
	}
	for _, end := range []string{"unexpected EOF", ": EOF"} {
		if before, ok := strings.CutSuffix(s, end); ok {
			s = strings.TrimSuffix(before, ": ") + ": it ends too early"
		}
	}
	return s
}

// oneLine keeps what another process sent from writing lines of its own.
func oneLine(s string) string {
	return strings.TrimSpace(noControls(s))
}

// noControls replaces by blanks what a terminal or a window does not show but acts on:
// control characters, line ends of every kind, changes of the writing direction.
func noControls(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}
