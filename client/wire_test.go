package client

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// written returns the request target and the Host header that net/http writes.
func written(req *http.Request) (target, host string, err error) {
	var buf bytes.Buffer
	if err := req.Write(&buf); err != nil {
		return "", "", err
	}
	line, err := bufio.NewReader(&buf).ReadString('\n')
	if err != nil {
		return "", "", err
	}
	// Method and protocol have no blanks, the target may.
	_, rest, _ := strings.Cut(line, " ")
	target = strings.TrimSuffix(rest, " HTTP/1.1\r\n")
	host = req.Host
	if host == "" {
		host = req.URL.Host
	}
	return target, host, nil
}

// TestWireURL holds the URL that is signed against what net/http writes.
func TestWireURL(t *testing.T) {
	const origin = "https://1234567-sb1.restlets.api.netsuite.com"
	tests := []struct {
		url  string
		want string // "" is as given
	}{
		{origin + "/a?script=1&deploy=2", ""},
		{origin, origin + "/"},
		{origin + "?a=b", origin + "/?a=b"},
		{origin + "/a?", ""},
		{origin + "/a#fragment", origin + "/a"},
		{origin + "/a?b=c#fragment?d", origin + "/a?b=c"},
		{origin + "/a b", origin + "/a%20b"},
		{origin + "/ü", origin + "/%C3%BC"},
		{origin + "/a%2Fb%2fc", ""},
		{origin + "/a;b=c,d", ""},
		{origin + "/(a)'!*", ""},
		{origin + "/%28a%29", ""},
		{origin + "//a/../b/./c", ""},
		{origin + "/a?b=%2B+%20&b=&b&;=;", ""},
		{origin + "/a?b=ü c", ""}, // net/http sends it so; the agent refuses it
		{"HTTPS://1234567-SB1.Restlets.api.netsuite.com:443/a", "https://1234567-SB1.Restlets.api.netsuite.com:443/a"},
		{"https://[::1]:8443/a", ""},
		{"https://127.0.0.1:8443/a", ""},
	}
	for _, test := range tests {
		req, err := http.NewRequest(http.MethodGet, test.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		want := test.want
		if want == "" {
			want = test.url
		}
		got, err := wireURL(req)
		if err != nil || got != want {
			t.Errorf("%s: got %q, %v, want %q", test.url, got, err, want)
		}
		target, host, err := written(req)
		if wire := req.URL.Scheme + "://" + host + target; err != nil || got != wire {
			t.Errorf("%s: signed %q, net/http sends %q, %v", test.url, got, wire, err)
		}
	}
}

// TestWireURLOpaque covers URLs that were not parsed from a text.
func TestWireURLOpaque(t *testing.T) {
	const host = "1234567-sb1.restlets.api.netsuite.com"
	for _, test := range []struct {
		url  *url.URL
		want string
		err  error
	}{
		{&url.URL{Scheme: "https", Host: host, Opaque: "/a%2Fb"}, "https://" + host + "/a%2Fb", nil},
		{&url.URL{Scheme: "https", Host: host, Opaque: "//" + host + "/a%2Fb", RawQuery: "c=d"}, "https://" + host + "/a%2Fb?c=d", nil},
		{&url.URL{Scheme: "https", Host: host, Opaque: "//evil.example/a"}, "", ErrURL},
		{&url.URL{Scheme: "https", Host: host, Opaque: "//" + host + ".evil.example/a"}, "", ErrURL},
		{&url.URL{Scheme: "https", Host: host, Opaque: "a"}, "", ErrURL},
		{&url.URL{Scheme: "https", Host: host, Path: "a"}, "", ErrURL},
		{&url.URL{Scheme: "https", Host: host, Path: "*"}, "", ErrURL},
		{&url.URL{Scheme: "https", Host: host, Path: "/a b", RawPath: "/a%2520b"}, "https://" + host + "/a%20b", nil}, // a RawPath that does not fit is not sent
		{&url.URL{Scheme: "https", Host: host, Path: "/a/b", RawPath: "/a%2Fb"}, "https://" + host + "/a%2Fb", nil},
		{&url.URL{Scheme: "https", Host: host, Path: "/a", ForceQuery: true}, "https://" + host + "/a?", nil},
		{&url.URL{Scheme: "https", Host: host, User: url.UserPassword("u", "hunter2"), Path: "/"}, "", ErrURL},
		{nil, "", ErrURL},
	} {
		got, err := wireURL(&http.Request{URL: test.url})
		if got != test.want || !errors.Is(err, test.err) {
			t.Errorf("%#v: got %q, %v, want %q, %v", test.url, got, err, test.want, test.err)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v repeats the password", err)
		}
	}
}

// TestWireHost signs for the host that is sent, which must be the one that is
// connected to.
func TestWireHost(t *testing.T) {
	for _, test := range []struct {
		url, host string
		ok        bool
	}{
		{"https://a.example/", "a.example", true},
		{"https://a.example/", "A.Example:443", true},
		{"https://a.example:443/", "a.example", true},
		{"https://a.example:/", "a.example", true},
		{"http://a.example:80/", "a.example", true},
		{"https://a.example:80/", "a.example", false},
		{"https://a.example/", "b.example", false},
		{"https://a.example/", "a.example.", false},
		{"https://a.example:8443/", "a.example", false},
	} {
		req, err := http.NewRequest(http.MethodGet, test.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = test.host
		got, err := wireURL(req)
		if test.ok && (err != nil || got != req.URL.Scheme+"://"+test.host+"/") || !test.ok && !errors.Is(err, ErrRequest) {
			t.Errorf("%s with Host %s: got %q, %v, want ok %v", test.url, test.host, got, err, test.ok)
		}
	}
}

// FuzzWireURL parses a URL as programs do. Where it can be signed, what is signed
// is what net/http writes.
func FuzzWireURL(f *testing.F) {
	for _, s := range []string{
		"https://a.example/b%2Fc?d=e&d#f", "https://a.example?x", "https:opaque", "https://u:p@a.example/", "http://[fe80::1%25en0]/", "//a/b", "/a", "https://ä.example/ö?ü",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		req, err := http.NewRequest(http.MethodGet, s, nil)
		if err != nil {
			return
		}
		signed, err := wireURL(req)
		if err != nil {
			if e := (*Error)(nil); !errors.As(err, &e) || e.Code != pb.CodeURL && e.Code != pb.CodeRequest {
				t.Fatalf("got %v", err)
			}
			return
		}
		target, host, err := written(req)
		if err != nil {
			return // net/http does not send it
		}
		if wire := req.URL.Scheme + "://" + host + target; signed != wire && signed != target {
			t.Fatalf("%q: signed %q, net/http sends %q", s, signed, wire)
		}
	})
}

// TestIsForm lists the spellings that the agent takes for a form.
func TestIsForm(t *testing.T) {
	for contentType, want := range map[string]bool{
		"application/x-www-form-urlencoded":                 true,
		"APPLICATION/X-WWW-Form-Urlencoded":                 true,
		"application/x-www-form-urlencoded; charset=utf-8":  true,
		" application/x-www-form-urlencoded\t;charset=x;;;": true,
		"application/x-www-form-urlencoded; broken=\"":      true,
		"application/x-www-form-urlencoded2":                false,
		"application/json":                                  false,
		"":                                                  false,
	} {
		if got := isForm(contentType); got != want {
			t.Errorf("%q: got %v, want %v", contentType, got, want)
		}
	}
}

// body is a request body that tells whether it was closed, and can fail.
type body struct {
	io.Reader
	closed int
	err    error
}

func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	return b.Reader.Read(p)
}

