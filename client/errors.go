package client

import (
	"context"
	"errors"
	"fmt"

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

// Sentinels, one a code, to compare with errors.Is. There is one for every code
// that a program may want to act on; other errors are *Error too.
var (
	// ErrLocked: the vault is locked; a person has to unlock it.
	ErrLocked error = &Error{Code: pb.CodeLocked, Message: "client: locked"}
	// ErrPassphrase: the passphrase does not open the vault.
	ErrPassphrase error = &Error{Code: pb.CodePassphrase, Message: "client: wrong passphrase"}
	// ErrKeyring: the OS keyring did not give the vault's share.
	ErrKeyring error = &Error{Code: pb.CodeKeyring, Message: "client: keyring unavailable"}
	// ErrNoProfile: there is no such profile.
	ErrNoProfile error = &Error{Code: pb.CodeNoProfile, Message: "client: no such profile"}
	// ErrNoVault: there is no vault yet.
	ErrNoVault error = &Error{Code: pb.CodeNoVault, Message: "client: no vault"}
	// ErrDenied: policy does not allow it.
	ErrDenied error = &Error{Code: pb.CodeDenied, Message: "client: denied"}
	// ErrReadOnly: the profile is limited to reading.
	ErrReadOnly error = &Error{Code: pb.CodeReadOnly, Message: "client: profile is read-only"}
	// ErrHost: the URL's host is not one of the profile's account.
	ErrHost error = &Error{Code: pb.CodeHost, Message: "client: foreign host"}
	// ErrURL: the URL cannot be signed as it stands.
	ErrURL error = &Error{Code: pb.CodeURL, Message: "client: malformed URL"}
	// ErrRequest: the request is malformed.
	ErrRequest error = &Error{Code: pb.CodeRequest, Message: "client: malformed request"}
	// ErrExpired: the credential has expired or was revoked.
	ErrExpired error = &Error{Code: pb.CodeExpired, Message: "client: expired"}
	// ErrAudit: the agent cannot write its audit log, so it signs nothing.
	ErrAudit error = &Error{Code: pb.CodeAudit, Message: "client: audit log not writable"}
	// ErrLimited: too much at once; try again later.
	ErrLimited error = &Error{Code: pb.CodeLimited, Message: "client: limited"}
	// ErrAgent: the agent cannot be reached.
	ErrAgent error = &Error{Code: pb.CodeAgent, Message: "client: no agent"}
	// ErrVersion: the agent is older than this client and lacks the call.
	ErrVersion error = &Error{Code: pb.CodeVersion, Message: "client: agent too old"}
)

// fromMessage returns a refusal that came inside a stream.
func fromMessage(m *pb.Error) *Error {
	return &Error{Code: pb.Code(m.GetCode()), Message: m.GetMessage(), Why: m.GetWhy(), Next: m.GetNext()}
}

// wrap turns what gRPC returned into an *Error. dial is why the last attempt to
// connect failed, or nil.
func wrap(err, dial error) error {
	if err == nil {
		return nil
	}
	if e := (*Error)(nil); errors.As(err, &e) {
		return err
	}
	st, ok := status.FromError(err)
	if !ok {
		return err
	}
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok && info.GetDomain() == pb.ErrorDomain {
			return &Error{Code: pb.Code(info.GetReason()), Message: st.Message(), Why: info.GetMetadata()["why"], Next: info.GetMetadata()["next"], cause: err}
		}
	}
	switch st.Code() {
	case codes.Unavailable:
		if e := (*Error)(nil); errors.As(dial, &e) {
			return e
		}
		return noAgent(errors.Join(dial, err), "the connection broke")
	case codes.Canceled:
		return fmt.Errorf("asking the agent: %w", errors.Join(context.Canceled, err))
	case codes.DeadlineExceeded:
		return fmt.Errorf("asking the agent: %w", errors.Join(context.DeadlineExceeded, err))
	case codes.Unimplemented:
		return &Error{Code: pb.CodeVersion, Message: "the agent does not know this call", Why: "it is older than this client", Next: "start it again:  nsagent agent stop && nsagent agent start", cause: err}
	case codes.ResourceExhausted:
		return &Error{Code: pb.CodeLimited, Message: "the agent refused the message", Why: "it is too large, or too much is in flight", cause: err}
	default:
		return &Error{Code: pb.CodeInternal, Message: "the agent answered with an error", Why: st.Message(), cause: err}
	}
}

func noAgent(cause error, why string) *Error {
	return &Error{Code: pb.CodeAgent, Message: "the agent cannot be reached", Why: why, Next: "start it:  nsagent agent start", cause: cause}
}
