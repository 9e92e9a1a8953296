package agent

import (
	"crypto/elliptic"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/agent/gateway"
	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/client/nstest"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// probeWorld is an agent with the profiles "tba" and "m2m" for a NetSuite of nstest.
type probeWorld struct {
	*tokenWorld
	netsuite *nstest.Server
}

func startProbes(t *testing.T, change func(*nstest.Account)) *probeWorld {
	t.Helper()
	key, cert := keyPair(t, elliptic.P256(), time.Now().Add(-time.Hour), time.Now().Add(300*day))
	account := nstest.Account{
		ID:           "1234567_SB1",
		Integrations: []nstest.Integration{{Name: "test", ConsumerKey: sample(1), ConsumerSecret: sample(2)}, {Name: "m2m", ConsumerKey: sample(9), ConsumerSecret: sample(10)}},
		Tokens:       []nstest.Token{{TokenID: sample(3), TokenSecret: sample(4), ConsumerKey: sample(1), Name: "test", User: "u", Role: "r"}},
		Certificates: []nstest.Certificate{{ClientID: sample(9), PEM: cert, Entity: "5", Role: "3"}},
	}
	if change != nil {
		change(&account)
	}
	w := &probeWorld{tokenWorld: &tokenWorld{}, netsuite: nstest.New(nstest.Config{Accounts: []nstest.Account{account}})}
	ep, err := w.netsuite.ListenTLS("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ep.Close() })
	w.fixture = start(t, func(c *Config) { c.Gateway = w.gateways.start })
	w.unlock()
	w.addM2M("m2m", key, cert, ep.URL, string(ep.CAPEM))
	w.addTBA("tba", func(p *pb.Profile) { p.Endpoint, p.Ca = ep.URL, string(ep.CAPEM) })
	return w
}

// try returns what a test found, each as surface=state.
func (f *fixture) try(name string, opts ...client.TestOption) (string, map[string]*pb.Surface) {
	f.t.Helper()
	r, err := f.admin.TestProfile(f.t.Context(), name, opts...)
	if err != nil {
		f.t.Fatal(err)
	}
	var all []string
	by := make(map[string]*pb.Surface)
	for _, s := range r.GetSurfaces() {
		all = append(all, s.GetName()+"="+s.GetState())
		by[s.GetName()] = s
		if s.GetDetail() == "" || s.GetState() == stateRefused && (s.GetMissing() == "" || s.GetFix() == "") {
			f.t.Errorf("%s says too little: %v", s.GetName(), s)
		}
	}
	return strings.Join(all, " "), by
}

// Every way into NetSuite that a credential is for works, and each request is on record
// as a use.
func TestSurfacesWork(t *testing.T) {
	w := startProbes(t, nil)
	begin := len(w.entries())
	if got, _ := w.try("tba", client.WithRESTlet("12/1")); got != "token=skipped rest=works suiteql=works restlet=works soap=works connect=works" {
		t.Errorf("tba: %s", got)
	}
	if got, _ := w.try("m2m", client.WithRESTlet("customscript_x/customdeploy_x")); got != "token=works rest=works suiteql=works restlet=works soap=skipped connect=skipped" {
		t.Errorf("m2m: %s", got)
	}
	if got, _ := w.try("tba"); got != "token=skipped rest=works suiteql=works restlet=skipped soap=works connect=works" {
		t.Errorf("without a script: %s", got)
	}
	if got, _ := w.try("tba", client.WithoutNetSuite()); got != "" {
		t.Errorf("offline: %s", got)
	}
	var events []string
	for _, e := range w.entries()[begin:] {
		if e.Profile == "tba" && len(events) < 6 {
			events = append(events, fmt.Sprintf("%s %s %s %s", e.Event, e.Outcome, e.Method, e.Path))
		}
	}
	want := []string{
		"profile.test ok  ", "send ok GET /services/rest/record/v1/customer", "send ok POST /services/rest/query/v1/suiteql",
		"send ok GET /app/site/hosting/restlet.nl", "passport ok POST /services/NetSuitePort_2025_2", "connect-password ok  ",
	}
	if !slices.Equal(events, want) {
		t.Errorf("entries:\ngot  %q\nwant %q", events, want)
	}
	// A token that is kept is no test of the credential.
	if _, err := w.token(); err != nil {
		t.Fatal(err)
	}
	before := exchangesOf(w.fixture)
	if _, by := w.try("m2m"); by["token"].GetState() != stateWorks || exchangesOf(w.fixture) != before+1 {
		t.Errorf("%d exchanges for a test, want 1", exchangesOf(w.fixture)-before)
	}
}

func exchangesOf(f *fixture) int {
	n := 0
	for _, e := range f.entries() {
		if e.Event == audit.EventExchange {
			n++
		}
	}
	return n
}

// What a profile may not do is skipped, with the reason, and nothing is sent for it.
func TestSurfacesWithinLimits(t *testing.T) {
	w := startProbes(t, nil)
	for _, name := range []string{"tba", "m2m"} {
		w.edit(name, client.ProfileEdit{Fields: []string{"access"}, Profile: &pb.Profile{Access: "read"}})
	}
	got, by := w.try("tba", client.WithRESTlet("12/1"))
	if got != "token=skipped rest=works suiteql=works restlet=works soap=skipped connect=skipped" || !strings.Contains(by["soap"].GetMissing(), "access is read") {
		t.Errorf("tba: %s, %v", got, by["soap"])
	}
	if got, by = w.try("m2m"); got != "token=skipped rest=skipped suiteql=skipped restlet=skipped soap=skipped connect=skipped" || !strings.Contains(by["token"].GetMissing(), "access is read") {
		t.Errorf("m2m: %s, %v", got, by["token"])
	}
	for _, v := range w.netsuite.Verdicts() {
		if v.Channel == nstest.ChannelSOAP || v.Channel == nstest.ChannelToken {
			t.Errorf("NetSuite was asked: %v", v)
		}
	}
	for _, bad := range []string{"x", "1", "1/", "/1", "1/1&x=2", "1/1 ", "customscript_x/1?", "a/b", "1/../1", "https://x/1"} {
		if _, err := w.admin.TestProfile(t.Context(), "tba", client.WithRESTlet(bad)); !errors.Is(err, client.ErrRequest) {
			t.Errorf("script %q: got %v", bad, err)
		}
	}
}

// What NetSuite refuses is told with what is missing and where to get it, as far as it
// says; and no test makes five failed logins.
func TestSurfacesRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(*nstest.Account)
		profile string
		want    string
		surface string
		missing string
		fix     string
	}{
		"a revoked token": {func(a *nstest.Account) { a.Tokens[0].Revoked = true }, "tba",
			"token=skipped rest=refused suiteql=skipped restlet=refused soap=refused connect=works", "rest", "a token that this account knows", "Access Tokens; if the sandbox was refreshed:  nsagent profile refreshed tba"},
		"a blocked record": {func(a *nstest.Account) { a.Integrations[0].State = "blocked" }, "tba",
			"token=skipped rest=refused suiteql=skipped restlet=refused soap=refused connect=works", "rest", "", "Manage Integrations"},
		"another secret": {func(a *nstest.Account) { a.Tokens[0].TokenSecret = sample(77) }, "tba",
			"token=skipped rest=refused suiteql=skipped restlet=refused soap=refused connect=works", "rest", "secret", "profile edit tba"},
		"a role without the right": {func(a *nstest.Account) { a.Tokens[0].NoPermission = true }, "tba",
			"token=skipped rest=refused suiteql=skipped restlet=refused soap=refused connect=works", "rest", "Log in using Access Tokens", "Manage Roles"},
		"the feature is off": {func(a *nstest.Account) { a.TBADisabled = true }, "tba",
			"token=skipped rest=refused suiteql=skipped restlet=refused soap=refused connect=works", "rest", "feature", "Enable Features"},
		"a revoked certificate": {func(a *nstest.Account) { a.Certificates[0].Revoked = true }, "m2m",
			"token=refused rest=skipped suiteql=skipped restlet=skipped soap=skipped connect=skipped", "token", "NetSuite answered", "Login Audit Trail"},
	} {
		t.Run(name, func(t *testing.T) {
			w := startProbes(t, c.change)
			got, by := w.try(c.profile, client.WithRESTlet("12/1"))
			s := by[c.surface]
			if got != c.want || !strings.Contains(s.GetMissing(), c.missing) || !strings.Contains(s.GetFix(), c.fix) {
				t.Errorf("got %s\n%v\nwant %s, %q, %q", got, s, c.want, c.missing, c.fix)
			}
			refused := 0
			for _, v := range w.netsuite.Verdicts() {
				if !v.OK {
					refused++
				}
			}
			if refused == 0 || refused > 3 {
				t.Errorf("%d failed logins, want 1 to 3", refused)
			}
			failed := 0
			for _, e := range w.entries() {
				if e.Outcome == audit.OutcomeFailed && e.Reason == string(pb.CodeNetSuite) {
					failed++
				}
			}
			if failed != refused {
				t.Errorf("%d failures on record of %d", failed, refused)
			}
		})
	}
}

