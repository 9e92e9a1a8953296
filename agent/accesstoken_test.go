package agent

import (
	"context"
	"crypto/elliptic"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/client/nstest"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// tokenWorld is an agent with an M2M profile "m2m" for a token endpoint.
type tokenWorld struct {
	*fixture
	gateways  gateways
	exchanges atomic.Int32
}

// startTokens starts one whose token endpoint is h.
func startTokens(t *testing.T, h http.HandlerFunc) *tokenWorld {
	t.Helper()
	w := &tokenWorld{}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.exchanges.Add(1)
		h(rw, r)
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	w.fixture = start(t, func(c *Config) { c.Gateway, c.Exchanger = w.gateways.start, exchanger })
	w.unlock()
	key, cert := keyPair(t, elliptic.P256(), time.Now().Add(-time.Hour), time.Now().Add(time.Hour*24*300))
	w.addM2M("m2m", key, cert, s.URL, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})))
	return w
}

func (w *tokenWorld) addM2M(name, key, cert, endpoint, ca string) {
	w.t.Helper()
	p := &pb.Profile{
		Name: name, Account: "1234567_SB1", Auth: "m2m", Access: "write", ClientId: sample(9), Certificate: cert, Endpoint: endpoint, Ca: ca,
		Scopes: []string{"rest_webservices", "restlets"},
	}
	if _, err := w.admin.AddProfile(w.t.Context(), p, map[string]client.Sealer{"private_key": w.sealer(key)}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *tokenWorld) token(scopes ...string) (*pb.AccessTokenResponse, error) {
	return w.signer.AccessToken(w.t.Context(), client.AccessTokenRequest{Profile: "m2m", Scopes: scopes})
}

// grant answers with a token that has n in it.
func grant(w http.ResponseWriter, n int32, seconds any) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"access_token":"token-%d","expires_in":%v,"token_type":"bearer"}`, n, seconds)
}

// However many callers ask, one exchange is made, and its token is given out until
// shortly before its end.
func TestOneExchange(t *testing.T) {
	var n atomic.Int32
	release := make(chan struct{})
	w := startTokens(t, func(rw http.ResponseWriter, _ *http.Request) {
		<-release
		grant(rw, n.Add(1), 3600)
	})
	const callers = 64
	var group sync.WaitGroup
	for range callers {
		group.Go(func() {
			r, err := w.token()
			if err != nil || r.GetAccessToken() != "token-1" || r.GetTokenType() != "Bearer" || strings.Join(r.GetScopes(), " ") != "rest_webservices restlets" {
				t.Errorf("got %v, %v", r, err)
			}
		})
	}
	for w.exchanges.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(50 * time.Millisecond)
	close(release)
	group.Wait()
	if got := w.exchanges.Load(); got != 1 {
		t.Errorf("%d exchanges for %d callers", got, callers)
	}
	uses := 0
	for _, e := range w.entries() {
		switch e.Event {
		case audit.EventToken:
			uses++
		case audit.EventExchange:
			if e.Profile != "m2m" || e.Path != "/services/rest/auth/oauth2/v1/token" || e.Outcome != audit.OutcomeOK {
				t.Errorf("entry of the exchange: %+v", e)
			}
		}
	}
	if uses != callers {
		t.Errorf("%d uses on record, want %d", uses, callers)
	}

	// Another combination of scopes is another token; the order of scopes makes none.
	if r, err := w.token("restlets"); err != nil || r.GetAccessToken() != "token-2" {
		t.Errorf("one scope: got %v, %v", r, err)
	}
	if r, err := w.token("restlets", "rest_webservices"); err != nil || r.GetAccessToken() != "token-1" {
		t.Errorf("both, in another order: got %v, %v", r, err)
	}
	// One second before the margin it is given out still, and then a new one.
	w.clock.Add(int64(3600*time.Second - tokenMargin - 5*time.Second))
	w.unlock()
	if r, err := w.token(); err != nil || r.GetAccessToken() != "token-3" {
		t.Errorf("after a lock by the clock: got %v, %v", r, err)
	}
}

// A token is given out until its margin, by the boot clock, and not beyond.
func TestTokenEnds(t *testing.T) {
	var n atomic.Int32
	w := startTokens(t, func(rw http.ResponseWriter, _ *http.Request) { grant(rw, n.Add(1), `"600"`) })
	for i, step := range []struct {
		by   time.Duration
		want string
	}{{0, "token-1"}, {530 * time.Second, "token-1"}, {15 * time.Second, "token-2"}} {
		w.clock.Add(int64(step.by))
		r, err := w.token()
		if err != nil || r.GetAccessToken() != step.want {
			t.Errorf("step %d: got %v, %v, want %s", i, r, err, step.want)
		}
		if left := time.Until(time.Unix(r.GetExpiresAt(), 0)); i == 0 && (left < 590*time.Second || left > 601*time.Second) {
			t.Errorf("expires in %s", left)
		}
	}
}

// A refusal is told in words, once, and not asked for again at once.
func TestRefusedExchange(t *testing.T) {
	answers := map[string]struct {
		status int
		body   string
		want   error
		says   string
	}{
		"invalid_grant":    {400, `{"error":"invalid_grant"}`, client.ErrNetSuite, "invalid_grant"},
		"invalid_client":   {401, `{"error":"invalid_client"}`, client.ErrNetSuite, "client ID"},
		"invalid_scope":    {400, `{"error":"invalid_scope"}`, client.ErrNetSuite, "integration record lacks"},
		"a hostile error":  {400, `{"error":"sent: client_assertion=eyJhbGciOi"}`, client.ErrNetSuite, "HTTP 400"},
		"a page":           {502, "<html>Bad Gateway eyJhbGciOi</html>", client.ErrNetSuite, "HTTP 502"},
		"a redirect":       {302, "", client.ErrNetSuite, "redirect"},
		"busy":             {429, `{"error":"x"}`, client.ErrNetSuite, "no room"},
		"no token":         {200, `{"expires_in":3600}`, client.ErrNetSuite, "lacks access_token"},
		"no end":           {200, `{"access_token":"t"}`, client.ErrNetSuite, "lacks access_token or expires_in"},
		"an end long past": {200, `{"access_token":"t","expires_in":-5}`, client.ErrNetSuite, "lacks"},
		"a page with 200":  {200, "<html>log in</html>", client.ErrNetSuite, "HTTP 200"},
	}
	for name, test := range answers {
		t.Run(name, func(t *testing.T) {
			w := startTokens(t, func(rw http.ResponseWriter, _ *http.Request) {
				rw.Header().Set("Location", "https://elsewhere.example.com/")
				rw.WriteHeader(test.status)
				_, _ = io.WriteString(rw, test.body)
			})
			for range 5 {
				_, err := w.token()
				if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "eyJ") {
					t.Fatalf("got %v, want %v with %q", err, test.want, test.says)
				}
			}
			if got := w.exchanges.Load(); got != 1 {
				t.Errorf("%d exchanges, want 1: no storm", got)
			}
			w.clock.Add(int64(shortestPause))
			if _, err := w.token(); !errors.Is(err, test.want) {
				t.Errorf("after the pause: got %v", err)
			}
			if got := w.exchanges.Load(); got != 2 {
				t.Errorf("after the pause: %d exchanges, want 2", got)
			}
			w.clock.Add(int64(shortestPause))
			if _, _ = w.token(); w.exchanges.Load() != 2 {
				t.Error("the second pause is not longer")
			}
			failed := 0
			for _, e := range w.entries() {
				if e.Event == audit.EventExchange && e.Outcome == audit.OutcomeFailed {
					failed++
				}
			}
			if failed != 2 {
				t.Errorf("%d failed exchanges on record, want 2", failed)
			}
		})
	}
}

// A real NetSuite of ours verifies what is sent, also where the clock here is wrong: the
// time of a verified answer corrects it.
func TestExchangeIsVerified(t *testing.T) {
	for name, ahead := range map[string]time.Duration{"right clock": 0, "four minutes behind": 4 * time.Minute, "ten minutes ahead": -10 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			key, cert := keyPair(t, elliptic.P256(), time.Now().Add(-time.Hour), time.Now().Add(time.Hour*24*300))
			cfg := nstest.DemoConfig()
			cfg.Now = func() time.Time { return time.Now().Add(ahead) }
			cfg.Accounts[0].Certificates = append(cfg.Accounts[0].Certificates, nstest.Certificate{ClientID: sample(9), PEM: cert, Entity: "5", Role: "3"})
			w := &tokenWorld{}
			w.fixture = start(t, func(c *Config) { c.Gateway, c.Exchanger = w.gateways.start, exchanger })
			w.unlock()
			ep, err := nstest.New(cfg).ListenTLS("127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = ep.Close() })
			w.addM2M("m2m", key, cert, ep.URL, string(ep.CAPEM))
			w.addTBA("tba", func(p *pb.Profile) { p.Endpoint, p.Ca = ep.URL, string(ep.CAPEM) })
			w.addTBA("elsewhere")
			r, err := w.token()
			if err != nil || r.GetAccessToken() == "" {
				t.Fatalf("got %v, %v", r, err)
			}
			// What was learnt of the account's clock holds for all that goes there.
			for profile, want := range map[string]time.Duration{"tba": ahead, "elsewhere": 0} {
				url := ep.URL + "/x"
				if profile == "elsewhere" {
					url = sandboxURL
				}
				r, err := w.signer.Sign(t.Context(), client.Request{Profile: profile, URL: url})
				if err != nil {
					t.Fatal(err)
				}
				if off := time.Until(time.Unix(r.GetTimestamp(), 0)) - want; off.Abs() > 5*time.Second {
					t.Errorf("the timestamp of profile %s is off by %s", profile, off)
				}
			}
		})
	}
}

// Whoever locks, or changes the profile, gets rid of its tokens, and of those that are
// on the way.
func TestTokensEndWithTheirProfile(t *testing.T) {
	var n atomic.Int32
	hold := make(chan struct{}, 1)
	w := startTokens(t, func(rw http.ResponseWriter, r *http.Request) {
		select {
		case hold <- struct{}{}:
		case <-r.Context().Done():
			return
		}
		grant(rw, n.Add(1), 3600)
		<-hold
	})
	if r, err := w.token(); err != nil || r.GetAccessToken() != "token-1" {
		t.Fatalf("got %v, %v", r, err)
	}
	if err := w.admin.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.token(); !errors.Is(err, client.ErrLocked) {
		t.Errorf("locked: got %v", err)
	}
	w.unlock()
	hold <- struct{}{} // the endpoint hangs
	waits := make(chan error, 1)
	go func() {
		_, err := w.token()
		waits <- err
	}()
	for w.exchanges.Load() < 2 {
		time.Sleep(time.Millisecond)
	}
	if err := w.admin.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-waits; !errors.Is(err, client.ErrLocked) {
		t.Errorf("locked during an exchange: got %v", err)
	}
	<-hold
}

// A gateway that dies is replaced at the next call, while the agent goes on signing.
func TestGatewayIsReplaced(t *testing.T) {
	var n atomic.Int32
	w := startTokens(t, func(rw http.ResponseWriter, _ *http.Request) { grant(rw, n.Add(1), 3600) })
	w.addTBA("tba")
	if _, err := w.token("restlets"); err != nil {
		t.Fatal(err)
	}
	gone, err := w.agent.network.connection(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.gateways.kill()
	<-gone.Done()
	w.sign("tba")
	if r, err := w.token(); err != nil || r.GetAccessToken() != "token-2" {
		t.Errorf("got %v, %v", r, err)
	}
	if got := w.gateways.started.Load(); got != 2 {
		t.Errorf("%d gateways, want 2", got)
	}
}

// Who may get a token, and for what.
func TestTokenIsDecided(t *testing.T) {
	w := startTokens(t, func(rw http.ResponseWriter, _ *http.Request) { grant(rw, 1, 3600) })
	w.addTBA("tba")
	ask := func(profile string, scopes ...string) error {
		_, err := w.signer.AccessToken(t.Context(), client.AccessTokenRequest{Profile: profile, Scopes: scopes})
		return err
	}
	if err := ask("tba"); !errors.Is(err, client.ErrRequest) {
		t.Errorf("of a TBA profile: got %v", err)
	}
	if err := ask("m2m", "suite_analytics"); !errors.Is(err, client.ErrDenied) {
		t.Errorf("a scope that is not the profile's: got %v", err)
	}
	if log := w.entries(); log[len(log)-1].Detail != audit.ByProfile { // no policy was asked: none learns of it
		t.Errorf("the log says %+v", log[len(log)-1])
	}
	if _, err := w.admin.EditProfile(t.Context(), "m2m", client.ProfileEdit{Profile: &pb.Profile{Access: "read"}, Fields: []string{"access"}}); err != nil {
		t.Fatal(err)
	}
	if err := ask("m2m"); !errors.Is(err, client.ErrReadOnly) {
		t.Errorf("with access read: got %v", err)
	}
	if got := w.exchanges.Load(); got != 0 {
		t.Errorf("%d exchanges for what was denied", got)
	}
	bare := start(t)
	bare.unlock()
	key, cert := keyPair(t, elliptic.P256(), time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	(&tokenWorld{fixture: bare}).addM2M("m2m", key, cert, "", "")
	if _, err := bare.signer.AccessToken(t.Context(), client.AccessTokenRequest{Profile: "m2m"}); !errors.Is(err, client.ErrReadOnly) && !errors.Is(err, client.ErrNetwork) {
		t.Errorf("without a gateway: got %v", err)
	}
}

// The JSON form gives the token with the keys of the contract.
func TestTokenJSON(t *testing.T) {
	w := startTokens(t, func(rw http.ResponseWriter, _ *http.Request) { grant(rw, 1, 3600) })
	h := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", w.paths.Agent)
	}}}
	defer h.CloseIdleConnections()
	resp, err := h.Post("http://nsagent/v1/token", "application/json", strings.NewReader(`{"profile":"m2m","scope":["restlets"]}`))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("got %d, %v: %s", resp.StatusCode, err, body)
	}
	for _, want := range []string{`"schema":"nsagent.token/v1"`, `"access_token":"token-1"`, `"token_type":"Bearer"`, `"expires_at":"20`, `"scopes":["restlets"]`} {
		if !strings.Contains(string(body), want) {
			t.Errorf("%s is not in %s", want, body)
		}
	}
}
