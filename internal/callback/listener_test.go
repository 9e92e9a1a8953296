package callback

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

const testState = "ykv2XLx1BpT5Q0F3MRPHb94j"

// login is a Listener that waits for a callback, and a browser that follows no
// redirect and believes any certificate.
type login struct {
	*Listener
	t    *testing.T
	web  *http.Client
	got  chan *Callback
	mu   sync.Mutex // guards said
	said []Refusal
}

func newLogin(t *testing.T, c Config) *login {
	t.Helper()
	g := &login{t: t, got: make(chan *Callback, 1)}
	if c.RedirectURI == "" {
		c.RedirectURI = "http://localhost:0/callback"
	}
	c.Refused = func(r Refusal) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.said = append(g.said, r)
	}
	var err error
	if g.Listener, err = Listen(c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	g.web = &http.Client{
		// #nosec G402 -- as a person does who clicks through the warning
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	t.Cleanup(g.web.CloseIdleConnections)
	return g
}

// wait waits in the background.
func (g *login) wait() *login {
	g.Expect(testState)
	go func() {
		c, err := g.Wait(g.t.Context())
		if err == nil {
			g.got <- c
		}
	}()
	return g
}

// refusals returns what was refused since the last call.
func (g *login) refusals() []Refusal {
	g.mu.Lock()
	defer g.mu.Unlock()
	said := g.said
	g.said = nil
	return said
}

// get makes a request and returns its status and body.
func (g *login) get(path string, with func(*http.Request)) (int, string) {
	g.t.Helper()
	origin, _, _ := strings.Cut(g.RedirectURI(), "/callback")
	r, err := http.NewRequestWithContext(g.t.Context(), http.MethodGet, origin+path, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	if with != nil {
		with(r)
	}
	answer, err := g.web.Do(r)
	if err != nil {
		g.t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

// finish makes the callback, has the outcome shown, and returns the page.
func (g *login) finish(o Outcome) (int, string) {
	g.t.Helper()
	go func() {
		c := <-g.got
		if secret, fault := c.Answer.Secret(Code); string(secret) != "the-code" || fault != "" {
			g.t.Errorf("got the code %q, %q", secret, fault)
		}
		c.Show(o)
	}()
	return g.get("/callback?code=the-code&state="+testState, nil)
}

func TestCallback(t *testing.T) {
	for _, uri := range []string{"http://localhost:0/callback", "https://localhost:0/callback", "https://127.0.0.1:0/callback", "https://[::1]:0/callback"} {
		g := newLogin(t, Config{RedirectURI: uri}).wait()
		status, page := g.finish(Outcome{Result: Allowed, Profile: "acme", Account: "1234567_SB1"})
		if status != 200 || !strings.Contains(page, "You are logged in") || !strings.Contains(page, "1234567_SB1") {
			t.Errorf("%s: got %d and %s", uri, status, page)
		}
		if strings.Contains(page, "the-code") || strings.Contains(page, testState) {
			t.Errorf("%s: the page repeats the code or the state", uri)
		}
	}
}

// TestHostileRequests: what is not the callback gets a page that says so, the login
// goes on waiting, and the true callback still comes through.
func TestHostileRequests(t *testing.T) {
	g := newLogin(t, Config{}).wait()
	good := "/callback?code=the-code&state=" + testState
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	method := func(m string) func(*http.Request) { return func(r *http.Request) { r.Method = m } }
	for _, c := range []struct {
		name, path string
		with       func(*http.Request)
		status     int
		want       Refusal
	}{
		{"the root", "/", nil, 404, WrongPath},
		{"a favicon", "/favicon.ico", nil, 404, WrongPath},
		{"a longer path", "/callback/?code=c&state=" + testState, nil, 404, WrongPath},
		{"a path with dots", "/x/../callback?code=c&state=" + testState, nil, 404, WrongPath},
		{"an encoded path", "/%63allback?code=c&state=" + testState, nil, 404, WrongPath},
		{"a rebound name", good, func(r *http.Request) { r.Host = "evil.example:80" }, 421, WrongHost},
		{"another port", good, func(r *http.Request) { r.Host = "localhost:1" }, 421, WrongHost},
		{"the address in place of the name", good, func(r *http.Request) { r.Host = strings.Replace(r.URL.Host, "localhost", "127.0.0.1", 1) }, 421, WrongHost},
		{"no state", "/callback?code=the-code", nil, 403, WrongState},
		{"an empty state", "/callback?code=the-code&state=", nil, 403, WrongState},
		{"a wrong state", "/callback?code=the-code&state=" + testState[:23] + "x", nil, 403, WrongState},
		{"half a state", "/callback?code=the-code&state=" + testState[:12], nil, 403, WrongState},
		{"an error without the state", "/callback?error=access_denied", nil, 403, WrongState},
		{"two states", good + "&state=x", nil, 400, Malformed},
		{"broken encoding", good + "&role=%f", nil, 400, Malformed},
		{"a huge value", good + "&role=" + strings.Repeat("9", 1000), nil, 400, Malformed},
		{"a form", good, method("POST"), 405, WrongMethod},
		{"a HEAD", good, method("HEAD"), 405, WrongMethod},
		{"an OPTIONS", good, method("OPTIONS"), 405, WrongMethod},
		{"a body", good, func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader("x")), 1 }, 405, WrongMethod},
		{"a fetch by a page", good, header("Sec-Fetch-Mode", "cors"), 403, NoVisit},
		{"a frame", good, header("Sec-Fetch-Dest", "iframe"), 403, NoVisit},
		{"a picture", good, header("Sec-Fetch-Dest", "image"), 403, NoVisit},
		{"a prefetch", good, header("Sec-Purpose", "prefetch"), 403, NoVisit},
		{"two destinations", good, func(r *http.Request) { r.Header["Sec-Fetch-Dest"] = []string{"document", "image"} }, 403, NoVisit},
	} {
		status, page := g.get(c.path, c.with)
		if said := g.refusals(); status != c.status || len(said) != 1 || said[0] != c.want {
			t.Errorf("%s: got %d, %v, want %d, %s", c.name, status, said, c.status, c.want)
		}
		if strings.Contains(page, "the-code") || strings.Contains(page, testState) {
			t.Errorf("%s: the page repeats what came", c.name)
		}
		select {
		case <-g.got:
			t.Fatalf("%s was taken for the callback", c.name)
		default:
		}
	}
	if status, page := g.finish(Outcome{}); status != 200 {
		t.Errorf("the true callback got %d and %s", status, page)
	}
}

// TestBeforeTheLogin: no state is the right one before there is one.
func TestBeforeTheLogin(t *testing.T) {
	g := newLogin(t, Config{})
	for _, state := range []string{"", "&state=", "&state=x"} {
		if status, _ := g.get("/callback?code=c"+state, nil); status != 403 {
			t.Errorf("%q: got %d, want 403", state, status)
		}
	}
}

// TestSecondCallback: one answer is taken, also while its page waits.
func TestSecondCallback(t *testing.T) {
	g := newLogin(t, Config{}).wait()
	first := make(chan int)
	go func() {
		status, _ := g.get("/callback?code=the-code&state="+testState, nil)
		first <- status
	}()
	c := <-g.got
	if status, page := g.get("/callback?code=another&state="+testState, nil); status != 410 || !strings.Contains(page, "answered already") {
		t.Errorf("got %d and %s, want 410", status, page)
	}
	if secret, _ := c.Answer.Secret(Code); string(secret) != "the-code" {
		t.Errorf("got the code %q", secret)
	}
	c.Show(Outcome{Result: Denied})
	c.Show(Outcome{Result: Allowed})
	if status := <-first; status != 200 {
		t.Errorf("the first got %d", status)
	}
}

// TestManyCallbacksAtOnce: exactly one wins.
func TestManyCallbacksAtOnce(t *testing.T) {
	g := newLogin(t, Config{}).wait()
	go func() { (<-g.got).Show(Outcome{}) }()
	const n = 24
	statuses := make(chan int, n)
	for range n {
		go func() {
			status, _ := g.get("/callback?code=the-code&state="+testState, nil)
			statuses <- status
		}()
	}
	count := map[int]int{}
	for range n {
		count[<-statuses]++
	}
	if count[200] != 1 || count[410] != n-1 {
		t.Errorf("got %v, want one 200 and %d times 410", count, n-1)
	}
}

// TestPageWaitsForTheOutcome: closing sends the page that was decided on, and else one
// that says that the login was not finished.
func TestPageWaitsForTheOutcome(t *testing.T) {
	for _, c := range []struct {
		end    func(*login, *Callback)
		config Config
		status int
		want   string
	}{
		{func(g *login, c *Callback) { c.Show(Outcome{Result: Failed, Why: "NetSuite refused"}); _ = g.Close() }, Config{}, 502, "NetSuite refused."},
		{func(g *login, _ *Callback) { _ = g.Close() }, Config{}, 503, "not finished"},
		{func(*login, *Callback) {}, Config{answer: time.Millisecond}, 503, "not finished"},
	} {
		g := newLogin(t, c.config).wait()
		go func() { c.end(g, <-g.got) }()
		if status, page := g.get("/callback?code=the-code&state="+testState, nil); status != c.status || !strings.Contains(page, c.want) {
			t.Errorf("got %d and %s, want %d with %q", status, page, c.status, c.want)
		}
	}
}

// TestBrowserGoesAway: whoever closes the window before the page has come does not stop
// the login.
func TestBrowserGoesAway(t *testing.T) {
	g := newLogin(t, Config{}).wait()
	ctx, cancel := context.WithCancel(t.Context())
	r, _ := http.NewRequestWithContext(ctx, http.MethodGet, g.RedirectURI()+"?code=the-code&state="+testState, nil)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		if answer, err := g.web.Do(r); err == nil {
			t.Errorf("got %s", answer.Status)
		}
	}()
	c := <-g.got
	cancel()
	<-gone
	c.Show(Outcome{})
	if secret, _ := c.Answer.Secret(Code); string(secret) != "the-code" {
		t.Errorf("got the code %q", secret)
	}
}

func TestWaitEnds(t *testing.T) {
	g := newLogin(t, Config{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if c, err := g.Wait(ctx); c != nil || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, %v", c, err)
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
	if c, err := g.Wait(t.Context()); c != nil || !errors.Is(err, ErrClosed) {
		t.Errorf("got %v, %v, want ErrClosed", c, err)
	}
}

// TestSlowAndHugeRequests: whoever sends slowly, too much or no HTTP at all is cut off,
// however many there are, and the callback comes through meanwhile.
func TestSlowAndHugeRequests(t *testing.T) {
	g := newLogin(t, Config{read: 2 * time.Second}).wait()
	address := strings.TrimSuffix(strings.TrimPrefix(g.RedirectURI(), "http://"), "/callback")
	dial := func() net.Conn {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	head := "GET /callback?code=c&state=" + testState + " HTTP/1.1\r\nHost: " + address + "\r\n"
	for name, text := range map[string]string{
		"nothing":       "",
		"half a line":   "GET /callb",
		"no end":        head + "X: y\r\n",
		"a slow body":   head + "Content-Length: 5\r\n\r\nx",
		"a huge head":   head + strings.Repeat("X: "+strings.Repeat("y", 1000)+"\r\n", 200) + "\r\n",
		"a huge query":  "GET /callback?x=" + strings.Repeat("y", 200_000) + " HTTP/1.1\r\n\r\n",
		"not HTTP":      "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
		"two hosts":     head + "Host: " + address + "\r\n\r\n",
		"no host":       "GET /callback?code=c&state=" + testState + " HTTP/1.1\r\n\r\n",
		"another proxy": "GET http://evil.example/callback?code=c&state=" + testState + " HTTP/1.1\r\nHost: " + address + "\r\n\r\n",
	} {
		c := dial()
		go func() { _, _ = io.WriteString(c, text) }() // it may be cut off in the middle
		_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
		answer, err := io.ReadAll(c)
		var late net.Error
		if errors.As(err, &late) && late.Timeout() || strings.Contains(string(answer), "200 OK") {
			t.Errorf("%s: got %.100q, %v", name, answer, err)
		}
	}
	for range 4 * maxConns { // they sit there while the browser comes
		_, _ = io.WriteString(dial(), "GET ")
	}
	if status, _ := g.finish(Outcome{}); status != 200 {
		t.Errorf("the true callback got %d", status)
	}
}

// TestCallbackIsKeptInACrowd: a page that waits is not thrown out for new connections.
func TestCallbackIsKeptInACrowd(t *testing.T) {
	g := newLogin(t, Config{}).wait()
	status := make(chan int)
	go func() {
		s, _ := g.get("/callback?code=the-code&state="+testState, nil)
		status <- s
	}()
	c := <-g.got
	for range 2 * maxConns {
		g.web.CloseIdleConnections()
		if s, _ := g.get("/", nil); s != 404 {
			t.Fatalf("got %d", s)
		}
	}
	address := strings.TrimSuffix(strings.TrimPrefix(g.RedirectURI(), "http://"), "/callback")
	for range 2 * maxConns {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	if s, _ := g.get("/", nil); s != 404 { // behind all of them in the queue
		t.Errorf("got %d", s)
	}
	c.Show(Outcome{})
	if s := <-status; s != 200 {
		t.Errorf("the callback got %d", s)
	}
}
