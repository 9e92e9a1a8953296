package agent

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nsagent/nsagent/agent/oidc"
	"github.com/nsagent/nsagent/agent/oidc/oidctest"
	"github.com/nsagent/nsagent/agent/policy"
	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
	"github.com/nsagent/nsagent/vault/store"
)

// jobWorld is an agent that knows an issuer, and a token for jobs of one repository.
type jobWorld struct {
	*fixture
	issuer   *oidctest.Issuer
	token    *unlocktoken.Token
	audience string
}

func startJobs(t *testing.T, change ...func(*Config)) *jobWorld {
	t.Helper()
	w := &jobWorld{fixture: start(t, change...), issuer: oidctest.New(t)}
	w.unlock()
	w.addTBA("acme")
	w.adopt(all + issuerIn(w.issuer.URL, w.issuer.JWKS(t)))
	w.token = w.mint(unlocktoken.Caveats{Identities: []unlocktoken.Identity{
		{Issuer: w.issuer.URL, Claims: []unlocktoken.Claim{{Name: "repository_id", Values: []string{"74"}}, {Name: "ref", Values: []string{"refs/heads/main"}}}},
	}}, "acme")
	w.audience = oidc.Audience([16]byte(w.agent.session.vault.ID()))
	return w
}

// issuerIn is an issuer of a policy; without keys they are fetched.
func issuerIn(url string, jwks []byte) string {
	s := fmt.Sprintf("[[issuer]]\nurl = %q\n", url)
	if jwks != nil {
		s += fmt.Sprintf("jwks = '''%s'''\n", jwks)
	}
	return s
}

// job connects as a job that shows the unlock token, and an ID token for the first time.
func (w *jobWorld) job() *client.Client {
	w.t.Helper()
	id := w.issuer.Sign(w.t, w.issuer.GitHub(w.audience, time.Now()))
	c, err := client.Dial(w.t.Context(), client.WithSocket(w.paths.Agent), client.WithUnlockToken(w.token.Text()), client.WithIDToken(id))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = c.Close() })
	return c
}

// try shows the unlock token with an ID token, nil for none, and signs.
func (w *jobWorld) try(idToken []byte) error {
	w.t.Helper()
	opts := []client.Option{client.WithSocket(w.paths.Agent), client.WithUnlockToken(w.token.Text())}
	if idToken != nil {
		opts = append(opts, client.WithIDToken(idToken))
	}
	c, err := client.Dial(w.t.Context(), opts...)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	_, err = c.Sign(w.t.Context(), client.Request{URL: sandboxURL})
	return err
}

// A locked agent takes the policy with the issuers from a vault that the shares open alone.
// Where they open nothing the ID token is not looked at, and good afterwards.
func TestRedeemForAJobWithOtherShares(t *testing.T) {
	w := startJobs(t)
	w.lock()
	good, right := w.token, w.issuer.Sign(t, w.issuer.GitHub(w.audience, time.Now()))
	other := *good
	other.Shares = slices.Clone(good.Shares)
	other.Shares[0].Key[0] ^= 1
	w.token = &other
	if err := w.try(right); !errors.Is(err, client.ErrGrant) {
		t.Errorf("with other shares: got %v, want ErrGrant", err)
	}
	w.token = good
	if err := w.try(right); err != nil {
		t.Errorf("with those of the token: %v", err)
	}
}

