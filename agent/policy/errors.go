package policy

import "errors"

// ErrDenied is the root of all that is refused.
var ErrDenied = errors.New("policy: denied")

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
