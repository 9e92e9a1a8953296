package client

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// Error is a refusal by the agent, or the failure to reach it.
type Error struct {
	// Code is stable, such as NSA-LOCKED; docs/protocol.md lists all of them.
	Code pb.Code
	// Message says what failed, Why says it in plain words, Next what to type.
	// Why and Next may be empty.
	Message, Why, Next string

	cause error
}

// Error returns the message, the reason and the code.
func (e *Error) Error() string {
	s := e.Message
	if e.Why != "" {
		s += ": " + e.Why
	}
	return s + " [" + string(e.Code) + "]"
}

// Is reports whether target is an Error with the same code, so that the
// sentinels of this package match whatever the texts say.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// Unwrap returns the cause on this side of the socket, or nil.
func (e *Error) Unwrap() error { return e.cause }

// ErrClosed means that the Client, the Admin or the Stream was closed on this side.
var ErrClosed = errors.New("client: closed")

// Sentinels, one a code, to compare with errors.Is. There is one for every code
// that a program may want to act on; for others compare with an Error that has
// the code.
var (
	// ErrLocked: the vault is locked; a person has to unlock it.
	ErrLocked error = &Error{Code: pb.CodeLocked, Message: "client: locked"}
	// ErrPassphrase: the passphrase does not open the vault.
	ErrPassphrase error = &Error{Code: pb.CodePassphrase, Message: "client: wrong passphrase"}
	// ErrProof: the call widens something, and needs the passphrase again.
	ErrProof error = &Error{Code: pb.CodeProof, Message: "client: fresh proof needed"}
	// ErrConfirm: the call widens something, and somebody has to say yes.
	ErrConfirm error = &Error{Code: pb.CodeConfirm, Message: "client: confirmation needed"}
	// ErrTOTP: the call needs a code of the authenticator app, or that was wrong.
	ErrTOTP error = &Error{Code: pb.CodeTOTP, Message: "client: code needed"}
	// ErrDeclined: whoever was asked said no, or did not answer in time.
	ErrDeclined error = &Error{Code: pb.CodeDeclined, Message: "client: declined"}
	// ErrKey: the key file or recovery code does not open the vault, or one is needed.
	ErrKey error = &Error{Code: pb.CodeKey, Message: "client: wrong key file or recovery code"}
	// ErrBackoff: too many wrong passphrases in a row; wait.
	ErrBackoff error = &Error{Code: pb.CodeBackoff, Message: "client: unlocking paused"}
	// ErrKeyring: the OS keyring did not give the vault's share.
	ErrKeyring error = &Error{Code: pb.CodeKeyring, Message: "client: keyring unavailable"}
	// ErrNoProfile: there is no such profile.
	ErrNoProfile error = &Error{Code: pb.CodeNoProfile, Message: "client: no such profile"}
	// ErrNoVault: there is no vault yet.
	ErrNoVault error = &Error{Code: pb.CodeNoVault, Message: "client: no vault"}
	// ErrNotFound: there is no such thing, such as a grant of that id.
	ErrNotFound error = &Error{Code: pb.CodeNotFound, Message: "client: not found"}
	// ErrExists: the name is taken.
	ErrExists error = &Error{Code: pb.CodeExists, Message: "client: name taken"}
	// ErrCredential: the credential is incomplete or does not fit together.
	ErrCredential error = &Error{Code: pb.CodeCredential, Message: "client: credential does not fit"}
	// ErrDenied: policy does not allow it.
	ErrDenied error = &Error{Code: pb.CodeDenied, Message: "client: denied"}
	// ErrPolicy: the policy is malformed, or another one is in force by now.
	ErrPolicy error = &Error{Code: pb.CodePolicy, Message: "client: policy not adopted"}
	// ErrAsk: a rule of the policy wants somebody to approve it first.
	ErrAsk error = &Error{Code: pb.CodeAsk, Message: "client: approval needed"}
	// ErrReadOnly: the profile is limited to reading.
	ErrReadOnly error = &Error{Code: pb.CodeReadOnly, Message: "client: profile is read-only"}
	// ErrHost: the URL's host is not one of the profile's account.
	ErrHost error = &Error{Code: pb.CodeHost, Message: "client: foreign host"}
	// ErrURL: the URL cannot be signed as it stands.
	ErrURL error = &Error{Code: pb.CodeURL, Message: "client: malformed URL"}
	// ErrRequest: the request is malformed, or the profile cannot make what is asked.
	ErrRequest error = &Error{Code: pb.CodeRequest, Message: "client: malformed request"}
	// ErrExpired: the credential has expired or was revoked.
	ErrExpired error = &Error{Code: pb.CodeExpired, Message: "client: expired"}
	// ErrStale: the credential is from before a refresh of its sandbox.
	ErrStale error = &Error{Code: pb.CodeStale, Message: "client: from before a refresh"}
	// ErrConsent: somebody has to log in to NetSuite in the browser, and to allow it.
	ErrConsent error = &Error{Code: pb.CodeConsent, Message: "client: consent needed"}
	// ErrGrant: the unlock token is damaged, or not of this vault.
	ErrGrant error = &Error{Code: pb.CodeGrant, Message: "client: unlock token not accepted"}
	// ErrGrantScope: the unlock token does not allow it.
	ErrGrantScope error = &Error{Code: pb.CodeGrantScope, Message: "client: outside of the grant"}
	// ErrRevoked: the grant was revoked.
	ErrRevoked error = &Error{Code: pb.CodeRevoked, Message: "client: grant revoked"}
	// ErrNetSuite: NetSuite refused.
	ErrNetSuite error = &Error{Code: pb.CodeNetSuite, Message: "client: refused by NetSuite"}
	// ErrNetwork: the agent could not reach NetSuite.
	ErrNetwork error = &Error{Code: pb.CodeNetwork, Message: "client: NetSuite not reached"}
	// ErrAudit: the agent cannot write its audit log, so it signs nothing.
	ErrAudit error = &Error{Code: pb.CodeAudit, Message: "client: audit log not writable"}
	// ErrLimited: too much at once; try again later.
	ErrLimited error = &Error{Code: pb.CodeLimited, Message: "client: limited"}
	// ErrPeer: the agent takes this process for another one, or for gone.
	ErrPeer error = &Error{Code: pb.CodePeer, Message: "client: process not accepted"}
	// ErrAgent: the agent cannot be reached, or the connection broke.
	ErrAgent error = &Error{Code: pb.CodeAgent, Message: "client: no agent"}
	// ErrVersion: the agent is older than this client and lacks the call.
	ErrVersion error = &Error{Code: pb.CodeVersion, Message: "client: agent too old"}
	// ErrInternal: something failed in the agent that should not have; its log
	// says what.
	ErrInternal error = &Error{Code: pb.CodeInternal, Message: "client: internal error"}
)

