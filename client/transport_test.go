package client_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
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

// roundTripper is a Base of a few lines.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

const form = "application/x-www-form-urlencoded"

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
			eventually(t, 5*time.Second, func() string {
				if b.count() == 0 {
					return "the body is not closed"
				}
				return ""
			})
		})
	}
}

// TestRequestIsNotChanged compares a request before and after, in all that a
// RoundTripper must leave alone, and replaces what the caller had to say about
// authorization, whatever the spelling.
func TestRequestIsNotChanged(t *testing.T) {
	t.Parallel()
	s := newSite(t, false, nil)
	tr := &client.Transport{Client: shared(t).agent.dial(t), Base: s.transport}
	for _, contentType := range []string{"application/json", form} {
		req := request(t, t.Context(), http.MethodPost, restlets+"/app/site/hosting/restlet.nl?script=1&deploy=1", strings.NewReader(`{}`))
		if contentType == form {
			req.Body, req.GetBody, req.ContentLength = io.NopCloser(strings.NewReader("a=b")), nil, -1
		}
		req.Header = http.Header{
			"Authorization": {"Basic aHVudGVyMg=="}, "authorization": {"Bearer old"}, "AUTHORIZATION": {"x", "y"},
			"content-type": {contentType}, "X-Two": {"1", "2"},
		}
		header, before, body := req.Header.Clone(), *req, req.Body
		resp, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if !maps.EqualFunc(req.Header, header, func(a, b []string) bool { return strings.Join(a, "\n") == strings.Join(b, "\n") }) {
			t.Errorf("the header became %v, was %v", req.Header, header)
		}
		if *req.URL != *before.URL || req.Host != before.Host || req.ContentLength != before.ContentLength || req.Body != body ||
			(req.GetBody == nil) != (before.GetBody == nil) || req.Context() != before.Context() {
			t.Errorf("the request became %+v, was %+v", req, before)
		}
		if resp.Request != req {
			t.Error("the answer's request is not the caller's: it would carry the signature into logs")
		}
	}
	distinct(t, s.received())
	if h := s.received()[1]; h.body != "a=b" || h.length != 3 {
		t.Errorf("the form arrived as %q with length %d", h.body, h.length)
	}
	for _, v := range shared(t).verdicts("restlet.nl?script=1&deploy=1") {
		if !v.OK {
			t.Errorf("%s", v)
		}
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
	s.transport.ExpectContinueTimeout = 10 * time.Second
	c := signing(t, "acme-sb1", s.transport)
	for method, want := range map[string]int{http.MethodPost: 200, http.MethodPut: 417} {
		b := &watched{Reader: strings.NewReader(`{"a":1}`)}
		req := request(t, t.Context(), method, restlets+"/app/site/hosting/restlet.nl?script=1&deploy=1", b)
		req.Header.Set("Expect", "100-continue")
		req.Header.Set("Content-Type", "application/json")
		begin := time.Now()
		status, body, err := fetch(c, req)
		if err != nil || status != want || time.Since(begin) > 8*time.Second {
			t.Errorf("%s: got %d %s, %v after %s", method, status, body, err, time.Since(begin))
		}
	}
}

// TestRedirect follows redirects as http.Client does. Within the account each hop
// is signed anew; to another host nothing is sent at all.
func TestRedirect(t *testing.T) {
	t.Parallel()
	s := newSite(t, false, func(_ int, w http.ResponseWriter, r *http.Request) bool {
		to := r.URL.Query().Get("to")
		if to == "" {
			return false
		}
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusTemporaryRedirect)
		return true
	})
	c := signing(t, "acme-sb1", s.transport)
	within := restlets + "/app/site/hosting/restlet.nl?script=9&deploy=1&hop=2"
	req := request(t, t.Context(), http.MethodPost, suitetalk+"/?to="+url.QueryEscape(within), strings.NewReader(`{}`))
	req.Header.Set("Content-Type", "application/json")
	status, body, err := fetch(c, req)
	if err != nil || status != 200 {
		t.Errorf("within the account: got %d %s, %v", status, body, err)
	}
	hops := s.received()
	distinct(t, hops)
	if len(hops) != 2 || hops[1].host != "1234567-sb1.restlets.api.netsuite.com" || hops[1].body != "{}" {
		t.Errorf("got %+v", hops)
	}
	for _, foreign := range []string{"https://evil.example/", "https://7654321.suitetalk.api.netsuite.com/", "http://1234567-sb1.suitetalk.api.netsuite.com/", "//evil.example/x"} {
		before := len(s.received())
		resp, err := c.Do(request(t, t.Context(), http.MethodGet, suitetalk+"/?to="+url.QueryEscape(foreign), nil))
		if err == nil {
			_ = resp.Body.Close()
		}
		if !errors.Is(err, client.ErrHost) && !errors.Is(err, client.ErrURL) {
			t.Errorf("to %s: got %v, want ErrHost", foreign, err)
		}
		if got := len(s.received()); got != before+1 {
			t.Errorf("to %s: %d requests arrived, want the first only", foreign, got-before)
		}
	}
}

