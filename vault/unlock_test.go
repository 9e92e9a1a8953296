package vault

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/vault/envelope"
	"github.com/nsagent/nsagent/vault/keyring"
)

func TestUnlockEachKind(t *testing.T) {
	for _, c := range []struct {
		kind       SlotKind
		passphrase string
		want       error
	}{
		{SlotKeyring, "", nil},
		{SlotKeyring, "anything", nil},
		{SlotPassphrase, testPassphrase, nil},
		{SlotPassphrase, "", ErrNeedPassphrase},
		{SlotPassphrase, testPassphrase + "\n", ErrPassphrase},
		{SlotKeyringPassphrase, testPassphrase, nil},
		{SlotKeyringPassphrase, "", ErrNeedPassphrase},
		{SlotKeyringPassphrase, "wrong", ErrPassphrase},
	} {
		f := newVaultWith(t, nil, c.kind)
		f.add("a")
		g := f.another()
		err := g.unlock(c.passphrase)
		if !errors.Is(err, c.want) || g.Locked() != (c.want != nil) {
			t.Errorf("%s with %q: %v, locked %v", c.kind, c.passphrase, err, g.Locked())
		}
		if got := g.Slots(); len(got) != 1 || got[0].Kind != c.kind || (got[0].KDF == KDFLow) != c.kind.NeedsPassphrase() {
			t.Errorf("slots %+v", got)
		}
		if err == nil {
			g.integrity()
		}
	}
}

// TestNeitherShareOpens is V-11: the passphrase without the keyring's share, another
// machine's share, and the share without the passphrase open nothing.
func TestNeitherShareOpens(t *testing.T) {
	f := newVaultWith(t, nil, SlotKeyringPassphrase)
	f.add("a")
	g := f.another()
	share := f.item(itemShare)
	value := f.keyring.items[share]

	delete(f.keyring.items, share)
	err := g.unlock(testPassphrase)
	wantError(t, "passphrase alone", err, ErrKeyring)
	wantError(t, "passphrase alone", err, keyring.ErrNotFound)

	f.keyring.items[share] = make([]byte, 32)
	wantError(t, "another share", g.unlock(testPassphrase), ErrPassphrase)
	f.keyring.items[share] = value[:31]
	wantError(t, "a short share", g.unlock(testPassphrase), ErrKeyring)

	f.keyring.items[share] = value
	wantError(t, "share alone", g.unlock(""), ErrNeedPassphrase)
	wantError(t, "share and wrong passphrase", g.unlock("wrong"), ErrPassphrase)

	cfg := f.cfg
	cfg.Keyring = nil
	h, err := Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, "no keyring", h.Unlock(context.Background(), f.bytesOf(testPassphrase)), ErrKeyring)

	if err := g.unlock(testPassphrase); err != nil {
		t.Errorf("both: %v", err)
	}
	g.integrity()
}

func TestKeyringErrorsComeThrough(t *testing.T) {
	f := newVault(t, nil)
	for _, want := range []error{keyring.ErrNoBus, keyring.ErrNoService, keyring.ErrLocked, keyring.ErrTimeout} {
		f.keyring.fail = map[string]error{"": want}
		err := f.another().unlock("")
		wantError(t, "unlock", err, want)
		wantError(t, "unlock", err, ErrKeyring)
	}
	f.keyring.calls = 0
	_ = f.another().unlock("")
	if f.keyring.calls != 1 {
		t.Errorf("a keyring that does not answer was asked %d times: each may take the whole deadline", f.keyring.calls)
	}
}

func TestSlotsAreAnOr(t *testing.T) {
	ctx := context.Background()
	f := newVaultWith(t, nil, SlotKeyringPassphrase)
	f.add("a")
	if err := f.AddSlot(ctx, Slot{Kind: SlotPassphrase, Passphrase: f.bytesOf("second"), KDF: KDFLow}); err != nil {
		t.Fatal(err)
	}
	if err := f.AddSlot(ctx, f.slot(SlotKeyring)); err != nil {
		t.Fatal(err)
	}
	if len(f.Slots()) != 3 {
		t.Fatalf("slots %+v", f.Slots())
	}
	for _, p := range []string{"", "second", testPassphrase} {
		if err := f.another().unlock(p); err != nil {
			t.Errorf("with %q: %v", p, err)
		}
	}
	// A passphrase that was given counts, though the keyring alone would do.
	wantError(t, "wrong passphrase beside a keyring slot", f.another().unlock("wrong"), ErrPassphrase)

	// The keyring out of reach: its errors do not hide that a passphrase would do.
	f.keyring.fail = map[string]error{"": keyring.ErrLocked}
	if err := f.another().unlock("second"); err != nil {
		t.Errorf("passphrase slot without the keyring: %v", err)
	}
	err := f.another().unlock("wrong")
	wantError(t, "wrong passphrase, keyring locked", err, ErrPassphrase)
	wantError(t, "wrong passphrase, keyring locked", err, keyring.ErrLocked)
	f.keyring.fail = nil

	for _, s := range f.Slots() {
		if s.Kind == SlotKeyring {
			if err := f.RemoveSlot(ctx, s.ID); err != nil {
				t.Fatal(err)
			}
			wantError(t, "removing twice", f.RemoveSlot(ctx, s.ID), ErrNotFound)
		}
	}
	wantError(t, "without its slot", f.another().unlock(""), ErrNeedPassphrase)
	for _, s := range f.Slots()[1:] {
		if err := f.RemoveSlot(ctx, s.ID); err != nil {
			t.Fatal(err)
		}
	}
	wantError(t, "removing the last", f.RemoveSlot(ctx, f.Slots()[0].ID), ErrSlot)
	for range 7 {
		if err := f.AddSlot(ctx, f.slot(SlotKeyring)); err != nil {
			t.Fatal(err)
		}
	}
	wantError(t, "a ninth", f.AddSlot(ctx, f.slot(SlotKeyring)), ErrSlot)
	f.integrity()
}

