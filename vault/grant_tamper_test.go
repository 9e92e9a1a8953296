//go:build !race

// These tests compute much, in one goroutine: one run without the race detector is enough.

package vault

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"testing"

	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/vault/envelope"
	"github.com/nsagent/nsagent/vault/keyring"
	"github.com/nsagent/nsagent/vault/store"
)

// newGrantVictim is newVictim with a grant of both records and a policy.
func newGrantVictim(t *testing.T) (*victim, *secret.HMACKey) {
	t.Helper()
	v := newVictim(t)
	machine, _, err := v.MachineKey(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	v.grant(testGrant, "a", "b")
	if err := v.SetPolicy(context.Background(), []byte("a policy"), machine, nil); err != nil {
		t.Fatal(err)
	}
	v.good, v.root = copySnapshot(v.mem.snap), v.Vault.root
	return v, machine
}

// sign puts a manifest of the vault's own key over what is in the store.
func (v *victim) sign() {
	v.t.Helper()
	root, err := v.root.Next(v.keys, v.root.Slots, v.leaves(v.mem.snap))
	if err != nil {
		v.t.Fatal(err)
	}
	v.mem.snap.Root, v.mem.snap.Generation = root.Encode(), root.Generation()
}

// forge puts a manifest over what is in the store that somebody signed who knows the
// vault's past, which is public, and puts a key of his own into the header.
func (v *victim) forge() {
	v.t.Helper()
	attacker, err := envelope.GenerateKeys(v.cfg.Arena, rand.Reader, v.root.Vault)
	if err != nil {
		v.t.Fatal(err)
	}
	forged := *v.root
	if forged.PublicKey, err = attacker.PublicKey(); err != nil {
		v.t.Fatal(err)
	}
	next, err := forged.Next(attacker, v.root.Slots, v.leaves(v.mem.snap))
	if err != nil {
		v.t.Fatal(err)
	}
	v.mem.snap.Root, v.mem.snap.Generation = next.Encode(), next.Generation()
}

// TestFlippedGrantAndPolicy: every bit of either counts, to a locked vault too.
func TestFlippedGrantAndPolicy(t *testing.T) {
	ctx := context.Background()
	v, machine := newGrantVictim(t)
	locked := v.another()
	for _, id := range []store.ID{testGrant, store.ID(v.root.Vault)} {
		object := v.good.Records[id]
		for i := range object {
			for bit := range 8 {
				b := bytes.Clone(object)
				b[i] ^= 1 << bit
				v.mem.snap.Records[id] = b
				wantError(t, "opening it", second(Open(ctx, v.cfg)), ErrDamaged)
				if i%16 != 0 { // the same check, a few times
					continue
				}
				wantError(t, "its grants", second(locked.Grants()), ErrDamaged)
				_, err := locked.granted(testGrant, nil)
				wantError(t, "opening the grant", err, ErrDamaged)
				wantError(t, "its policy", third(locked.PolicyBy(ctx, machine)), ErrDamaged)
			}
		}
		v.mem.snap.Records[id] = bytes.Clone(object)
	}
	v.integrity()
}

// TestForgedWhileLocked: nobody who can write the file, and no more, takes the policy away
// from a locked agent or gives it another grant. Without the VRK the signature is checked
// by a key that the file itself names, so it is what opens that proves it.
func TestForgedWhileLocked(t *testing.T) {
	ctx := context.Background()
	v, machine := newGrantVictim(t)
	keys := map[store.ID]string{v.a: "a", v.b: "b"}
	running := v.another()
	if got, err := running.granted(testGrant, keys); err != nil || len(got) != 2 {
		t.Fatalf("%q, %v", got, err)
	}
	for name, edit := range map[string]func(s *store.Snapshot){
		"the policy taken away": func(s *store.Snapshot) { delete(s.Records, store.ID(v.root.Vault)) },
		"nothing but the key":   func(*store.Snapshot) {},
	} {
		v.mem.snap = copySnapshot(v.good)
		edit(&v.mem.snap)
		v.forge()
		_, err := running.granted(testGrant, keys)
		wantError(t, name+", to who has it open", err, ErrDamaged)
		wantError(t, name+", to who has it open", third(running.PolicyBy(ctx, machine)), ErrDamaged)
		wantError(t, name+", to who has it open", second(running.Grants()), ErrDamaged)
		started := v.another() // cannot know whose key it is
		_, err = started.granted(testGrant, keys)
		wantError(t, name+", to who starts with it", err, ErrGrant)
	}
	v.mem.snap = copySnapshot(v.good)
	v.integrity()
}

// TestGrantRollback: what a wrap key has proved to be the vault's is the least that is
// taken afterwards.
func TestGrantRollback(t *testing.T) {
	ctx := context.Background()
	v, _ := newGrantVictim(t)
	v.cfg.Keyring = nil // no pin: the process has to remember
	v.cfg.Memory = &Memory{}
	locked := v.another()
	keys := map[store.ID]string{v.a: "a"}
	if err := v.Remove(ctx, "b"); err != nil {
		t.Fatal(err)
	}
	newer := copySnapshot(v.mem.snap)
	if _, err := locked.granted(testGrant, keys); err != nil {
		t.Fatal(err)
	}
	v.mem.snap = copySnapshot(v.good)
	_, err := locked.granted(testGrant, keys)
	wantError(t, "an older vault", err, ErrRollback)
	wantError(t, "an older vault", second(locked.Grants()), ErrRollback)
	v.mem.snap = newer
	v.integrity()
}

// TestMisplacedObjects are edits that the vault's own key signs: what is in the wrong
// place is not taken for what belongs there, and Check finds what no longer fits.
func TestMisplacedObjects(t *testing.T) {
	ctx := context.Background()
	v, _ := newGrantVictim(t)
	own := store.ID(v.root.Vault)
	grant := func(f func(g *envelope.Grant)) func(*store.Snapshot) {
		return func(s *store.Snapshot) {
			g, err := envelope.DecodeGrant(s.Records[testGrant])
			if err != nil {
				t.Fatal(err)
			}
			f(g)
			s.Records[testGrant] = g.Encode()
		}
	}
	for name, c := range map[string]struct {
		edit  func(*store.Snapshot)
		opens bool // until Check
	}{
		"a grant under another id":    {func(s *store.Snapshot) { s.Records[store.ID{1}] = s.Records[testGrant] }, false},
		"a grant under a record's id": {func(s *store.Snapshot) { s.Records[v.a] = s.Records[testGrant] }, false},
		"a policy under another id":   {func(s *store.Snapshot) { s.Records[store.ID{1}] = s.Records[own]; delete(s.Records, own) }, false},
		"a policy of another id": {func(s *store.Snapshot) {
			p := must(envelope.DecodePolicy(s.Records[own]))
			p.ID[0] ^= 1
			s.Records[own] = p.Encode()
		}, false},
		"two policies":                  {func(s *store.Snapshot) { s.Records[store.ID{1}] = s.Records[own] }, false},
		"a grant in the policy's place": {func(s *store.Snapshot) { s.Records[own] = s.Records[testGrant] }, false},
		"a grant of another issuer":     {grant(func(g *envelope.Grant) { g.Issuer[0] ^= 1 }), true},
		"a wrap of no record":           {grant(func(g *envelope.Grant) { g.Wraps[0].Record = envelope.ID{} }), true},
		"a record of a grant removed":   {func(s *store.Snapshot) { delete(s.Records, v.a) }, true},
	} {
		v.mem.snap = copySnapshot(v.good)
		c.edit(&v.mem.snap)
		v.sign()
		_, err := Open(ctx, v.cfg)
		for range 20 { // whichever of two is looked at first
			if err != nil && !c.opens {
				_, err = Open(ctx, v.cfg)
			}
		}
		if c.opens {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			wantError(t, name+", checked", v.unlocked().Check(ctx), ErrDamaged)
			_, _, err = v.unlocked().CheckGrants()
		}
		wantError(t, name, err, ErrDamaged)
		delete(v.keyring.items, v.item(itemPin))
	}
	v.mem.snap = copySnapshot(v.good)
}

// TestUnreadableObjects: what the vault's own key has signed and nobody can read is damage,
// to whoever needs it, and nothing is changed around it.
func TestUnreadableObjects(t *testing.T) {
	ctx := context.Background()
	longer := func(id store.ID) func(*victim) {
		return func(v *victim) { v.mem.snap.Records[id] = append(v.mem.snap.Records[id], 0) }
	}
	for name, c := range map[string]struct {
		edit  func(*victim)
		fails []string
	}{
		"a grant": {longer(testGrant), []string{"listing", "listing, locked", "listing without the pin", "opening", "removing a record"}},
		"its issuer": {func(v *victim) {
			g := must(envelope.DecodeGrant(v.mem.snap.Records[testGrant]))
			g.Issuer[0] ^= 1
			v.mem.snap.Records[testGrant] = g.Encode()
		}, []string{"listing"}},
		"a record": {func(v *victim) { longer(v.a)(v) }, []string{"listing", "opening", "removing a record", "the policy"}},
		"its name": {func(v *victim) {
			r := must(envelope.DecodeRecord(v.mem.snap.Records[v.a]))
			r.Metadata[40] ^= 1
			v.mem.snap.Records[v.a] = r.Encode()
		}, []string{"listing", "removing a record", "the policy"}},
		"its content": {func(v *victim) {
			r := must(envelope.DecodeRecord(v.mem.snap.Records[v.a]))
			r.Parts[0].Versions[0].Content[40] ^= 1
			v.mem.snap.Records[v.a] = r.Encode()
		}, []string{"opening"}},
		"the policy": {func(v *victim) { longer(store.ID(v.root.Vault))(v) }, []string{"the policy", "the policy, locked"}},
	} {
		v, machine := newGrantVictim(t)
		locked := v.another()
		c.edit(v)
		v.sign()
		for doing, do := range map[string]func() error{
			"listing":                 func() error { return second(v.Grants()) },
			"listing, locked":         func() error { return second(locked.Grants()) },
			"listing without the pin": func() error { return second(locked.GrantsUnpinned(ctx)) },
			"opening":                 func() error { return second(locked.granted(testGrant, map[store.ID]string{v.a: "a"})) },
			"removing a record":       func() error { return v.Remove(ctx, "b") },
			"the policy":              func() error { return third(v.Policy()) },
			"the policy, locked":      func() error { return third(locked.PolicyBy(ctx, machine)) },
		} {
			var want error
			if slices.Contains(c.fails, doing) {
				want = ErrDamaged
			}
			if doing == "opening" && name == "its name" {
				want = ErrGrant // no key is told from another than by what it opens
			}
			if err := do(); !errors.Is(err, want) {
				t.Errorf("%s, %s: got %v, want %v", name, doing, err, want)
			}
		}
	}
}

// TestProvedNeverGoesBack: what opens proves a state, and takes neither a newer one nor what
// an unlocked vault knows of its records away.
func TestProvedNeverGoesBack(t *testing.T) {
	ctx := context.Background()
	v, _ := newGrantVictim(t)
	locked, other, older := v.another(), v.unlocked(), v.root
	if err := other.Remove(ctx, "b"); err != nil {
		t.Fatal(err)
	}
	newer := other.Vault.root
	locked.proved(newer)
	locked.proved(older)
	if got := locked.Generation(); got != newer.Generation() {
		t.Errorf("locked: at generation %d after %d", got, newer.Generation())
	}
	v.proved(newer)                       // as by a call of a grant that began before the unlock
	if _, err := v.Grants(); err != nil { // which reads the store
		t.Fatal(err)
	}
	if names := v.names(); len(names) != 1 {
		t.Errorf("unlocked: it has %q, of which one was removed", names)
	}
}

// TestLaterObjects: an object of a type that is not known says that the vault is newer,
// and not that it is damaged.
func TestLaterObjects(t *testing.T) {
	v, _ := newGrantVictim(t)
	v.mem.snap.Records[store.ID{1}] = []byte{0x82, byte(envelope.TypePolicy) + 1, 0x01}
	v.sign()
	wantError(t, "opening it", second(Open(context.Background(), v.cfg)), ErrNewer)
	wantError(t, "working with it", second(v.OpenSignOnly("a")), ErrNewer)
}

// TestGrantAtLeast: a locked vault takes nothing older than what its user remembers, the
// state that it was opened with included.
func TestGrantAtLeast(t *testing.T) {
	ctx := context.Background()
	v, _ := newGrantVictim(t)
	v.cfg.Keyring, v.cfg.Memory = nil, &Memory{}
	keys := map[store.ID]string{v.a: "a"}
	if err := v.Remove(ctx, "b"); err != nil {
		t.Fatal(err)
	}
	newer := copySnapshot(v.mem.snap)
	v.mem.snap = copySnapshot(v.good)
	v.cfg.Memory = &Memory{} // as after a restart
	locked := v.another()
	if err := locked.AtLeast(ctx, v.good.Generation); err != nil {
		t.Errorf("as old as what was seen: %v", err)
	}
	wantError(t, "an older vault", locked.AtLeast(ctx, newer.Generation), ErrRollback)
	_, err := locked.granted(testGrant, keys)
	wantError(t, "a grant of an older vault", err, ErrRollback)
	v.mem.snap = newer
	if err := locked.AtLeast(ctx, newer.Generation); err != nil {
		t.Errorf("the newer one is there: %v", err)
	}
	if _, err := locked.granted(testGrant, keys); err != nil {
		t.Errorf("a grant of the newer one: %v", err)
	}
	v.integrity()
}

// TestGrantNeedsThePin: a keyring that does not give the pin stops what a token opens,
// while one that is not there at all does not.
func TestGrantNeedsThePin(t *testing.T) {
	v, _ := newGrantVictim(t)
	keys := map[store.ID]string{v.a: "a"}
	locked := v.another()
	for failure, want := range map[error]error{keyring.ErrTimeout: ErrKeyring, keyring.ErrLocked: ErrKeyring, keyring.ErrNoBus: nil, keyring.ErrNoService: nil, nil: nil} {
		v.keyring.fail = map[string]error{}
		if failure != nil {
			v.keyring.fail["get pin"] = failure
		}
		_, err := locked.granted(testGrant, keys)
		if !errors.Is(err, want) {
			t.Errorf("%v: got %v, want %v", failure, err, want)
		}
		if _, err := locked.Grants(); err != nil { // what is revoked can be found by its name
			t.Errorf("%v: listing: %v", failure, err)
		}
	}
	v.forge()
	v.keyring.fail = map[string]error{"get pin": keyring.ErrTimeout}
	wantError(t, "another vault, without the pin", second(locked.granted(testGrant, keys)), ErrDamaged)
	v.keyring.fail, v.mem.snap = nil, copySnapshot(v.good)
	v.integrity()
}
