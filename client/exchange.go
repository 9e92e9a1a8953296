package client

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// assertionType is the client_assertion_type of a JWT.
//
// Source: RFC 7523 section 2.2.
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// AssertionTransport is an http.RoundTripper for requests to the token endpoint of
// NetSuite (OAuth 2.0, M2M). It puts a client assertion into each, made for that
// request, so that an OAuth library gets access tokens, and renews them, without a
// secret. With golang.org/x/oauth2 it makes a TokenSource out of a
// clientcredentials.Config that has neither ClientID nor ClientSecret:
//
//	ctx = context.WithValue(ctx, oauth2.HTTPClient, &http.Client{Transport: &client.AssertionTransport{Client: c}})
//	config := clientcredentials.Config{TokenURL: endpoint, AuthStyle: oauth2.AuthStyleInParams}
//	source := config.TokenSource(ctx)
//
// An assertion goes to the token endpoint of the profile's account and nowhere
// else: for any other URL RoundTrip fails with ErrHost, and nothing is sent.
type AssertionTransport struct {
	// Client makes the assertions; required.
	Client *Client
	// Profile to sign with; empty means the client's own.
	Profile string
	// Base sends; nil means http.DefaultTransport. It must not send a request twice.
	Base http.RoundTripper
}

// RoundTrip sends a token request for the grant client_credentials in place of
// req, with the scopes that the form of req asks for; none means all of the
// profile's. req is not changed; what else is in its form, and an Authorization
// header, are left out.
//
// The error matches ErrRequest where req is no POST of a form, ErrHost, or those of
// Client.Assertion, or is that of Base.
func (t *AssertionTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	out, err := t.prepare(req)
	if err != nil {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, err
	}
	base := t.Base
	if base == nil {
		base = http.DefaultTransport
	}
	resp, err := base.RoundTrip(out)
	if resp != nil {
		resp.Request = req // not the copy, which bears the assertion
	}
	return resp, err
}

// prepare returns the request to send.
func (t *AssertionTransport) prepare(req *http.Request) (*http.Request, error) {
	if t.Client == nil {
		return nil, &Error{Code: pb.CodeUsage, Message: "the AssertionTransport has no Client"}
	}
	target, err := wireURL(req)
	if err != nil {
		return nil, err
	}
	if req.Method != http.MethodPost || !isForm(headerOf(req.Header, "Content-Type")) {
		return nil, &Error{Code: pb.CodeRequest, Message: "this is no token request", Why: "it is not a form that is sent by POST"}
	}
	out := req.Clone(req.Context())
	text, err := takeForm(out)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(text))
	if err != nil {
		return nil, &Error{Code: pb.CodeRequest, Message: "this is no token request", Why: "its form is not percent-encoded properly", cause: err}
	}
	assertion, err := t.assertion(req.Context(), target, strings.Fields(form.Get("scope")))
	if err != nil {
		return nil, err
	}
	body := []byte(url.Values{
		"grant_type": {"client_credentials"}, "client_assertion_type": {assertionType}, "client_assertion": {assertion},
	}.Encode())
	dropHeader(out.Header, "Authorization")
	dropHeader(out.Header, "Content-Length")
	out.Body, out.GetBody = io.NopCloser(bytes.NewReader(body)), nil // an assertion is sent once
	out.ContentLength, out.TransferEncoding = int64(len(body)), nil
	return out, nil
}

// assertion returns an assertion if target is where it may go.
func (t *AssertionTransport) assertion(ctx context.Context, target string, scopes []string) (string, error) {
	a, err := t.Client.Assertion(ctx, AssertionRequest{Profile: t.Profile, Scopes: scopes})
	if err != nil {
		return "", err
	}
	if a.GetTokenEndpoint() != target {
		return "", &Error{
			Code: pb.CodeHost, Message: fmt.Sprintf("profile %q makes no assertions for %.200q", a.GetProfile(), target),
			Why: "the token endpoint of its account is " + oneLine(a.GetTokenEndpoint()),
		}
	}
	return a.GetAssertion(), nil
}
