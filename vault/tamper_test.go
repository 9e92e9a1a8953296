//go:build !race

// These tests compute much, in one goroutine: one run without the race detector is enough.

package vault

import (
	"bytes"
	"context"
	"crypto/rand"
	"testing"

	"github.com/nsagent/nsagent/vault/envelope"
	"github.com/nsagent/nsagent/vault/store"
)

// The tests here edit the decoded structure of a vault and encode it again, on a
// store without a checksum, and with three degrees of power over the manifest:
//
//   - left as it is: Open refuses;
//   - signed anew by a key of the editor's own: Unlock refuses;
//   - signed anew by the vault's own key, which nobody has who has no VRK: what was
//     put elsewhere does not open.
//
// See envelope.TestRecordBindings for more edits of the third degree.

// victim is a vault with two records, each rotated once, and its parsed content.
type victim struct {
	*fixture
	mem  *memStore
	good store.Snapshot
	a, b store.ID
	root *envelope.Root
}

func newVictim(t *testing.T) *victim {
	t.Helper()
	mem := &memStore{}
	f := newVault(t, mem)
	for _, name := range []string{"a", "b"} {
		f.add(name)
		if err := f.Rotate(context.Background(), name, f.bytesOf("second "+name), f.bytesOf("second raw "+name)); err != nil {
			t.Fatal(err)
		}
	}
	l, err := f.Records()
	if err != nil {
		t.Fatal(err)
	}
	return &victim{fixture: f, mem: mem, good: copySnapshot(mem.snap), a: l[0].ID, b: l[1].ID, root: f.Vault.root}
}

// edits are changes of a snapshot that leave its structure valid.
func (v *victim) edits() map[string]func(s *store.Snapshot) {
	record := func(id store.ID, f func(r *envelope.Record)) func(*store.Snapshot) {
		return func(s *store.Snapshot) {
			r, err := envelope.DecodeRecord(s.Records[id])
			if err != nil {
				v.t.Fatal(err)
			}
			f(r)
			s.Records[store.ID(r.ID)] = r.Encode()
		}
	}
	other := func() *envelope.Record {
		r, err := envelope.DecodeRecord(v.good.Records[v.b])
		if err != nil {
			v.t.Fatal(err)
		}
		return r
	}
	return map[string]func(s *store.Snapshot){
		"record under another id": func(s *store.Snapshot) {
			s.Records[v.a] = s.Records[v.b]
		},
		"records exchanged": func(s *store.Snapshot) {
			s.Records[v.a], s.Records[v.b] = s.Records[v.b], s.Records[v.a]
		},
		"record renamed to the other": record(v.a, func(r *envelope.Record) { r.ID = envelope.ID(v.b) }),
		"metadata of the other":       record(v.a, func(r *envelope.Record) { r.Metadata = other().Metadata }),
		"sign-only part of the other": record(v.a, func(r *envelope.Record) { r.Parts[0] = other().Parts[0] }),
		"raw part of the other":       record(v.a, func(r *envelope.Record) { r.Parts[1] = other().Parts[1] }),
		"raw part stripped":           record(v.a, func(r *envelope.Record) { r.Parts = r.Parts[:1] }),
		"raw given out as sign-only": record(v.a, func(r *envelope.Record) {
			r.Parts[0].CK, r.Parts[0].Versions = r.Parts[1].CK, r.Parts[1].Versions
		}),
		"newest version stripped": record(v.a, func(r *envelope.Record) {
			for i := range r.Parts {
				r.Parts[i].Versions = r.Parts[i].Versions[1:]
			}
		}),
		"older version as the newest": record(v.a, func(r *envelope.Record) {
			for i := range r.Parts {
				r.Parts[i].Versions[0].DEK = r.Parts[i].Versions[1].DEK
				r.Parts[i].Versions[0].Content = r.Parts[i].Versions[1].Content
			}
		}),
		"content of the other": record(v.a, func(r *envelope.Record) {
			r.Parts[0].Versions[0].Content = other().Parts[0].Versions[0].Content
		}),
	}
}

func (v *victim) leaves(s store.Snapshot) []envelope.Leaf {
	var l []envelope.Leaf
	for id, r := range s.Records {
		l = append(l, envelope.ObjectLeaf(envelope.ID(id), r))
	}
	return l
}

// forged returns a root that the editor signed, of the generation of s and for its
// records, with key slots of the vault's own.
func (v *victim) forged(s store.Snapshot) []byte {
	v.t.Helper()
	keys, err := envelope.GenerateKeys(v.cfg.Arena, rand.Reader, v.root.Vault)
	if err != nil {
		v.t.Fatal(err)
	}
	public, err := keys.PublicKey()
	if err != nil {
		v.t.Fatal(err)
	}
	r := envelope.NewRoot(v.root.Vault, public, v.root.Created)
	for r.Generation() < s.Generation {
		if r, err = r.Next(keys, v.root.Slots, v.leaves(s)); err != nil {
			v.t.Fatal(err)
		}
	}
	return r.Encode()
}

