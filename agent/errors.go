package agent

import (
	"errors"

	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// Errors that arise in the agent itself. What other packages refuse with keeps
// its own sentinel; status.go maps all of them to codes.
var (
	// ErrNoProfile: no profile has the name that was asked for.
	ErrNoProfile = errors.New("agent: no such profile")
	// ErrNoVault: nobody has run init yet.
	ErrNoVault = errors.New("agent: no vault")
	// ErrRequest: a request is malformed.
	ErrRequest = errors.New("agent: malformed request")
	// ErrCredential: the parts of a credential are missing or do not fit together.
	ErrCredential = errors.New("agent: credential does not fit")
	// ErrKind: the profile's kind of credential cannot make what was asked for.
	ErrKind = errors.New("agent: wrong kind of credential")
	// ErrExpired: the profile's certificate has expired.
	ErrExpired = errors.New("agent: expired")
	// ErrStale: the credential is from before a refresh of its sandbox.
	ErrStale = errors.New("agent: from before a refresh")
	// ErrSealKey: the one-time key is unknown, used, too old or of another connection.
	ErrSealKey = errors.New("agent: unknown seal key")
	// ErrBackoff: too many wrong passphrases in a row.
	ErrBackoff = errors.New("agent: unlock attempts paused")
	// ErrProof: the call needs a fresh proof that the person is there.
	ErrProof = errors.New("agent: fresh proof needed")
	// ErrAsk: a rule of the policy wants somebody to approve it.
	ErrAsk = errors.New("agent: approval needed")
	// ErrPolicy: a policy is malformed, or another one is in force than was meant.
	ErrPolicy = errors.New("agent: policy not adopted")
	// ErrBusy: a limit on connections or keys in flight was reached.
	ErrBusy = errors.New("agent: too much at once")
	// ErrLimited: a limit on uses, or on uses in a time, was reached.
	ErrLimited = errors.New("agent: limit reached")
	// ErrNetwork: NetSuite was not reached, or its answer did not arrive.
	ErrNetwork = errors.New("agent: NetSuite not reached")
	// ErrNetSuite: NetSuite answered with a refusal.
	ErrNetSuite = errors.New("agent: NetSuite refused")
	// ErrConsent: somebody has to allow it in NetSuite, in the browser.
	ErrConsent = errors.New("agent: consent needed")
	// ErrGrant: an unlock token is missing, damaged or not of this vault.
	ErrGrant = errors.New("agent: unlock token not accepted")
	// ErrGrantScope: the unlock token does not allow it.
	ErrGrantScope = errors.New("agent: outside of the grant")
	// ErrRevoked: the grant was revoked.
	ErrRevoked = errors.New("agent: grant revoked")
	// ErrSocket: a socket of a grant cannot be made.
	ErrSocket = errors.New("agent: socket cannot be made")
	// ErrRunning: another agent serves the same socket.
	ErrRunning = errors.New("agent: already running")
)

// Refusal is an error made for the caller: a stable code and the three short
// lines that the command line prints. It wraps the cause, which stays inside the
// agent.
type Refusal struct {
	Code pb.Code
	// Message says what failed, with the object's name.
	Message string
	// Why says it in plain words; empty means that Message is enough.
	Why string
	// Next is what to type next; empty means that there is nothing to type.
	Next string

	cause error
}

// Error returns the message, the reason and the code.
func (r *Refusal) Error() string {
	s := r.Message
	if r.Why != "" {
		s += ": " + r.Why
	}
	return s + " [" + string(r.Code) + "]"
}

// Unwrap returns the cause, so that errors.Is finds the sentinel.
func (r *Refusal) Unwrap() error { return r.cause }

// refuse returns a Refusal that wraps cause.
func refuse(cause error, code pb.Code, message, why, next string) *Refusal {
	return &Refusal{Code: code, Message: message, Why: why, Next: next, cause: cause}
}
