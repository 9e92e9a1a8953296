package client

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// wireURL returns the URL of req as net/http will send it, which is the one to
// sign: without fragment, the path escaped as Request.write does it, the query as
// it stands.
//
// The error matches ErrURL or ErrRequest.
func wireURL(req *http.Request) (string, error) {
	u := req.URL
	if u == nil {
		return "", unsendable("the request has no URL")
	}
	if u.User != nil {
		return "", unsendable("it holds a user name, which is never sent with a signature")
	}
	host := u.Host
	if req.Host != "" {
		host = req.Host
	}
	if plainHost(host, u.Scheme) != plainHost(u.Host, u.Scheme) {
		return "", &Error{
			Code: pb.CodeRequest, Message: "the request cannot be signed",
			Why:  fmt.Sprintf("it says Host %.100q and goes to %.100q", host, u.Host),
			Next: "to connect elsewhere, set DialContext of the http.Transport",
		}
	}
	origin, target := u.Scheme+"://"+host, u.RequestURI()
	switch {
	case strings.HasPrefix(target, "/"):
		return origin + target, nil
	case strings.HasPrefix(target, origin+"/"):
		return target, nil // URL.Opaque, sent in absolute form
	default:
		return "", unsendable("its path does not begin with a slash")
	}
}

func unsendable(why string) *Error {
	return &Error{Code: pb.CodeURL, Message: "the URL cannot be signed", Why: why}
}

// plainHost returns a host as a signature sees it: in lower case, without the
// scheme's own port.
func plainHost(host, scheme string) string {
	host = strings.TrimSuffix(strings.ToLower(host), ":")
	switch scheme {
	case "https":
		return strings.TrimSuffix(host, ":443")
	case "http":
		return strings.TrimSuffix(host, ":80")
	}
	return host
}

// headerOf returns the first value of a header, however its name is spelled:
// net/http sends names as they stand in the map.
func headerOf(h http.Header, name string) string {
	if v := h.Get(name); v != "" {
		return v
	}
	for k, v := range h {
		if strings.EqualFold(k, name) && len(v) > 0 && v[0] != "" {
			return v[0]
		}
	}
	return ""
}

// dropHeader removes a header in every spelling of its name.
func dropHeader(h http.Header, name string) {
	for k := range h {
		if strings.EqualFold(k, name) {
			delete(h, k)
		}
	}
}

// takeForm reads and closes the body of out, puts one in its place that can be had
// again, and returns its bytes.
//
// The error matches ErrRequest where the form is longer than maxForm, and wraps
// that of the body otherwise.
func takeForm(out *http.Request) ([]byte, error) {
	if out.Body == nil || out.Body == http.NoBody {
		return nil, nil
	}
	body := out.Body
	out.Body = http.NoBody
	form, err := io.ReadAll(io.LimitReader(body, maxForm+1))
	if err = errors.Join(err, body.Close()); err != nil {
		return nil, fmt.Errorf("reading the form body: %w", err)
	}
	if len(form) > maxForm {
		return nil, formTooLong()
	}
	if out.ContentLength <= 0 { // it was not known, now it is
		out.ContentLength = int64(len(form))
	}
	out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(form)), nil }
	if len(form) > 0 {
		out.Body, _ = out.GetBody()
	}
	return form, nil
}
