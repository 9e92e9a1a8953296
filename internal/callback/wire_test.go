package callback

import (
	"bufio"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestHeadersOfEveryPage: nothing is kept, framed, run or sent on, whatever the page.
func TestHeadersOfEveryPage(t *testing.T) {
	g := newLogin(t, Config{}).wait()
	go func() { (<-g.got).Show(Outcome{}) }()
	for _, path := range []string{"/", "/callback?state=x", "/callback?code=the-code&state=" + testState, "/callback?code=the-code&state=" + testState} {
		origin, _, _ := strings.Cut(g.RedirectURI(), "/callback")
		answer, err := g.web.Get(origin + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		for name, want := range map[string]string{
			"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
			"Content-Type": "text/html; charset=utf-8", "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
		} {
			if got := answer.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
		policy := answer.Header.Get("Content-Security-Policy")
		if !strings.HasPrefix(policy, "default-src 'none'; style-src 'sha256-") || strings.Contains(policy, "unsafe") || !strings.Contains(policy, "frame-ancestors 'none'") {
			t.Errorf("%s: the policy is %q", path, policy)
		}
		if !answer.Close || answer.Header.Get("Server") != "" || answer.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: got %v", path, answer.Header)
		}
	}
}

// TestCertificate: one that no browser knows, for this host alone and for a day, new
// each time, over TLS 1.2 or later.
func TestCertificate(t *testing.T) {
	seen := map[string]bool{}
	for range 2 {
		g := newLogin(t, Config{RedirectURI: "https://localhost:0/callback"})
		address := strings.TrimSuffix(strings.TrimPrefix(g.RedirectURI(), "https://"), "/callback")
		// #nosec G402 -- it is looked at below
		conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		leaf := conn.ConnectionState().PeerCertificates[0]
		_ = conn.Close()
		sum := sha256.Sum256(leaf.Raw)
		if got := strings.ReplaceAll(g.Fingerprint(), ":", ""); got != fmt.Sprintf("%X", sum) || seen[got] {
			t.Errorf("the fingerprint is %s, want a new one, %X", got, sum)
		}
		seen[fmt.Sprintf("%X", sum)] = true
		if leaf.IsCA || leaf.VerifyHostname("localhost") != nil || leaf.VerifyHostname("127.0.0.1") == nil || leaf.VerifyHostname("example.com") == nil {
			t.Errorf("the certificate is for %v, %v", leaf.DNSNames, leaf.IPAddresses)
		}
		if life := leaf.NotAfter.Sub(leaf.NotBefore); life > 24*time.Hour || time.Now().Before(leaf.NotBefore) {
			t.Errorf("it lives for %s from %s on", life, leaf.NotBefore)
		}
		if _, err := leaf.Verify(x509.VerifyOptions{DNSName: "localhost"}); err == nil {
			t.Error("the system trusts it")
		}
		// #nosec G402 -- it must be refused
		if _, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}); err == nil {
			t.Error("it speaks TLS 1.1")
		}
	}
	if g := newLogin(t, Config{}); g.Fingerprint() != "" {
		t.Errorf("over http the fingerprint is %q", g.Fingerprint())
	}
}

// TestOnlyLoopback: no address of this machine that others reach is listened on.
func TestOnlyLoopback(t *testing.T) {
	g := newLogin(t, Config{})
	_, port, _ := net.SplitHostPort(strings.TrimSuffix(strings.TrimPrefix(g.RedirectURI(), "http://"), "/callback"))
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		ip := a.(*net.IPNet).IP
		if ip.IsLoopback() || ip.IsLinkLocalUnicast() {
			continue
		}
		if c, err := net.DialTimeout("tcp", net.JoinHostPort(ip.String(), port), 5*time.Second); err == nil {
			_ = c.Close()
			t.Errorf("it listens on %s", ip)
		}
	}
}

// TestPlainRequestToTLS: a browser that is sent to http where https is served learns
// something, and nothing is taken.
func TestPlainRequestToTLS(t *testing.T) {
	g := newLogin(t, Config{RedirectURI: "https://localhost:0/callback"}).wait()
	address := strings.TrimSuffix(strings.TrimPrefix(g.RedirectURI(), "https://"), "/callback")
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "GET /callback?code=c&state="+testState+" HTTP/1.1\r\nHost: "+address+"\r\n\r\n")
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || answer.StatusCode != 400 {
		t.Fatalf("got %v, %v, want 400", answer, err)
	}
	_ = answer.Body.Close()
	if status, _ := g.finish(Outcome{}); status != 200 {
		t.Errorf("got %d", status)
	}
}
