package signer

import (
	"bufio"
	"errors"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
)

type hostileURL struct {
	line       int
	class, url string
}

func loadHostileURLs(t testing.TB) []hostileURL {
	t.Helper()
	f, err := os.Open("testdata/hostile_urls.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var cases []hostileURL
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		if line == "" || line[0] == '#' {
			continue
		}
		class, quoted, _ := strings.Cut(line, " ")
		unquoted, err := strconv.Unquote(quoted)
		if err != nil {
			t.Fatalf("hostile_urls.txt:%d: %v", n, err)
		}
		cases = append(cases, hostileURL{n, class, unquoted})
	}
	if lines.Err() != nil || len(cases) < 80 {
		t.Fatalf("hostile_urls.txt: %d cases, %v", len(cases), lines.Err())
	}
	return cases
}

func TestHostileURLs(t *testing.T) {
	account := mustAccount(t, "1234567_SB1")
	for _, c := range loadHostileURLs(t) {
		target, err := ParseTarget(c.url)
		if err == nil {
			if target.String() != c.url {
				t.Errorf("line %d: String() = %q, want %q", c.line, target, c.url)
			}
			err = CheckHost(target, account, nil)
		} else if !target.IsZero() {
			t.Errorf("line %d: an error with the Target %q", c.line, target)
		}
		if got := classOf(err); got != c.class {
			t.Errorf("line %d: %q is %s (%v), want %s", c.line, c.url, got, err, c.class)
		}
		if err != nil {
			checkErrorText(t, err, c.url)
		}
	}
}

// classOf names the outcome in the terms of hostile_urls.txt.
func classOf(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, ErrHost) && errors.Is(err, ErrDenied) && !errors.Is(err, ErrURL):
		return "foreign"
	case errors.Is(err, ErrURL) && !errors.Is(err, ErrDenied):
		rest := strings.TrimPrefix(err.Error(), ErrURL.Error()+": ")
		part, _, _ := strings.Cut(rest, ":")
		return "url:" + part
	}
	return "unknown"
}

// checkErrorText: an error must be printable ASCII and must not show userinfo.
func checkErrorText(t *testing.T, err error, input string) {
	t.Helper()
	text := err.Error()
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			t.Errorf("%q: the error is not printable ASCII: %q", input, text)
			return
		}
	}
	if strings.Contains(text, "pass") && !strings.Contains(text, "password") {
		t.Errorf("%q: the error shows userinfo: %q", input, text)
	}
}

func TestTargetParts(t *testing.T) {
	tests := []struct {
		url, scheme, host, port, path, query, origin string
	}{
		{"https://H.example", "https", "h.example", "", "/", "", "https://h.example"},
		{"HTTP://h.example:80/", "http", "h.example", "80", "/", "", "http://h.example"},
		{"http://h.example:443/a%2fB", "http", "h.example", "443", "/a%2fB", "", "http://h.example:443"},
		{"https://[2001:DB8::1]:8443/p?a=1?&b", "https", "[2001:db8::1]", "8443", "/p", "a=1?&b", "https://[2001:db8::1]:8443"},
		{"https://[::1]:443?x", "https", "[::1]", "443", "/", "x", "https://[::1]"},
		{"https://127.0.0.1:8443/", "https", "127.0.0.1", "8443", "/", "", "https://127.0.0.1:8443"},
	}
	for _, c := range tests {
		u := mustTarget(t, c.url)
		got := []string{u.String(), u.Scheme(), u.Host(), u.Port(), u.Path(), u.RawQuery(), u.Origin()}
		want := []string{c.url, c.scheme, c.host, c.port, c.path, c.query, c.origin}
		for i := range got {
			if got[i] != want[i] {
				t.Errorf("%s: got %q, want %q", c.url, got, want)
				break
			}
		}
	}
	if (Target{}).Origin() != "" {
		t.Error("the zero Target has an origin")
	}
}

// TestTargetAddresses: of an IP address there is one spelling, whoever owns it.
func TestTargetAddresses(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "[::1]", "[2001:db8::a]", "[2001:DB8::A]", "[::]"} {
		mustTarget(t, "https://"+host+":8443/")
	}
	for _, host := range []string{
		"127.1", "0x7f.1", "0X7F000001", "2130706433", "127.0.0.01", "127.0.0.256", "1.2.3.4.5", "0", "0x", "a.0x1f",
		"[::ffff:127.0.0.1]", "[::FFFF:7f00:1]", "[0:0:0:0:0:0:0:1]", "[::01]", "[fe80::1%25lo]", "[127.0.0.1]", "[::1", "[]", "::1",
	} {
		if u, err := ParseTarget("https://" + host + "/"); classOf(err) != "url:host" && classOf(err) != "url:port" || !u.IsZero() {
			t.Errorf("%s: got %q, %v", host, u, err)
		}
	}
	mustTarget(t, "https://0xfg.example/")
	mustTarget(t, "https://a.0xfg/")
}

