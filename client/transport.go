package client

import (
	"context"
	"net/http"
	"net/http/httptrace"
	"time"

	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// freshTime is how old a signature may be when a connection is there to send it.
// NetSuite takes five minutes, between its clock and ours.
const freshTime = 2 * time.Second

// Transport is an http.RoundTripper that signs each request through the agent.
//
// A signature is good for one send. Each RoundTrip signs anew, so that a retry by
// a library above gets a nonce of its own, and so does each hop of a redirect: one
// to a host that is not the profile's is refused with ErrHost, and nothing is sent
// there. Where Base is an *http.Transport, a request that it sends again by
// itself, because the server had just closed the kept connection, is signed anew
// as well, and so is one that waited for a connection. What is sent again, and
// what is not, remains the decision of http.Transport.
//
// Put what adds headers, logs or retries around a Transport, not below it: a Base
// of another kind must not send a request twice, since both would bear the same
// signature.
type Transport struct {
	// Client signs; required.
	Client *Client
	// Profile to sign with; empty means the client's own.
	Profile string
	// Base sends; nil means http.DefaultTransport.
	Base http.RoundTripper
}

// RoundTrip signs a copy of req and sends it; req is not changed. An Authorization
// header that req carries is replaced. Bodies are streamed, except those of forms
// (application/x-www-form-urlencoded), which are signed and have at most 128 KiB.
//
// The error matches ErrURL or ErrRequest where req cannot be signed, for example
// since its Host is not that of its URL, or those of Client.Sign, or is that of
// Base.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	s := &sending{ctx: req.Context(), client: t.Client}
	out, err := t.prepare(req, s)
	if err == nil {
		err = s.sign()
	}
	if err != nil {
		if out.Body != nil {
			_ = out.Body.Close()
		}
		return nil, err
	}
	base := t.base()
	if _, ok := base.(*http.Transport); ok {
		out = out.WithContext(httptrace.WithClientTrace(s.ctx, &httptrace.ClientTrace{GotConn: s.gotConn}))
	}
	resp, err := base.RoundTrip(out)
	if s.err != nil {
		if err == nil {
			_ = resp.Body.Close()
		}
		return nil, s.err
	}
	if resp != nil {
		resp.Request = req // not the copy, which bears the signature
	}
	return resp, err
}

// CloseIdleConnections closes the kept connections of Base, for
// http.Client.CloseIdleConnections.
func (t *Transport) CloseIdleConnections() {
	if c, ok := t.base().(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

func (t *Transport) base() http.RoundTripper {
	if t.Base == nil {
		return http.DefaultTransport
	}
	return t.Base
}

// prepare returns a copy of req to be signed and sent, also with an error, and
// fills in s.
func (t *Transport) prepare(req *http.Request, s *sending) (*http.Request, error) {
	// A shallow copy: the trailer stays the caller's, who fills it in while the
	// body is read.
	out := req.WithContext(req.Context())
	if t.Client == nil {
		return out, &Error{Code: pb.CodeUsage, Message: "the Transport has no Client"}
	}
	url, err := wireURL(req)
	if err != nil {
		return out, err
	}
	if out.Header = req.Header.Clone(); out.Header == nil {
		out.Header = make(http.Header)
	}
	dropHeader(out.Header, "Authorization")
	s.header = out.Header
	s.ask = Request{Profile: t.Profile, Method: req.Method, URL: url, ContentType: headerOf(req.Header, "Content-Type")}
	if isForm(s.ask.ContentType) {
		if s.ask.Body, err = takeForm(out); err != nil {
			return out, err
		}
	}
	return out, nil
}

// sending is one request on its way: signed once, and again for each further send.
type sending struct {
	ctx    context.Context
	client *Client
	ask    Request
	header http.Header // of the copy that Base sends
	at     time.Time   // of the last signature
	sends  int
	err    error // why a further send could not be signed
}

// sign gets a signature and puts it into the header.
func (s *sending) sign() error {
	out, err := s.client.Sign(s.ctx, s.ask)
	if err != nil {
		return err
	}
	if out.GetUrl() != s.ask.URL {
		return &Error{Code: pb.CodeInternal, Message: "the agent signed another URL than it was asked to"}
	}
	s.header.Set("Authorization", out.GetAuthorization())
	s.at = time.Now()
	return nil
}

// gotConn is called before each send, when http.Transport has a connection for it
// and has not written to it. No other goroutine looks at the header then: an
// earlier send has ended with all it started before there is another.
func (s *sending) gotConn(httptrace.GotConnInfo) {
	s.sends++
	if s.sends == 1 && time.Since(s.at) < freshTime {
		return
	}
	if s.err = s.sign(); s.err != nil {
		// Without a signature NetSuite does nothing; the old one it might accept.
		s.header.Del("Authorization")
	}
}
