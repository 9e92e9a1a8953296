package policy

import "time"

// Access is the limit that a profile carries; it travels with the secret. Any other
// value than these allows nothing.
type Access string

const (
	// Read allows the methods GET and HEAD, and SuiteQL queries. A RESTlet is a script
	// that may do anything on GET: to limit that is the business of its role.
	Read Access = "read"
	// Write allows everything that the role in NetSuite allows.
	Write Access = "write"
)

// Kind is a permission: what the agent would make for the caller.
type Kind string

const (
	// KindSign is the OAuth 1.0 header of one HTTP request.
	KindSign Kind = "sign"
	// KindSend is one HTTP request that is signed and sent for the caller.
	KindSend Kind = "send"
	// KindPassport is a TokenPassport. It carries the whole role.
	KindPassport Kind = "passport"
	// KindConnectPassword is a password of SuiteAnalytics Connect. It signs the same
	// five fields as a TokenPassport, so either can be made into the other.
	KindConnectPassword Kind = "connect-password"
	// KindAssertion is a client assertion, which buys an access token.
	KindAssertion Kind = "assertion"
	// KindToken is an access token. It carries every scope that it was asked for.
	KindToken Kind = "token"
)

// NoProfile stands in an Attempt that is about no profile in particular. It is no name: no
// rule that names profiles fits, but for one that names them all by "*".
const NoProfile = "?"

// Attempt is what somebody tries to do.
type Attempt struct {
	// UID is the user of the process that asks, as the kernel tells it; Owner the user
	// who owns the agent.
	UID, Owner uint32
	// Grant is the name of the grant that the caller holds ("g_…"); empty: none, it asks
	// in its own right. What the grant itself allows is not decided here.
	Grant string
	// Evidence is what is known about the process that asks.
	Evidence Evidence
	// Issuer and Claims are those of a verified OIDC token; empty: none was shown. Numbers
	// are in decimal.
	Issuer string
	Claims map[string]string
	// Entrusted says that the caller came by a socket that the owner had made for a grant:
	// whoever connects there has the owner's leave, whichever user it is.
	Entrusted bool
	// Profile is the name of the profile to be used.
	Profile string
	// Environment is "production" or "sandbox".
	Environment string
	// Access is the limit of the profile.
	Access Access
	// Kind is what is asked for.
	Kind Kind
	// Method, Host and Path are those of the request, for the kinds sign and send, byte
	// for byte as signed: Method in upper case, Host without port, Path escaped and
	// without query.
	Method, Host, Path string
	// Script is the RESTlet that the request is for, as the function Script gives it.
	Script string
	// Operation is the SOAP operation; empty: not known.
	Operation string
	// Time is when it happens.
	Time time.Time
}
