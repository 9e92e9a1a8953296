package client_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nsagent/nsagent/client"
)

// hangUp closes the connection of a request without an answer, as a server does
// that gave the connection up while the request was on its way.
func hangUp(t *testing.T, w http.ResponseWriter) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		t.Error(err)
		return
	}
	_ = conn.Close()
}

// TestResendIsSignedAnew lets a server close kept connections after it has read a
// request. http.Transport sends what is safe to repeat once more, by itself, and
// nothing else; each send has a signature of its own, which NetSuite accepts.
func TestResendIsSignedAnew(t *testing.T) {
	t.Parallel()
	const url = restlets + "/app/site/hosting/restlet.nl?script=7&deploy=1&again=1&again=2"
	for _, test := range []struct {
		name, method, body string
		header             string
		resent             bool
	}{
		{"GET", http.MethodGet, "", "", true},
		{"DELETE", http.MethodDelete, "", "", false},
		{"POST", http.MethodPost, `{"a":1}`, "", false},
		{"PUT", http.MethodPut, `{"a":1}`, "", false},
		{"POST with a key", http.MethodPost, `{"a":1}`, "Idempotency-Key", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, false, func(n int, w http.ResponseWriter, _ *http.Request) bool {
				if n != 2 {
					return false
				}
				hangUp(t, w)
				return true
			})
			c := signing(t, "acme-sb1", s.transport)
			if status, body, err := fetch(c, request(t, t.Context(), http.MethodGet, url, nil)); err != nil || status != 200 {
				t.Fatalf("the first request: got %d %s, %v", status, body, err)
			}
			var body io.Reader
			if test.body != "" {
				body = strings.NewReader(test.body)
			}
			req := request(t, t.Context(), test.method, url, body)
			if test.body != "" {
				req.Header.Set("Content-Type", "application/json")
			}
			if test.header != "" {
				req.Header.Set(test.header, "k1")
			}
			status, answer, err := fetch(c, req)
			hops := s.received()
			distinct(t, hops)
			if !test.resent {
				if err == nil || len(hops) != 2 {
					t.Errorf("got %d, %v after %d requests, want an error after 2: it must not be repeated", status, err, len(hops))
				}
				return
			}
			if err != nil || status != 200 || len(hops) != 3 {
				t.Fatalf("got %d %s, %v after %d requests, want 200 after 3", status, answer, err, len(hops))
			}
			if hops[2].body != test.body || hops[2].method != test.method || hops[2].target != hops[1].target {
				t.Errorf("sent %+v, and then %+v", hops[1], hops[2])
			}
		})
	}
}

// TestIdleConnectionsClosed sends many requests to a server that closes each
// connection at some time after an answer, mostly while the next request is on its
// way. Whatever http.Transport makes of it, no nonce arrives twice and every
// request is answered.
func TestIdleConnectionsClosed(t *testing.T) {
	t.Parallel()
	var n atomic.Int64
	s := newSite(t, false, nil, func(server *http.Server) {
		server.ConnState = func(c net.Conn, state http.ConnState) {
			if state == http.StateIdle {
				time.AfterFunc(time.Duration(n.Add(1)%8)*50*time.Microsecond, func() { _ = c.Close() })
			}
		}
	})
	c := signing(t, "acme-sb1", s.transport)
	for i := range 300 {
		status, body, err := fetch(c, request(t, t.Context(), http.MethodGet, customer+"?idle="+strconv.Itoa(i), nil))
		if err != nil || status == http.StatusUnauthorized {
			t.Fatalf("request %d: got %d %s, %v", i, status, body, err)
		}
	}
	distinct(t, s.received())
}

// http2Refuser is a TLS server that speaks just enough HTTP/2 to refuse a request:
// it says that it is going away and has processed nothing.
func http2Refuser(conn net.Conn) error {
	preface := make([]byte, len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
	if _, err := io.ReadFull(conn, preface); err != nil {
		return err
	}
	if _, err := conn.Write([]byte{0, 0, 0, 0x4, 0, 0, 0, 0, 0}); err != nil { // SETTINGS
		return err
	}
	for {
		head := make([]byte, 9)
		if _, err := io.ReadFull(conn, head); err != nil {
			return err
		}
		if _, err := io.CopyN(io.Discard, conn, int64(head[0])<<16|int64(head[1])<<8|int64(head[2])); err != nil {
			return err
		}
		if head[3] == 0x1 { // HEADERS: GOAWAY, last stream 0, no error
			if _, err := conn.Write([]byte{0, 0, 8, 0x7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}); err != nil {
				return err
			}
		}
	}
}

// refuseFirst sends the first connection of the site's transport to an
// http2Refuser.
func refuseFirst(t *testing.T, s *site) {
	t.Helper()
	config := s.server.TLS.Clone()
	config.NextProtos = []string{"h2"}
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_ = http2Refuser(conn)
				_ = conn.Close()
			}()
		}
	}()
	var once atomic.Bool
	dial := s.transport.DialContext
	s.transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if once.CompareAndSwap(false, true) {
			return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
		}
		return dial(ctx, network, addr)
	}
}

