package agent

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/agent/oidc"
	"github.com/nsagent/nsagent/agent/oidc/oidctest"
	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// narrowed returns a token with less than another.
func narrowed(t testing.TB, token *unlocktoken.Token, limits unlocktoken.Caveats, keep []unlocktoken.ID) *unlocktoken.Token {
	t.Helper()
	n, err := token.Narrow(limits, keep, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// tryWith shows a token and signs.
func (r *runner) tryWith(token *unlocktoken.Token, profile, method, path string, opts ...client.Option) error {
	r.t.Helper()
	c, err := client.Dial(r.t.Context(), append(opts, client.WithSocket(r.paths.Agent), client.WithUnlockToken(token.Text()))...)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	_, err = c.Sign(r.t.Context(), client.Request{Profile: profile, Method: method, URL: "https://1234567-sb1.suitetalk.api.netsuite.com" + path})
	return err
}

// The steps of a job whose environment names the token may show it to the agent that serves
// the bundle: they have of it what the token that opened it and theirs both allow.
func TestTokenShownToItsBundle(t *testing.T) {
	f := owner(t)
	text, whole := f.mintBundle(unlocktoken.Caveats{Methods: []string{"GET", "POST", "PUT"}}, nil, "acme", "other")
	id := func(name string) []unlocktoken.ID {
		id, _ := f.agent.session.vault.RecordID(name)
		return []unlocktoken.ID{unlocktoken.ID(id)}
	}
	reads := narrowed(t, whole, unlocktoken.Caveats{Methods: []string{"GET"}}, nil)
	acme := narrowed(t, whole, unlocktoken.Caveats{}, id("acme"))
	noShare := narrowed(t, whole, unlocktoken.Caveats{}, nil)
	noShare.Shares = slices.DeleteFunc(slices.Clone(noShare.Shares), func(s unlocktoken.Share) bool { return s.Credential == id("other")[0] })
	noCaveat := narrowed(t, whole, unlocktoken.Caveats{Credentials: id("acme")}, nil)
	noCaveat.Shares = whole.Shares
	scope := client.ErrGrantScope
	for name, c := range map[string]struct {
		opens, shows    *unlocktoken.Token
		profile, method string
		want            error
	}{
		"the same token":                         {whole, whole, "acme", "PUT", nil},
		"the same token, beyond it":              {whole, whole, "acme", "DELETE", scope},
		"narrowed from it":                       {whole, reads, "acme", "GET", nil},
		"narrowed from it, beyond that":          {whole, reads, "acme", "POST", scope},
		"wider than it, within both":             {reads, whole, "acme", "GET", nil},
		"wider than it, beyond it":               {reads, whole, "acme", "POST", scope},
		"wider than it, another profile":         {acme, whole, "other", "GET", scope},
		"narrowed in another way, within both":   {acme, reads, "acme", "GET", nil},
		"narrowed in another way, beyond that":   {acme, reads, "acme", "POST", scope},
		"narrowed in another way, beyond it":     {acme, reads, "other", "GET", scope},
		"narrowed to a profile":                  {whole, acme, "acme", "POST", nil},
		"narrowed to a profile, another":         {whole, acme, "other", "POST", scope},
		"a share left out":                       {whole, noShare, "acme", "POST", nil},
		"a share left out, its profile":          {whole, noShare, "other", "POST", scope},
		"narrowed, with all shares":              {whole, noCaveat, "acme", "POST", nil},
		"narrowed, with all shares, another one": {whole, noCaveat, "other", "POST", scope},
	} {
		r := newRunner(t)
		r.mustServe(text, c.opens.Text())
		if err := r.tryWith(c.shows, c.profile, c.method, "/x"); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
		if err := r.try("acme", "GET", "/x"); err != nil {
			t.Errorf("%s: without a token afterwards: %v", name, err)
		}
		r.end()
	}
}

// A token that the bundle was not made for gives nothing, and takes nothing from others.
func TestTokenOfSomethingElseShownToABundle(t *testing.T) {
	f := owner(t)
	text, token := f.mintBundle(unlocktoken.Caveats{}, nil, "acme", "other")
	_, another := f.mintBundle(unlocktoken.Caveats{}, nil, "acme", "other")
	stranger := startApart(t)
	stranger.unlock()
	stranger.addTBA("acme")
	_, strange := stranger.mintBundle(unlocktoken.Caveats{}, nil, "acme")
	acme, _ := f.agent.session.vault.RecordID("acme")
	otherOnly := narrowed(t, token, unlocktoken.Caveats{Credentials: []unlocktoken.ID{unlocktoken.ID(acme)}}, nil)
	otherOnly.Shares = slices.DeleteFunc(slices.Clone(token.Shares), func(s unlocktoken.Share) bool { return s.Credential == unlocktoken.ID(acme) })
	otherShare := narrowed(t, token, unlocktoken.Caveats{}, nil)
	otherShare.Shares = slices.Clone(otherShare.Shares)
	otherShare.Shares[1].Key[0] ^= 1
	r := newRunner(t)
	r.mustServe(text, token.Text())
	for name, c := range map[string]struct {
		token *unlocktoken.Token
		want  error
		says  string
	}{
		"another grant":                {another, client.ErrGrant, "another grant"},
		"another vault":                {strange, client.ErrGrant, "another vault"},
		"attached":                     {f.mint(unlocktoken.Caveats{}, "acme"), client.ErrGrant, "has the vault"},
		"another block of that grant":  {f.sameGrant(token, unlocktoken.Caveats{Methods: []string{"GET"}}), client.ErrGrant, "another grant"},
		"no shares":                    {narrowed(t, token, unlocktoken.Caveats{}, []unlocktoken.ID{}), client.ErrGrant, "or to none"},
		"the share of another profile": {otherOnly, client.ErrGrant, "or to none"},
		"a changed share":              {otherShare, client.ErrGrant, "share of it was changed"},
		"over":                         {narrowed(t, token, unlocktoken.Caveats{NotAfter: time.Now().Unix() - 1}, nil), client.ErrExpired, "expired"},
	} {
		if _, err := r.dialWith(c.token); !errors.Is(err, c.want) || err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, want %v and %q", name, err, c.want, c.says)
		}
	}
	p := r.present()
	forged := p.request(token)
	forged.Proof = p.request(narrowed(t, token, unlocktoken.Caveats{}, nil)).GetProof()
	if _, err := p.rpc.Redeem(t.Context(), forged); err == nil || !strings.Contains(err.Error(), "not taken") {
		t.Errorf("the proof of another token: got %v", err)
	}
	for name, chain := range map[string][]byte{"no chain": nil, "an empty chain": unlocktoken.Chain{}.Encode()} {
		q := p.request(token)
		q.Chain = chain
		if _, err := p.rpc.Redeem(t.Context(), q); err == nil || !strings.Contains(err.Error(), "not taken") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	sorted := shareBytes(token)
	for want, shares := range map[string][]byte{"its shares are cut": append(slices.Clone(sorted), 0), "its shares are out of order": slices.Concat(sorted[shareSize:], sorted[:shareSize])} {
		if _, err := p.rpc.Redeem(t.Context(), p.requestWith(token, shares, pb.Signer_Redeem_FullMethodName)); err == nil || !strings.Contains(whyOf(err), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	wrong := p.requestWith(token, shareBytes(token), "/another/method")
	if _, err := p.rpc.Redeem(t.Context(), wrong); err == nil || !strings.Contains(err.Error(), "the sealed shares cannot be opened") {
		t.Errorf("shares that were sealed for another method: got %v", err)
	}
	job := p.request(narrowed(t, token, unlocktoken.Caveats{Identities: []unlocktoken.Identity{{Issuer: "https://i", Claims: []unlocktoken.Claim{{Name: "x", Values: []string{"1"}}}}}}, nil))
	job.OidcToken = p.request(token).GetShares()
	if _, err := p.rpc.Redeem(t.Context(), job); err == nil || !strings.Contains(err.Error(), "says nothing of a job") {
		t.Errorf("shares in the place of an ID token: got %v", err)
	}
	for _, e := range readLog(t, r.agent.cfg.Paths.AuditDir) {
		if e.Event == audit.EventGrantRedeem && e.Outcome == audit.OutcomeOK && e.Detail == "" {
			t.Errorf("the log says that a token was taken: %+v", e)
		}
	}
	if err := r.try("acme", "GET", "/x"); err != nil {
		t.Errorf("without a token afterwards: %v", err)
	}
}

// sameGrant returns a token of the grant of another, with other limits in its first block.
func (f *fixture) sameGrant(token *unlocktoken.Token, limits unlocktoken.Caveats) *unlocktoken.Token {
	f.t.Helper()
	a := mustRead(f.t, token).Authority
	limits.Credentials, limits.NotAfter = a.Caveats.Credentials, a.Caveats.NotAfter
	a.Caveats = limits
	var seed [32]byte
	_, _ = rand.Read(seed[:])
	next := ed25519.NewKeyFromSeed(seed[:])
	chain, err := unlocktoken.NewChain(a, ed25519.PublicKey(next[32:]), f.agent.session.vault.SignGrant)
	if err != nil {
		f.t.Fatal(err)
	}
	other, err := unlocktoken.New(token.Issuer, token.Shares, chain, seed)
	if err != nil {
		f.t.Fatal(err)
	}
	return other
}

// A connection has one right: it takes one token, and keeps what that leaves. What is left
// open when it closes is the bundle's, for everybody else.
func TestConnectionToABundleTakesOneToken(t *testing.T) {
	f := owner(t)
	text, token := f.mintBundle(unlocktoken.Caveats{}, nil, "acme")
	r := newRunner(t)
	r.mustServe(text, token.Text())
	p := r.present()
	for _, want := range []string{"", "was shown on this connection before"} {
		_, err := p.rpc.Redeem(t.Context(), p.request(token))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	c := r.show(narrowed(t, token, unlocktoken.Caveats{Methods: []string{"GET"}}, nil))
	st, err := c.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if b := st.GetBundle(); st.GetLocked() || st.GetProfiles() != 1 || !slices.Equal(b.GetProfiles(), []string{"acme"}) || b.GetGrant() != unlocktoken.GrantName(mustRead(t, token).Authority.Grant) || b.GetNotAfter() != mustRead(t, token).NotAfter() {
		t.Errorf("status: %v", st)
	}
	if err := r.dialAdmin().Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.tryWith(token, "acme", "GET", "/x"); !errors.Is(err, client.ErrLocked) {
		t.Errorf("after lock: got %v, want ErrLocked", err)
	}
	if st, err = r.dial().Status(t.Context()); err != nil || !st.GetLocked() || st.GetProfiles() != -1 || len(st.GetBundle().GetProfiles()) != 0 {
		t.Errorf("status after lock: %v, %v", st, err)
	}
}

// Uses are counted once, whoever makes them by which token of the grant, and against the
// limits of each.
func TestUsesOfTokensShownToABundle(t *testing.T) {
	f := owner(t)
	text, token := f.mintBundle(unlocktoken.Caveats{Uses: 3}, nil, "acme")
	once := narrowed(t, token, unlocktoken.Caveats{Uses: 1}, nil)
	r := newRunner(t)
	r.mustServe(text, token.Text())
	for i, want := range []error{nil, client.ErrGrantScope} {
		if err := r.tryWith(once, "acme", "GET", "/x"); !errors.Is(err, want) {
			t.Errorf("use %d of one: got %v, want %v", i+1, err, want)
		}
	}
	for i, try := range []func() error{
		func() error { return r.tryWith(token, "acme", "GET", "/x") },
		func() error { return r.try("acme", "GET", "/x") },
	} {
		if err := try(); err != nil {
			t.Errorf("use %d of three: %v", i+2, err)
		}
	}
	if err := r.tryWith(token, "acme", "GET", "/x"); !errors.Is(err, client.ErrGrantScope) {
		t.Errorf("a fourth use: got %v, want ErrGrantScope", err)
	}
}

// The job that opened the bundle is the one whose steps show its token: the ID token that
// their environment still names was used then. Only where nobody asked for one at that time
// does a narrower token ask for it.
func TestJobThatShowsItsTokenToItsBundle(t *testing.T) {
	f := owner(t)
	issuer := oidctest.New(t)
	known := []oidc.Issuer{{URL: issuer.URL, CA: issuer.CA}}
	onBranch := func(branch string) unlocktoken.Caveats {
		return unlocktoken.Caveats{Identities: []unlocktoken.Identity{{Issuer: issuer.URL, Claims: []unlocktoken.Claim{
			{Name: "repository_id", Values: []string{"74"}}, {Name: "ref", Values: []string{"refs/heads/" + branch}},
		}}}}
	}
	text, token := f.mintBundle(onBranch("main"), known, "acme")
	audience := oidc.Audience(mustRead(t, token).Vault)
	r := newRunner(t)
	r.idToken = issuer.Sign(t, issuer.GitHub(audience, time.Now()))
	r.mustServe(text, token.Text())
	for name, opts := range map[string][]client.Option{"without": nil, "with the one that was used": {client.WithIDToken(r.idToken)}} {
		if err := r.tryWith(token, "acme", "GET", "/x", opts...); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := r.tryWith(narrowed(t, token, onBranch("dev"), nil), "acme", "GET", "/x"); !errors.Is(err, client.ErrGrantScope) {
		t.Errorf("for another branch: got %v, want ErrGrantScope", err)
	}
	r.end()

	text, token = f.mintBundle(unlocktoken.Caveats{}, nil, "acme")
	r = newRunner(t)
	r.mustServe(text, token.Text())
	if err := r.agent.knowIssuers(known); err != nil { // in the place of GitHub, which every agent knows
		t.Fatal(err)
	}
	job := narrowed(t, token, onBranch("main"), nil)
	if err := r.tryWith(job, "acme", "GET", "/x"); !errors.Is(err, client.ErrGrant) || !strings.Contains(err.Error(), "wants the ID token of a job") {
		t.Errorf("without an ID token: got %v", err)
	}
	good := client.WithIDToken(issuer.Sign(t, issuer.GitHub(audience, time.Now())))
	if err := r.tryWith(job, "acme", "GET", "/x", client.WithIDToken([]byte("a.b.c"))); !errors.Is(err, client.ErrGrant) {
		t.Errorf("with another text: got %v, want ErrGrant", err)
	}
	if err := r.tryWith(job, "acme", "GET", "/x", good); err != nil {
		t.Errorf("with an ID token: %v", err)
	}
}

// A socket of a grant has its right, and takes no token; a socket that the owner has narrowed
// takes one, which leaves still less.
func TestTokenShownOnASocket(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	path := filepath.Join(shortDir(t), "s")
	if _, err := f.grantAt(path, "acme"); err != nil {
		t.Fatal(err)
	}
	token := f.mint(unlocktoken.Caveats{}, "acme")
	shown := func(path string) error {
		c, err := client.Dial(t.Context(), client.WithSocket(path), client.WithUnlockToken(token.Text()))
		if err == nil {
			_ = c.Close()
		}
		return err
	}
	if err := shown(path); !errors.Is(err, client.ErrGrant) || !strings.Contains(err.Error(), "this socket is of a grant already") {
		t.Errorf("on the socket of a grant: got %v", err)
	}
	s, err := f.signer.OpenSocket(t.Context(), client.SocketRequest{Profile: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	p := f.presentAt(s.Opened.GetPath())
	if _, err := p.rpc.Redeem(t.Context(), p.request(token)); err != nil {
		t.Errorf("on a socket of the owner: %v", err)
	}
	if _, err := p.rpc.Redeem(t.Context(), p.request(token)); !strings.Contains(fmt.Sprint(err), "was shown on this connection before") {
		t.Errorf("on the same connection again: got %v", err)
	}
}
