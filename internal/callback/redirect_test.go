package callback

import (
	"errors"
	"net"
	"strings"
	"testing"
)

func TestParseRedirectRefuses(t *testing.T) {
	for uri, why := range map[string]string{
		"":                                                      "1 to",
		"//localhost/callback":                                  "scheme",
		"/callback":                                             "scheme",
		"https:///callback":                                     "no host",
		"https://localhost:/callback":                           "port is empty",
		"https://localhost:65536/callback":                      "65535",
		"https://localhost:08765/callback":                      "65535",
		"https://localhost:-1/callback":                         "not a URL",
		"https://me@localhost/callback":                         "user name",
		"https://localhost/callback#x":                          "fragment",
		"https://localhost/callback#":                           "fragment",
		"https://localhost/call back":                           "percent-encoded",
		"https://localhost/call\nback":                          "percent-encoded",
		"https://localhost/cällback":                            "percent-encoded",
		"https://localhost/\"><script>":                         "percent-encoded",
		"https://local%host/callback":                           "not a URL",
		"https://localhost/%zz":                                 "not a URL",
		"https://localhost/" + strings.Repeat("a", maxRedirect): "1 to",
	} {
		if _, err := parseRedirect(uri); !errors.Is(err, ErrRedirect) || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: got %v, want ErrRedirect with %q", uri, err, why)
		}
	}
}

// TestHere: only what says itself that it is this machine is listened on.
func TestHere(t *testing.T) {
	for uri, want := range map[string]bool{
		"https://localhost:8765/callback": true,
		"http://localhost:0/":             true,
		"http://LOCALHOST:80":             true,
		"https://127.0.0.1:8765/callback": true,
		"https://127.9.8.7:8765/callback": true,
		"https://[::1]:8765/callback":     true,

		"https://localhost.example.com/callback": false,
		"https://localhost./callback":            false,
		"https://example.com/callback":           false,
		"https://0.0.0.0:8765/callback":          false,
		"https://[::]:8765/callback":             false,
		"https://192.168.1.1/callback":           false,
		"https://2130706433/callback":            false,
		"https://127.1/callback":                 false,
		"myapp://callback":                       false,
		"myapp:callback":                         false,
		"ftp://localhost/callback":               false,
	} {
		if got, err := Here(uri); err != nil || got != want {
			t.Errorf("%s: got %v, %v, want %v", uri, got, err, want)
		}
		if want {
			continue
		}
		if l, err := Listen(Config{RedirectURI: uri}); !errors.Is(err, ErrElsewhere) {
			t.Errorf("%s: got a listener %v, %v", uri, l, err)
		}
	}
}

// TestHostHeader: what a browser sends as Host for each URI, by RFC 9110 section 7.2.
func TestHostHeader(t *testing.T) {
	for uri, want := range map[string]string{
		"https://localhost:8765/callback": "localhost:8765",
		"https://LocalHost:8765":          "localhost:8765",
		"https://localhost/callback":      "localhost",
		"https://localhost:443/callback":  "localhost",
		"http://localhost:443/callback":   "localhost:443",
		"http://localhost:80/callback":    "localhost",
		"https://[::1]:8765/callback":     "[::1]:8765",
		"https://127.0.0.1:1/":            "127.0.0.1:1",
	} {
		r, err := parseRedirect(uri)
		if got := r.host(); err != nil || got != want {
			t.Errorf("%s: got %q, %v, want %q", uri, got, err, want)
		}
	}
}

func TestWithPort(t *testing.T) {
	for uri, want := range map[string]string{
		"http://localhost:0/a?b=c": "http://localhost:4711/a?b=c",
		"http://localhost:0":       "http://localhost:4711",
		"http://localhost:0?b":     "http://localhost:4711?b",
		"http://[::1]:0/":          "http://[::1]:4711/",
		"http://localhost:80/":     "http://localhost:80/",
	} {
		r, err := parseRedirect(uri)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.withPort("4711"); got.uri != want {
			t.Errorf("%s: got %s, want %s", uri, got.uri, want)
		}
	}
}

// TestPortInUse: on either address, for a browser may connect to either.
func TestPortInUse(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		other, err := net.Listen("tcp", address)
		if err != nil {
			t.Logf("%s: %v", address, err) // a machine without IPv6
			continue
		}
		defer other.Close()
		_, port, _ := net.SplitHostPort(other.Addr().String())
		l, err := Listen(Config{RedirectURI: "https://localhost:" + port + "/callback"})
		if !errors.Is(err, ErrPortInUse) || !strings.Contains(err.Error(), port) {
			t.Errorf("%s: got %v, %v, want ErrPortInUse", address, l, err)
		}
		if err := other.Close(); err != nil {
			t.Fatal(err)
		}
		l, err = Listen(Config{RedirectURI: "https://localhost:" + port + "/callback"})
		if err != nil {
			t.Fatalf("nothing is left of the first try, but: %v", err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}

func FuzzParseRedirect(f *testing.F) {
	f.Add("https://localhost:8765/callback?x=y")
	f.Add("http://[::1]:0")
	f.Add("myapp:/callback")
	f.Fuzz(func(t *testing.T, uri string) {
		r, err := parseRedirect(uri)
		if err != nil {
			if !errors.Is(err, ErrRedirect) || r != (redirect{}) {
				t.Errorf("got %+v, %v", r, err)
			}
			return
		}
		if r.here() {
			again, err := parseRedirect(r.withPort("4711").uri)
			if err != nil || again.name != r.name || again.path != r.path || r.port == "0" && again.port != "4711" {
				t.Errorf("%q: got %+v, %v", uri, again, err)
			}
		}
	})
}
