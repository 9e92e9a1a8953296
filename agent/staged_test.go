package agent

import (
	"crypto/elliptic"
	"encoding/pem"
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/client"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
	"github.com/nsagent/nsagent/vault/store"
)

// with calls f in the turn of a change of profile name.
func (f *fixture) with(name string, change func(s *session, p *live) error) error {
	f.t.Helper()
	s, p, end, err := f.agent.beginChangeOf(f.t.Context(), name)
	if err != nil {
		return err
	}
	defer end()
	return change(s, p)
}

// tbaMaterial makes the stored forms of a TBA credential in the agent.
func (f *fixture) tbaMaterial(cs, ts byte) material {
	f.t.Helper()
	a, err := f.agent.arena.Take([]byte(sample(cs)))
	if err != nil {
		f.t.Fatal(err)
	}
	defer a.Destroy()
	b, err := f.agent.arena.Take([]byte(sample(ts)))
	if err != nil {
		f.t.Fatal(err)
	}
	defer b.Destroy()
	m, err := newTBA(f.agent.arena, a, b)
	if err != nil {
		f.t.Fatal(err)
	}
	return m
}

// ecKey returns a new EC key in PKCS#8 form.
func ecKey(t *testing.T) []byte {
	t.Helper()
	text, _ := keyPair(t, elliptic.P256(), time.Now(), time.Now().Add(time.Hour))
	block, _ := pem.Decode([]byte(text))
	return block.Bytes
}

// stageTBA stages a profile that signs with other secrets.
func (f *fixture) stageTBA(name string, cs, ts byte) error {
	f.t.Helper()
	return f.with(name, func(s *session, p *live) error {
		m := f.tbaMaterial(cs, ts)
		defer m.destroy()
		next := *p.profile
		next.TokenID, next.Previous = sample(ts+100), nil
		_, err := f.agent.stage(asItself(f.t.Context()), s, p, &next, m, "a test", audit.EventCertNew, "")
		return err
	})
}

// promote puts what is staged into its place.
func (f *fixture) promote(name string, how promotion) error {
	f.t.Helper()
	how.event = audit.EventCertRotate
	return f.with(name, func(s *session, p *live) error {
		_, err := f.agent.promote(asItself(f.t.Context()), s, p, s.staged[name], how)
		return err
	})
}

func (f *fixture) unstage(name string, edit func(*profile)) error {
	f.t.Helper()
	return f.with(name, func(s *session, _ *live) error {
		return f.agent.unstage(asItself(f.t.Context()), s, s.staged[name], audit.EventCertDrop, "", edit)
	})
}

// unusable checks that no caller finds what is staged, under any name.
func (f *fixture) unusable(names ...string) {
	f.t.Helper()
	ctx := f.t.Context()
	l, err := f.signer.Profiles(ctx)
	if err != nil {
		f.t.Fatal(err)
	}
	var listed []string
	for _, p := range l.GetProfiles() {
		listed = append(listed, p.GetName())
	}
	if !slices.Equal(listed, names) {
		f.t.Errorf("profiles %q, want %q", listed, names)
	}
	for _, name := range names {
		hidden := stagedName(name)
		for what, call := range map[string]func() error{
			"sign": func() error {
				_, err := f.signer.Sign(ctx, client.Request{Profile: hidden, URL: sandboxURL})
				return err
			},
			"passport":         func() error { _, err := f.signer.Passport(ctx, hidden, ""); return err },
			"connect-password": func() error { _, err := f.signer.ConnectPassword(ctx, hidden); return err },
			"token": func() error {
				_, err := f.signer.AccessToken(ctx, client.AccessTokenRequest{Profile: hidden})
				return err
			},
			"show":   func() error { _, err := f.admin.ShowProfile(ctx, hidden); return err },
			"remove": func() error { return f.admin.RemoveProfile(ctx, hidden) },
			"rename": func() error { _, err := f.admin.RenameProfile(ctx, client.Proof{}, hidden, "mine"); return err },
			"edit": func() error {
				_, err := f.admin.EditProfile(ctx, hidden, client.ProfileEdit{Profile: &pb.Profile{Note: "x"}, Fields: []string{"note"}})
				return err
			},
		} {
			if err := call(); !errors.Is(err, client.ErrNoProfile) {
				f.t.Errorf("%s of %s: got %v, want %v", what, hidden, err, client.ErrNoProfile)
			}
		}
		if _, err := f.admin.AddProfile(ctx, tba(hidden), f.tbaSecrets()); !errors.Is(err, client.ErrRequest) {
			f.t.Errorf("adding %s: got %v", hidden, err)
		}
	}
}

