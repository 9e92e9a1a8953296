package tokenenv

import (
	"errors"
	"os"
	"slices"
	"strings"

	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

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

// Missing is the refusal to go on without a token. Where GitHub passes none, that is why.
func (k Kind) Missing(message, why string) *Error {
	if k.value != "" && strings.HasPrefix(os.Getenv("GITHUB_EVENT_NAME"), "pull_request") {
		why = "GitHub does not pass secrets to workflows from forks"
	}
	return &Error{Code: k.missing, Message: message, Why: why, Next: k.give}
}

func (k Kind) several() *Error {
	names := slices.DeleteFunc([]string{k.value, k.file, k.fd}, func(name string) bool { return name == "" })
	return &Error{Code: pb.CodeUsage, Message: "more than one " + k.name + " is named", Why: "of " + strings.Join(names, ", ") + " one counts", Next: "set one of them"}
}

// unreadable is the refusal where what the variable names is not there, or not to be read.
func (s *Source) unreadable(what string, cause error) *Error {
	reason := cause
	if e, ok := errors.AsType[*os.PathError](cause); ok {
		reason = e.Err
	}
	return s.kind.Unusable(what+" "+s.Variable+" names cannot be read: "+reason.Error(), cause)
}

func (s *Source) noNumber(cause error) *Error {
	return &Error{pb.CodeUsage, s.Variable + " is not the number of a descriptor", "it is a decimal number", "give it so:  " + s.Variable + "=3 nsagent … 3< FILE", cause}
}
