package nstest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// refreshing is a NetSuite with a login of the public client, whose refresh
// token every test here loses in its own way.
func refreshing(t *testing.T) (*netsuite, string) {
	t.Helper()
	n := start(t, Config{Accounts: []Account{codeAccount()}})
	s := n.exchange(tokenURL, as("pub", codeForm(n.freshCode("pub"))))
	s.expect(t, "step two", 200, "", "")
	return n, member(t, s, "refresh_token")
}

// inject fails the test if the fault is refused.
func (n *netsuite) inject(f Fault) {
	n.t.Helper()
	if err := n.Inject(f); err != nil {
		n.t.Fatal(err)
	}
}

// try sends a refresh and returns what came of it, without failing the test.
func (n *netsuite) try(ctx context.Context, refresh string) (status int, body string, err error) {
	r, err := http.NewRequestWithContext(ctx, "POST", tokenURL, strings.NewReader(as("pub", refreshForm(refresh)).Encode()))
	if err != nil {
		n.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := n.client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

// TestLostAnswers loses the answer to a refresh after NetSuite has carried it
// out: the refresh token is used up.
func TestLostAnswers(t *testing.T) {
	for what, f := range map[string]Fault{
		"cut after ten bytes": {Kind: "cut", After: 10},
		"cut at once":         {Kind: "cut"},
		"no answer":           {Kind: "drop", CarryOut: true},
		"a page instead":      {Kind: "html", CarryOut: true},
		"an error instead":    {Kind: "status", CarryOut: true},
		"a redirect instead":  {Kind: "redirect", Location: "https://evil.example/", CarryOut: true},
		"a length too long":   {Kind: "length", ContentLength: 100_000},
		"silence":             {Kind: "hang", DelayMS: 1, CarryOut: true},
	} {
		n, refresh := refreshing(t)
		f.Path, f.Grant = tokenPath, "refresh_token"
		n.inject(f)
		status, body, err := n.try(context.Background(), refresh)
		if err == nil && json.Valid([]byte(body)) {
			t.Errorf("%s: an answer came through: %d %s", what, status, body)
		}
		last := n.Verdicts()[len(n.Verdicts())-1]
		if last.Fault != f.Kind || !last.OK || !strings.Contains(last.String(), " fault="+f.Kind) {
			t.Errorf("%s: the verdict is %s", what, last)
		}
		n.exchange(tokenURL, as("pub", refreshForm(refresh))).expect(t, what+", then again", 400, ReasonTokenBlocked, "refresh-token-used-twice")
	}
}

// TestRequestsThatNeverArrived fails without carrying the request out: the
// refresh token is still good.
func TestRequestsThatNeverArrived(t *testing.T) {
	for what, tc := range map[string]struct {
		fault  Fault
		status int
		text   string
	}{
		"no answer":      {Fault{Kind: "drop"}, 0, ""},
		"an error":       {Fault{Kind: "status", Status: 502, Body: "Bad Gateway"}, 502, "Bad Gateway"},
		"JSON":           {Fault{Kind: "status", Status: 200, Body: `{"access_token":7}`}, 200, `{"access_token":7}`},
		"a page":         {Fault{Kind: "html"}, 200, "being maintained"},
		"a redirect":     {Fault{Kind: "redirect", Location: "https://evil.example/"}, 302, ""},
		"the rate limit": {Fault{Kind: "rate", RetryAfter: 7}, 429, "CONCURRENCY_LIMIT_EXCEEDED"},
	} {
		n, refresh := refreshing(t)
		n.inject(tc.fault)
		status, body, err := n.try(context.Background(), refresh)
		if (err != nil) != (tc.status == 0) || status != tc.status || !strings.Contains(body, tc.text) {
			t.Errorf("%s: %d %s, %v", what, status, body, err)
		}
		n.exchange(tokenURL, as("pub", refreshForm(refresh))).expect(t, what+", then again", 200, "", "")
		if len(n.Faults()) != 0 {
			t.Errorf("%s: %v wait", what, n.Faults())
		}
	}
}

// TestRateAnswers is what each channel says at the limit, whoever asks.
func TestRateAnswers(t *testing.T) {
	n := start(t, Config{Accounts: []Account{threeStepAccount()}})
	n.inject(Fault{Kind: "rate", Times: -1, RetryAfter: 3})
	for to, want := range map[string]struct {
		status int
		code   string
	}{
		recordURL: {429, "CONCURRENCY_LIMIT_EXCEEDED"}, restletURL: {400, "SSS_REQUEST_LIMIT_EXCEEDED"}, tokenURL: {429, "CONCURRENCY_LIMIT_EXCEEDED"},
		certificatesURL: {429, "CONCURRENCY_LIMIT_EXCEEDED"}, stepBase + "requesttoken": {400, "SSS_REQUEST_LIMIT_EXCEEDED"},
		soapURL: {500, "WS_REQUEST_BLOCKED"}, pageURL: {429, "CONCURRENCY_LIMIT_EXCEEDED"},
	} {
		s := n.send("POST", to, "", nil)
		s.expect(t, to, want.status, ReasonConcurrency, "")
		if !strings.Contains(s.body, want.code) || s.header.Get("Retry-After") != "3" {
			t.Errorf("%s: answered %v %s", to, s.header, s.body)
		}
	}
	n.ClearFaults()
	n.do(orderFor(recordURL).fresh()).expect(t, "without the fault", 200, "", "")
}

// TestFaultOrder skips, counts, and takes the oldest that fits.
func TestFaultOrder(t *testing.T) {
	n := start(t, Config{Accounts: []Account{account1()}, Faults: []Fault{{Kind: "status", Status: 500, Path: "/services/rest/record/*", Method: "GET", Skip: 1, Times: 2}}})
	n.inject(Fault{Kind: "status", Status: 501, Path: "/services/rest/record/v1/customer/1"})
	n.inject(Fault{Kind: "status", Status: 502, Method: "POST"})
	var got []int
	for range 5 {
		got = append(got, n.do(orderFor(recordURL).fresh()).status)
	}
	if fmt.Sprint(got) != "[501 500 500 200 200]" {
		t.Errorf("answered %v", got)
	}
	if left := n.Faults(); len(left) != 1 || left[0].Status != 502 {
		t.Errorf("%v wait", left)
	}
}

// TestHang ends when the client gives up, and no sooner.
func TestHang(t *testing.T) {
	n, refresh := refreshing(t)
	n.inject(Fault{Kind: "hang"})
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, _, err := n.try(ctx, refresh); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("ended with %v", err)
	}
	n.exchange(tokenURL, as("pub", refreshForm(refresh))).expect(t, "afterwards", 200, "", "")
}

func TestDrip(t *testing.T) {
	n, refresh := refreshing(t)
	n.inject(Fault{Kind: "drip", DelayMS: 1})
	status, body, err := n.try(context.Background(), refresh)
	if err != nil || status != 200 || !json.Valid([]byte(body)) {
		t.Errorf("%d %s, %v", status, body, err)
	}
	n.inject(Fault{Kind: "drip"})
	ctx, cancel := context.WithTimeout(context.Background(), 150*time.Millisecond)
	defer cancel()
	if _, body, err := n.try(ctx, refresh); err == nil || len(body) > 3 {
		t.Errorf("%q came in 150 ms, %v", body, err)
	}
}

// TestLyingLength reads what is on the wire, where the body goes on behind the
// length that was said.
func TestLyingLength(t *testing.T) {
	s := New(Config{Accounts: []Account{account1()}, Now: clockAt(pinned).now, Faults: []Fault{{Kind: "length", ContentLength: 4}}})
	e, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Close() }()
	address := strings.TrimPrefix(e.URL, "http://")
	c, err := new(net.Dialer).DialContext(context.Background(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET /services/rest/record/v1/customer/1 HTTP/1.1\r\nHost: "+address+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	wire := bufio.NewReader(c)
	resp, err := http.ReadResponse(wire, nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil || len(body) != 4 || resp.StatusCode != 401 {
		t.Errorf("%d, %q, %v", resp.StatusCode, body, err)
	}
	if rest, err := io.ReadAll(wire); err != nil || !bytes.Contains(rest, []byte("INVALID_LOGIN")) {
		t.Errorf("behind it comes %q, %v", rest, err)
	}
}

// TestFaultsOverHTTP orders faults the way a script does.
func TestFaultsOverHTTP(t *testing.T) {
	n := start(t, Config{Accounts: []Account{account1()}})
	at := n.URL + "/nstest/fault"
	for body, want := range map[string]int{
		`{"kind":"status","status":418,"path":"/services/rest/record/v1/customer/1"}`: 200,
		`{"kind":"explode"}`: 400, `{"kind":"cut","after":-1}`: 400, `{"kind":"status","status":99}`: 400, `{"kind":"redirect"}`: 400,
		`{"kind":"redirect","location":"a\r\nb"}`: 400, `{"Kind":"cut"}`: 400, `{"kind":"cut","kind":"cut"}`: 400, `{"kind":"cut","more":1}`: 400, ``: 400,
	} {
		if s := n.send("POST", at, body, nil); s.status != want {
			t.Errorf("%s: %d %s", body, s.status, s.body)
		}
	}
	if s := n.send("GET", at, "", nil); !strings.Contains(s.body, `"status":418`) || !strings.Contains(s.body, `"nsagent.faults/v1"`) {
		t.Errorf("%s wait", s.body)
	}
	n.send("PUT", at, "", nil)
	if s := n.do(orderFor(recordURL).fresh()); s.status != 418 || s.verdict.OK || s.verdict.Fault != "status" {
		t.Errorf("the ordered one: %d, %s", s.status, s.verdict)
	}
	n.inject(Fault{Kind: "drop"})
	if s := n.send("DELETE", at, "", nil); s.status != 200 || len(n.Faults()) != 0 {
		t.Errorf("%d, %v wait", s.status, n.Faults())
	}
	for range maxFaults {
		n.inject(Fault{Kind: "drop"})
	}
	if err := n.Inject(Fault{Kind: "drop"}); !errors.Is(err, ErrFault) {
		t.Errorf("one too many: %v", err)
	}
	// The server's own paths are not befallen.
	refresh := n.URL + "/nstest/refresh"
	for body, want := range map[string]int{`{"account":"123456_SB1"}`: 200, `{"account":"9"}`: 404, `{}`: 404, `[`: 400} {
		if s := n.send("POST", refresh, body, nil); s.status != want {
			t.Errorf("refreshing %s: %d %s", body, s.status, s.body)
		}
	}
	if s := n.send("GET", refresh, "", nil); s.status != 405 {
		t.Errorf("GET: %d", s.status)
	}
	n.ClearFaults()
	n.do(orderFor(recordURL).fresh()).expect(t, "after the refresh", 401, ReasonTokenRejected, "")
	c := Config{Accounts: []Account{account1()}, Faults: []Fault{{Kind: "x"}}}
	if err := c.Check(); !errors.Is(err, ErrConfig) || !errors.Is(err, ErrFault) {
		t.Errorf("a bad fault in a configuration: %v", err)
	}
	c.Faults = make([]Fault, maxFaults+1)
	for i := range c.Faults {
		c.Faults[i].Kind = "cut"
	}
	if err := c.Check(); !errors.Is(err, ErrConfig) {
		t.Errorf("too many faults: %v", err)
	}
}
