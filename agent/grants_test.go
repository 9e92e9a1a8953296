package agent

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
)

// grantSpec is a grant to be asked for, with what its token is made of.
type grantSpec struct {
	client.NewGrant
	shares []byte
	seed   [32]byte
}

// spec returns a grant of an hour for these profiles.
func (f *fixture) spec(profiles ...string) *grantSpec {
	f.t.Helper()
	s := &grantSpec{shares: make([]byte, 32*len(profiles))}
	_, _ = rand.Read(s.shares)
	_, _ = rand.Read(s.seed[:])
	key := ed25519.NewKeyFromSeed(s.seed[:])
	s.NewGrant = client.NewGrant{Profiles: profiles, TTL: time.Hour, Next: ed25519.PublicKey(key[32:]), Shares: f.sealer(string(s.shares))}
	return s
}

// token makes the token of what the agent answered.
func (s *grantSpec) token(t testing.TB, r *pb.NewGrantResponse) *unlocktoken.Token {
	t.Helper()
	chain, err := unlocktoken.DecodeChain(r.GetChain())
	if err != nil {
		t.Fatal(err)
	}
	var shares []unlocktoken.Share
	for i, id := range r.GetCredentials() {
		shares = append(shares, unlocktoken.Share{Credential: unlocktoken.ID(id), Key: [32]byte(s.shares[32*i:])})
	}
	token, err := unlocktoken.New(unlocktoken.IssuerHash(r.GetIssuer()), shares, chain, s.seed)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// newGrant asks for a grant of an hour.
func (f *fixture) newGrant(proof client.Proof, profiles ...string) (*unlocktoken.Token, *pb.Grant, error) {
	f.t.Helper()
	s := f.spec(profiles...)
	r, err := f.admin.NewGrant(f.t.Context(), proof, s.NewGrant)
	if err != nil {
		return nil, nil, err
	}
	return s.token(f.t, r), r.GetGrant(), nil
}

// mustGrant makes a grant of an hour.
func (f *fixture) mustGrant(profiles ...string) (*unlocktoken.Token, *pb.Grant) {
	f.t.Helper()
	token, g, err := f.newGrant(f.passphrase(testPassphrase), profiles...)
	if err != nil {
		f.t.Fatal(err)
	}
	return token, g
}

// grantID returns the id of the newest grant.
func (f *fixture) grantID() string {
	f.t.Helper()
	all, err := f.admin.Grants(f.t.Context())
	if err != nil || len(all) == 0 {
		f.t.Fatalf("%d grants, %v", len(all), err)
	}
	return all[0].GetId()
}

// TestNewGrant guards T-01 for grants that the agent makes: the token opens what it is for,
// unlocked and locked, after a restart too, and nothing else.
func TestNewGrant(t *testing.T) {
	ctx := t.Context()
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	f.addTBA("two")
	f.addTBA("other")
	token, g := f.mustGrant("two", "acme")
	if g.GetState() != "active" || len(g.GetProfiles()) != 2 || g.GetProfiles()[0].GetName() != "two" || !g.GetProfiles()[1].GetOpens() || !strings.HasPrefix(g.GetMadeBy(), "passphrase, uid ") {
		t.Errorf("got %v", g)
	}
	check := func(state string) {
		t.Helper()
		c := f.show(token)
		for _, name := range []string{"acme", "two"} {
			if _, err := c.Sign(ctx, request(name)); err != nil {
				t.Errorf("%s: %s: %v", state, name, err)
			}
		}
		if _, err := c.Sign(ctx, request("other")); !errors.Is(err, client.ErrGrantScope) {
			t.Errorf("%s: a profile of nobody's grant: %v", state, err)
		}
	}
	check("unlocked")
	if err := f.admin.Lock(ctx); err != nil {
		t.Fatal(err)
	}
	check("locked")
	f.restart()
	check("locked, after a restart")
	all, err := f.admin.Grants(ctx)
	if err != nil || len(all) != 1 || all[0].GetId() != g.GetId() || all[0].GetState() != "locked" || all[0].GetNotAfter() != 0 || len(all[0].GetProfiles()) != 0 {
		t.Errorf("a locked agent tells %v, %v", all, err)
	}
	f.unlock()
	if again, err := f.admin.Grant(ctx, g.GetId()[:8]); err != nil || again.GetState() != "active" || again.GetNotAfter() != g.GetNotAfter() {
		t.Errorf("got %v, %v", again, err)
	}
	if report, err := f.admin.CheckVault(ctx); err != nil || !slices.ContainsFunc(report.GetChecks(), func(x *pb.Check) bool { return x.GetName() == "grants" && x.GetState() == "ok" }) {
		t.Errorf("the check says %v, %v", report, err)
	}
}

// TestNewGrantSharesAreNeeded: with another share than the one that was sealed the token
// is worth nothing to a locked agent.
func TestNewGrantSharesAreNeeded(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	s := f.spec("acme")
	r, err := f.admin.NewGrant(t.Context(), f.passphrase(testPassphrase), s.NewGrant)
	if err != nil {
		t.Fatal(err)
	}
	s.shares[0] ^= 1
	bad := s.token(t, r)
	if err := f.admin.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := f.dialWith(bad); !errors.Is(err, client.ErrGrant) {
		t.Errorf("got %v", err)
	}
	s.shares[0] ^= 1
	f.show(s.token(t, r))
}

// TestNewGrantRefuses: each of these is refused for its reason, and leaves nothing.
func TestNewGrantRefuses(t *testing.T) {
	ctx := t.Context()
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	if _, err := f.admin.AddSecret(ctx, apiSecret("api"), longSecret(f.arena, "an API secret")); err != nil {
		t.Fatal(err)
	}
	many := make([]string, unlocktoken.MaxShares+1)
	for i := range many {
		many[i] = fmt.Sprint("p", i)
	}
	for name, c := range map[string]struct {
		edit func(*grantSpec)
		want error
		says string
	}{
		"no end":               {func(s *grantSpec) { s.TTL = 0 }, client.ErrRequest, "it is not said how long"},
		"an end in the past":   {func(s *grantSpec) { s.TTL = -time.Hour }, client.ErrRequest, "it is not said how long"},
		"more than a year":     {func(s *grantSpec) { s.TTL = 367 * 24 * time.Hour }, client.ErrRequest, "too long"},
		"an overflow":          {func(s *grantSpec) { s.TTL = 1<<63 - 1 }, client.ErrRequest, "too long"},
		"no profile":           {func(s *grantSpec) { s.Profiles = nil }, client.ErrRequest, "1 to 64 profiles"},
		"too many profiles":    {func(s *grantSpec) { s.Profiles = many }, client.ErrRequest, "1 to 64 profiles"},
		"a profile twice":      {func(s *grantSpec) { s.Profiles = []string{"acme", "acme"} }, client.ErrRequest, "is named twice"},
		"no such profile":      {func(s *grantSpec) { s.Profiles = []string{"nobody"} }, client.ErrNoProfile, `no profile "nobody"`},
		"a staged profile":     {func(s *grantSpec) { s.Profiles = []string{"acme+next"} }, client.ErrNoProfile, "acme+next"},
		"an API secret":        {func(s *grantSpec) { s.Profiles = []string{"api"} }, client.ErrRequest, "API secret"},
		"a short key":          {func(s *grantSpec) { s.Next = s.Next[:31] }, client.ErrRequest, "no Ed25519 key"},
		"too few shares":       {func(s *grantSpec) { s.Shares = f.sealer("short") }, client.ErrRequest, "shares do not fit"},
		"too many shares":      {func(s *grantSpec) { s.Shares = f.sealer(strings.Repeat("x", 64)) }, client.ErrRequest, "shares do not fit"},
		"far too many shares":  {func(s *grantSpec) { s.Shares = f.sealer(strings.Repeat("x", 8000)) }, client.ErrCredential, "shares is too long"},
		"a pattern of no path": {func(s *grantSpec) { s.Limits = &pb.GrantLimits{Paths: []string{"services"}} }, client.ErrRequest, "paths"},
		"an unknown kind":      {func(s *grantSpec) { s.Limits = &pb.GrantLimits{Kinds: []string{"all"}} }, client.ErrRequest, "kinds"},
		"half a rate":          {func(s *grantSpec) { s.Limits = &pb.GrantLimits{RateCount: 5} }, client.ErrRequest, "rate"},
		"an open identity":     {func(s *grantSpec) { s.Limits = &pb.GrantLimits{Identities: []*pb.GrantIdentity{{Issuer: "https://x"}}} }, client.ErrRequest, "identities"},
		"a late beginning":     {func(s *grantSpec) { s.Limits = &pb.GrantLimits{NotBefore: time.Now().Add(48 * time.Hour).Unix()} }, client.ErrRequest, "end before it begins"},
		"a host in upper case": {func(s *grantSpec) { s.Limits = &pb.GrantLimits{Hosts: []string{"X.example"}} }, client.ErrRequest, "hosts"},
	} {
		s := f.spec("acme")
		c.edit(s)
		_, err := f.admin.NewGrant(ctx, f.passphrase(testPassphrase), s.NewGrant)
		if !errors.Is(err, c.want) || !strings.Contains(fmt.Sprint(err), c.says) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	for name, proof := range map[string]client.Proof{"none": {}, "a wrong one": f.passphrase("wrong"), "a yes": {Confirmed: true}} {
		if _, _, err := f.newGrant(proof, "acme"); !errors.Is(err, client.ErrProof) && !errors.Is(err, client.ErrPassphrase) {
			t.Errorf("proof %s: got %v", name, err)
		}
	}
	if all, err := f.admin.Grants(ctx); err != nil || len(all) != 0 {
		t.Errorf("%d grants are there, %v", len(all), err)
	}
	if err := f.admin.Lock(ctx); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.newGrant(f.passphrase(testPassphrase), "acme"); !errors.Is(err, client.ErrLocked) {
		t.Errorf("locked: got %v", err)
	}
}

// TestNewGrantSealing: the shares are good for this call alone.
func TestNewGrantSealing(t *testing.T) {
	ctx := t.Context()
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	for name, edit := range map[string]func(*client.SealTo){
		"for another call":  func(to *client.SealTo) { to.Method = pb.Signer_Redeem_FullMethodName },
		"for a profile":     func(to *client.SealTo) { to.Profile = "acme" },
		"for another field": func(to *client.SealTo) { to.Field = "oidc_token" },
		"for another agent": func(to *client.SealTo) { to.Instance = bytes.Repeat([]byte{1}, 16) },
		"for another vault": func(to *client.SealTo) { to.VaultID = bytes.Repeat([]byte{1}, 16) },
	} {
		s := f.spec("acme")
		seal := s.Shares
		s.Shares = func(to client.SealTo) ([]byte, error) {
			edit(&to)
			return seal(to)
		}
		if _, err := f.admin.NewGrant(ctx, f.passphrase(testPassphrase), s.NewGrant); !errors.Is(err, client.ErrRequest) {
			t.Errorf("sealed %s: got %v", name, err)
		}
	}
}

// TestRevokeGrant guards T-06: from the next request on, for good, in whatever state the
// agent is.
func TestRevokeGrant(t *testing.T) {
	ctx := t.Context()
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	token, g := f.mustGrant("acme")
	other, _ := f.mustGrant("acme")
	unlocked := f.show(token)
	if r, err := f.admin.RevokeGrant(ctx, strings.ToUpper(g.GetId()[:2])+g.GetId()[2:9], false); err != nil || r.GetGrant().GetState() != "revoked" || r.GetGrant().GetRevokedAt() == 0 || len(r.GetRotated()) != 0 {
		t.Fatalf("got %v, %v", r, err)
	}
	if _, err := unlocked.Sign(ctx, request("acme")); !errors.Is(err, client.ErrRevoked) {
		t.Errorf("on its connection: %v", err)
	}
	if _, err := f.dialWith(token); !errors.Is(err, client.ErrRevoked) {
		t.Errorf("shown again: %v", err)
	}
	if _, err := f.show(other).Sign(ctx, request("acme")); err != nil {
		t.Errorf("another grant: %v", err)
	}
	if err := f.admin.Lock(ctx); err != nil {
		t.Fatal(err)
	}
	locked := f.show(other)
	otherID := unlocktoken.GrantName(otherGrant(t, other))
	if r, err := f.admin.RevokeGrant(ctx, otherID, false); err != nil || r.GetGrant().GetState() != "revoked" {
		t.Fatalf("while locked: %v, %v", r, err)
	}
	if _, err := locked.Sign(ctx, request("acme")); !errors.Is(err, client.ErrRevoked) {
		t.Errorf("on its connection, while locked: %v", err)
	}
	f.restart()
	for _, token := range []*unlocktoken.Token{token, other} {
		if _, err := f.dialWith(token); !errors.Is(err, client.ErrRevoked) {
			t.Errorf("after a restart: %v", err)
		}
	}
	for _, id := range []string{"", "g_", "g_777777", "acme", "g_" + strings.Repeat("x", 500)} {
		if _, err := f.admin.RevokeGrant(ctx, id, false); !errors.Is(err, client.ErrNotFound) {
			t.Errorf("%.40q: got %v", id, err)
		}
	}
}

func otherGrant(t *testing.T, token *unlocktoken.Token) unlocktoken.ID {
	t.Helper()
	g, err := token.Chain.Read()
	if err != nil {
		t.Fatal(err)
	}
	return g.Authority.Grant
}

// TestRevokeAndRotate: whoever keeps the token, the vault file of later and the machine
// opens nothing; the profile works on, and tokens of other grants while it is unlocked.
func TestRevokeAndRotate(t *testing.T) {
	ctx := t.Context()
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	f.addTBA("two")
	_, g := f.mustGrant("acme")
	other, og := f.mustGrant("acme", "two")
	f.mustGrant("two") // which has nothing in common with the one that goes
	r, err := f.admin.RevokeGrant(ctx, g.GetId(), true)
	if err != nil || !slices.Equal(r.GetRotated(), []string{"acme"}) || !slices.Equal(r.GetAffected(), []string{og.GetId()}) {
		t.Fatalf("got %v, %v", r, err)
	}
	f.sign("acme")
	if _, err := f.show(other).Sign(ctx, request("acme")); err != nil {
		t.Errorf("another token, unlocked: %v", err)
	}
	after, err := f.admin.Grant(ctx, og.GetId())
	if err != nil || after.GetProfiles()[0].GetOpens() || !after.GetProfiles()[1].GetOpens() {
		t.Errorf("the other grant is %v, %v", after, err)
	}
	if err := f.admin.Lock(ctx); err != nil {
		t.Fatal(err)
	}
	c := f.show(other)
	if _, err := c.Sign(ctx, request("two")); err != nil {
		t.Errorf("the profile that was left alone: %v", err)
	}
	if _, err := c.Sign(ctx, request("acme")); err == nil {
		t.Error("the profile with new keys signs for the token while locked")
	}
	if _, err := f.admin.RevokeGrant(ctx, og.GetId(), true); !errors.Is(err, client.ErrLocked) || !strings.Contains(fmt.Sprint(err), "keep their keys") {
		t.Errorf("new keys while locked: %v", err)
	}
	if _, err := f.dialWith(other); !errors.Is(err, client.ErrRevoked) {
		t.Errorf("it was not revoked: %v", err)
	}
	f.unlock()
	f.sign("acme")
}

// TestGrantsEnd: a grant is over at its end, listed for a month, and gone with the next.
func TestGrantsEnd(t *testing.T) {
	ctx := t.Context()
	f, ahead := unlockedAhead(t)
	s := f.spec("acme")
	s.Limits = &pb.GrantLimits{NotBefore: time.Now().Add(30 * time.Minute).Unix()}
	r, err := f.admin.NewGrant(ctx, f.passphrase(testPassphrase), s.NewGrant)
	if err != nil {
		t.Fatal(err)
	}
	id := r.GetGrant().GetId()
	for _, step := range []struct {
		ahead time.Duration
		state string
	}{{0, "pending"}, {31 * time.Minute, "active"}, {61 * time.Minute, "expired"}, {30 * 24 * time.Hour, "expired"}} {
		ahead.Store(int64(step.ahead))
		if step.state == "expired" { // a new one, so that it is seen whether the old one goes
			f.mustGrant("acme")
		}
		if g, err := f.admin.Grant(ctx, id); err != nil || g.GetState() != step.state {
			t.Errorf("after %s: %v, %v", step.ahead, g, err)
		}
	}
	ahead.Store(int64(31 * 24 * time.Hour))
	f.mustGrant("acme")
	if _, err := f.admin.Grant(ctx, id); !errors.Is(err, client.ErrNotFound) {
		t.Errorf("a month after its end: %v", err)
	}
}

// TestNoGrantForRefreshTokens: nothing that a token could open is of use without the
// vault's own part.
func TestNoGrantForRefreshTokens(t *testing.T) {
	for auth, want := range map[string]string{authTBA: "", authM2M: "", authCode: "its refresh token changes with each use", authSecret: "it holds an API secret"} {
		err := grantable(&live{profile: &profile{Name: "p", Auth: auth}})
		if r := refusalOf(err); err != nil && (r.Code != pb.CodeRequest || !strings.HasPrefix(r.Why, want) || want == "") || (err == nil) != (want == "") {
			t.Errorf("%s: %v", auth, err)
		}
	}
}

// TestGrantOfAnOddProgram: whoever asks may have any name in the file system; one grant that
// cannot be read hides no other.
func TestGrantOfAnOddProgram(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	_, good := f.mustGrant("acme")
	m := grantMeta{Chain: []byte{1}, UID: 1, Exe: valid("/tmp/\xff/nsagent"), Proof: "x"}
	b, err := f.agent.codec.enc.Marshal(&m)
	if err != nil {
		t.Fatal(err)
	}
	var again grantMeta
	if err := f.agent.codec.dec.Unmarshal(b, &again); err != nil {
		t.Errorf("a program with a name that is no text: %v", err)
	}
	if err := f.agent.session.vault.AddGrant(t.Context(), vault.NewGrant{ID: [16]byte{7}, Meta: b}); err != nil {
		t.Fatal(err)
	}
	all, err := f.admin.Grants(t.Context())
	if err != nil || len(all) != 2 {
		t.Fatalf("%d grants, %v", len(all), err)
	}
	states := map[string]string{all[0].GetId(): all[0].GetState(), all[1].GetId(): all[1].GetState()}
	if states[good.GetId()] != "active" || states[unlocktoken.GrantName([16]byte{7})] != "damaged" {
		t.Errorf("got %v", states)
	}
}
