package agent

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	"github.com/nsagent/nsagent/vault"
)

// withLedger ends the agent, puts old in the place of the ledger, nil for none, and runs
// another agent.
func (f *fixture) withLedger(old []byte) {
	f.t.Helper()
	if err := f.admin.Stop(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
	f.waitEnd()
	if err := os.Remove(f.paths.Ledger); err != nil {
		f.t.Fatal(err)
	}
	if old != nil {
		if err := os.WriteFile(f.paths.Ledger, old, 0o600); err != nil {
			f.t.Fatal(err)
		}
	}
	f.run()
}

// TestRevocationOutlivesTheLedger: a grant that was revoked stays so where the ledger of
// the machine is lost, or is put back as it was before.
func TestRevocationOutlivesTheLedger(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	open, og := f.mustGrant("acme")
	closed, cg := f.mustGrant("acme")
	kept, _ := f.mustGrant("acme")
	before, err := os.ReadFile(f.paths.Ledger)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.admin.RevokeGrant(t.Context(), og.GetId(), false); err != nil {
		t.Fatal(err)
	}
	f.lock()
	if _, err := f.admin.RevokeGrant(t.Context(), cg.GetId(), false); err != nil {
		t.Fatal(err)
	}
	f.unlock() // what was revoked while locked goes into the vault
	f.lock()

	f.withLedger(nil)
	for _, token := range []*unlocktoken.Token{open, closed, kept} {
		if _, err := f.dialWith(token); !errors.Is(err, client.ErrLocked) {
			t.Errorf("locked, with a new ledger: got %v", err)
		}
	}
	f.unlock()
	if w := f.warnings(); !strings.Contains(strings.Join(w, " "), "the ledger of this machine is new") {
		t.Errorf("warnings %q", w)
	}
	check := func(what string) {
		t.Helper()
		for _, token := range []*unlocktoken.Token{open, closed} {
			if _, err := f.dialWith(token); !errors.Is(err, client.ErrRevoked) {
				t.Errorf("%s: got %v", what, err)
			}
		}
		if _, err := f.show(kept).Sign(t.Context(), request("acme")); err != nil {
			t.Errorf("%s: another grant: %v", what, err)
		}
	}
	check("unlocked again")
	if g, err := f.admin.Grant(t.Context(), og.GetId()); err != nil || g.GetState() != "revoked" || g.GetRevokedAt() == 0 {
		t.Errorf("it is told as %v, %v", g, err)
	}
	f.lock()
	check("locked again")

	f.withLedger(before)
	for _, token := range []*unlocktoken.Token{open, closed} {
		if _, err := f.dialWith(token); !errors.Is(err, client.ErrGrant) && !errors.Is(err, client.ErrRevoked) {
			t.Errorf("locked, with an older ledger: got %v", err)
		}
	}
	f.unlock()
	check("unlocked, with an older ledger")
}

// TestRotateAfterRevocation: a grant that opens nothing any more still says whose keys are
// to be renewed.
func TestRotateAfterRevocation(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	_, g := f.mustGrant("acme")
	if _, err := f.admin.RevokeGrant(t.Context(), g.GetId(), false); err != nil {
		t.Fatal(err)
	}
	r, err := f.admin.RevokeGrant(t.Context(), g.GetId(), true)
	if err != nil || len(r.GetRotated()) != 1 || r.GetRotated()[0] != "acme" {
		t.Errorf("got %v, %v", r, err)
	}
	f.sign("acme")
}

// TestGrantOfAClockThatWasAhead: a grant that was made while the clock was ahead, and has
// ended by it, does not begin to live once more when the clock is right again. Its owner
// revokes it, and can make others then.
func TestGrantOfAClockThatWasAhead(t *testing.T) {
	f, ahead := unlockedAhead(t)
	ahead.Store(int64(365 * 24 * time.Hour))
	old, g := f.mustGrant("acme") // an hour
	ahead.Store(int64(365*24*time.Hour + 2*time.Hour))
	if _, err := f.dialWith(old); !errors.Is(err, client.ErrExpired) {
		t.Fatalf("at its end: got %v", err)
	}
	ahead.Store(0)
	if _, err := f.dialWith(old); !errors.Is(err, client.ErrExpired) {
		t.Errorf("set back: got %v", err)
	}
	if _, _, err := f.newGrant(f.passphrase(testPassphrase), "acme"); err == nil || !strings.Contains(err.Error(), "grants were made at a later time than now") {
		t.Errorf("another grant beside it: got %v", err)
	}
	if _, err := f.admin.RevokeGrant(t.Context(), g.GetId(), false); err != nil {
		t.Fatal(err)
	}
	now, _ := f.mustGrant("acme")
	for _, lock := range []bool{false, true} {
		if lock {
			f.lock()
		}
		if _, err := f.dialWith(old); !errors.Is(err, client.ErrRevoked) {
			t.Errorf("locked %v, after another grant: got %v", lock, err)
		}
		if _, err := f.show(now).Sign(t.Context(), request("acme")); err != nil {
			t.Errorf("locked %v, the grant of now: %v", lock, err)
		}
	}
}

// TestGrantFromTheFuture: what was issued at a time that has not come yet is not good,
// whoever knows of it.
func TestGrantFromTheFuture(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	g := f.grantOn(unlocktoken.Caveats{}, "acme")
	now := time.Unix(g.IssuedAt, 0)
	for before, want := range map[time.Duration]error{0: nil, clockSlack: nil, clockSlack + time.Second: ErrExpired} {
		if err := g.good(now.Add(-before)); !errors.Is(err, want) {
			t.Errorf("%v before it was issued: got %v", before, err)
		}
	}
}

// metaOfToken is what the vault keeps of the grant of a token.
func (f *fixture) metaOfToken(token *unlocktoken.Token, revoked int64) []byte {
	f.t.Helper()
	b, err := f.agent.codec.enc.Marshal(&grantMeta{Chain: token.Chain.Encode(), Profiles: []string{"acme"}, Proof: "x", Revoked: revoked})
	if err != nil {
		f.t.Fatal(err)
	}
	return b
}

// TestOpenedByAGrant: what a grant opened is known after it was revoked, too; a bundle opens
// nothing of the vault, and what cannot be read says no more than the vault does.
func TestOpenedByAGrant(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	token := f.mint(unlocktoken.Caveats{}, "acme")
	_, detached := f.mintBundle(unlocktoken.Caveats{}, nil, "acme")
	acme := [][16]byte{mustRead(t, token).Caveats.Credentials[0]}
	left := [][16]byte{{9}}
	for name, c := range map[string]struct {
		meta []byte
		want [][16]byte
	}{
		"active": {f.metaOfToken(token, 0), left}, "revoked": {f.metaOfToken(token, 1), acme},
		"a bundle, revoked": {f.metaOfToken(detached, 1), left}, "damaged": {[]byte{0xff}, left}, "locked": {nil, left},
	} {
		if got := f.agent.opened(vault.Grant{Meta: c.meta, Records: left}); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}

// TestRevocationsAgree: what ledger and vault have said once they do not say again, and a
// grant that cannot be read keeps none from it.
func TestRevocationsAgree(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	_, g := f.mustGrant("acme")
	v := f.agent.session.vault
	if err := v.AddGrant(t.Context(), vault.NewGrant{ID: [16]byte{7}, Meta: []byte{0xff}}); err != nil {
		t.Fatal(err)
	}
	f.lock()
	for _, id := range []string{g.GetId(), unlocktoken.GrantName([16]byte{7})} {
		if _, err := f.admin.RevokeGrant(t.Context(), id, false); err != nil {
			t.Fatal(err)
		}
	}
	f.unlock()
	if g, err := f.admin.Grant(t.Context(), g.GetId()); err != nil || g.GetState() != "revoked" {
		t.Fatalf("got %v, %v", g, err)
	}
	v = f.agent.session.vault
	k, _, err := f.agent.ledgerKeyOf(t.Context(), v)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Destroy()
	size, generation := f.ledgerSize(), v.Generation()
	if err := errors.Join(f.agent.settle(t.Context(), v, k), f.agent.mark(t.Context(), v)); err != nil {
		t.Fatal(err)
	}
	if f.ledgerSize() != size || v.Generation() != generation {
		t.Errorf("again: ledger %d and %d, vault %d and %d", size, f.ledgerSize(), generation, v.Generation())
	}
	all, err := v.Grants()
	if err != nil {
		t.Fatal(err)
	}
	l, _ := f.openedLedger()
	defer func() { _ = l.Close() }()
	marked := 0
	for _, g := range all {
		if at, revoked := f.agent.isRevoked(l, g); !revoked || at == 0 {
			t.Errorf("%v is revoked %v, at %d", unlocktoken.GrantName(g.ID), revoked, at)
		}
		if at, _ := f.agent.markOf(g); at != 0 {
			marked++
		}
	}
	if marked != 1 {
		t.Errorf("%d grants are marked, want the one that can be read", marked)
	}
}

// markAlone has the vault keep as revoked the grant of a token, and nobody tell the ledger.
// edit changes what is kept of the grant, by the number of each field.
func (f *fixture) markAlone(token *unlocktoken.Token, edit func(map[int]any)) {
	f.t.Helper()
	id := grantIDOf(f.t, token)
	all, err := f.agent.session.vault.Grants()
	if err != nil {
		f.t.Fatal(err)
	}
	for _, g := range all {
		if g.ID != id {
			continue
		}
		m := make(map[int]any)
		err = f.agent.codec.dec.Unmarshal(g.Meta, &m)
		if err != nil {
			f.t.Fatal(err)
		}
		m[8] = time.Now().Unix()
		edit(m)
		meta, err := f.agent.codec.enc.Marshal(m)
		if err == nil {
			err = f.agent.session.vault.EndGrants(f.t.Context(), []vault.EndedGrant{{ID: id, Meta: meta}})
		}
		if err != nil {
			f.t.Fatal(err)
		}
		return
	}
	f.t.Fatal("there is no such grant")
}

// TestMarkingByANewerProgram: where the vault has a grant in a form that cannot be read, it
// may say that it was revoked. No token of it is taken, whatever the ledger knows, and it is
// told as damaged; other grants are what they were.
func TestMarkingByANewerProgram(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	other := f.mint(unlocktoken.Caveats{}, "acme")
	token := f.mint(unlocktoken.Caveats{}, "acme")
	name := unlocktoken.GrantName(grantIDOf(t, token))
	for _, c := range []struct {
		what  string
		edit  func(map[int]any)
		want  error
		says  string
		state string
	}{
		{"revoked, and one more field", func(m map[int]any) { m[9] = "by whom" }, client.ErrGrant, "cannot be read", "damaged"},
		{"one more field", func(m map[int]any) { delete(m, 8) }, client.ErrGrant, "cannot be read", "damaged"},
		{"as it was", func(m map[int]any) { delete(m, 8); delete(m, 9) }, nil, "", "active"},
		{"revoked", func(map[int]any) {}, client.ErrRevoked, "revoked", "revoked"},
	} {
		f.markAlone(token, c.edit)
		if conn, err := f.dialWith(token); !errors.Is(err, c.want) || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, want %v", c.what, err, c.want)
		} else if err == nil {
			if _, err := conn.Sign(t.Context(), request("acme")); err != nil {
				t.Errorf("%s: %v", c.what, err)
			}
		}
		if g, err := f.admin.Grant(t.Context(), name); err != nil || g.GetState() != c.state {
			t.Errorf("%s: it is told as %q, %v, want %q", c.what, g.GetState(), err, c.state)
		}
		if _, err := f.show(other).Sign(t.Context(), request("acme")); err != nil {
			t.Errorf("%s: another grant: %v", c.what, err)
		}
	}
}

// TestMarkingADamagedVault: what the vault cannot take is an error, and its grants are not
// said to be forgotten.
func TestMarkingADamagedVault(t *testing.T) {
	f := start(t)
	f.unlock()
	v := f.agent.session.vault
	if notes := f.agent.forgotten(v); notes != nil {
		t.Errorf("of a vault without grants: got %q", notes)
	}
	k, _, err := f.agent.ledgerKeyOf(t.Context(), v)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Destroy()
	f.whileDamaged(func() {
		if err := f.agent.mark(t.Context(), v); !errors.Is(err, vault.ErrDamaged) {
			t.Errorf("marking: got %v", err)
		}
		if err := f.agent.settle(t.Context(), v, k); !errors.Is(err, vault.ErrDamaged) {
			t.Errorf("settling: got %v", err)
		}
	})
}
