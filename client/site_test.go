package client_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"sync"
	"testing"

	"github.com/nsagent/nsagent/client"
)

// site is a server of the test's own under NetSuite's names. It keeps what it
// received and lets the shared NetSuite judge and answer it.
type site struct {
	server    *httptest.Server
	transport *http.Transport // reaches it by every host name

	mu   sync.Mutex // guards hops
	hops []hop
}

// hop is one request as it arrived.
type hop struct {
	proto, method, target, host string
	authorization               []string
	length                      int64
	body                        string
}

var nonceOf = regexp.MustCompile(`oauth_nonce="([^"]+)"`)

// nonce returns the nonce of the only Authorization header.
func (h hop) nonce() string {
	if len(h.authorization) != 1 {
		return ""
	}
	m := nonceOf.FindStringSubmatch(h.authorization[0])
	if m == nil {
		return ""
	}
	return m[1]
}

// newSite starts a site. before is asked first, with the number of the request
// from 1, and may answer it itself: it then returns true. It gets the body unread
// and may be nil. tune changes the server before it starts.
func newSite(t *testing.T, http2 bool, before func(n int, w http.ResponseWriter, r *http.Request) bool, tune ...func(*http.Server)) *site {
	t.Helper()
	w := shared(t)
	s := &site{}
	s.server = httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		h := hop{r.Proto, r.Method, r.RequestURI, r.Host, r.Header.Values("Authorization"), r.ContentLength, ""}
		s.mu.Lock()
		s.hops = append(s.hops, h)
		n := len(s.hops)
		s.mu.Unlock()
		if before != nil && before(n, rw, r) {
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Logf("reading a body: %v", err)
			return
		}
		s.mu.Lock()
		s.hops[n-1].body = string(body)
		s.mu.Unlock()
		r.Body = io.NopCloser(bytes.NewReader(body))
		w.netsuite.ServeHTTP(rw, r)
	}))
	s.server.EnableHTTP2 = http2
	for _, f := range tune {
		f(s.server.Config)
	}
	s.server.StartTLS()
	roots := x509.NewCertPool()
	roots.AddCert(s.server.Certificate())
	s.transport = w.transport(s.server.Listener.Addr().String(), nil)
	s.transport.TLSClientConfig.RootCAs = roots
	s.transport.TLSClientConfig.ServerName = "example.com" // of httptest's certificate
	s.transport.ForceAttemptHTTP2 = http2
	t.Cleanup(func() {
		s.transport.CloseIdleConnections()
		s.server.CloseClientConnections()
		s.server.Close()
	})
	return s
}

// received returns the requests so far.
func (s *site) received() []hop {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]hop{}, s.hops...)
}

// signing returns an http.Client that signs for profile with a client of the
// shared agent and sends with base.
func signing(t testing.TB, profile string, base http.RoundTripper) *http.Client {
	t.Helper()
	return &http.Client{Transport: &client.Transport{Client: shared(t).agent.dial(t), Profile: profile, Base: base}}
}

// fetch sends a request and reads all of the answer.
func fetch(c *http.Client, req *http.Request) (status int, body string, err error) {
	resp, err := c.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// request makes a request that has to be made.
func request(t testing.TB, ctx context.Context, method, url string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// distinct fails unless each request bears a signature, and all of them differ.
func distinct(t *testing.T, hops []hop) {
	t.Helper()
	seen := map[string]bool{}
	for _, h := range hops {
		switch n := h.nonce(); {
		case n == "":
			t.Errorf("%s %s has no signature: %q", h.method, h.target, h.authorization)
		case seen[n]:
			t.Errorf("%s %s has a nonce that was there before", h.method, h.target)
		default:
			seen[n] = true
		}
	}
}

// dialer counts the connections that transport opens.
func dialer(transport *http.Transport) *counter {
	c := &counter{}
	dial := transport.DialContext
	transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c.add()
		return dial(ctx, network, addr)
	}
	return c
}

type counter struct {
	mu sync.Mutex // guards n
	n  int
}

func (c *counter) add() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
}

func (c *counter) value() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}
