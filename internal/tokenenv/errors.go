package tokenenv

import (
	"cmp"
	"errors"
	"os"
	"strconv"
	"strings"

	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// errOutput means that a descriptor is one to write to.
var errOutput = errors.New("it is standard output, or where errors go")

// Error says why there is no token: what failed, why, and what to do.
type Error struct {
	Code               pb.Code
	Message, Why, Next string
	// Cause is what was found, if anything; it may have words of the system.
	Cause error
}

// Error returns the message and the reason.
func (e *Error) Error() string { return e.Message + ": " + e.Why }

// Unusable is the refusal of a token that is there and cannot be used.
func (k Kind) Unusable(why string, cause error) *Error {
	return &Error{pb.CodeGrant, "the " + k.name + " cannot be used", why, k.next, cause}
}

// Missing is the refusal to go on without a token. Where the CI service withholds it, that is
// why.
func (k Kind) Missing(message, why string) *Error {
	if k.value != "" { // the service makes the others itself
		why = cmp.Or(withheld(), why)
	}
	return &Error{Code: k.missing, Message: message, Why: why, Next: k.give}
}

func (k Kind) several() *Error {
	all := k.file + " and " + k.fd
	if k.value != "" {
		all = k.value + ", " + all
	}
	return &Error{Code: pb.CodeUsage, Message: "more than one " + k.name + " is named", Why: "of " + all + " one counts", Next: "set one of them"}
}

// noFile is the refusal where the file that the variable names cannot be opened. It repeats
// nothing that may be a token: logs of jobs are read by many.
func (s *Source) noFile(cause error) *Error {
	e := s.unreadable(cause)
	switch {
	case isToken(s.value):
		e.Why, e.Next = s.Variable+" holds the token itself, and takes the path of a file", s.kind.itself
	case isPath(s.value):
		e.Why, e.Next = "the file that "+s.Variable+" names cannot be read: "+reason(cause), "see who may read it:  ls -l "+strconv.Quote(s.value)
		return e
	default:
		e.Why, e.Next = "what "+s.Variable+" holds is no path of a file", "see what it is set to; it takes a path"
	}
	e.Cause = errors.Unwrap(cause) // without the path
	return e
}

// isToken reports whether the value of a variable that takes a path is a token of either kind.
func isToken(value string) bool {
	value = strings.Trim(value, " \t\r\n\"'")
	return strings.HasPrefix(value, unlocktoken.Prefix) || strings.HasPrefix(value, "eyJ") && strings.Count(value, ".") == 2
}

// isPath reports whether a value can be the path of a file.
func isPath(value string) bool {
	if strings.ContainsAny(value, "\r\n") {
		return false
	}
	for name := range strings.SplitSeq(value, "/") {
		if len(name) > maxName {
			return false
		}
	}
	return true
}

// maxName is the most bytes of a name within a path.
const maxName = 255

// noDescriptor is the refusal where nothing is open at the descriptor.
func (s *Source) noDescriptor(cause error) *Error {
	e := s.unreadable(cause)
	e.Next = s.example()
	return e
}

// unreadable is the refusal where there is something, and nothing can be read of it.
func (s *Source) unreadable(cause error) *Error {
	return s.kind.Unusable("what "+s.Variable+" names cannot be read: "+reason(cause), cause)
}

// reason returns what the system said, without the words of who asked it.
func reason(err error) string {
	if e, ok := errors.AsType[*os.PathError](err); ok {
		err = e.Err
	}
	return err.Error()
}

func (s *Source) noNumber(cause error) *Error {
	return &Error{pb.CodeUsage, s.Variable + " is not the number of a descriptor to read from", "it is 0, or a number from 3 to 65535", s.example(), cause}
}

func (s *Source) example() string { return "give it so:  " + s.Variable + "=3 nsagent … 3< FILE" }
