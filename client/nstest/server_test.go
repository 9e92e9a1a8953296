package nstest

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestConcurrency(t *testing.T) {
	a := account1()
	a.Concurrency = 2
	n := start(t, Config{Accounts: []Account{a}})
	busy := n.Server.accounts[0]
	for range 2 {
		if !busy.enter() {
			t.Fatal("a place is not free")
		}
	}
	o := orderFor(recordURL).fresh()
	s := n.do(o)
	s.expect(t, "REST", 429, ReasonConcurrency, "")
	got := decode(t, s.body)
	if got["title"] != "Bad Request" || got["o:errorCode"] != "USER_ERROR" || !strings.Contains(s.body, "CONCURRENCY_LIMIT_EXCEEDED") {
		t.Errorf("REST answers %s", s.body)
	}
	s = n.send("GET", restletURL, "", http.Header{"Authorization": orderFor(restletURL).fresh().header()["Authorization"], "Content-Type": {"application/json"}})
	s.expect(t, "RESTlet", 400, ReasonConcurrency, "")
	if !strings.Contains(s.body, `"code":"SSS_REQUEST_LIMIT_EXCEEDED"`) {
		t.Errorf("a RESTlet answers %s", s.body)
	}
	s = n.send("POST", soapURL, freshPassport().envelope(serverTime), soapHeader())
	s.expect(t, "SOAP", 500, ReasonConcurrency, "")
	if !strings.Contains(s.body, "exceededConcurrentRequestLimitFault") || !strings.Contains(s.body, "WS_REQUEST_BLOCKED") {
		t.Errorf("SOAP answers %s", s.body)
	}
	busy.leave()
	// The header that was blocked is used up: a retry has to sign anew.
	n.do(o).expect(t, "the blocked header again", 401, ReasonNonceUsed, "header-sent-twice")
	n.do(orderFor(recordURL).fresh()).expect(t, "signed anew", 200, "", "")
	busy.leave()
	if busy.running != 0 {
		t.Errorf("%d requests still count as running", busy.running)
	}
}

// TestManyAtOnce sends requests in parallel: each nonce is good once.
func TestManyAtOnce(t *testing.T) {
	a := account1()
	a.DelayMS = 1
	n := start(t, Config{Accounts: []Account{a}, KeepVerdicts: 50})
	var good, used int
	var mu sync.Mutex
	var group sync.WaitGroup
	for range 20 {
		o := orderFor(recordURL).fresh()
		for range 4 {
			group.Go(func() {
				r, err := http.NewRequest("GET", o.url, nil)
				if err != nil {
					t.Error(err)
					return
				}
				r.Header = o.header()
				resp, err := n.client.Do(r)
				if err != nil {
					t.Error(err)
					return
				}
				_ = resp.Body.Close()
				mu.Lock()
				defer mu.Unlock()
				switch resp.StatusCode {
				case 200:
					good++
				case 401:
					used++
				}
			})
		}
	}
	group.Wait()
	if good != 20 || used != 60 {
		t.Errorf("%d accepted and %d refused, want 20 and 60", good, used)
	}
	kept := n.Verdicts()
	if len(kept) != 50 || kept[0].Seq != 31 || kept[49].Seq != 80 {
		t.Errorf("%d verdicts are kept, %d to %d", len(kept), kept[0].Seq, kept[len(kept)-1].Seq)
	}
}

func TestBodyLimit(t *testing.T) {
	n := start(t, Config{Accounts: []Account{account1()}, MaxBody: 1000})
	o := orderFor(restletURL).fresh()
	o.method, o.body, o.contentType = "POST", strings.Repeat("x", 1001), "text/plain"
	n.do(o).expect(t, "too long", 413, ReasonTooLarge, "")
	o.body = o.body[:1000]
	n.do(o).expect(t, "just right", 200, "", "")
}

