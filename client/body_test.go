package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nsagent/nsagent/client"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

const form = "application/x-www-form-urlencoded"

// watched is a request body that counts how often it was closed and can fail.
type watched struct {
	io.Reader
	mu     sync.Mutex // guards closed
	closed int
	err    error // of Read, if not nil
}

func (b *watched) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	return b.Reader.Read(p)
}

func (b *watched) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed++
	return nil
}

func (b *watched) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed
}

// TestBodyIsClosed goes through all that can go wrong before and while a request
// is sent. A RoundTripper closes the body in every case, and sends nothing that is
// not signed.
func TestBodyIsClosed(t *testing.T) {
	t.Parallel()
	c := shared(t).agent.dial(t)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	broken := errors.New("the body broke")
	refused := errors.New("no route")
	for _, test := range []struct {
		name   string
		change func(*client.Transport, *http.Request) *http.Request
		want   error
	}{
		{"no client", func(tr *client.Transport, r *http.Request) *http.Request { tr.Client = nil; return r }, &client.Error{Code: pb.CodeUsage}},
		{"no URL", func(_ *client.Transport, r *http.Request) *http.Request { r.URL = nil; return r }, client.ErrURL},
		{"no host", func(_ *client.Transport, r *http.Request) *http.Request { r.Host, r.URL.Host = "", ""; return r }, client.ErrURL},
		{"a user name", func(_ *client.Transport, r *http.Request) *http.Request { r.URL.User = url.User("u"); return r }, client.ErrURL},
		{"a blank in the query", func(_ *client.Transport, r *http.Request) *http.Request { r.URL.RawQuery = "a b"; return r }, client.ErrURL},
		{"another Host", func(_ *client.Transport, r *http.Request) *http.Request { r.Host = "evil.example"; return r }, client.ErrRequest},
		{"a foreign host", func(_ *client.Transport, r *http.Request) *http.Request {
			r.Host, r.URL.Host = "", "evil.example"
			return r
		}, client.ErrHost},
		{"plain http", func(_ *client.Transport, r *http.Request) *http.Request { r.URL.Scheme = "http"; return r }, nil},
		{"no such profile", func(tr *client.Transport, r *http.Request) *http.Request { tr.Profile = "nope"; return r }, client.ErrNoProfile},
		{"a profile that cannot sign", func(tr *client.Transport, r *http.Request) *http.Request {
			tr.Profile = "acme-sb1-m2m"
			return r
		}, client.ErrRequest},
		{"cancelled", func(_ *client.Transport, r *http.Request) *http.Request { return r.WithContext(gone) }, context.Canceled},
		{"a form that breaks", func(_ *client.Transport, r *http.Request) *http.Request {
			r.Header.Set("Content-Type", form)
			r.Body.(*watched).err = broken
			return r
		}, broken},
		{"a form that is too long", func(_ *client.Transport, r *http.Request) *http.Request {
			r.Header.Set("Content-Type", form)
			r.Body.(*watched).Reader = strings.NewReader(strings.Repeat("a", 128<<10+1))
			return r
		}, client.ErrRequest},
		{"a form that is none", func(_ *client.Transport, r *http.Request) *http.Request {
			r.Header.Set("Content-Type", form)
			r.Body.(*watched).Reader = strings.NewReader("%")
			return r
		}, client.ErrRequest},
		{"no header", func(_ *client.Transport, r *http.Request) *http.Request { r.Header = nil; return r }, refused},
		{"the network", func(_ *client.Transport, r *http.Request) *http.Request { return r }, refused},
		{"a method that there is not", func(_ *client.Transport, r *http.Request) *http.Request { r.Method = "A B"; return r }, client.ErrRequest},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := &watched{Reader: strings.NewReader("{}")}
			req := request(t, t.Context(), http.MethodPost, customer, b)
			tr := &client.Transport{Client: c, Profile: "acme-sb1", Base: &http.Transport{
				DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, refused },
			}}
			resp, err := tr.RoundTrip(test.change(tr, req))
			if resp != nil || err == nil || test.want != nil && !errors.Is(err, test.want) {
				t.Errorf("got %v, %v, want %v", resp, err, test.want)
			}
			if test.want != refused && errors.Is(err, refused) {
				t.Error("it got as far as connecting")
			}
			eventually(t, inTime, func() string {
				if b.count() == 0 {
					return "the body is not closed"
				}
				return ""
			})
		})
	}
}

// TestBodiesAreStreamed writes the second half of a body after the server has read
// the first, and counts a GET without a body as one without a body.
func TestBodiesAreStreamed(t *testing.T) {
	t.Parallel()
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprint("http2 ", http2), func(t *testing.T) {
			t.Parallel()
			first := make(chan string)
			s := newSite(t, http2, func(_ int, w http.ResponseWriter, r *http.Request) bool {
				if r.Method == http.MethodGet {
					return false
				}
				half := make([]byte, 5)
				_, _ = io.ReadFull(r.Body, half)
				first <- string(half)
				rest, err := io.ReadAll(r.Body)
				fmt.Fprintf(w, "%s|%v|%s", rest, err, r.Trailer.Get("X-Sum"))
				return true
			})
			c := signing(t, "acme-sb1", s.transport)
			reader, writer := io.Pipe()
			req := request(t, t.Context(), http.MethodPut, suitetalk+"/services/rest/record/v1/customer/1", reader)
			req.Header.Set("Content-Type", "application/octet-stream")
			req.Trailer = http.Header{"X-Sum": nil}
			go func() {
				_, _ = io.WriteString(writer, "first")
				if got := <-first; got != "first" {
					t.Errorf("got %q", got)
				}
				_, _ = io.WriteString(writer, "second")
				req.Trailer.Set("X-Sum", "42") // as net/http allows, until the body ends
				_ = writer.Close()
			}()
			status, body, err := fetch(c, req)
			if err != nil || status != 200 || body != "second|<nil>|42" {
				t.Errorf("got %d %q, %v", status, body, err)
			}
			if status, body, err := fetch(c, request(t, t.Context(), http.MethodGet, customer, nil)); err != nil || status != 200 {
				t.Errorf("got %d %s, %v", status, body, err)
			}
			if h := s.received()[1]; h.length != 0 {
				t.Errorf("a GET arrived with a body of length %d", h.length)
			}
		})
	}
}

// TestExpectContinue asks before it sends a body, and is told to go on or not to.
func TestExpectContinue(t *testing.T) {
	t.Parallel()
	s := newSite(t, false, func(_ int, w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost {
			return false // reads the body, which says 100 Continue
		}
		w.WriteHeader(http.StatusExpectationFailed)
		return true
	})
	s.transport.ExpectContinueTimeout = time.Minute
	c := signing(t, "acme-sb1", s.transport)
	for method, want := range map[string]int{http.MethodPost: 200, http.MethodPut: 417} {
		b := &watched{Reader: strings.NewReader(`{"a":1}`)}
		req := request(t, t.Context(), method, restlets+"/app/site/hosting/restlet.nl?script=1&deploy=1", b)
		req.Header.Set("Expect", "100-continue")
		req.Header.Set("Content-Type", "application/json")
		begin := time.Now()
		status, body, err := fetch(c, req)
		if err != nil || status != want || time.Since(begin) > time.Minute/2 {
			t.Errorf("%s: got %d %s, %v after %s", method, status, body, err, time.Since(begin))
		}
	}
}