// probeOf starts an agent with a TBA profile "tba" whose NetSuite is h.
func probeOf(t *testing.T, h http.HandlerFunc) *tokenWorld {
	t.Helper()
	w := startTokens(t, h)
	p := w.agent.session.profiles["m2m"]
	w.addTBA("tba", func(q *pb.Profile) { q.Endpoint, q.Ca = p.Endpoint, p.CA })
	return w
}

// Whatever comes back, a test says something that is true and goes no further than it
// should; nothing that came back is repeated.
func TestSurfacesOfOddServers(t *testing.T) {
	const canary = "S3CR3T-from-the-other-side"
	for name, c := range map[string]struct {
		status  int
		header  string
		body    string
		want    string // of rest
		says    string
		whither string
	}{
		"a page with 200":     {200, "", "<html>" + canary + "</html>", stateUnreached, "no answer of NetSuite's", "proxy"},
		"an empty object":     {200, "", "{}", stateUnreached, "no answer of NetSuite's", "proxy"},
		"a redirect":          {302, "", canary, stateRefused, "redirect", "Company URLs"},
		"a hostile reason":    {401, `OAuth realm="x", error="` + canary + ` \x1b[2J", error_description="y"`, `{}`, stateRefused, "HTTP 401)", "Login Audit Trail"},
		"a hostile code":      {400, "", `{"o:errorDetails":[{"o:errorCode":"` + canary + `\u001b"}]}`, stateLimited, "HTTP 400)", "request of your own"},
		"no more requests":    {429, "", `{"title":"Bad Request",, not JSON`, stateLimited, "too many at once", "Integration Governance"},
		"concurrency":         {400, "", `{"o:errorDetails":[{"o:errorCode":"CONCURRENCY_LIMIT_EXCEEDED"}]}`, stateLimited, "too many at once", "Integration Governance"},
		"not for this role":   {403, "", `{"o:errorDetails":[{"o:errorCode":"INSUFFICIENT_PERMISSION"}]}`, stateLimited, "INSUFFICIENT_PERMISSION", "REST Web Services"},
		"no such record":      {404, "", `{"o:errorDetails":[{"o:errorCode":"NONEXISTENT_ID"}]}`, stateLimited, "NONEXISTENT_ID", "request of your own"},
		"a server that fails": {503, "", "Service Unavailable " + canary, stateUnreached, "HTTP 503", "proxy"},
		"a clock far off":     {401, `OAuth realm="x", error="InvalidTimestamp"`, `{}`, stateRefused, "InvalidTimestamp", "nsagent doctor"},
		"a bearer's refusal":  {401, `Bearer realm="x", error="invalid_token", error_description="Invalid login attempt."`, `{}`, stateRefused, "invalid_token", "Manage Roles"},
	} {
		t.Run(name, func(t *testing.T) {
			w := probeOf(t, func(rw http.ResponseWriter, _ *http.Request) {
				if c.header != "" {
					rw.Header().Set("WWW-Authenticate", c.header)
				}
				rw.Header().Set("Location", "https://elsewhere.example.com/")
				rw.WriteHeader(c.status)
				_, _ = io.WriteString(rw, c.body)
			})
			_, by := w.try("tba", client.WithRESTlet("1/1"))
			s := by["rest"]
			if s.GetState() != c.want || !strings.Contains(s.GetDetail(), c.says) || !strings.Contains(s.GetFix(), c.whither) || int(s.GetStatus()) != c.status {
				t.Errorf("got %v, want %s, %q, %q", s, c.want, c.says, c.whither)
			}
			for _, s := range by {
				if strings.Contains(s.String(), "S3CR3T") || strings.Contains(s.String(), "\x1b") {
					t.Errorf("repeated: %v", s)
				}
			}
		})
	}
}

