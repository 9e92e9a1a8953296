package approval

import (
	"errors"
	"time"
)

// Why a caller that waited goes away empty-handed, or may not wait at all.
var (
	// ErrDenied means that somebody said no, less than a minute ago or just now.
	ErrDenied = errors.New("approval: denied")
	// ErrTimeout means that nobody answered in time.
	ErrTimeout = errors.New("approval: nobody answered")
	// ErrDropped means that the vault was locked, or what asks was changed.
	ErrDropped = errors.New("approval: dropped")
	// ErrLimit means that too many wait already.
	ErrLimit = errors.New("approval: too many wait")
	// ErrNotFound means that no request has that ID, any more.
	ErrNotFound = errors.New("approval: no such request")
)

// Question is what callers want to do. Two that are equal become one request, if it is
// known who asks.
type Question struct {
	// UID, Exe and Grant are who asks. Where a grant is set, it is the caller, whatever
	// program shows it, and Exe is empty; without one, an empty Exe means that the program
	// is not known.
	UID   uint32
	Exe   string
	Grant string
	// Socket is the one of a grant that they came by; empty for the owner's own. An answer
	// to a program outside is none to one of the same path in a container.
	Socket string
	// Outermost is the path of the socket that takes up a place with it: that of Socket or,
	// where that was opened on another one, the first of them. Empty where Socket is.
	Outermost string
	// Profile, Account and Environment are what is to be used.
	Profile, Account, Environment string
	// Credential is the ID of the profile's record in the vault: another profile that comes to
	// have the name is not what was approved.
	Credential [16]byte
	// Kind, Method and URL are what for; URL is as it will be signed, with its query.
	Kind, Method, URL string
	// FormSHA256 and FormBytes tell of the form that is signed with it, the hash in hex;
	// Scopes are those of an assertion or token, by one space apart.
	FormSHA256 string
	FormBytes  int
	Scopes     string
	// Rule names the rule that asks; TOTP has it approved only with a code.
	Rule string
	TOTP bool
}

// Known reports whether it is known who asks. All programs that are not known ask the same,
// so that an approval of one must not count for another.
func (q *Question) Known() bool { return q.Grant != "" || q.Exe != "" }

// Caller is one process that waits. Both texts are evidence, as Exe is.
type Caller struct {
	PID    int
	Exe    string
	Parent string // the program that started it; empty if not known
	// Attended means that it asks for the approval itself, so that nobody else needs to. Of
	// a request, one process does.
	Attended bool
}

// Span is how long an approval counts.
type Span int

// The spans.
const (
	Once        Span = iota // for who waits now
	FiveMinutes             // and for the same question, five minutes long
	Session                 // and for the same question, until the vault is locked
)

// Request is a question that waits for its answer.
type Request struct {
	Question
	ID      string // six lower-case letters and digits
	Callers []Caller
	Since   time.Duration // by the boot clock
	Ends    time.Duration // when it times out
}