// refusal returns the agent's own words, or nil where st is not an answer of it.
func refusal(st *status.Status) *Error {
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok && info.GetDomain() == pb.ErrorDomain {
			return newError(info.GetReason(), st.Message(), info.GetMetadata()["why"], info.GetMetadata()["next"])
		}
	}
	return nil
}

// fromMessage returns a refusal that came inside a stream.
func fromMessage(m *pb.Error) *Error {
	return newError(m.GetCode(), m.GetMessage(), m.GetWhy(), m.GetNext())
}

// fromStatus returns what grpc says where the agent said nothing.
func fromStatus(st *status.Status) *Error {
	if e := refusal(st); e != nil {
		return e
	}
	why := oneLine(st.Message())
	switch st.Code() {
	case codes.Unavailable:
		return noAgent(nil, "the connection broke")
	case codes.Canceled:
		return noAgent(nil, "it ended the call")
	case codes.Unimplemented:
		if why == pb.OtherSocket {
			return &Error{Code: pb.CodeSocket, Message: "this socket is for other calls", Why: "admin.sock is there to manage, agent.sock to sign, and to ask for status", Next: "name agent.sock:  --socket DIR/agent.sock"}
		}
		return &Error{Code: pb.CodeVersion, Message: "the agent does not know this call", Why: "it is older than this client", Next: "start it again:  nsagent agent stop && nsagent agent start"}
	case codes.ResourceExhausted:
		return &Error{Code: pb.CodeLimited, Message: "the message is too large, or too much is in flight", Why: why}
	default:
		return &Error{Code: pb.CodeInternal, Message: "the agent answered with an error", Why: why}
	}
}

// newError returns an error with what another process said. A code that is none
// counts as NSA-INTERNAL; codes of newer agents are kept.
func newError(code, message, why, next string) *Error {
	e := &Error{Code: pb.Code(code), Message: oneLine(message), Why: oneLine(why), Next: oneLine(next)}
	if !isCode(code) {
		e.Code = pb.CodeInternal
	}
	if e.Message == "" {
		e.Message = pb.Lookup(e.Code).Text
	}
	return e
}

// isCode reports whether s has the form of a code, such as NSA-LOCKED.
func isCode(s string) bool {
	name, ok := strings.CutPrefix(s, "NSA-")
	return ok && name != "" && len(name) <= 40 && strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-") == ""
}

// maxText is the most bytes of a text from another process that are kept.
const maxText = 2000

// oneLine keeps what another process sent from writing lines or escape sequences
// of its own into logs and terminals.
func oneLine(s string) string {
	s = strings.ToValidUTF8(s[:min(len(s), maxText)], "?")
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s))
}

// ended returns the error of a call whose context is over. It matches
// context.Canceled or context.DeadlineExceeded.
func ended(what string, err error) error { return fmt.Errorf("%s: %w", what, err) }

func noAgent(cause error, why string) *Error {
	return &Error{Code: pb.CodeAgent, Message: "the agent cannot be reached", Why: why, Next: "start it:  nsagent agent start", cause: cause}
}

func untrusted(cause error) *Error {
	return &Error{Code: pb.CodeAgent, Message: "the socket is not to be trusted", Why: cause.Error(), cause: cause}
}