// openEverything is what a user does: open, unlock, open every secret. It returns the
// first error and fails the test if a record gave what is not its own.
func (f *fixture) openEverything() error {
	f.t.Helper()
	ctx := context.Background()
	v, err := Open(ctx, f.cfg)
	if err != nil {
		return err
	}
	g := &fixture{t: f.t, cfg: f.cfg, keyring: f.keyring, Vault: v}
	if err := g.unlock(""); err != nil {
		return err
	}
	l, err := g.Records()
	if err != nil {
		return err
	}
	for _, r := range l {
		signOnly, raw, err := g.content(r.Name)
		if err != nil {
			return err
		}
		own := func(s string) bool { return s == "sign-only of "+r.Name || s == "second "+r.Name }
		if !own(signOnly) || raw != "raw of "+r.Name && raw != "second raw "+r.Name || string(r.Meta) != "meta of "+r.Name {
			f.t.Errorf("record %q opened to %q and %q with meta %q", r.Name, signOnly, raw, r.Meta)
		}
	}
	return g.Check(ctx)
}

func TestEditedRecords(t *testing.T) {
	v := newVictim(t)
	if err := v.openEverything(); err != nil {
		t.Fatal(err)
	}
	for name, edit := range v.edits() {
		s := copySnapshot(v.good)
		edit(&s)
		v.mem.snap = s
		_, err := Open(context.Background(), v.cfg)
		wantError(t, name+", manifest as it was", err, ErrDamaged)
		wantError(t, name+", manifest as it was", err, envelope.ErrManifest)

		// Without a pin, so that it is the signature that stands against it.
		pin := v.keyring.items[v.item(itemPin)]
		delete(v.keyring.items, v.item(itemPin))
		v.mem.snap.Root = v.forged(s)
		if g, err := Open(context.Background(), v.cfg); err != nil {
			// Filed under a wrong id shows before the signature.
			wantError(t, name+", signed by another key", err, ErrDamaged)
		} else {
			err := (&fixture{t: t, cfg: v.cfg, Vault: g}).unlock("")
			wantError(t, name+", signed by another key", err, ErrDamaged)
		}

		root, err := v.root.Next(v.keys, v.root.Slots, v.leaves(s))
		if err != nil {
			t.Fatal(err)
		}
		v.mem.snap.Root, v.mem.snap.Generation = root.Encode(), root.Generation()
		wantError(t, name+", signed by the vault's key", v.openEverything(), ErrDamaged)
		v.keyring.items[v.item(itemPin)] = pin
	}
	v.mem.snap = v.good
	v.integrity()
}

// TestForgedVaultWithPin: with a pin, a forged vault is refused before the passphrase
// or the share is used at all.
func TestForgedVaultWithPin(t *testing.T) {
	v := newVictim(t)
	v.mem.snap.Root = v.forged(v.good)
	wantError(t, "forged", v.another().unlock(""), ErrRollback)
}

// TestForgedOnTopOfTheGenuine: a forger who knows the vault's past, which is public, can
// sign a next generation that leads back to what was seen. The key gives it away, to a
// process that has the vault unlocked and to one that unlocks it.
func TestForgedOnTopOfTheGenuine(t *testing.T) {
	ctx := context.Background()
	v := newVictim(t)
	attacker, err := envelope.GenerateKeys(v.cfg.Arena, rand.Reader, v.root.Vault)
	if err != nil {
		t.Fatal(err)
	}
	forged := *v.root
	if forged.PublicKey, err = attacker.PublicKey(); err != nil {
		t.Fatal(err)
	}
	delete(v.mem.snap.Records, v.b)
	next, err := forged.Next(attacker, v.root.Slots, v.leaves(v.mem.snap))
	if err != nil {
		t.Fatal(err)
	}
	v.mem.snap.Root, v.mem.snap.Generation = next.Encode(), next.Generation()
	wantError(t, "opening while unlocked", second(v.OpenSignOnly("a")), ErrDamaged)
	wantError(t, "adding while unlocked", errOf(v.Add(ctx, v.newRecord("c"))), ErrDamaged)
	wantError(t, "unlocking", v.another().unlock(""), ErrDamaged)
	v.mem.snap = v.good
	v.integrity()
}

