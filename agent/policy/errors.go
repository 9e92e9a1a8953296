package policy

import (
	"errors"
	"fmt"
)

// ErrDenied is the root of all that is refused.
var ErrDenied = errors.New("policy: denied")

// ErrSyntax means that a text is no policy.
var ErrSyntax = errors.New("policy: malformed")

// SyntaxError says what is wrong with a text, and where. It wraps ErrSyntax. Its texts
// are single lines of printable ASCII, but for Key, which is as written.
type SyntaxError struct {
	// Line is from 1 on.
	Line int
	// Where names the rule; empty: it is in none, or the rule has no name.
	Where string
	// Key is the key at fault; empty: the table as a whole.
	Key string
	// Why says what is wrong.
	Why string
}

// Error returns it as one line.
func (e *SyntaxError) Error() string { return "policy: malformed: " + e.Place() + ": " + e.Why }

// Place says where it is: the line, the rule and the key.
func (e *SyntaxError) Place() string {
	s := fmt.Sprintf("line %d", e.Line)
	if e.Where != "" {
		s += ", " + e.Where
	}
	if e.Key != "" {
		s += fmt.Sprintf(", %.40q", e.Key)
	}
	return s
}

// Unwrap returns ErrSyntax.
func (e *SyntaxError) Unwrap() error { return ErrSyntax }

// The codes of denials, as in the error table of the protocol.
const (
	// CodeDenied means that policy does not allow it.
	CodeDenied = "NSA-DENIED"
	// CodeReadOnly means that the profile is limited to reading.
	CodeReadOnly = "NSA-READONLY"
)

// Denied says why something was refused. It wraps ErrDenied. Its texts are single lines
// of printable ASCII, whatever was attempted, and hold no path and no query.
type Denied struct {
	// Code is one of the codes above.
	Code string
	// What names what was refused, with the profile.
	What string
	// Why says the reason in plain words.
	Why string
	// Next says what to type to be allowed, or whom to ask.
	Next string
}

// Error returns the refusal as one line.
func (d *Denied) Error() string { return "policy: denied: " + d.What + ": " + d.Why }

// Unwrap returns ErrDenied.
func (d *Denied) Unwrap() error { return ErrDenied }
