package agent

import (
	"bytes"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/agent/oidc"
	"github.com/nsagent/nsagent/agent/oidc/oidctest"
	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/unlocktoken"
)

const suiteqlPath = "/services/rest/query/v1/suiteql"

// A bundle works on a machine that has no vault, no keyring and no passphrase, and does
// there what the token says and no more; nothing of it is on the disk.
func TestBundleServes(t *testing.T) {
	f := owner(t)
	text, token := f.mintBundle(unlocktoken.Caveats{Methods: []string{"POST"}, Paths: []string{suiteqlPath}, Uses: 3}, nil, "acme")
	r := newRunner(t)
	r.mustServe(text, token.Text())
	for range 2 {
		if err := r.try("acme", "POST", suiteqlPath); err != nil {
			t.Fatal(err)
		}
	}
	for name, try := range map[string]func() error{
		"method":  func() error { return r.try("", "GET", suiteqlPath) },
		"path":    func() error { return r.try("", "POST", "/services/rest/record/v1/customer") },
		"profile": func() error { return r.try("other", "POST", suiteqlPath) },
	} {
		if err := try(); !errors.Is(err, client.ErrGrantScope) {
			t.Errorf("another %s: got %v, want ErrGrantScope", name, err)
		}
	}
	list, err := r.signer.Profiles(t.Context())
	if err != nil || len(list.GetProfiles()) != 1 || list.GetProfiles()[0].GetName() != "acme" {
		t.Errorf("profiles: %v, %v", list, err)
	}
	r.end()
	r.mustServe(text, token.Text())
	if err := r.try("", "POST", suiteqlPath); err != nil {
		t.Errorf("the third use: %v", err)
	}
	if err := r.try("", "POST", suiteqlPath); !errors.Is(err, client.ErrGrantScope) {
		t.Errorf("the fourth use, by another agent: got %v, want ErrGrantScope", err)
	}
	if _, err := os.Lstat(r.paths.Vault); !os.IsNotExist(err) {
		t.Errorf("a vault on the runner: %v", err)
	}
	dir := filepath.Join(r.paths.StateDir, "bundles", unlocktoken.GrantName(mustRead(t, token).Authority.Grant))
	var events []string
	for _, e := range readLog(t, filepath.Join(dir, "audit")) {
		if e.Event == audit.EventGrantRedeem || e.Event == "sign" {
			events = append(events, e.Event+" "+e.Outcome+" "+e.Grant)
		}
	}
	if len(events) < 8 || !strings.HasPrefix(events[0], "grant.redeem ok g_") {
		t.Errorf("log: %q", events)
	}
}