// A grant for a job serves the job, once for each ID token, unlocked and locked, also
// by the agent after this one.
func TestRedeemForAJob(t *testing.T) {
	w := startJobs(t)
	claims := w.issuer.GitHub(w.audience, time.Now())
	good := w.issuer.Sign(t, claims)
	if err := w.try(nil); !errors.Is(err, client.ErrGrant) || !strings.Contains(err.Error(), "wants the ID token of a job: none was given") {
		t.Errorf("without an ID token: got %v, want ErrGrant", err)
	}
	file := append(w.issuer.Sign(t, claims.With("jti", "file")), '\n')
	if err := w.try(file); err != nil {
		t.Errorf("from a file that ends in a line end: %v", err)
	}
	for name, c := range map[string]struct {
		token []byte
		want  error
	}{
		"another repository": {w.issuer.Sign(t, claims.With("jti", "1").With("repository_id", "75")), client.ErrGrantScope},
		"a pull request":     {w.issuer.Sign(t, claims.With("jti", "2").With("event_name", "pull_request")), client.ErrGrantScope},
		"another vault":      {w.issuer.Sign(t, claims.With("jti", "3").With("aud", oidc.Audience([16]byte{1}))), client.ErrGrant},
		"unknown issuer":     {oidctest.New(t).Sign(t, claims.With("iss", "https://ci.example")), client.ErrGrant},
		"over":               {w.issuer.Sign(t, claims.With("iat", 1).With("exp", 300)), client.ErrGrant},
		"no token":           {[]byte("hello"), client.ErrGrant},
		"empty":              {[]byte{}, client.ErrGrant},
	} {
		if err := w.try(c.token); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
	if err := w.try(good); err != nil {
		t.Errorf("its job: %v", err)
	}
	for _, again := range [][]byte{good, w.issuer.SignRSA(t, claims)} {
		if err := w.try(again); !errors.Is(err, client.ErrGrant) {
			t.Errorf("the same again: got %v, want ErrGrant", err)
		}
	}
	w.restart()
	if err := w.try(good); !errors.Is(err, client.ErrGrant) {
		t.Errorf("the same after a restart: got %v, want ErrGrant", err)
	}
	if err := w.try(w.issuer.Sign(t, w.issuer.GitHub(w.audience, time.Now()))); err != nil {
		t.Errorf("another, while locked: %v", err)
	}
	w.neverOnDisk(good)
}

// TestIDTokenOfDamagedShares: an ID token, which is good once, is not used up by an unlock token
// that is not whole.
func TestIDTokenOfDamagedShares(t *testing.T) {
	w := startJobs(t)
	good := w.issuer.Sign(t, w.issuer.GitHub(w.audience, time.Now()))
	p := w.present()
	q := p.requestWith(w.token, shareBytes(w.token)[1:], pb.Signer_Redeem_FullMethodName)
	q.OidcToken, _ = p.sealedAs(fieldOIDCToken, good)
	if got := p.redeem(q); got == "ok" {
		t.Fatal("control: damaged shares are taken")
	}
	if err := w.try(good); err != nil {
		t.Errorf("got %v", err)
	}
}

// TestIDTokenOfAClockThatWasSetBack: an ID token that is over, and was never used, does not
// become good where the clock is set back.
func TestIDTokenOfAClockThatWasSetBack(t *testing.T) {
	var ahead shifted
	w := startJobs(t, ahead.clock)
	begin := time.Now()
	stolen := w.issuer.Sign(t, w.issuer.GitHub(w.audience, begin))
	ahead.Store(int64(30 * time.Minute))
	if err := w.try(w.issuer.Sign(t, w.issuer.GitHub(w.audience, begin.Add(30*time.Minute)))); err != nil {
		t.Fatalf("half an hour later: %v", err)
	}
	ahead.Store(0)
	for _, locked := range []bool{false, true} {
		if locked {
			w.restart()
		}
		if err := w.try(stolen); !errors.Is(err, client.ErrGrant) {
			t.Errorf("locked %v, set back: got %v, want ErrGrant", locked, err)
		}
	}
}

// neverOnDisk looks for the signature of a token in all that the agent wrote.
func (w *jobWorld) neverOnDisk(token []byte) {
	w.t.Helper()
	signature := token[bytes.LastIndexByte(token, '.')+1:]
	looked := 0
	for _, dir := range []string{w.paths.DataDir, w.paths.StateDir} {
		err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() {
				return err
			}
			b, err := os.ReadFile(path)
			if bytes.Contains(b, signature) {
				w.t.Errorf("%s has the ID token", path)
			}
			looked++
			return err
		})
		if err != nil {
			w.t.Fatal(err)
		}
	}
	if looked < 3 {
		w.t.Errorf("looked at %d files only", looked)
	}
}

// The issuers of a policy are learnt anew where one of them changes, in its keys too, and
// else stay with the keys that were fetched of them; one that makes no sense leaves the
// presets.
func TestIssuersOfAPolicy(t *testing.T) {
	w := startJobs(t)
	jwks := string(w.issuer.JWKS(t))
	learn := func(all ...policy.Issuer) *issuers {
		w.agent.learnIssuers(&rules{policy: &policy.Policy{Issuers: all}})
		return w.agent.issuers.Load()
	}
	one := policy.Issuer{URL: w.issuer.URL, JWKS: jwks}
	was := learn(one)
	if learn(one) != was {
		t.Error("the same issuer was learnt anew")
	}
	if learn(policy.Issuer{URL: w.issuer.URL, JWKS: string(oidctest.New(t).JWKS(t))}) == was {
		t.Error("other keys were not learnt")
	}
	was = learn(one)
	if learn(policy.Issuer{URL: w.issuer.URL + "/x", JWKS: jwks}) == was {
		t.Error("another address was not learnt")
	}
	fetched := policy.Issuer{URL: w.issuer.URL}
	was = learn(fetched)
	fetched.CA = w.issuer.CA
	if got := learn(fetched); got == was || got.configured[0].CA != w.issuer.CA {
		t.Error("a CA was not learnt")
	}
	nonsense := policy.Issuer{URL: "nonsense"}
	was = learn(nonsense)
	if len(was.configured) != 0 {
		t.Errorf("of one that makes no sense: got %v", was.configured)
	}
	if learn(nonsense) != was {
		t.Error("one that makes no sense was learnt anew")
	}
	if got := learn(one); len(got.configured) != 1 {
		t.Errorf("of one in the place of nonsense: got %v", got.configured)
	}
	learn(nonsense)
	w.agent.learnIssuers(&rules{fault: vault.ErrPolicy}) // of a policy that cannot be read: none
	if got := w.agent.issuers.Load(); len(got.configured) != 0 {
		t.Errorf("of no policy: got %v", got.configured)
	}
}

