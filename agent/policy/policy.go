package policy

import (
	"errors"
	"fmt"
	"time"
)

// Access is a profile's own limit, which travels with the secret.
type Access string

// The limits. Any other value allows nothing.
const (
	// Read allows requests that change nothing: GET, HEAD and SuiteQL.
	Read Access = "read"
	// Write allows everything that the credential can do.
	Write Access = "write"
)

// Kind is what is to be made with a credential. Each is a permission of its own.
type Kind string

// The kinds.
const (
	// KindSign is the header of one request.
	KindSign Kind = "sign"
	// KindPassport and KindConnectPassword sign the same five fields, so that either
	// can be made into the other; they carry the whole role.
	KindPassport        Kind = "passport"
	KindConnectPassword Kind = "connect-password"
	// KindAssertion buys an access token with the whole role.
	KindAssertion Kind = "assertion"
)

// Attempt is what somebody wants to do.
type Attempt struct {
	// UID is the user of the peer, Owner that of the agent.
	UID, Owner uint32
	// Profile is the name of the profile, Environment "production" or "sandbox".
	Profile, Environment string
	// Access is the profile's limit.
	Access Access
	Kind   Kind
	// Method is in upper case; Host and Path are those of the URL, the path escaped as
	// it goes on the wire. They are empty for kinds that send nothing.
	Method, Host, Path string
	// Time is when the attempt is made.
	Time time.Time
}

// ErrDenied is the root of every refusal of this package.
var ErrDenied = errors.New("policy: denied")

// Denied says why an attempt is refused: the stable code, and what failed, why and
// what to type next, for people. It wraps ErrDenied.
type Denied struct {
	Code, What, Why, Next string
}

// Error returns the refusal as one line.
func (d *Denied) Error() string { return "policy: denied: " + d.What + ": " + d.Why }

// Unwrap returns ErrDenied.
func (d *Denied) Unwrap() error { return ErrDenied }

// Decide returns nil where the attempt may go ahead, else a *Denied.
//
// With no policy adopted, the owner of the agent may use every profile within its
// limits, and nobody else anything.
func Decide(a Attempt) error {
	switch {
	case a.UID != a.Owner:
		return &Denied{"NSA-DENIED", "another user asks", fmt.Sprintf("the agent belongs to user %d and signs for nobody else", a.Owner), ""}
	case !known(a.Kind):
		return &Denied{"NSA-DENIED", fmt.Sprintf("profile %q does not make that", a.Profile), "no rule allows it", ""}
	case a.Access == Write:
		return nil
	case a.Access == Read && a.Kind == KindSign && reads(a.Method, a.Path):
		return nil
	case a.Access == Read:
		return &Denied{"NSA-READONLY", fmt.Sprintf("profile %q may only read: no %s", a.Profile, a.action()),
			"its access is read, which allows GET, HEAD and SuiteQL",
			fmt.Sprintf("to let it write, add it anew with \"access\":\"write\":  nsagent profile rm %s", a.Profile)}
	default:
		return &Denied{"NSA-DENIED", fmt.Sprintf("profile %q has no access that is known", a.Profile), "no rule allows it", ""}
	}
}

func known(k Kind) bool {
	switch k {
	case KindSign, KindPassport, KindConnectPassword, KindAssertion:
		return true
	default:
		return false
	}
}

// action names what was tried.
func (a Attempt) action() string {
	if a.Kind == KindSign {
		return a.Method
	}
	return string(a.Kind)
}

// suiteQL is the one path of SuiteQL queries, byte by byte: a path that a server
// might normalise to it, or away from it, is not it.
//
// Source: NetSuite Help, "Executing SuiteQL Queries Through REST Web Services".
const suiteQL = "/services/rest/query/v1/suiteql"

// reads reports whether a request changes nothing. A RESTlet is a script that may
// do anything on GET; limiting it is the business of its role.
func reads(method, path string) bool {
	switch method {
	case "GET", "HEAD":
		return true
	case "POST":
		return path == suiteQL
	default:
		return false
	}
}
