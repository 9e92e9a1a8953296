package client

import (
	"context"

	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// Login says which login to begin.
type Login struct {
	// Flow is "pkce" for auth authcode (OAuth 2.0), "3sa" for auth tba (the three-step
	// flow).
	Flow string
	// Profile is the profile to store in the end or, with nothing but its name and
	// perhaps scopes, one that is there and is logged in anew.
	Profile *pb.Profile
	// Secrets of a new profile are keyed by field: client_secret for pkce, which a public
	// client has not, consumer_secret for 3sa.
	Secrets map[string]Sealer
	// RedirectURI is where NetSuite sends the browser, as on the integration record; ""
	// means that of the profile. 3sa needs one.
	RedirectURI string
	// Role is the internal ID of the role that the token is for, for 3sa; "" for none.
	Role string
}

// BeginLogin begins a login in the browser: the answer has the URL to open there. It
// ends with FinishLogin, ten minutes later, or when the vault is locked.
//
// The error matches ErrExists, ErrCredential, ErrNetSuite, ErrNetwork, ErrLocked or
// ErrAgent, or is that of a Sealer.
func (a *Admin) BeginLogin(ctx context.Context, l Login) (*pb.BeginLoginResponse, error) {
	boxes, err := a.seal(ctx, pb.Admin_BeginLogin_FullMethodName, l.Profile.GetName(), l.Secrets)
	if err != nil {
		return nil, err
	}
	return a.rpc.BeginLogin(ctx, &pb.BeginLoginRequest{
		Flow: l.Flow, Profile: l.Profile, Secrets: boxes, RedirectUri: text(l.RedirectURI), Role: text(l.Role),
	})
}

// LoginAnswer is what the browser brought back: the parameters of the callback.
type LoginAnswer struct {
	// ID is that of BeginLogin, and Profile the name that was given there.
	ID      []byte
	Profile string
	// State has to be the one of BeginLogin.
	State string
	// Code seals code or oauth_verifier; nil where there is none.
	Code Sealer
	// Error stands in place of a code.
	Error string
	// Company, Role, Entity and RequestToken (oauth_token) may be empty.
	Company, Role, Entity, RequestToken string
}

// FinishLogin ends a login: the agent exchanges the code at NetSuite and stores the
// credential, which is durable when it returns. The public part of its profile comes back.
//
// The error matches ErrDeclined where whoever was asked said no, ErrNetSuite, ErrNetwork,
// ErrDenied for a foreign answer, ErrLocked or ErrAgent. After ErrAgent the credential may
// be stored or not.
func (a *Admin) FinishLogin(ctx context.Context, l LoginAnswer) (*pb.Profile, error) {
	q := &pb.FinishLoginRequest{
		Id: l.ID, State: text(l.State), Error: text(l.Error), Company: text(l.Company), Role: text(l.Role), Entity: text(l.Entity), RequestToken: text(l.RequestToken),
	}
	if l.Code != nil {
		boxes, err := a.seal(ctx, pb.Admin_FinishLogin_FullMethodName, l.Profile, map[string]Sealer{"code": l.Code})
		if err != nil {
			return nil, err
		}
		q.Code = boxes[0]
	}
	out, err := a.rpc.FinishLogin(ctx, q)
	return out.GetProfile(), err
}