// A job goes on as long as its ID token would be taken as it was: where the policy withdraws
// the issuer, or has other keys for it, its connection is closed, and a program on a socket
// of it is told, also once the policy is as it was. Who showed no ID token has nothing to do
// with that.
func TestIssuersThatAreWithdrawn(t *testing.T) {
	w := startJobs(t)
	other := w.beside()
	plain := w.show(w.mint(unlocktoken.Caveats{}, "acme"))
	url, keys := w.issuer.URL, w.issuer.JWKS(t)
	was := all + issuerIn(url, keys)
	adopt := func(text string) func() { return func() { w.adopt(text) } }
	for name, c := range map[string]struct {
		change func()
		want   string
	}{
		"another rule":             {adopt(strings.Replace(was, "\"all\"", "\"any\"", 1)), "ok"},
		"another issuer before it": {adopt(all + issuerIn("https://ci.example", keys) + issuerIn(url, keys)), "ok"},
		"withdrawn":                {adopt(all), string(pb.CodeGrant)},
		"no policy":                {adopt(""), string(pb.CodeGrant)},
		"another address":          {adopt(all + issuerIn(url+"/x", keys)), string(pb.CodeGrant)},
		"other keys":               {adopt(all + issuerIn(url, oidctest.New(t).JWKS(t))), string(pb.CodeGrant)},
		"keys that are fetched":    {adopt(all + issuerIn(url, nil)), string(pb.CodeGrant)},
		"withdrawn at another agent, and looked at": {func() { other.adopt(all); w.policySum() }, string(pb.CodeGrant)},
	} {
		w.adopt(was)
		other.policySum()
		idle, busy := w.job(), w.job()
		s, err := busy.OpenSocket(t.Context(), client.SocketRequest{Profile: "acme"})
		if err != nil {
			t.Fatal(err)
		}
		if got := signAt(t, s.Opened.GetPath(), "acme", "GET"); got != "ok" {
			t.Fatalf("%s: before: got %s", name, got)
		}
		c.change()
		if jobs := len(w.agent.presented.which(func(g *granted) bool { return g.issuer.URL == url })); (jobs > 0) != (c.want == "ok") {
			t.Errorf("%s: %d connections have the right of a job", name, jobs)
		}
		for _, again := range []bool{false, true} {
			if again {
				w.adopt(was)
			}
			if got := signAt(t, s.Opened.GetPath(), "acme", "GET"); got != c.want {
				t.Errorf("%s, as before %v: on its socket: got %s, want %s", name, again, got, c.want)
			}
			for what, conn := range map[string]*client.Client{"closed": idle, "with a socket": busy} {
				if _, err := conn.Sign(t.Context(), request("acme")); (err == nil) != (c.want == "ok") {
					t.Errorf("%s, as before %v, %s: got %v", name, again, what, err)
				}
			}
			if _, err := plain.Sign(t.Context(), request("acme")); err != nil {
				t.Errorf("%s, as before %v: without an ID token: %v", name, again, err)
			}
		}
		for _, conn := range []io.Closer{idle, busy} {
			_ = conn.Close()
		}
		_, _ = s.Close()
	}
}