func TestMemoryIsBounded(t *testing.T) {
	m := newMemory(3)
	at := time.Unix(pinned, 0)
	for i, want := range []remembered{isNew, isUsed, isNew, isNew, isFull, isUsed} {
		key := []string{"a", "a", "b", "c", "d", "a"}[i]
		if got := m.use(at, at.Add(time.Minute), key); got != want {
			t.Errorf("use %d of %s: %d, want %d", i, key, got, want)
		}
	}
	if got := m.use(at.Add(61*time.Second), at.Add(2*time.Minute), "d"); got != isNew || m.size() != 1 {
		t.Errorf("after a minute: %d, %d kept", got, m.size())
	}
	if m.use(at, at, "x", "y") == isUsed || m.use(at, at, "xy") == isUsed {
		t.Error("parts run together")
	}

	n := start(t, Config{Accounts: []Account{account1()}, MaxNonces: 1})
	n.do(orderFor(recordURL).fresh()).expect(t, "first", 200, "", "")
	n.do(orderFor(recordURL).fresh()).expect(t, "full", 503, ReasonBusy, "")
	n.clock.seconds.Add(301)
	o := orderFor(recordURL).fresh()
	o.timestamp += 301
	n.do(o).expect(t, "five minutes later", 200, "", "")
}

func TestListenIsLoopbackOnly(t *testing.T) {
	s := New(Config{Accounts: []Account{account1()}})
	for _, addr := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:0", "example.com:0", "", "127.0.0.1"} {
		for what, listen := range map[string]func(string) (*Endpoint, error){"http": s.Listen, "https": s.ListenTLS} {
			if e, err := listen(addr); err == nil {
				_ = e.Close()
				t.Errorf("listens on %q over %s", addr, what)
			} else if strings.Contains(addr, ":0") && !errors.Is(err, ErrNotLoopback) {
				t.Errorf("%q over %s: %v", addr, what, err)
			}
		}
	}
	remote := New(Config{Accounts: []Account{account1()}, AllowRemote: true})
	e, err := remote.Listen("0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if err := e.Close(); err != nil {
		t.Errorf("closed again: %v", err)
	}
}