// TestStaged shows the way of a new secret: nobody sees it, until it takes its place, and
// then the one before is kept as after any edit. The agent ends between any two steps.
func TestStaged(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	f.tbaWith("old", 2, 4)
	f.tbaWith("new", 2, 9)
	names := []string{"acme", "new", "old"}
	step := func(what string, do func() error, signsLike string) {
		t.Helper()
		if err := do(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		for range 2 {
			if !f.signsLike("acme", signsLike) {
				t.Errorf("%s: acme does not sign like %s", what, signsLike)
			}
			f.unusable(names...)
			f.sign("acme")
			f.restart()
			f.unlock()
		}
	}
	step("stage", func() error { return f.stageTBA("acme", 2, 9) }, "old")
	if err := f.stageTBA("acme", 2, 9); err == nil || refusalOf(err).Code != pb.CodeExists {
		t.Errorf("a second one: got %v", err)
	}
	step("restage", func() error {
		return f.with("acme", func(s *session, _ *live) error {
			_, err := f.agent.restage(asItself(t.Context()), s, s.staged["acme"], audit.EventCertUpload, "", func(p *profile) { p.TokenID = sample(77) })
			return err
		})
	}, "old")
	step("unstage", func() error { return f.unstage("acme", func(p *profile) { p.Note = "taken back" }) }, "old")
	step("stage again", func() error { return f.stageTBA("acme", 2, 9) }, "old")
	step("promote", func() error { return f.promote("acme", promotion{overlap: 2 * time.Hour}) }, "new")

	p, err := f.admin.ShowProfile(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	if v := p.GetVersions(); states(p) != "current previous" || v[0].GetNumber() != 2 || !overlaps(v, 2*time.Hour) || p.GetTokenId() != sample(109) || p.GetNote() != "taken back" {
		t.Errorf("after the promotion: %v", p)
	}
	step("go back", func() error {
		_, err := f.admin.EditProfile(t.Context(), "acme", client.ProfileEdit{UsePrevious: true})
		return err
	}, "old")
}

// TestStagedTakesOverNoLimit guards that what was narrowed while something is staged stays
// so.
func TestStagedTakesOverNoLimit(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	if err := f.stageTBA("acme", 2, 9); err != nil {
		t.Fatal(err)
	}
	f.edit("acme", client.ProfileEdit{Profile: &pb.Profile{Access: "read", Note: "narrowed"}, Fields: []string{"access", "note"}})
	if err := f.promote("acme", promotion{overlap: time.Hour}); err != nil {
		t.Fatal(err)
	}
	if p, err := f.admin.ShowProfile(t.Context(), "acme"); err != nil || p.GetAccess() != "read" || p.GetNote() != "narrowed" {
		t.Errorf("got %v, %v", p, err)
	}
}

// TestStagedOfAnotherKind guards that credentials of two kinds change places, and back.
func TestStagedOfAnotherKind(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	f.tbaWith("old", 2, 4)
	if err := f.with("acme", func(s *session, p *live) error {
		signOnly, err := f.agent.arena.Take(ecKey(t))
		if err != nil {
			return err
		}
		m := material{signOnly: signOnly}
		defer m.destroy()
		next := *p.profile
		next.Auth, next.Scopes, next.bound = authM2M, []string{"restlets"}, bound{ClientID: sample(5), CertificateID: "abc"}
		_, err = f.agent.stage(asItself(t.Context()), s, p, &next, m, "a test", audit.EventCertNew, "")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	f.sign("acme")
	for round, want := range []string{authM2M, authTBA, authM2M, authTBA} {
		if err := f.promote("acme", promotion{back: "the way back"}); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		for range 2 {
			f.unusable("acme", "old")
			p, err := f.admin.ShowProfile(t.Context(), "acme")
			if err != nil || p.GetAuth() != want || states(p) != "current" || (p.GetClientId() == "") != (want == authTBA) {
				t.Fatalf("round %d: got %v, %v", round, p, err)
			}
			_, err = f.signer.Assertion(t.Context(), client.AssertionRequest{Profile: "acme"})
			if (err == nil) != (want == authM2M) {
				t.Errorf("round %d: an assertion: %v", round, err)
			}
			if want == authTBA && !f.signsLike("acme", "old") {
				t.Errorf("round %d: another key", round)
			}
			f.restart()
			f.unlock()
		}
	}
}

// TestStagedGoesWithItsProfile guards that a staged profile is renamed and removed with
// the one that it is for.
func TestStagedGoesWithItsProfile(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	f.tbaWith("new", 2, 9)
	if err := f.stageTBA("acme", 2, 9); err != nil {
		t.Fatal(err)
	}
	if _, err := f.admin.RenameProfile(t.Context(), client.Proof{}, "acme", "zeta"); err != nil {
		t.Fatal(err)
	}
	f.unusable("new", "zeta")
	f.restart()
	f.unlock()
	if err := f.promote("zeta", promotion{overlap: time.Hour}); err != nil || !f.signsLike("zeta", "new") {
		t.Errorf("after the new name: %v", err)
	}
	if err := f.stageTBA("zeta", 2, 11); err != nil {
		t.Fatal(err)
	}
	if err := f.admin.RemoveProfile(t.Context(), "zeta"); err != nil {
		t.Fatal(err)
	}
	v, err := f.agent.session.vault.Records()
	if err != nil || len(v) != 1 {
		t.Errorf("%d records, %v; want the other profile alone", len(v), err)
	}
	f.addTBA("zeta")
	if err := f.stageTBA("zeta", 2, 9); err != nil {
		t.Errorf("a profile of the same name: %v", err)
	}
}

// TestStagedChangedElsewhere guards that nothing is promoted that is not what was looked
// at, and that it stays as it is.
func TestStagedChangedElsewhere(t *testing.T) {
	for name, change := range map[string]func(vault.Record) (vault.Edit, error){
		"acme":             func(vault.Record) (vault.Edit, error) { return vault.Edit{Take: "acme+next"}, nil },
		stagedName("acme"): func(vault.Record) (vault.Edit, error) { return vault.Edit{Take: "acme"}, nil },
	} {
		t.Run(name, func(t *testing.T) {
			f := start(t)
			f.unlock()
			f.addTBA("acme")
			f.tbaWith("old", 2, 4)
			if err := f.stageTBA("acme", 2, 9); err != nil {
				t.Fatal(err)
			}
			v, err := vault.Open(t.Context(), vault.Config{Store: store.NewFile(f.paths.Vault), Arena: f.arena})
			if err == nil {
				err = v.Unlock(t.Context(), f.secret(testPassphrase))
			}
			if err == nil {
				_, err = v.Edit(t.Context(), name, change)
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := f.promote("acme", promotion{overlap: time.Hour}); err == nil || refusalOf(err).Code != pb.CodeLimited {
				t.Errorf("promote: got %v", err)
			}
			if err := f.unstage("acme", func(p *profile) { p.Note = "x" }); err == nil || refusalOf(err).Code != pb.CodeLimited {
				t.Errorf("unstage: got %v", err)
			}
			if !f.signsLike("acme", "old") {
				t.Error("the agent signs with another key")
			}
		})
	}
}

// TestStagedSurvivesFailure guards that a commit that fails leaves what was there, in the
// agent and in the vault.
func TestStagedSurvivesFailure(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	f.tbaWith("old", 2, 4)
	f.tbaWith("new", 2, 9)
	if err := f.stageTBA("acme", 2, 9); err != nil {
		t.Fatal(err)
	}
	used := f.agent.arena.Info().Used
	whole, err := os.ReadFile(f.paths.Vault)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(f.paths.Vault, whole[:len(whole)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.promote("acme", promotion{overlap: time.Hour}); err == nil {
		t.Error("promoted in a vault that is damaged")
	}
	if err := f.unstage("acme", nil); err == nil {
		t.Error("unstaged in a vault that is damaged")
	}
	if err := os.WriteFile(f.paths.Vault, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if !f.signsLike("acme", "old") {
		t.Error("the agent signs with another key")
	}
	f.unusable("acme", "new", "old")
	if got := f.agent.arena.Info().Used; got != used {
		t.Errorf("%d bytes of locked memory more", got-used)
	}
	if err := f.promote("acme", promotion{overlap: time.Hour}); err != nil || !f.signsLike("acme", "new") {
		t.Errorf("afterwards: %v", err)
	}
}