// TestWireIsSigned sends URLs that programs build in all ways, and compares what
// arrived with what NetSuite computed for it.
func TestWireIsSigned(t *testing.T) {
	t.Parallel()
	s := newSite(t, false, nil)
	s2 := newSite(t, true, nil)
	const script = "/app/site/hosting/restlet.nl?script=11&deploy=1"
	for i, test := range []struct {
		change func(*http.Request)
		target string
	}{
		{func(r *http.Request) { r.URL.RawQuery += "&a=%20&a=+&a=%2B&a=" }, script + "&a=%20&a=+&a=%2B&a="},
		{func(r *http.Request) { r.URL.RawQuery += "&b&b=&&c=;d" }, script + "&b&b=&&c=;d"},
		{func(r *http.Request) { r.URL.RawQuery += "&" + url.Values{"ä ö": {"ü&=?", "a"}}.Encode() }, script + "&%C3%A4+%C3%B6=%C3%BC%26%3D%3F&%C3%A4+%C3%B6=a"},
		{func(r *http.Request) { r.URL.Fragment = "fragment" }, script},
		{func(r *http.Request) { r.URL.Path = "/a b/ü" }, "/a%20b/%C3%BC?script=11&deploy=1"},
		{func(r *http.Request) { r.URL.Path, r.URL.RawPath = "/a/b", "/a%2Fb" }, "/a%2Fb?script=11&deploy=1"},
		{func(r *http.Request) { r.URL.Path, r.URL.RawQuery = "", "wire=1" }, "/?wire=1"},
		{func(r *http.Request) { r.URL.Path, r.URL.RawQuery, r.URL.ForceQuery = "/wire2", "", true }, "/wire2?"},
		{func(r *http.Request) { r.URL.Opaque = "/a%2fb%2Fc" }, "/a%2fb%2Fc?script=11&deploy=1"},
		{func(r *http.Request) { r.URL.Host, r.Host = strings.ToUpper(r.URL.Host), "" }, script},
		{func(r *http.Request) { r.Host = strings.ToUpper(r.Host) }, script},
		{func(r *http.Request) { r.Method = "" }, script},
	} {
		for _, to := range []*site{s, s2} {
			c := signing(t, "acme-sb1", to.transport)
			req := request(t, t.Context(), http.MethodGet, restlets+script, nil)
			test.change(req)
			if _, body, err := fetch(c, req); err != nil {
				t.Errorf("%d: %s, %v", i, body, err)
				continue
			}
			hops := to.received()
			if got := hops[len(hops)-1].target; got != test.target {
				t.Errorf("%d: %s arrived, want %s", i, got, test.target)
			}
			all := shared(t).verdicts(test.target)
			if len(all) == 0 || !all[len(all)-1].OK {
				t.Errorf("%d: %v", i, all)
			}
		}
	}
}

