package agent

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/client/nstest"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

const testRedirect = "https://127.0.0.1:8443/callback?from=nsagent"

// codeWorld is an agent, and a NetSuite with integration records for logins, over TLS
// with a CA of its own.
type codeWorld struct {
	*fixture
	gateways gateways
	netsuite
}

// netsuite is a NetSuite of the test's own.
type netsuite struct {
	server *nstest.Server
	ep     *nstest.Endpoint
	web    *http.Client // of whoever has the browser; it follows no redirect

	clientSecret, consumerSecret string // of the records "confidential" and "token"

	mu       sync.Mutex // guards what follows
	verdicts []nstest.Verdict
	// seen is called with each verdict before its answer is sent; nil: nothing is.
	seen func(nstest.Verdict)
}

// Client IDs of the integration records.
func confidentialID() string { return sample(20) }
func publicID22() string     { return sample(22) }
func mcpID() string          { return sample(24) }

func (n *netsuite) listen(t testing.TB, change ...func(*nstest.Config)) {
	t.Helper()
	cfg := nstest.DemoConfig()
	n.clientSecret, n.consumerSecret = rand.Text()+rand.Text(), rand.Text()+rand.Text()
	a := &cfg.Accounts[0]
	a.Users = []nstest.User{{Name: "Ada", Entity: "17", Role: "1042"}}
	a.Integrations = append(a.Integrations,
		nstest.Integration{Name: "confidential", ConsumerKey: confidentialID(), ConsumerSecret: n.clientSecret, RedirectURIs: []string{testRedirect}},
		nstest.Integration{Name: "public", ConsumerKey: publicID22(), Public: true, RedirectURIs: []string{testRedirect}},
		nstest.Integration{Name: "assistant", ConsumerKey: mcpID(), Public: true, RedirectURIs: []string{testRedirect}, Scopes: []string{"mcp"}},
		nstest.Integration{Name: "token", ConsumerKey: sample(26), ConsumerSecret: n.consumerSecret, Callbacks: []string{"http://localhost:*"}})
	cfg.Log = func(v nstest.Verdict) {
		n.mu.Lock()
		n.verdicts = append(n.verdicts, v)
		seen := n.seen
		n.mu.Unlock()
		if seen != nil {
			seen(v)
		}
	}
	for _, c := range change {
		c(&cfg)
	}
	n.server = nstest.New(cfg)
	var err error
	if n.ep, err = n.server.ListenTLS("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.ep.Close() })
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(n.ep.CAPEM)
	n.web = &http.Client{
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	t.Cleanup(n.web.CloseIdleConnections)
}

// onVerdict has f called with each verdict from now on.
func (n *netsuite) onVerdict(f func(nstest.Verdict)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.seen = f
}

// exchanges returns how many requests there were to a path that ends so.
func (n *netsuite) exchanges(path string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	count := 0
	for _, v := range n.verdicts {
		if u, err := url.Parse(v.URL); err == nil && strings.HasSuffix(u.Path, path) {
			count++
		}
	}
	return count
}

// inject lets something go wrong at a path.
func (n *netsuite) inject(t testing.TB, f nstest.Fault) {
	t.Helper()
	if f.Path == "" {
		f.Path = "/services/rest/auth/oauth2/v1/token"
	}
	if err := n.server.Inject(f); err != nil {
		t.Fatal(err)
	}
}

// startCode starts an agent and a NetSuite.
func startCode(t *testing.T, change ...func(*nstest.Config)) *codeWorld {
	t.Helper()
	w := &codeWorld{}
	w.listen(t, change...)
	w.fixture = start(t, func(c *Config) { c.Gateway, c.Exchanger = w.gateways.start, exchanger })
	w.unlock()
	return w
}

// codeProfile is a profile for one of the integration records.
func (n *netsuite) codeProfile(name, clientID string, scopes ...string) *pb.Profile {
	return &pb.Profile{
		Name: name, Account: "1234567_SB1", Auth: "authcode", Access: "write", ClientId: clientID, Scopes: scopes, RedirectUri: testRedirect,
		Endpoint: n.ep.URL, Ca: string(n.ep.CAPEM),
	}
}

// public is the login of a public client, confidential of one with a secret, and tba one
// by the three-step flow.
func (w *codeWorld) public(name string) client.Login {
	return client.Login{Flow: "pkce", Profile: w.codeProfile(name, publicID22(), "rest_webservices", "restlets")}
}

func (w *codeWorld) confidential(name string) client.Login {
	return client.Login{Flow: "pkce", Profile: w.codeProfile(name, confidentialID(), "rest_webservices"), Secrets: map[string]client.Sealer{"client_secret": w.sealer(w.clientSecret)}}
}

func (w *codeWorld) tba(name string) client.Login {
	p := &pb.Profile{Name: name, Account: "1234567_SB1", ConsumerKey: sample(26), Endpoint: w.ep.URL, Ca: string(w.ep.CAPEM)}
	return client.Login{Flow: "3sa", Profile: p, Secrets: map[string]client.Sealer{"consumer_secret": w.sealer(w.consumerSecret)}, RedirectURI: "http://localhost:7777/callback", Role: "1042"}
}

func (w *codeWorld) begin(l client.Login) *pb.BeginLoginResponse {
	w.t.Helper()
	r, err := w.admin.BeginLogin(w.t.Context(), l)
	if err != nil {
		w.t.Fatalf("BeginLogin(%s): %v", l.Profile.GetName(), err)
	}
	return r
}

// browse opens a page and says "allow" or "deny"; the answer is what the browser is sent
// back with.
func (n *netsuite) browse(t testing.TB, page, decision string) url.Values {
	t.Helper()
	resp, err := n.web.Get(page + "&nstest_" + decision + "=1")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	to, err := resp.Location()
	if err != nil {
		t.Fatalf("the page answers %s, %v", resp.Status, err)
	}
	return to.Query()
}

// answer is what FinishLogin is told of a browser's answer.
func (w *codeWorld) answer(profile string, id []byte, q url.Values) client.LoginAnswer {
	a := client.LoginAnswer{
		ID: id, Profile: profile, State: q.Get("state"), Error: q.Get("error"), Company: q.Get("company"), Role: q.Get("role"), Entity: q.Get("entity"), RequestToken: q.Get("oauth_token"),
	}
	if code := q.Get("code") + q.Get("oauth_verifier"); code != "" {
		a.Code = w.sealer(code)
	}
	return a
}

// login logs in, and must succeed.
func (w *codeWorld) login(l client.Login) *pb.Profile {
	w.t.Helper()
	begun := w.begin(l)
	q := w.browse(w.t, begun.GetAuthorizeUrl(), "allow")
	p, err := w.admin.FinishLogin(w.t.Context(), w.answer(l.Profile.GetName(), begun.GetId(), q))
	if err != nil {
		w.t.Fatalf("FinishLogin(%s): %v", l.Profile.GetName(), err)
	}
	return p
}

// tryLogin logs in, if it can be done.
func (w *codeWorld) tryLogin(l client.Login) error {
	w.t.Helper()
	begun, err := w.admin.BeginLogin(w.t.Context(), l)
	if err != nil {
		return err
	}
	q := w.browse(w.t, begun.GetAuthorizeUrl(), "allow")
	_, err = w.admin.FinishLogin(w.t.Context(), w.answer(l.Profile.GetName(), begun.GetId(), q))
	return err
}

func (f *fixture) tokenOf(profile string) (*pb.AccessTokenResponse, error) {
	return f.signer.AccessToken(f.t.Context(), client.AccessTokenRequest{Profile: profile})
}

// mustToken returns an access token, which has to come.
func (f *fixture) mustToken(profile string) string {
	f.t.Helper()
	r, err := f.tokenOf(profile)
	if err != nil {
		f.t.Fatalf("AccessToken(%s): %v", profile, err)
	}
	return r.GetAccessToken()
}

// aged lets the access tokens that are kept come to their end, and the vault stay open.
func (f *fixture) aged() {
	f.clock.Add(int64(3600*time.Second - tokenMargin + 5*time.Second))
	f.unlockIfLocked()
}

func (f *fixture) unlockIfLocked() {
	f.t.Helper()
	if f.locked() {
		f.unlock()
	}
}

// get returns the status of NetSuite's answer to a GET.
func (n *netsuite) get(t testing.TB, u, authorization string) int {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, u, nil)
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Authorization", authorization)
	resp, err := n.web.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// accepted fails unless NetSuite takes an access token.
func (n *netsuite) accepted(t testing.TB, token string) {
	t.Helper()
	if status := n.get(t, n.ep.URL+"/services/rest/record/v1/customer/1", "Bearer "+token); status != http.StatusOK {
		t.Errorf("NetSuite answers %d to an access token", status)
	}
}
