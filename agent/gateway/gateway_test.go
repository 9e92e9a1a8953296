package gateway

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nsagent/nsagent/internal/secret"
)

// gatewayOf returns the agent's end of a gateway that runs in this process.
func gatewayOf(t *testing.T) *Conn {
	t.Helper()
	ours, theirs := net.Pipe()
	served := make(chan error, 1)
	go func() { served <- Serve(context.Background(), theirs, nil) }()
	c := NewConn(ours)
	t.Cleanup(func() {
		_ = c.Close()
		if err := <-served; err != nil && !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("Serve: %v", err)
		}
	})
	return c
}

// upstream serves h over TLS and returns its URL and CA.
func upstream(t *testing.T, h http.HandlerFunc) (url, ca string) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
}

func job(url, ca string) Job {
	return Job{Method: http.MethodPost, URL: url, CA: ca, Milliseconds: 5000, ContentType: Form, Read: ReadObject, Keep: []string{"error"}}
}

func do(t *testing.T, c *Conn, j Job) Answer {
	t.Helper()
	a, err := c.Do(t.Context(), j, Payload{Body: Plain("x=1")})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// What is kept and sealed of an answer comes back, and nothing else of it.
func TestAnswerIsTakenApart(t *testing.T) {
	const token = "eyJ.an access token"
	url, ca := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.ProtoMajor != 2 || r.Method != http.MethodPost || string(body) != "x=1" || r.Header.Get("Accept") != "application/json" || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
			t.Errorf("request: HTTP/%d, %v, body %q", r.ProtoMajor, r.Header, body)
		}
		w.Header().Set("Date", "Sun, 29 Nov 2026 05:00:00 GMT")
		_, _ = fmt.Fprintf(w, `{"access_token":%q,"expires_in":3600,"token_type":"bearer","id_token":"other","nested":{"a":1}}`, token)
	})
	arena, err := secret.NewArena(secret.ArenaConfig{Mode: secret.ModeAuto, Size: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = arena.Close() }()
	receiver, err := arena.NewReceiver()
	if err != nil {
		t.Fatal(err)
	}
	j := job(url+"/token", ca)
	j.Keep = []string{"expires_in", "error", "nested"}
	j.Seal = []Sealing{{Member: "access_token", Key: receiver.PublicKey(), Instance: []byte("i"), Profile: "p"}, {Member: "refresh_token", Key: receiver.PublicKey()}}
	a := do(t, gatewayOf(t), j)
	if a.Failure != "" || a.Status != 200 || !a.Verified || !a.Readable || a.Date != 1795928400 || len(a.Kept) != 1 || a.Kept["expires_in"] != "3600" || len(a.Sealed) != 1 {
		t.Fatalf("got %+v", a)
	}
	if text, err := encode(a); err != nil || bytes.Contains(text, []byte("eyJ")) || bytes.Contains(text, []byte("other")) {
		t.Errorf("the answer holds a token: %s, %v", text, err)
	}
	got, err := receiver.Open(a.Sealed["access_token"], secret.SealContext{Instance: []byte("i"), Method: SealMethod, Profile: "p", Field: "access_token"})
	if err != nil {
		t.Fatal(err)
	}
	defer got.Destroy()
	if err := got.Use(func(p []byte) error {
		if string(p) != token {
			t.Errorf("opened %q", p)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// Bodies that are no object are told as such, and stay behind.
func TestBodiesThatAreNotRead(t *testing.T) {
	tests := map[string]struct {
		body string
		want map[string]string // nil: not readable
	}{
		"a page":           {"<html>proxy</html>", nil},
		"a list":           {`["error"]`, nil},
		"nothing":          {"", nil},
		"a key twice":      {`{"error":"a","error":"b"}`, nil},
		"more after it":    {`{"error":"a"} x`, nil},
		"null":             {"null", nil},
		"number and truth": {`{"error":12,"state":true}`, map[string]string{"error": "12", "state": "true"}},
		"an object inside": {`{"error":{"a":1},"state":"s"}`, map[string]string{"state": "s"}},
		"escapes":          {`{"error":"aé\n"}`, map[string]string{"error": "aé\n"}},
		"a long one":       {`{"error":"` + strings.Repeat("a", maxKept+1) + `","state":"s"}`, map[string]string{"state": "s"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var a Answer
			if err := a.take(Job{Keep: []string{"error", "state"}}, []byte(test.body)); err != nil {
				t.Fatal(err)
			}
			if a.Readable != (test.want != nil) || fmt.Sprint(a.Kept) != fmt.Sprint(test.want) {
				t.Errorf("got %t, %v; want %v", a.Readable, a.Kept, test.want)
			}
		})
	}
}

// Redirects lead nowhere, also where the answer has a credential to lead away.
// TestStreamIsReset: over HTTP/2 an answer ends early by a reset of its stream, with the
// connection whole.
func TestStreamIsReset(t *testing.T) {
	url, ca := upstream(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, `{"error":"he`)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	if a := do(t, gatewayOf(t), job(url, ca)); a.Failure != FailedCut || len(a.Kept) != 0 {
		t.Errorf("got %+v", a)
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	var asked atomic.Int32
	other, _ := upstream(t, func(http.ResponseWriter, *http.Request) { asked.Add(1) })
	url, ca := upstream(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other, http.StatusTemporaryRedirect) })
	if a := do(t, gatewayOf(t), job(url, ca)); a.Status != http.StatusTemporaryRedirect || asked.Load() != 0 {
		t.Errorf("got %+v, and the other server was asked %d times", a, asked.Load())
	}
}

// A proxy in the environment has no say.
func TestNoProxyOfTheEnvironment(t *testing.T) {
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "ALL_PROXY"} {
		t.Setenv(name, "http://127.0.0.1:1")
	}
	url, ca := upstream(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"error":"here"}`) })
	if a := do(t, gatewayOf(t), job(url, ca)); a.Kept["error"] != "here" {
		t.Errorf("got %+v", a)
	}
}

// What is wrong with a server, or with the way to it, is told by a word of a list.
func TestFailures(t *testing.T) {
	good, ca := upstream(t, func(http.ResponseWriter, *http.Request) {})
	old := httptest.NewUnstartedServer(http.NotFoundHandler())
	old.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
	old.Config.ErrorLog = nil
	old.StartTLS()
	t.Cleanup(old.Close)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	plainTCP := raw(t, "this is no TLS at all, and quite long enough to be taken for a record\n")

	tests := map[string]struct {
		url, ca string
		want    Failure
	}{
		"unknown authority":       {good, "", FailedUnknownCA},
		"another name":            {strings.Replace(good, "127.0.0.1", "localhost", 1), ca, FailedHost},
		"TLS 1.1":                 {old.URL, ca, FailedTLS},
		"no TLS":                  {"https://" + plainTCP, ca, FailedTLS},
		"nobody there":            {"https://" + closed.Addr().String(), ca, FailedConnect},
		"no such name":            {"https://no-such-host.invalid", ca, FailedName},
		"http to another machine": {"http://192.0.2.1/", "", FailedJob},
		"http by name":            {"http://localhost/", "", FailedJob},
		"another scheme":          {"ftp://127.0.0.1/", "", FailedJob},
		"a user name":             {strings.Replace(good, "https://", "https://u:p@", 1), ca, FailedJob},
		"a CA that is none":       {good, "-----BEGIN CERTIFICATE-----\n", FailedJob},
	}
	c := gatewayOf(t)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if a := do(t, c, job(test.url, test.ca)); a.Failure != test.want || a.Status != 0 {
				t.Errorf("got %+v, want %q", a, test.want)
			}
		})
	}
}

// raw answers each connection with text, after it has read something.
func raw(t *testing.T, text string) (addr string) {
	t.Helper()
	return serve(t, func(conn net.Conn) {
		_, _ = conn.Read(make([]byte, 4096))
		_, _ = io.WriteString(conn, text)
	})
}

// serve hands each connection to handle, and closes it afterwards.
func serve(t *testing.T, handle func(net.Conn)) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
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
				defer func() { _ = conn.Close() }()
				handle(conn)
			}()
		}
	}()
	return l.Addr().String()
}

// An upstream that hangs, drips, lies, floods or breaks off costs its job, within its
// time, and nobody else's.
func TestHostileUpstream(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	whole := head + "Content-Length: 16\r\n\r\n" + `{"error":"none"}`
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	hanging, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = hanging.Close() })
	go func() {
		for {
			conn, err := hanging.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				_, _ = conn.Read(make([]byte, 4096)) // an answer before the request is none
				_, _ = io.WriteString(conn, head)
				<-hang
			}()
		}
	}()
	tests := map[string]struct {
		addr string
		want Failure
	}{
		"hangs after the headers":         {hanging.Addr().String(), FailedTime},
		"promises more than it sends":     {raw(t, head+"Content-Length: 100\r\n\r\n{}"), FailedCut},
		"sends a megabyte too much":       {raw(t, head+"\r\n"+strings.Repeat("a", MaxAnswer+1)), FailedSize},
		"sends headers without an end":    {raw(t, head+"X: "+strings.Repeat("a", maxHeaders+4096)), FailedAnswer},
		"speaks no HTTP":                  {raw(t, "220 smtp.example.com\r\n"), FailedAnswer},
		"says nothing":                    {raw(t, ""), FailedCut},
		"two lengths that differ":         {raw(t, head+"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"), FailedAnswer},
		"compressed, though not asked to": {raw(t, head+"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}"), FailedNothing},
	}
	c := gatewayOf(t)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := job("http://"+test.addr, "")
			j.Milliseconds = 1500
			if a := do(t, c, j); a.Failure != test.want || a.Verified {
				t.Errorf("got %+v, want %q", a, test.want)
			}
		})
	}
	t.Run("cut at each byte", func(t *testing.T) {
		t.Parallel()
		for n := range len(whole) {
			j := job("http://"+raw(t, whole[:n]), "")
			if a := do(t, c, j); a.Failure != FailedCut && a.Failure != FailedAnswer || len(a.Kept) != 0 {
				t.Errorf("cut after %d bytes: got %+v", n, a)
			}
		}
		j := job("http://"+raw(t, whole), "")
		if a := do(t, c, j); a.Kept["error"] != "none" {
			t.Errorf("whole: got %+v", a)
		}
	})
}

// One job that waits does not keep another from being done, and a caller who leaves
// gets his answer dropped.
func TestJobsRunSideBySide(t *testing.T) {
	release := make(chan struct{})
	url, ca := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-release
		}
		_, _ = fmt.Fprintf(w, `{"error":%q}`, r.URL.Path)
	})
	c := gatewayOf(t)
	ctx, cancel := context.WithCancel(t.Context())
	slow := make(chan error, 1)
	go func() {
		_, err := c.Do(ctx, job(url+"/slow", ca), Payload{})
		slow <- err
	}()
	if a := do(t, c, job(url+"/quick", ca)); a.Kept["error"] != "/quick" {
		t.Errorf("got %+v", a)
	}
	cancel()
	if err := <-slow; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	close(release)
	if a := do(t, c, job(url+"/after", ca)); a.Kept["error"] != "/after" {
		t.Errorf("got %+v", a)
	}
}

// A gateway that ends, or that was taken over and writes what nobody asked for, is an
// error for those who wait.
func TestGatewayThatFails(t *testing.T) {
	answers := map[string][]byte{
		"ends":             {},
		"writes nonsense":  []byte("nonsense, and more of it"),
		"a length of 4 GB": {0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff},
		"unknown member":   append([]byte{0, 0, 0, 1, 0, 0, 0, 9}, []byte(`{"sen":1}`)...),
	}
	for name, text := range answers {
		t.Run(name, func(t *testing.T) {
			ours, theirs := net.Pipe()
			c := NewConn(ours)
			defer func() { _ = c.Close() }()
			go func() {
				_, _ = readRequest(theirs)
				_, _ = theirs.Write(text)
				if len(text) == 0 {
					_ = theirs.Close()
				}
			}()
			if _, err := c.Do(t.Context(), job("https://127.0.0.1", ""), Payload{}); !errors.Is(err, ErrGone) {
				t.Errorf("got %v, want %v", err, ErrGone)
			}
			<-c.Done()
			if _, err := c.Do(t.Context(), job("https://127.0.0.1", ""), Payload{}); !errors.Is(err, ErrGone) {
				t.Errorf("afterwards: got %v, want %v", err, ErrGone)
			}
		})
	}
}

// A malformed job is refused before anything is written.
func TestMalformedJobs(t *testing.T) {
	c := gatewayOf(t)
	for name, change := range map[string]func(*Job){
		"no time":   func(j *Job) { j.Milliseconds = 0 },
		"too long":  func(j *Job) { j.Milliseconds = MaxTime.Milliseconds() + 1 },
		"too large": func(j *Job) { j.CA = strings.Repeat("a", maxJob) },
		"a method":  func(j *Job) { j.Method = http.MethodDelete },
		"no reader": func(j *Job) { j.Read = "" },
		"a sealed list": func(j *Job) {
			j.Read, j.Seal = ReadList, []Sealing{{Member: "token"}}
		},
	} {
		j := job("https://127.0.0.1", "")
		change(&j)
		if _, err := c.Do(t.Context(), j, Payload{}); !errors.Is(err, errJob) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := c.Do(t.Context(), job("https://127.0.0.1", ""), Payload{Body: make(Plain, maxBody+1)}); !errors.Is(err, errJob) {
		t.Errorf("body: got %v", err)
	}
}

// The gateway stops when the agent closes the connection, also in the middle of a job.
func TestGatewayEndsWithItsAgent(t *testing.T) {
	asked, hang := make(chan struct{}), make(chan struct{})
	url, ca := upstream(t, func(http.ResponseWriter, *http.Request) { close(asked); <-hang })
	defer close(hang)
	ours, theirs := net.Pipe()
	served := make(chan error, 1)
	go func() { served <- Serve(t.Context(), theirs, nil) }()
	c := NewConn(ours)
	go func() { _, _ = c.Do(t.Context(), job(url, ca), Payload{}) }()
	<-asked
	_ = c.Close()
	select {
	case <-served:
	case <-time.After(10 * time.Second):
		t.Error("the gateway lives on")
	}
}