// A host that is not there is asked once.
func TestSurfacesOfNobody(t *testing.T) {
	w := startProbes(t, nil)
	s := httptest.NewTLSServer(http.NotFoundHandler())
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	w.addTBA("away", func(p *pb.Profile) { p.Endpoint, p.Ca = s.URL, ca })
	s.Close()
	got, by := w.try("away", client.WithRESTlet("1/1"))
	if got != "token=skipped rest=unreached suiteql=unreached restlet=unreached soap=unreached connect=works" || !strings.Contains(by["soap"].GetDetail(), "nobody answers") {
		t.Errorf("got %s, %v", got, by["soap"])
	}
	sent := 0
	for _, e := range w.entries() {
		if e.Profile == "away" && e.Outcome == audit.OutcomeOK && (e.Event == audit.EventSend || e.Event == audit.EventPassport) {
			sent++
		}
	}
	if sent != 1 {
		t.Errorf("%d requests, want 1", sent)
	}
}

// A clock that is wrong is corrected by the first answer, and the request is made again.
func TestSurfacesWithAWrongClock(t *testing.T) {
	var off atomic.Int64
	w := &probeWorld{tokenWorld: &tokenWorld{}, netsuite: nstest.New(nstest.Config{Accounts: []nstest.Account{{
		ID:           "1234567_SB1",
		Integrations: []nstest.Integration{{Name: "test", ConsumerKey: sample(1), ConsumerSecret: sample(2)}},
		Tokens:       []nstest.Token{{TokenID: sample(3), TokenSecret: sample(4), ConsumerKey: sample(1), Name: "test", User: "u", Role: "r"}},
	}}})}
	ep, err := w.netsuite.ListenTLS("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ep.Close() })
	w.fixture = start(t, func(c *Config) {
		c.Gateway = w.gateways.start
		c.Clock = func() time.Time { return time.Now().Add(time.Duration(off.Load())) }
	})
	w.unlock()
	w.addTBA("tba", func(p *pb.Profile) { p.Endpoint, p.Ca = ep.URL, string(ep.CAPEM) })
	off.Store(int64(-10 * time.Minute))
	if got, by := w.try("tba"); got != "token=skipped rest=works suiteql=works restlet=skipped soap=works connect=works" {
		t.Errorf("got %s, %v", got, by["rest"])
	}
}

// While NetSuite keeps a test waiting, others change the vault, and lock it.
func TestNobodyWaitsForATest(t *testing.T) {
	release, asked := make(chan struct{}), make(chan struct{}, 8)
	w := probeOf(t, func(rw http.ResponseWriter, _ *http.Request) {
		asked <- struct{}{}
		<-release
		_, _ = io.WriteString(rw, "{}")
	})
	ended := make(chan error, 1)
	go func() {
		_, err := w.admin.TestProfile(t.Context(), "tba")
		ended <- err
	}()
	<-asked
	w.edit("tba", client.ProfileEdit{Fields: []string{"note"}, Profile: &pb.Profile{Note: "x"}})
	if err := w.admin.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	close(release)
	if err := <-ended; err != nil {
		t.Errorf("the test itself: %v", err)
	}
}

// FuzzDiagnose: whatever comes back, it has one of the states, and nothing of it but a
// code of letters is repeated.
func FuzzDiagnose(f *testing.F) {
	f.Add("rest", 401, `OAuth realm="1", error="token_rejected"`, "INVALID_LOGIN", "")
	f.Add("soap", 500, "", "", `<faultstring>Invalid login attempt.</faultstring>`)
	f.Add("restlet", 400, "", "", `{"error" : {"code" : "SSS_INVALID_SCRIPTLET_ID", "message" : "x"}}`)
	f.Fuzz(func(t *testing.T, surface string, status int, challenge, code, text string) {
		l, err := describe(&profile{Name: "p", Account: "1234567_SB1", Auth: authTBA})
		if err != nil {
			t.Fatal(err)
		}
		s := diagnose(l, surface, "host.example.com", answerOf(status, challenge, code, text))
		if !slices.Contains([]string{stateWorks, stateLimited, stateRefused, stateUnreached}, s.GetState()) || s.GetDetail() == "" {
			t.Fatalf("got %v", s)
		}
		for _, said := range []string{s.GetDetail(), s.GetMissing(), s.GetFix()} {
			if strings.ContainsFunc(said, func(r rune) bool { return r < ' ' || r > '~' }) || len(said) > 400 {
				t.Fatalf("got %q", said)
			}
		}
	})
}

func answerOf(status int, challenge, code, text string) gateway.Answer {
	return gateway.Answer{Status: status, Verified: true, Challenge: challenge, Readable: true, Text: text, Kept: map[string]string{"o:errorDetails.0.o:errorCode": code}}
}