func mustRead(t testing.TB, token *unlocktoken.Token) *unlocktoken.Grant {
	t.Helper()
	g, err := token.Chain.Read()
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// Whoever has the token for one profile of a bundle opens that one alone.
func TestBundleNarrowed(t *testing.T) {
	f := owner(t)
	text, token := f.mintBundle(unlocktoken.Caveats{}, nil, "acme", "other")
	id, _ := f.agent.session.vault.RecordID("acme")
	narrow, err := token.Narrow(unlocktoken.Caveats{}, []unlocktoken.ID{unlocktoken.ID(id)}, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r := newRunner(t)
	r.mustServe(text, narrow.Text())
	if err := r.try("acme", "GET", "/x"); err != nil {
		t.Error(err)
	}
	if n := len(r.agent.bundled.own.profiles); n != 1 {
		t.Errorf("%d profiles are open, want one", n)
	}
	if err := r.try("other", "GET", "/x"); !errors.Is(err, client.ErrGrantScope) {
		t.Errorf("the other: got %v", err)
	}
}

func TestBundleIsRefused(t *testing.T) {
	f := owner(t)
	text, token := f.mintBundle(unlocktoken.Caveats{}, nil, "acme")
	otherText, otherToken := f.mintBundle(unlocktoken.Caveats{}, nil, "other")
	stranger := startApart(t)
	stranger.unlock()
	stranger.addTBA("acme")
	strangeText, strangeToken := stranger.mintBundle(unlocktoken.Caveats{}, nil, "acme")
	overText, over := f.mintBundle(unlocktoken.Caveats{NotAfter: time.Now().Unix()}, nil, "acme")
	longText, long := f.mintBundle(unlocktoken.Caveats{NotAfter: time.Now().Unix() + 91*86400}, nil, "acme")
	none, err := token.Narrow(unlocktoken.Caveats{}, []unlocktoken.ID{}, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.Clone(text)
	changed[len(changed)/2] ^= 1
	past := func(r *runner) { r.wall = time.Now().Add(time.Minute) }
	for name, c := range map[string]struct {
		text, token []byte
		change      func(*runner)
		want        error
		says        string
	}{
		"token of another bundle": {text, otherToken.Text(), nil, ErrGrant, "another grant"},
		"another bundle":          {otherText, token.Text(), nil, ErrGrant, "another grant"},
		"token of another vault":  {text, strangeToken.Text(), nil, ErrGrant, "another vault"},
		"bundle of another vault": {strangeText, token.Text(), nil, ErrGrant, "another vault"},
		"attached token":          {text, f.mint(unlocktoken.Caveats{}, "acme").Text(), nil, ErrGrant, "has the vault"},
		"over":                    {overText, over.Text(), past, ErrExpired, "expired"},
		"too long":                {longText, long.Text(), nil, ErrGrant, "90 days"},
		"no shares":               {text, none.Text(), nil, ErrGrant, "opens nothing"},
		"no token":                {text, nil, nil, ErrGrant, "the unlock token is empty"},
		"a line end and no token": {text, []byte("\n"), nil, ErrGrant, "the unlock token is empty"},
		"token in quotes":         {text, []byte(`"` + string(token.Text()) + `"`), nil, ErrGrant, "it stands in quotes"},
		"cut token":               {text, token.Text()[:100], nil, ErrGrant, "a part is missing"},
		"changed bundle":          {changed, token.Text(), nil, ErrGrant, "the bundle was not opened"},
		"no bundle":               {[]byte("hello"), token.Text(), nil, ErrGrant, "damaged"},
		"empty bundle":            {[]byte("\n"), token.Text(), nil, ErrGrant, "there is nothing in the file"},
		"pointer of Git LFS":      {[]byte("version https://git-lfs.github.com/spec/v1\n"), token.Text(), nil, ErrGrant, "which has not fetched it"},
	} {
		r := newRunner(t)
		if c.change != nil {
			c.change(r)
		}
		err := r.serve(c.text, c.token)
		if !errors.Is(err, c.want) || err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, want %v and %q", name, err, c.want, c.says)
		}
	}
}

// What cannot be read of a token or an ID token is why there is no agent; where it is longer
// than one can be, that is what is said.
func TestBundleIsRefusedUnread(t *testing.T) {
	f := owner(t)
	text, token := f.mintBundle(unlocktoken.Caveats{}, nil, "acme")
	broken := errors.New("broken")
	fails := func(err error) func(*secret.Arena) (secret.Bytes, error) {
		return func(*secret.Arena) (secret.Bytes, error) { return secret.Bytes{}, err }
	}
	for name, c := range map[string]struct {
		change func(*BundleConfig)
		want   error
		says   string
	}{
		"long token":    {func(b *BundleConfig) { b.Token = fails(secret.ErrTooLong) }, ErrGrant, "the unlock token was not taken: it is too long"},
		"no token":      {func(b *BundleConfig) { b.Token = fails(broken) }, broken, "broken"},
		"long ID token": {func(b *BundleConfig) { b.IDToken = fails(secret.ErrTooLong) }, ErrGrant, "the ID token of the job was not taken: it is too long"},
		"no ID token":   {func(b *BundleConfig) { b.IDToken = fails(broken) }, broken, "broken"},
	} {
		err := newRunner(t).serve(text, token.Text(), func(cfg *Config) { c.change(cfg.Bundle) })
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// A clock that is set back gives a grant no more time: not while the agent runs, and not
// after it was started again.
func TestBundleClockSetBack(t *testing.T) {
	f := owner(t)
	begin := time.Now()
	text, token := f.mintBundle(unlocktoken.Caveats{NotAfter: begin.Unix() + 3600}, nil, "acme")
	r := newRunner(t)
	r.wall = begin
	r.mustServe(text, token.Text())
	if err := r.try("", "GET", "/x"); err != nil {
		t.Fatal(err)
	}
	r.clock.Store(int64(time.Hour + time.Minute)) // the boot clock goes on, the other does not
	if err := r.try("", "GET", "/x"); !errors.Is(err, client.ErrExpired) {
		t.Errorf("with the clock held: got %v, want ErrExpired", err)
	}
	r.end()
	r.clock.Store(0)
	if err := r.serve(text, token.Text()); !errors.Is(err, ErrExpired) {
		t.Errorf("started again with the clock held: got %v, want ErrExpired", err)
	}
}

// TestBundleClockGoesOn: a machine whose clock begins anew with each start meets the end of a
// grant all the same. Each time goes on where the one before has ended.
func TestBundleClockGoesOn(t *testing.T) {
	f := owner(t)
	begin := time.Now()
	text, token := f.mintBundle(unlocktoken.Caveats{NotAfter: begin.Unix() + 3600}, nil, "acme")
	r := newRunner(t)
	r.wall = begin
	for start, want := range []error{nil, nil, client.ErrExpired} { // half an hour is over then, and the hour
		r.clock.Store(0)
		r.mustServe(text, token.Text())
		if err := r.try("", "GET", "/x"); err != nil {
			t.Errorf("start %d: got %v", start, err)
		}
		r.clock.Store(int64(25 * time.Minute))
		if err := r.try("", "GET", "/x"); !errors.Is(err, want) {
			t.Errorf("25 minutes after start %d: got %v, want %v", start, err, want)
		}
		r.end()
	}
	r.clock.Store(0)
	if err := r.serve(text, token.Text()); !errors.Is(err, ErrExpired) {
		t.Errorf("after its end: got %v, want ErrExpired", err)
	}
}

// What manages a vault does nothing here; lock ends it.
func TestBundleHasNoVault(t *testing.T) {
	f := owner(t)
	text, token := f.mintBundle(unlocktoken.Caveats{}, nil, "acme")
	r := newRunner(t)
	r.mustServe(text, token.Text())
	admin := r.dialAdmin()
	if _, err := admin.Unlock(t.Context(), r.sealer(testPassphrase), 0); err == nil {
		t.Error("unlocked")
	}
	if _, err := admin.ShowProfile(t.Context(), "acme"); err == nil {
		t.Error("a profile was shown")
	}
	if err := admin.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.signer = r.dial()
	if err := r.try("", "GET", "/x"); !errors.Is(err, client.ErrLocked) || !strings.Contains(err.Error(), "the bundle is locked") {
		t.Errorf("after lock: got %v, want ErrLocked, of the bundle", err)
	}
}

// What it signs is signed with the profile's own secrets.
func TestBundleSignsTheSame(t *testing.T) {
	f := owner(t)
	text, token := f.mintBundle(unlocktoken.Caveats{}, nil, "acme")
	r := newRunner(t)
	r.mustServe(text, token.Text())
	if !r.signsWith("acme", sample(2), sample(4)) {
		t.Error("signed with other secrets")
	}
}

// A grant for a job serves a job that shows who it is, once for each token of it.
func TestBundleForAJob(t *testing.T) {
	f := owner(t)
	issuer := oidctest.New(t)
	known := []oidc.Issuer{{URL: issuer.URL, CA: issuer.CA}, {URL: "https://nobody.example"}}
	job := unlocktoken.Identity{Issuer: issuer.URL, Claims: []unlocktoken.Claim{{Name: "repository_id", Values: []string{"74"}}, {Name: "ref", Values: []string{"refs/heads/main"}}}}
	text, token := f.mintBundle(unlocktoken.Caveats{Identities: []unlocktoken.Identity{job}}, known, "acme")
	audience := oidc.Audience(mustRead(t, token).Vault)
	claims := issuer.GitHub(audience, time.Now())
	good := issuer.Sign(t, claims)
	r := newRunner(t)
	if err := r.serve(text, token.Text()); !errors.Is(err, ErrGrant) {
		t.Errorf("without an ID token: got %v", err)
	}
	r.idToken = good
	r.mustServe(text, token.Text())
	if err := r.try("", "GET", "/x"); err != nil {
		t.Error(err)
	}
	r.end()
	for name, c := range map[string]struct {
		token []byte
		want  error
	}{
		"the same again":    {good, ErrGrant},
		"the same jti":      {issuer.SignRSA(t, claims), ErrGrant},
		"another branch":    {issuer.Sign(t, issuer.GitHub(audience, time.Now()).With("ref", "refs/heads/dev")), ErrGrantScope},
		"a pull request":    {issuer.Sign(t, issuer.GitHub(audience, time.Now()).With("event_name", "pull_request")), ErrGrantScope},
		"another vault":     {issuer.Sign(t, issuer.GitHub(oidc.Audience([16]byte{1}), time.Now())), ErrGrant},
		"another issuer":    {oidctest.New(t).Sign(t, issuer.GitHub(audience, time.Now())), ErrGrant},
		"nothing like that": {[]byte("hello"), ErrGrant},
	} {
		r.idToken = c.token
		if err := r.serve(text, token.Text()); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
	r.idToken = issuer.Sign(t, issuer.GitHub(audience, time.Now()))
	r.mustServe(text, token.Text())
}