func TestPlainHTTP(t *testing.T) {
	s := New(Config{Accounts: []Account{account1()}, Now: clockAt(pinned).now})
	e, err := s.Listen("localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Close() }()
	n := &netsuite{Server: s, Endpoint: e, client: &http.Client{Transport: &http.Transport{}}, t: t}
	defer n.client.CloseIdleConnections()
	if !strings.HasPrefix(e.URL, "http://") || e.CAPEM != nil {
		t.Errorf("%s with CA %q", e.URL, e.CAPEM)
	}
	n.do(orderFor(e.URL+"/services/rest/record/v1/customer/1").fresh()).expect(t, "on the endpoint", 200, "", "")
	// A NetSuite host counts as https even here: something else took the TLS off.
	o := orderFor(recordURL).fresh()
	r, err := http.NewRequest("GET", strings.Replace(recordURL, "https://123456-sb1.suitetalk.api.netsuite.com", e.URL, 1), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host, r.Header = "123456-sb1.suitetalk.api.netsuite.com", o.header()
	resp, err := n.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Errorf("status %d: %s", resp.StatusCode, s.Verdicts()[1])
	}
}

// TestThrowAwayAuthority wants an authority that is good for NetSuite's names
// and this machine, and for nothing else.
func TestThrowAwayAuthority(t *testing.T) {
	certificate, caPEM, err := throwAway(net.ParseIP("127.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(certificate.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(caPEM)
	for name, good := range map[string]bool{
		"localhost": true, "127.0.0.1": true, "::1": true, "1234567-sb1.suitetalk.api.netsuite.com": true, "1.app.netsuite.com": true,
		"example.com": false, "192.0.2.1": false, "netsuite.com": false,
	} {
		if _, err := leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: pool}); (err == nil) != good {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, other, err := throwAway(nil)
	if err != nil || bytes.Equal(other, caPEM) {
		t.Errorf("a second authority is the same: %v", err)
	}
}

// TestRawRequests sends what no HTTP library would.
func TestRawRequests(t *testing.T) {
	s := New(Config{Accounts: []Account{account1()}, Now: clockAt(pinned).now})
	e, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Close() }()
	_, address, _ := strings.Cut(e.URL, "://")
	raw := func(text string) string {
		c, err := new(net.Dialer).DialContext(context.Background(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(c)
		if err != nil {
			t.Fatal(err)
		}
		first, _, _ := strings.Cut(string(answer), "\r\n")
		return first
	}
	o := orderFor("http://" + address + "/services/rest/record/v1/customer/1").fresh()
	header := "Authorization: " + o.authorization(o.signature()) + "\r\nConnection: close\r\n\r\n"
	if got := raw("GET " + o.url + " HTTP/1.1\r\nHost: " + address + "\r\n" + header); !strings.Contains(got, " 200 ") {
		t.Errorf("the absolute form: %s; %s", got, s.Verdicts())
	}
	for _, line := range []string{"GET /services/rest/record/v1/customer/1#x HTTP/1.1", "OPTIONS * HTTP/1.1", "GET /\x80\xff HTTP/1.1", "GET // HTTP/1.1"} {
		if got := raw(line + "\r\nHost: " + address + "\r\n" + header); !strings.Contains(got, " 40") {
			t.Errorf("%q: %s", line, got)
		}
	}
	for _, host := range []string{"a b", "x/y", "", "[::1", "\x80"} {
		if got := raw("GET / HTTP/1.1\r\nHost: " + host + "\r\n" + header); !strings.Contains(got, " 40") {
			t.Errorf("Host %q: %s", host, got)
		}
	}
}

func TestVerdictIsOneLine(t *testing.T) {
	v := Verdict{Method: "GET\n", URL: "http://x/\x1b[31m\nß", Explanation: "a\r\nb", Channel: ChannelREST, Status: 401, Mistake: "m", Detail: "d", Account: "A"}
	line := v.String()
	if strings.Trim(line, unreserved+` []:/\=`) != "" || !strings.Contains(line, "[m]") {
		t.Errorf("%q", line)
	}
	if got := (Verdict{OK: true}).String(); !strings.HasPrefix(got, "accepted") {
		t.Errorf("%q", got)
	}
}

// lateWriter looks for the verdict when the answer begins.
type lateWriter struct {
	http.ResponseWriter
	server *Server
	kept   int
}

func (w *lateWriter) WriteHeader(status int) {
	w.kept = len(w.server.Verdicts())
	w.ResponseWriter.WriteHeader(status)
}

func TestVerdictComesBeforeTheAnswer(t *testing.T) {
	s := New(Config{Accounts: []Account{account1()}, Now: clockAt(pinned).now})
	o := orderFor(recordURL).fresh()
	r := httptest.NewRequest(o.method, o.url, nil)
	r.Header = o.header()
	w := &lateWriter{ResponseWriter: httptest.NewRecorder(), server: s}
	if s.ServeHTTP(w, r); w.kept != 1 || !s.Verdicts()[0].OK {
		t.Errorf("%d verdicts were kept when the answer began; %s", w.kept, s.Verdicts())
	}
}

func TestNoSecretInAnswersOrVerdicts(t *testing.T) {
	var logged strings.Builder
	var mu sync.Mutex
	n := start(t, Config{Accounts: []Account{account1()}, Log: func(v Verdict) {
		mu.Lock()
		defer mu.Unlock()
		logged.WriteString(v.String() + v.BaseString + "\n")
	}})
	var all strings.Builder
	for _, o := range []order{orderFor(recordURL).fresh(), orderFor(restletURL).fresh(), orderFor(recordURL)} {
		all.WriteString(n.do(o).body)
		o.csecret += "x"
		all.WriteString(n.do(o.fresh()).body)
	}
	mu.Lock()
	all.WriteString(logged.String())
	mu.Unlock()
	if strings.Count(all.String(), "accepted") != 3 {
		t.Errorf("logged %s", all.String())
	}
	for _, secret := range []string{secretA, tsecA} {
		if strings.Contains(all.String(), secret[:16]) {
			t.Error("a secret came out")
		}
	}
}

func TestTLSVersion(t *testing.T) {
	n := start(t, Config{Accounts: []Account{account1()}})
	_, address, _ := strings.Cut(n.URL, "://")
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(n.CAPEM)
	d := tls.Dialer{Config: &tls.Config{RootCAs: pool, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}} // #nosec G402 -- to see it refused
	if c, err := d.DialContext(context.Background(), "tcp", address); err == nil {
		_ = c.Close()
		t.Error("TLS 1.1 was accepted")
	}
}