// TestEditedSlots is V-06: adding, removing, exchanging or editing key slots shows.
func TestEditedSlots(t *testing.T) {
	ctx := context.Background()
	v := newVictim(t)
	if err := v.AddSlot(ctx, v.slot(SlotPassphrase)); err != nil {
		t.Fatal(err)
	}
	v.good, v.root = copySnapshot(v.mem.snap), v.Vault.root
	delete(v.keyring.items, v.item(itemPin))
	cheap := func(slots []*envelope.Slot, f func(*envelope.Slot)) []*envelope.Slot {
		var l []*envelope.Slot
		for _, s := range slots {
			c := *s
			c.Salt = bytes.Clone(s.Salt)
			if c.Kind == SlotPassphrase {
				f(&c)
			}
			l = append(l, &c)
		}
		return l
	}
	attacker, err := envelope.GenerateKeys(v.cfg.Arena, rand.Reader, v.root.Vault)
	if err != nil {
		t.Fatal(err)
	}
	own, err := attacker.SealSlot(SlotPassphrase, KDFLow, envelope.Shares{Passphrase: v.bytesOf("mine")})
	if err != nil {
		t.Fatal(err)
	}
	for name, slots := range map[string][]*envelope.Slot{
		"one removed":     v.root.Slots[:1],
		"one added":       append([]*envelope.Slot{own}, v.root.Slots...),
		"one exchanged":   {v.root.Slots[0], own},
		"other salt":      cheap(v.root.Slots, func(s *envelope.Slot) { s.Salt[0] ^= 1 }),
		"other cost":      cheap(v.root.Slots, func(s *envelope.Slot) { s.KDF.Time++ }),
		"other kind":      cheap(v.root.Slots, func(s *envelope.Slot) { s.Kind = SlotKeyringPassphrase }),
		"other id":        cheap(v.root.Slots, func(s *envelope.Slot) { s.ID[0] ^= 1 }),
		"other wrapped":   cheap(v.root.Slots, func(s *envelope.Slot) { s.VRK = own.VRK }),
		"all the editors": {own},
	} {
		public, err := attacker.PublicKey()
		if err != nil {
			t.Fatal(err)
		}
		// Signed by the editor's key, which is the best one can do without the VRK.
		r := envelope.NewRoot(v.root.Vault, public, v.root.Created)
		for r.Generation() < v.good.Generation {
			if r, err = r.Next(attacker, slots, v.leaves(v.good)); err != nil {
				t.Fatal(err)
			}
		}
		v.mem.snap = copySnapshot(v.good)
		v.mem.snap.Root = r.Encode()
		for _, p := range []string{"", testPassphrase, "mine"} {
			if err := v.another().unlock(p); err == nil {
				t.Errorf("%s: opens with %q", name, p)
			}
		}
		// The genuine signature over other slots.
		v.mem.snap.Root = spliceSlots(t, v.root, slots)
		wantError(t, name, second(Open(ctx, v.cfg)), ErrDamaged)
	}
	v.mem.snap = v.good
	for _, p := range []string{"", testPassphrase} {
		if err := v.another().unlock(p); err != nil {
			t.Errorf("as it was, with %q: %v", p, err)
		}
	}
	v.integrity()
}

// spliceSlots returns the encoded root with other key slots and everything else,
// signature included, as it was.
func spliceSlots(t *testing.T, r *envelope.Root, slots []*envelope.Slot) []byte {
	t.Helper()
	c := *r
	c.Slots = slots
	return c.Encode()
}

// TestTwoRecordsOfOneName: which of them a caller would get must not be left to chance.
func TestTwoRecordsOfOneName(t *testing.T) {
	v := newVictim(t)
	m := &envelope.Metadata{Name: "a", Kind: "tba"}
	r, err := v.keys.SealRecord(m, envelope.Secret{SignOnly: v.bytesOf("another a")})
	if err != nil {
		t.Fatal(err)
	}
	v.mem.snap.Records[store.ID(r.ID)] = r.Encode()
	root, err := v.root.Next(v.keys, v.root.Slots, v.leaves(v.mem.snap))
	if err != nil {
		t.Fatal(err)
	}
	v.mem.snap.Root, v.mem.snap.Generation = root.Encode(), root.Generation()
	wantError(t, "unlocking", v.another().unlock(""), ErrDamaged)
	wantError(t, "taking it over", second(v.OpenSignOnly("a")), ErrDamaged)
	v.mem.snap = v.good
	v.integrity()
}

// TestAnotherVaultInItsPlace: a vault of its own, valid in itself.
func TestAnotherVaultInItsPlace(t *testing.T) {
	ctx := context.Background()
	mem := &memStore{}
	f := newVault(t, mem)
	f.add("a")
	locked := f.another()
	cfg := f.cfg
	cfg.Store = &memStore{}
	if _, err := Create(ctx, cfg, f.slot(SlotKeyring)); err != nil {
		t.Fatal(err)
	}
	mem.snap = cfg.Store.(*memStore).snap
	wantError(t, "unlocking", locked.unlock(""), ErrDamaged)
	wantError(t, "checking", locked.Check(ctx), ErrDamaged)
	wantError(t, "opening", second(f.OpenSignOnly("a")), ErrDamaged)
	wantError(t, "adding", errOf(f.Add(ctx, f.newRecord("b"))), ErrDamaged)
}