func (b *body) Close() error { b.closed++; return nil }

// TestTakeForm reads forms of each length around the limit.
func TestTakeForm(t *testing.T) {
	for _, n := range []int{0, 1, maxForm - 1, maxForm} {
		b := &body{Reader: strings.NewReader(strings.Repeat("x", n))}
		out := &http.Request{Body: b, ContentLength: -1}
		form, err := takeForm(out)
		if err != nil || len(form) != n || b.closed != 1 || out.ContentLength != int64(n) {
			t.Fatalf("%d: got %d bytes, %v; closed %d, ContentLength %d", n, len(form), err, b.closed, out.ContentLength)
		}
		for range 2 {
			again, err := io.ReadAll(out.Body)
			if err != nil || !bytes.Equal(again, form) {
				t.Fatalf("%d: the body is not the form: %d bytes, %v", n, len(again), err)
			}
			if out.Body, err = out.GetBody(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, b := range map[string]*body{"too long": {Reader: strings.NewReader(strings.Repeat("x", maxForm+1))}, "broken": {err: io.ErrUnexpectedEOF}} {
		form, err := takeForm(&http.Request{Body: b})
		if form != nil || b.closed != 1 || !errors.Is(err, ErrRequest) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: got %d bytes, %v; closed %d", name, len(form), err, b.closed)
		}
	}
}
