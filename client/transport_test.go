package client_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nsagent/nsagent/client"
)

// roundTripper is a Base of a few lines.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestRequestIsNotChanged compares a request before and after, in all that a
// RoundTripper must leave alone, and replaces what the caller had to say about
// authorization, whatever the spelling.
func TestRequestIsNotChanged(t *testing.T) {
	t.Parallel()
	verdicts := shared(t).watch()
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
	for _, v := range verdicts("restlet.nl?script=1&deploy=1") {
		if !v.OK {
			t.Errorf("%s", v)
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
	verdicts := shared(t).watch()
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
			all := verdicts(test.target)
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
