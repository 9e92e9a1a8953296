package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
)

// maxForm is the largest form body that is signed, in bytes.
const maxForm = 128 << 10

// Transport is an http.RoundTripper that signs each request through the agent.
//
// A signature is good for one send. Each RoundTrip signs anew, so that a retry by
// the http.Client or by a library above gets a nonce of its own; and where Base
// would send a request again by itself, on a kept connection that the server had
// just closed, Transport does it instead, with a new signature.
type Transport struct {
	// Client signs; required.
	Client *Client
	// Profile to sign with; empty means the client's own.
	Profile string
	// Base sends; nil means http.DefaultTransport.
	Base http.RoundTripper
}

// RoundTrip signs a copy of req and sends it. An Authorization header that req
// carries is replaced.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	base := t.Base
	if base == nil {
		base = http.DefaultTransport
	}
	body := onceBody{ReadCloser: http.NoBody}
	if req.Body != nil {
		body.ReadCloser = req.Body
	}
	for try := 0; ; try++ {
		signed, err := t.sign(req, &body)
		if err != nil {
			_ = body.Close()
			return nil, err
		}
		resp, err := base.RoundTrip(signed)
		if err == nil || try > 0 || !repeatable(req) || req.Context().Err() != nil || !body.renew(req) {
			return resp, err
		}
	}
}

// sign returns a copy of req with its header. Its body cannot be had twice, which
// keeps Base from sending the header twice.
func (t *Transport) sign(req *http.Request, body *onceBody) (*http.Request, error) {
	if req.Host != "" && req.Host != req.URL.Host {
		return nil, fmt.Errorf("signing %s: %w: Host is %q", req.URL.Redacted(), ErrRequest, req.Host)
	}
	r := Request{Profile: t.Profile, Method: req.Method, URL: req.URL.String(), ContentType: req.Header.Get("Content-Type")}
	if isForm(r.ContentType) {
		form, err := body.buffer()
		if err != nil {
			return nil, fmt.Errorf("reading the form body: %w", err)
		}
		r.Body = form
	}
	answer, err := t.Client.Sign(req.Context(), r)
	if err != nil {
		return nil, err
	}
	signed := req.Clone(req.Context())
	signed.Header.Set("Authorization", answer.GetAuthorization())
	signed.GetBody = nil
	if body.ReadCloser != http.NoBody || repeatable(req) {
		signed.Body = body
	}
	return signed, nil
}

func isForm(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && strings.EqualFold(media, "application/x-www-form-urlencoded")
}

// repeatable reports whether sending req twice does no harm.
func repeatable(req *http.Request) bool {
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions:
		return true
	default:
		return false
	}
}

// onceBody is a request body that net/http cannot rewind.
type onceBody struct{ io.ReadCloser }

// buffer reads the body and puts it back.
func (b *onceBody) buffer() ([]byte, error) {
	form, err := io.ReadAll(io.LimitReader(b.ReadCloser, maxForm+1))
	if err != nil {
		return nil, err
	}
	if len(form) > maxForm {
		return nil, fmt.Errorf("%w: a signed form body has at most %d bytes", ErrRequest, maxForm)
	}
	if err := b.Close(); err != nil && !errors.Is(err, context.Canceled) {
		return nil, err
	}
	b.ReadCloser = io.NopCloser(bytes.NewReader(form))
	return form, nil
}

// renew gets the body anew for another try, or reports that it cannot.
func (b *onceBody) renew(req *http.Request) bool {
	if req.Body == nil || req.Body == http.NoBody {
		b.ReadCloser = http.NoBody
		return true
	}
	if req.GetBody == nil {
		return false
	}
	again, err := req.GetBody()
	if err != nil {
		return false
	}
	b.ReadCloser = again
	return true
}