func TestTargetLength(t *testing.T) {
	base := "https://h.example/?q="
	longest := base + strings.Repeat("a", MaxURL-len(base))
	mustTarget(t, longest)
	if _, err := ParseTarget(longest + "a"); classOf(err) != "url:length" {
		t.Errorf("%d octets: %v", MaxURL+1, err)
	}
}

func TestCheckHostEndpoint(t *testing.T) {
	account := mustAccount(t, "1234567_SB1")
	own := "https://1234567-sb1.suitetalk.api.netsuite.com"
	tests := []struct{ url, endpoint, class string }{
		{"https://127.0.0.1:8443/x", "https://127.0.0.1:8443", "ok"},
		{"http://127.0.0.1:8080/x", "http://127.0.0.1:8080/", "ok"},
		{"https://mock.example/x", "https://MOCK.example:443", "ok"},
		{"https://[::1]:8443/x", "https://[::1]:8443", "ok"},
		{own + "/x", "https://127.0.0.1:8443", "ok"},
		{own + ":443/x", own, "ok"},
		{"https://127.0.0.1:8444/x", "https://127.0.0.1:8443", "url:host"},
		{"http://127.0.0.1:8443/x", "https://127.0.0.1:8443", "url:host"},
		{"https://mock.example:444/x", "https://mock.example", "foreign"},
		{"http://mock.example/x", "https://mock.example", "foreign"},
		{"https://mock.example.evil.example/", "https://mock.example", "foreign"},
		{"https://www.mock.example/", "https://mock.example", "foreign"},
		{own + ":8443/x", "https://127.0.0.1:8443", "url:port"},
	}
	for _, c := range tests {
		endpoint, err := ParseEndpoint(c.endpoint)
		if err != nil {
			t.Fatal(err)
		}
		if err := CheckHost(mustTarget(t, c.url), account, &endpoint); classOf(err) != c.class {
			t.Errorf("%s with endpoint %s: %v, want %s", c.url, c.endpoint, err, c.class)
		}
	}
	endpoint, err := ParseEndpoint("https://127.0.0.1:8443")
	if err != nil {
		t.Fatal(err)
	}
	// Whoever has mistyped the port sees which one it is.
	if err := CheckHost(mustTarget(t, "https://127.0.0.1:8444/x"), account, &endpoint); err == nil || !strings.HasSuffix(err.Error(), "the endpoint is https://127.0.0.1:8443") {
		t.Errorf("another port: got %v", err)
	}
	if err := CheckHost(Target{}, account, &Target{}); classOf(err) != "url:scheme" {
		t.Errorf("zero Target: %v", err)
	}
	if err := CheckHost(mustTarget(t, own), Account{}, nil); classOf(err) != "foreign" {
		t.Errorf("zero Account: %v", err)
	}
	for _, bad := range []string{"https://h.example/x", "https://h.example?", "https://h.example/?a", "h.example", "https://u@h.example"} {
		if e, err := ParseEndpoint(bad); !errors.Is(err, ErrURL) || !e.IsZero() {
			t.Errorf("ParseEndpoint(%q) = %q, %v", bad, e, err)
		}
	}
}

func FuzzParseTarget(f *testing.F) {
	for _, c := range loadHostileURLs(f) {
		f.Add(c.url)
	}
	f.Add("https://[::1]:8443/p?a=1")
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := ParseTarget(raw)
		if err != nil {
			if !errors.Is(err, ErrURL) || !u.IsZero() {
				t.Fatalf("got %+v, %v", u, err)
			}
			checkErrorText(t, err, raw)
			return
		}
		if u.String() != raw {
			t.Fatalf("String() = %q, want %q", u, raw)
		}
		// The parts put together give the same Target, and the origin is its own origin.
		rebuilt := u.Scheme() + "://" + u.Host()
		if u.Port() != "" {
			rebuilt += ":" + u.Port()
		}
		if !strings.EqualFold(rebuilt, raw[:len(rebuilt)]) {
			t.Fatalf("%q is rebuilt as %q", raw, rebuilt)
		}
		origin, err := ParseEndpoint(u.Origin())
		if err != nil || !u.sameOrigin(origin) || origin.Origin() != u.Origin() {
			t.Fatalf("%q: origin %q: %v", raw, u.Origin(), err)
		}
		// Go's own client sends what was signed.
		std, err := url.Parse(raw)
		if err != nil {
			t.Fatalf("net/url: %v", err)
		}
		wire := u.Path()
		if strings.Contains(raw, "?") {
			wire += "?" + u.RawQuery()
		}
		if std.RequestURI() != wire || !strings.EqualFold(std.Host, strings.TrimPrefix(rebuilt, u.Scheme()+"://")) || std.User != nil {
			t.Fatalf("%q: net/url sends %q to %q", raw, std.RequestURI(), std.Host)
		}
		if strings.ContainsAny(raw, " \t\r\n\x00\x7f\\#<>\"") || strings.Contains(u.Host(), "@") {
			t.Fatalf("%q was accepted", raw)
		}
	})
}
