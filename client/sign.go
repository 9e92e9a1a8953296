package client

import (
	"context"
	"fmt"
	"strings"

	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

const (
	// maxForm is the largest form body that is signed, in bytes.
	maxForm = 128 << 10
	// maxRest is the most bytes of all else that Sign sends. An agent takes 256 KiB
	// in one message and ends a stream on which a longer one comes.
	maxRest = 64 << 10
)

// Request is what Sign needs of an HTTP request.
type Request struct {
	// Profile to sign with; empty means that of WithProfile.
	Profile string
	// Method; empty means GET.
	Method string
	// URL, absolute and percent-encoded as it goes on the wire.
	URL string
	// ContentType and Body matter for form bodies only, which have at most 128 KiB;
	// JSON is not signed, and not sent to the agent.
	ContentType string
	Body        []byte
}

// message returns r as it goes to the agent, or ErrRequest where no agent would
// take it. It shares r.Body.
func (c *Client) message(r Request) (*pb.SignRequest, error) {
	m := &pb.SignRequest{Profile: text(c.or(r.Profile)), Method: text(r.Method), Url: text(r.URL), ContentType: text(r.ContentType)}
	if isForm(r.ContentType) {
		m.Body = r.Body
	}
	if len(m.GetBody()) > maxForm {
		return nil, formTooLong()
	}
	if len(m.GetProfile())+len(m.GetMethod())+len(m.GetUrl())+len(m.GetContentType()) > maxRest {
		return nil, &Error{Code: pb.CodeRequest, Message: "the request is too long to be signed", Why: fmt.Sprintf("URL and all else have at most %d bytes", maxRest)}
	}
	return m, nil
}

func formTooLong() *Error {
	return &Error{Code: pb.CodeRequest, Message: "the form is too long to be signed", Why: fmt.Sprintf("a form body has at most %d bytes", maxForm)}
}

// text returns s as a protobuf string may be. What is not UTF-8 is no profile and
// no URL either, and for the agent to refuse; protobuf would fail the call, and
// with it a whole stream.
func text(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// isForm reports whether a Content-Type is that of a form. It decides as the agent
// does: if they differed, a form would be sent unsigned.
func isForm(contentType string) bool {
	media, _, _ := strings.Cut(contentType, ";")
	return strings.EqualFold(strings.Trim(media, " \t"), "application/x-www-form-urlencoded")
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
// Where many goroutines call it at once, their requests go over a stream that the
// client keeps meanwhile, at a multiple of the throughput. That changes nothing
// else: a call ends with its own context and has its own answer, and one whose
// answer was lost with the stream is made again.
//
// The error matches ErrLocked, ErrNoProfile, ErrURL, ErrHost, ErrDenied,
// ErrReadOnly, ErrRequest, ErrAudit, ErrAgent or ErrClosed, or the error of ctx.
func (c *Client) Sign(ctx context.Context, r Request) (*pb.SignResponse, error) {
	m, err := c.message(r)
	if err != nil {
		return nil, err
	}
	return c.bulk.sign(ctx, m, func() (*pb.SignResponse, error) {
		out, err := c.rpc.Sign(ctx, m)
		if err != nil {
			return nil, err
		}
		return signed(out)
	})
}

// signed returns out if there is a header in it.
func signed(out *pb.SignResponse) (*pb.SignResponse, error) {
	if out.GetAuthorization() == "" {
		return nil, &Error{Code: pb.CodeInternal, Message: "the agent answered without a signature"}
	}
	return out, nil
}

// Passport returns the TokenPassport of one SOAP request, also as XML for the
// endpoint version, such as 2025_2. An empty profile means that of WithProfile, an
// empty version the latest.
func (c *Client) Passport(ctx context.Context, profile, version string) (*pb.PassportResponse, error) {
	return c.rpc.Passport(ctx, &pb.PassportRequest{Profile: text(c.or(profile)), Version: text(version)})
}

// ConnectPassword returns user and password of one SuiteAnalytics Connect
// session, to be opened within five minutes.
func (c *Client) ConnectPassword(ctx context.Context, profile string) (*pb.ConnectPasswordResponse, error) {
	return c.rpc.ConnectPassword(ctx, &pb.ConnectPasswordRequest{Profile: text(c.or(profile))})
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
	q := &pb.AssertionRequest{Profile: text(c.or(r.Profile)), Audience: text(r.Audience)}
	for _, scope := range r.Scopes {
		q.Scopes = append(q.Scopes, text(scope))
	}
	return c.rpc.Assertion(ctx, q)
}

// AccessTokenRequest is what AccessToken needs.
type AccessTokenRequest struct {
	// Profile to get it for, with auth m2m; empty means that of WithProfile.
	Profile string
	// Scopes are some of the profile's; none means all of them.
	Scopes []string
}

// AccessToken returns an OAuth 2.0 access token, good for a minute at least or half of
// its life. The agent keeps it until shortly before its end, and makes one exchange
// with NetSuite for however many callers.
//
// The error matches ErrNetSuite where NetSuite refused, and ErrNetwork where it was not
// reached.
func (c *Client) AccessToken(ctx context.Context, r AccessTokenRequest) (*pb.AccessTokenResponse, error) {
	q := &pb.AccessTokenRequest{Profile: text(c.or(r.Profile))}
	for _, scope := range r.Scopes {
		q.Scopes = append(q.Scopes, text(scope))
	}
	return c.rpc.AccessToken(ctx, q)
}

// Profiles lists the profiles that the caller may use.
func (c *Client) Profiles(ctx context.Context) (*pb.ListProfilesResponse, error) {
	return c.rpc.ListProfiles(ctx, &pb.ListProfilesRequest{})
}

// Status tells the state of the agent; it works while locked.
func (c *Client) Status(ctx context.Context) (*pb.StatusResponse, error) {
	return c.rpc.Status(ctx, &pb.StatusRequest{})
}
