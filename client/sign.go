package client

import (
	"context"

	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// Request is what Sign needs of an HTTP request.
type Request struct {
	// Profile to sign with; empty means that of WithProfile.
	Profile string
	// Method; empty means GET.
	Method string
	// URL, absolute and percent-encoded as it goes on the wire.
	URL string
	// ContentType and Body matter for form bodies only; JSON is not signed.
	ContentType string
	Body        []byte
}

func (c *Client) message(r Request) *pb.SignRequest {
	return &pb.SignRequest{Profile: c.or(r.Profile), Method: r.Method, Url: r.URL, ContentType: r.ContentType, Body: r.Body}
}

// or returns name, or the client's own profile where it is empty.
func (c *Client) or(name string) string {
	if name == "" {
		return c.profile
	}
	return name
}

// Sign returns the OAuth 1.0 header of one request, with the URL as it was
// signed. It is good for one send within five minutes.
//
// The error matches ErrLocked, ErrNoProfile, ErrURL, ErrHost, ErrDenied,
// ErrReadOnly, ErrAudit or ErrAgent.
func (c *Client) Sign(ctx context.Context, r Request) (*pb.SignResponse, error) {
	out, err := c.rpc.Sign(ctx, c.message(r))
	return out, c.conn.wrap(err)
}

// Passport returns the TokenPassport of one SOAP request, also as XML for the
// endpoint version, such as 2025_2. An empty profile means that of WithProfile, an
// empty version the latest.
func (c *Client) Passport(ctx context.Context, profile, version string) (*pb.PassportResponse, error) {
	out, err := c.rpc.Passport(ctx, &pb.PassportRequest{Profile: c.or(profile), Version: version})
	return out, c.conn.wrap(err)
}

// ConnectPassword returns user and password of one SuiteAnalytics Connect
// session, to be opened within five minutes.
func (c *Client) ConnectPassword(ctx context.Context, profile string) (*pb.ConnectPasswordResponse, error) {
	out, err := c.rpc.ConnectPassword(ctx, &pb.ConnectPasswordRequest{Profile: c.or(profile)})
	return out, c.conn.wrap(err)
}

// AssertionRequest is what Assertion needs.
type AssertionRequest struct {
	// Profile to sign with; empty means that of WithProfile.
	Profile string
	// Scopes are some of the profile's; none means all of them.
	Scopes []string
	// Audience is the token endpoint; empty means the account's own.
	Audience string
}

// Assertion returns the JWT client assertion of one token request (RFC 7523) and
// the endpoint to post it to.
func (c *Client) Assertion(ctx context.Context, r AssertionRequest) (*pb.AssertionResponse, error) {
	out, err := c.rpc.Assertion(ctx, &pb.AssertionRequest{Profile: c.or(r.Profile), Scopes: r.Scopes, Audience: r.Audience})
	return out, c.conn.wrap(err)
}

// Profiles lists the profiles that the caller may use.
func (c *Client) Profiles(ctx context.Context) (*pb.ListProfilesResponse, error) {
	out, err := c.rpc.ListProfiles(ctx, &pb.ListProfilesRequest{})
	return out, c.conn.wrap(err)
}

// Status tells the state of the agent; it works while locked.
func (c *Client) Status(ctx context.Context) (*pb.StatusResponse, error) {
	out, err := c.rpc.Status(ctx, &pb.StatusRequest{})
	return out, c.conn.wrap(err)
}