// TestResendHTTP2 has an HTTP/2 server refuse a request on its first connection.
// http.Transport sends it again on another, a POST too since nothing was done with
// it, and with a signature of its own.
func TestResendHTTP2(t *testing.T) {
	t.Parallel()
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, true, nil)
			refuseFirst(t, s)
			c := signing(t, "acme-sb1", s.transport)
			var body io.Reader
			if method == http.MethodPost {
				body = strings.NewReader(`{"companyName":"Ä & Co"}`)
			}
			sent := &sentHeaders{}
			req := request(t, httptrace.WithClientTrace(t.Context(), sent.trace()), method, suitetalk+"/services/rest/record/v1/customer", body)
			req.Header.Set("Content-Type", "application/json")
			status, answer, err := fetch(c, req)
			if err != nil || status >= 300 {
				t.Fatalf("got %d %s, %v", status, answer, err)
			}
			all := sent.values()
			if len(all) != 2 || all[0] == all[1] || nonceOf.FindString(all[0]) == nonceOf.FindString(all[1]) {
				t.Errorf("sent %q, want two signatures that differ", all)
			}
			if hops := s.received(); len(hops) != 1 || hops[0].proto != "HTTP/2.0" || hops[0].authorization[0] != all[1] {
				t.Errorf("received %+v, want the second send over HTTP/2", hops)
			}
		})
	}
}

// sentHeaders keeps each Authorization header that http.Transport writes.
type sentHeaders struct {
	mu  sync.Mutex // guards all
	all []string
}

func (s *sentHeaders) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{WroteHeaderField: func(key string, values []string) {
		if strings.EqualFold(key, "Authorization") {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.all = append(s.all, values...)
		}
	}}
}

func (s *sentHeaders) values() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string{}, s.all...)
}

// TestResendRefused locks the agent between two sends: the second is not made with
// the old signature, and the error says why.
func TestResendRefused(t *testing.T) {
	t.Parallel()
	d := startDaemon(t)
	admin := d.dialAdmin(t)
	s := newSite(t, false, func(n int, w http.ResponseWriter, r *http.Request) bool {
		if n == 2 {
			if err := admin.Lock(r.Context()); err != nil {
				t.Error(err)
			}
			hangUp(t, w)
			return true
		}
		return false
	})
	c := &http.Client{Transport: &client.Transport{Client: d.dial(t), Base: s.transport}}
	if status, _, err := fetch(c, request(t, t.Context(), http.MethodGet, customer, nil)); err != nil || status != 200 {
		t.Fatalf("got %d, %v", status, err)
	}
	if status, _, err := fetch(c, request(t, t.Context(), http.MethodGet, customer, nil)); !errors.Is(err, client.ErrLocked) {
		t.Errorf("got %d, %v, want ErrLocked", status, err)
	}
	for _, h := range s.received()[2:] {
		if len(h.authorization) != 0 {
			t.Errorf("sent again with %q", h.authorization)
		}
	}
}

var timestampOf = regexp.MustCompile(`oauth_timestamp="(\d+)"`)

// TestSignedAfterQueue holds a request back until the only connection is free. Its
// signature is made when it leaves, not when it began to wait.
func TestSignedAfterQueue(t *testing.T) {
	t.Parallel()
	const wait = 5 * time.Second
	busy := make(chan struct{})
	var arrived atomic.Int64
	s := newSite(t, false, func(n int, _ http.ResponseWriter, _ *http.Request) bool {
		if n == 1 {
			close(busy)
			time.Sleep(wait)
		}
		arrived.Store(time.Now().Unix())
		return false
	})
	s.transport.MaxConnsPerHost = 1
	c := signing(t, "acme-sb1", s.transport)
	var wg sync.WaitGroup
	get := func() {
		if status, body, err := fetch(c, request(t, t.Context(), http.MethodGet, customer, nil)); err != nil || status != 200 {
			t.Errorf("got %d %s, %v", status, body, err)
		}
	}
	wg.Go(get)
	<-busy
	wg.Go(get)
	wg.Wait()
	hops := s.received()
	distinct(t, hops)
	at, err := strconv.ParseInt(timestampOf.FindStringSubmatch(hops[1].authorization[0])[1], 10, 64)
	if err != nil || at < arrived.Load()-3 { // it may be two seconds old
		t.Errorf("it was signed at %d, and arrived at %d: that is when it began to wait", at, arrived.Load())
	}
}

// TestRetriesAbove sends the same request again and again, as a library does that
// repeats what failed. Each is signed anew.
func TestRetriesAbove(t *testing.T) {
	t.Parallel()
	for _, http2 := range []bool{false, true} {
		s := newSite(t, http2, func(n int, w http.ResponseWriter, _ *http.Request) bool {
			if n%2 == 1 {
				w.WriteHeader(http.StatusServiceUnavailable)
				return true
			}
			return false
		})
		c := signing(t, "acme-sb1", s.transport)
		req := request(t, t.Context(), http.MethodPost, restlets+"/app/site/hosting/restlet.nl?script=1&deploy=1", bytes.NewReader([]byte(`{}`)))
		req.Header.Set("Content-Type", "application/json")
		for try := range 6 {
			if try > 0 {
				var err error
				if req.Body, err = req.GetBody(); err != nil {
					t.Fatal(err)
				}
			}
			status, body, err := fetch(c, req)
			if want := []int{503, 200}[try%2]; err != nil || status != want {
				t.Fatalf("try %d: got %d %s, %v, want %d", try, status, body, err, want)
			}
		}
		distinct(t, s.received())
	}
}