// An issuer that is known without a policy is not withdrawn by one, but by pinning its keys.
func TestIssuersThatAreKnownAnyway(t *testing.T) {
	w := startJobs(t)
	github := w.agent.issuers.Load().Issuer(oidc.GitHub)
	for name, c := range map[string]struct {
		policy string
		counts bool
	}{"unnamed": {all, true}, "named": {all + issuerIn(oidc.GitHub, nil), true}, "pinned": {all + issuerIn(oidc.GitHub, w.issuer.JWKS(t)), false}} {
		g := w.agent.newGranted(mustRead(t, w.token), w.token.Issuer)
		g.issuer = github
		w.adopt(c.policy)
		_, err := w.agent.goodAt(g, time.Now())
		if w.agent.counts(g) != c.counts || (err == nil) != c.counts || err != nil && refusedWith(err) != pb.CodeGrant {
			t.Errorf("%s: got %v, %v", name, w.agent.counts(g), err)
		}
		g.revoked.Store(true)
		if _, err := w.agent.goodAt(g, time.Now()); !errors.Is(err, ErrRevoked) {
			t.Errorf("%s, and revoked: got %v, want ErrRevoked", name, err)
		}
		g.revoked.Store(false)
	}
}

// An ID token is taken only where it is noted as used, and the grant has its claims only
// then.
func TestIdentifyWithoutALedger(t *testing.T) {
	w := startJobs(t)
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		open func() (*ledger, error)
		want error
	}{
		"none":   {func() (*ledger, error) { return nil, broken }, broken},
		"closed": {func() (*ledger, error) { l, _ := w.openedLedger(); return l, l.Ledger.Close() }, store.ErrClosed},
	} {
		g := w.agent.newGranted(mustRead(t, w.token), w.token.Issuer)
		token, err := w.agent.arena.Take(w.issuer.Sign(t, w.issuer.GitHub(w.audience, time.Now())))
		if err != nil {
			t.Fatal(err)
		}
		if err := w.agent.identify(t.Context(), g, token, c.open); !errors.Is(err, c.want) || g.issuer.URL != "" || g.claims != nil {
			t.Errorf("%s: got %v, %q", name, err, g.issuer.URL)
		}
		token.Destroy()
	}
}

// TestIDTokenIsKnownWhileItIsGood: that an ID token was used is forgotten when it is over by
// the clock of the machine, and not when it is by the clock of a grant that was made before a
// clock that was ahead: for others it would be good again.
func TestIDTokenIsKnownWhileItIsGood(t *testing.T) {
	w := startJobs(t)
	now := time.Now()
	k := w.grantClock()
	k.epoch, k.before = now.Add(time.Second).Unix(), now.Add(30*time.Minute).Unix()
	used := map[bool][]byte{true: bytes.Repeat([]byte{1}, 16), false: bytes.Repeat([]byte{2}, 16)} // by whether it is good
	l, _ := w.openedLedger()
	if err := l.Append(
		store.Entry{Kind: ledgerIDToken, Subject: used[true], Value: unixSeconds(now.Add(10 * time.Minute))},
		store.Entry{Kind: ledgerIDToken, Subject: used[false], Value: unixSeconds(now.Add(-time.Minute))},
	); err != nil {
		t.Fatal(err)
	}
	token, err := w.agent.arena.Take(w.issuer.Sign(t, w.issuer.GitHub(w.audience, now.Add(30*time.Minute))))
	if err != nil {
		t.Fatal(err)
	}
	defer token.Destroy()
	if err := w.agent.identify(t.Context(), w.agent.newGranted(mustRead(t, w.token), w.token.Issuer), token, func() (*ledger, error) { return l, nil }); err != nil {
		t.Fatal(err)
	}
	for good, id := range used {
		if _, known := l.Get(ledgerIDToken, id); known != good {
			t.Errorf("good %v: known %v", good, known)
		}
	}
}

// Keys that could not be had are the network's fault; an error of our own stays what it is.
// A job is named by what cannot be somebody else's tomorrow.
func TestIdentityWords(t *testing.T) {
	if got := (&granted{}).badIdentity(fmt.Errorf("%w: nobody answers", oidc.ErrKeys)); refusedWith(got) != pb.CodeNetwork || !errors.Is(got, ErrNetwork) {
		t.Errorf("without keys: got %v", got)
	} else if r := refusalOf(got); r.Next != "try again; for a machine without a way there, jwks_file in the policy (docs/ci/README.md)" {
		t.Errorf("without keys: got %q", r.Next)
	}
	other := errors.New("other")
	if got := (&granted{}).badIdentity(other); got != other { //nolint:errorlint // the very error
		t.Errorf("another: got %v", got)
	}
	for name, ok := range map[string]bool{"repository_id": true, "repository": false} {
		c := unlocktoken.Caveats{Identities: []unlocktoken.Identity{{Issuer: "https://token.actions.githubusercontent.com", Claims: []unlocktoken.Claim{{Name: name, Values: []string{"74"}}}}}}
		if err := checkIdentities(c); (err == nil) != ok || err != nil && refusedWith(err) != pb.CodeRequest {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