// TestTransportConcurrently sends from 64 goroutines, with and without HTTP/2.
func TestTransportConcurrently(t *testing.T) {
	t.Parallel()
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprint("http2 ", http2), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, http2, nil)
			c := signing(t, "acme-sb1", s.transport)
			var wg sync.WaitGroup
			for i := range 64 {
				wg.Go(func() {
					for n := range 5 {
						req := request(t, t.Context(), http.MethodPost, fmt.Sprintf("%s/app/site/hosting/restlet.nl?script=1&deploy=1&i=%d&n=%d", restlets, i, n), strings.NewReader(fmt.Sprint(i)))
						req.Header.Set("Content-Type", "text/plain")
						if status, body, err := fetch(c, req); err != nil || status != 200 || !strings.Contains(body, fmt.Sprintf(`"body":"%d"`, i)) {
							t.Errorf("got %d %s, %v", status, body, err)
						}
					}
				})
			}
			wg.Wait()
			distinct(t, s.received())
		})
	}
}

// TestTransportContexts ends requests that wait for NetSuite, and for an agent
// that hangs.
func TestTransportContexts(t *testing.T) {
	t.Parallel()
	s := newSite(t, false, func(_ int, _ http.ResponseWriter, r *http.Request) bool {
		<-r.Context().Done()
		return true
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, _, err := fetch(signing(t, "acme-sb1", s.transport), request(t, ctx, http.MethodGet, customer, nil)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("NetSuite hangs: got %v, want DeadlineExceeded", err)
	}
	d := startDaemon(t)
	c := &http.Client{Transport: &client.Transport{Client: d.dial(t), Base: s.transport}, Timeout: 50 * time.Millisecond}
	d.hang(t)
	before := len(s.received())
	if _, _, err := fetch(c, request(t, t.Context(), http.MethodGet, customer, nil)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the agent hangs: got %v, want DeadlineExceeded", err)
	}
	if got := len(s.received()); got != before {
		t.Error("something was sent without a signature")
	}
}

// TestOtherBases sends with what is not an http.Transport.
func TestOtherBases(t *testing.T) {
	t.Parallel()
	s := newSite(t, false, nil)
	c := shared(t).agent.dial(t)
	var dump bytes.Buffer
	wrapped := &client.Transport{Client: c, Base: roundTripper(func(r *http.Request) (*http.Response, error) {
		_ = r.Clone(r.Context()).Write(&dump)
		return s.transport.RoundTrip(r)
	})}
	if status, _, err := fetch(&http.Client{Transport: wrapped}, request(t, t.Context(), http.MethodGet, customer, nil)); err != nil || status != 200 {
		t.Errorf("got %d, %v", status, err)
	}
	if line, _ := bufio.NewReader(&dump).ReadString('\n'); line != "GET /services/rest/record/v1/customer/1 HTTP/1.1\r\n" {
		t.Errorf("the base saw %q", line)
	}
	nothing := &client.Transport{Client: c, Base: roundTripper(func(*http.Request) (*http.Response, error) { return nil, nil })}
	if resp, err := nothing.RoundTrip(request(t, t.Context(), http.MethodGet, customer, nil)); resp != nil || err != nil {
		t.Errorf("got %v, %v", resp, err)
	}
	nothing.CloseIdleConnections()

	opened := dialer(s.transport)
	kept := &http.Client{Transport: &client.Transport{Client: c, Base: s.transport}}
	for n := range 3 {
		if status, _, err := fetch(kept, request(t, t.Context(), http.MethodGet, customer, nil)); err != nil || status != 200 {
			t.Errorf("got %d, %v", status, err)
		}
		if n == 1 {
			kept.CloseIdleConnections()
		}
	}
	if opened.value() != 1 {
		t.Errorf("%d connections were opened after the first was kept and then closed, want 1", opened.value())
	}
}