// TestUnlockAgain proves the passphrase of an unlocked vault and leaves it as it was.
func TestUnlockAgain(t *testing.T) {
	f := newVaultWith(t, nil, SlotKeyringPassphrase)
	f.add("a")
	used := f.cfg.Arena.Info().Used
	wantError(t, "wrong", f.unlock("wrong"), ErrPassphrase)
	if f.Locked() {
		t.Error("a wrong passphrase locked the vault")
	}
	if err := f.unlock(testPassphrase); err != nil {
		t.Error(err)
	}
	if got := f.cfg.Arena.Info().Used; got != used {
		t.Errorf("arena: %d bytes in use, before %d", got, used)
	}
	f.integrity()
}

// lockingKeyring locks the vault in the middle of an unlock.
type lockingKeyring struct {
	*fakeKeyring
	v *Vault
}

func (k *lockingKeyring) Get(ctx context.Context, item string) (secret.Bytes, error) {
	if k.v != nil {
		k.v.Lock()
	}
	return k.fakeKeyring.Get(ctx, item)
}

// TestLockDuringUnlock: whoever locks, wins.
func TestLockDuringUnlock(t *testing.T) {
	f := newVault(t, nil)
	k := &lockingKeyring{fakeKeyring: f.keyring}
	f.cfg.Keyring = k
	g := f.another()
	used := f.cfg.Arena.Info().Used
	k.v = g.Vault
	wantError(t, "unlock", g.unlock(""), ErrLocked)
	if !g.Locked() || f.cfg.Arena.Info().Used != used {
		t.Error("unlocked, or keys were left behind")
	}
}

// askedKeyring has something done while it is asked for an item.
type askedKeyring struct {
	*fakeKeyring
	meanwhile map[string]func() // by the end of the item's name
}

func (k *askedKeyring) Get(ctx context.Context, item string) (secret.Bytes, error) {
	for name, f := range k.meanwhile {
		if strings.HasSuffix(item, "/"+name) {
			f()
		}
	}
	return k.fakeKeyring.Get(ctx, item)
}

// TestOthersGoOnMeanwhile: while the keyring is asked, or a passphrase stretched, for an
// unlock the machine key can be had, and for a proof the vault can be read as well.
func TestOthersGoOnMeanwhile(t *testing.T) {
	f := newVaultWith(t, nil, SlotKeyringPassphrase)
	k := &askedKeyring{fakeKeyring: f.keyring}
	f.cfg.Keyring = k
	g := f.another()
	done := 0
	goesOn := func(what string, calls ...func() error) func() {
		return func() {
			all := make(chan error, 1)
			go func() {
				var err error
				for _, call := range calls {
					err = errors.Join(err, call())
				}
				all <- err
			}()
			select {
			case err := <-all:
				if err != nil {
					t.Errorf("%s: %v", what, err)
				}
				done++
			case <-time.After(20 * time.Second):
				t.Errorf("%s: others wait", what)
			}
		}
	}
	machineKey := func() error { _, _, err := g.mac(); return err }
	grants := func() error { _, err := g.Grants(); return err }
	k.meanwhile = map[string]func(){itemShare: goesOn("an unlock", machineKey)}
	if err := g.unlock(testPassphrase); err != nil {
		t.Fatal(err)
	}
	k.meanwhile[itemShare] = goesOn("a proof", machineKey, grants)
	if err := g.Prove(t.Context(), g.proof(SlotPassphrase)); err != nil {
		t.Fatal(err)
	}
	if done != 2 {
		t.Errorf("the keyring was asked %d times for its share, want 2", done)
	}
}

// TestWrongStaysWrong: a passphrase that one slot refused is wrong, though another slot
// cannot be tried.
func TestWrongStaysWrong(t *testing.T) {
	f := newVaultWith(t, nil, SlotKeyringPassphrase)
	root := *f.root
	root.Slots = append(slices.Clone(root.Slots), &envelope.Slot{Kind: SlotPassphrase})
	_, err := f.openSlots(t.Context(), &root, Proof{Passphrase: f.bytesOf("wrong")}, nil)
	wantError(t, "after a slot that cannot be tried", err, ErrPassphrase)
	wantError(t, "what is wrong with the other slot", err, envelope.ErrKDF)
}

func TestNilDoorIsNoKeyring(t *testing.T) {
	f := newVaultWith(t, nil, SlotPassphrase)
	cfg := f.cfg
	cfg.Keyring = (*keyring.Door)(nil)
	v, err := Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Unlock(context.Background(), f.bytesOf(testPassphrase)); err != nil {
		t.Fatal(err)
	}
	if got := v.RollbackProtection(); got != protectionNone {
		t.Errorf("rollback protection %q", got)
	}
}
