package vault

import (
	"context"
	"path/filepath"
	"slices"
	"testing"

	"github.com/nsagent/nsagent/vault/keyring"
	"github.com/nsagent/nsagent/vault/store"
)

// TestEachSlotOpens: any slot of a vault that has all kinds opens it, by what is its own
// and by nothing else.
func TestEachSlotOpens(t *testing.T) {
	ctx := context.Background()
	f := newVault(t, nil)
	f.add("a")
	f.withAllSlots()
	for _, kind := range allKinds {
		g := f.another()
		if err := g.UnlockBy(ctx, f.proof(kind)); err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		g.integrity()
	}
	for name, c := range map[string]struct {
		proof Proof
		want  error
	}{
		"wrong code":        {Proof{Recovery: f.bytesOf("0123456789abcdeX")}, ErrKey},
		"short code":        {Proof{Recovery: f.bytesOf("0123")}, ErrKey},
		"key as code":       {Proof{Recovery: f.bytesOf(testKey)}, ErrKey},
		"wrong key file":    {Proof{KeyFile: f.bytesOf("X123456789abcdef0123456789abcdef")}, ErrKey},
		"code as key file":  {Proof{KeyFile: f.bytesOf(testKey[:16])}, ErrKey},
		"code typed as one": {Proof{Passphrase: f.bytesOf(testKey[:16])}, ErrPassphrase},
	} {
		g := f.another()
		wantError(t, name, g.UnlockBy(ctx, c.proof), c.want)
		if !g.Locked() {
			t.Errorf("%s: unlocked", name)
		}
	}

	// Without the keyring code and key file open all the same.
	f.keyring.fail = map[string]error{"": keyring.ErrNoBus}
	for _, kind := range []SlotKind{SlotRecovery, SlotKeyFile} {
		if err := f.another().UnlockBy(ctx, f.proof(kind)); err != nil {
			t.Errorf("%s without a keyring: %v", kind, err)
		}
	}
}

func TestMissingSlotIsSaid(t *testing.T) {
	ctx := context.Background()
	f := newVaultWith(t, nil, SlotPassphrase)
	wantError(t, "no recovery code", f.another().UnlockBy(ctx, f.proof(SlotRecovery)), ErrNoSlot)
	wantError(t, "no key file", f.another().UnlockBy(ctx, f.proof(SlotKeyFile)), ErrNoSlot)
	g := newVaultWith(t, nil, SlotKeyFile)
	wantError(t, "nothing given", g.another().unlock(""), ErrNeedKey)
	wantError(t, "a passphrase given", g.another().unlock("guess"), ErrNeedKey)
	if err := g.AddSlot(ctx, g.slot(SlotPassphrase)); err != nil {
		t.Fatal(err)
	}
	wantError(t, "beside a passphrase", g.another().unlock(""), ErrNeedPassphrase)
	for name, slot := range map[string]Slot{
		"code": {Kind: SlotRecovery, Key: f.bytesOf("short")}, "no code": {Kind: SlotRecovery}, "key": {Kind: SlotKeyFile, Key: f.bytesOf("short")},
	} {
		wantError(t, "a bad "+name, f.AddSlot(ctx, slot), ErrSlot)
	}
}

// TestFreshProof: an unlocked vault tells the owner from somebody who found it so. What is
// given has to open a slot of its own kind; the keyring, which opens for every program of
// the user, proves nothing.
func TestFreshProof(t *testing.T) {
	ctx := context.Background()
	none := Proof{}
	f := newVault(t, nil)
	for _, c := range []struct {
		add   SlotKind
		none  error
		proof []SlotKind
	}{
		{SlotKeyring, ErrNoSlot, nil},
		{SlotRecovery, ErrNoSlot, []SlotKind{SlotRecovery}},
		{SlotKeyFile, ErrNeedKey, []SlotKind{SlotRecovery, SlotKeyFile}},
		{SlotPassphrase, ErrNeedPassphrase, []SlotKind{SlotRecovery, SlotKeyFile, SlotPassphrase}},
		{SlotKeyringPassphrase, ErrNeedPassphrase, []SlotKind{SlotRecovery, SlotKeyFile, SlotPassphrase, SlotKeyringPassphrase}},
	} {
		if c.add != SlotKeyring {
			if err := f.AddSlot(ctx, f.slot(c.add)); err != nil {
				t.Fatal(err)
			}
		}
		generation := f.Generation()
		wantError(t, "nothing, with "+f.kinds(), f.Prove(ctx, none), c.none)
		if c.none != ErrNeedPassphrase {
			wantError(t, "a passphrase that no slot takes", f.Prove(ctx, Proof{Passphrase: f.bytesOf("x")}), c.none)
		}
		for _, kind := range c.proof {
			if err := f.Prove(ctx, f.proof(kind)); err != nil {
				t.Errorf("%s, with %s: %v", kind, f.kinds(), err)
			}
		}
		if f.Generation() != generation || f.Locked() {
			t.Error("proving changed something")
		}
	}
	wantError(t, "a wrong passphrase", f.Prove(ctx, Proof{Passphrase: f.bytesOf("wrong")}), ErrPassphrase)
	wantError(t, "a wrong code", f.Prove(ctx, Proof{Recovery: f.bytesOf("0123456789abcdeX")}), ErrKey)
	f.Lock()
	wantError(t, "locked", f.Prove(ctx, f.proof(SlotRecovery)), ErrLocked)
	if !f.Locked() {
		t.Error("proving unlocked the vault")
	}
}

// TestChangePassphrase: the new one opens what the old one opened, the old one nothing,
// and slots that it did not open stay as they are.
func TestChangePassphrase(t *testing.T) {
	ctx := context.Background()
	f := newVault(t, nil)
	f.add("a")
	f.withAllSlots()
	if err := f.AddSlot(ctx, Slot{Kind: SlotPassphrase, KDF: KDFLow, Passphrase: f.bytesOf("somebody else's")}); err != nil {
		t.Fatal(err)
	}
	before := f.Slots()
	for name, c := range map[string]struct {
		old, fresh string
		want       error
	}{"wrong": {"wrong", "new", ErrPassphrase}, "empty": {testPassphrase, "", ErrNeedPassphrase}, "none": {"", "new", ErrNeedPassphrase}} {
		_, err := f.ChangePassphrase(ctx, f.bytesOf(c.old), f.bytesOf(c.fresh), KDF{})
		wantError(t, name, err, c.want)
	}
	if !slices.Equal(f.Slots(), before) {
		t.Error("a refused change changed the slots")
	}
	n, err := f.ChangePassphrase(ctx, f.bytesOf(testPassphrase), f.bytesOf("new"), KDF{})
	if err != nil || n != 2 {
		t.Fatalf("changed %d slots, %v", n, err)
	}
	if got, want := f.kinds(), "key-file keyring keyring+passphrase passphrase passphrase recovery"; got != want {
		t.Errorf("slots: got %s, want %s", got, want)
	}
	left := 0
	for _, s := range f.Slots() {
		if slices.Contains(before, s) {
			left++
		}
		if s.Kind.NeedsPassphrase() && s.KDF != KDFLow {
			t.Errorf("the cost became %+v", s.KDF)
		}
	}
	if left != 4 {
		t.Errorf("%d slots stayed, want 4", left)
	}
	wantError(t, "the old passphrase", f.another().unlock(testPassphrase), ErrPassphrase)
	for _, p := range []string{"new", "somebody else's"} {
		if err := f.another().unlock(p); err != nil {
			t.Errorf("%s: %v", p, err)
		}
	}
	f.integrity()

	// A slot that cannot be tried would keep the old passphrase: nothing is changed.
	delete(f.keyring.items, f.item(itemShare))
	_, err = f.ChangePassphrase(ctx, f.bytesOf("new"), f.bytesOf("newer"), KDF{})
	wantError(t, "without the share", err, ErrKeyring)
	g := newVaultWith(t, nil, SlotKeyring)
	_, err = g.ChangePassphrase(ctx, g.bytesOf("x"), g.bytesOf("y"), KDF{})
	wantError(t, "no passphrase", err, ErrNoSlot)
}

// TestRecover: after the keyring is lost or the passphrase forgotten, one new slot takes
// the place of those that need them; recovery code and key file stay.
// TestPassphraseOpens shows that only a slot that takes nothing but a passphrase counts.
func TestPassphraseOpens(t *testing.T) {
	ctx := context.Background()
	for _, c := range []struct {
		kind       SlotKind
		passphrase string
		want       bool
	}{{SlotPassphrase, testPassphrase, true}, {SlotPassphrase, "another", false}, {SlotKeyringPassphrase, testPassphrase, false}, {SlotKeyFile, testPassphrase, false}} {
		f := newVaultWith(t, nil, c.kind)
		if got, err := f.PassphraseOpens(ctx, f.bytesOf(c.passphrase)); err != nil || got != c.want {
			t.Errorf("%s, %q: got %v, %v, want %v", c.kind, c.passphrase, got, err, c.want)
		}
		f.Lock()
		_, err := f.PassphraseOpens(ctx, f.bytesOf(c.passphrase))
		wantError(t, "locked", err, ErrLocked)
	}
}

func TestRecover(t *testing.T) {
	ctx := context.Background()
	for _, lose := range []bool{true, false} {
		for _, kind := range []SlotKind{SlotKeyring, SlotPassphrase, SlotKeyringPassphrase} {
			f := newVaultWith(t, store.NewFile(filepath.Join(t.TempDir(), "vault.nsv")), SlotKeyringPassphrase)
			f.add("a")
			f.withAllSlots()
			share := slices.Clone(f.keyring.items[f.item(itemShare)])
			if lose {
				clear(f.keyring.items)
			}
			g := f.another()
			if err := g.UnlockBy(ctx, f.proof(SlotRecovery)); err != nil {
				t.Fatal(err)
			}
			slot := Slot{Kind: kind, KDF: KDFLow}
			if kind.NeedsPassphrase() {
				slot.Passphrase = f.bytesOf("new")
			}
			if err := g.Recover(ctx, slot); err != nil {
				t.Fatalf("%s: %v", kind, err)
			}
			if got, want := g.kinds(), "key-file "+string(kind)+" recovery"; got != want {
				t.Errorf("slots: got %s, want %s", got, want)
			}
			now, has := f.keyring.items[f.item(itemShare)]
			if has != kind.NeedsShare() || has && slices.Equal(now, share) == lose {
				t.Errorf("%s, lost %v: the share is there: %v, the old one: %v", kind, lose, has, slices.Equal(now, share))
			}
			h := g.another()
			if err := h.unlock(map[bool]string{true: "new"}[kind.NeedsPassphrase()]); err != nil {
				t.Errorf("%s: %v", kind, err)
			} else {
				h.integrity()
			}
			if kind.NeedsPassphrase() {
				wantError(t, "the old passphrase", g.another().unlock(testPassphrase), ErrPassphrase)
			}
		}
	}
	f := newVault(t, nil)
	wantError(t, "to a recovery code", f.Recover(ctx, f.slot(SlotRecovery)), ErrSlot)
	wantError(t, "without passphrase", f.Recover(ctx, Slot{Kind: SlotPassphrase}), ErrNeedPassphrase)
	f.keyring.fail = map[string]error{"get share": keyring.ErrLocked}
	wantError(t, "a locked keyring", f.Recover(ctx, f.slot(SlotKeyring)), keyring.ErrLocked)
	f.keyring.fail = map[string]error{}
	if err := f.another().unlock(""); err != nil {
		t.Errorf("after refused recoveries: %v", err)
	}
}

// TestLastShareIsForgotten: a share that no slot takes any more does not stay in the
// keyring, and the last slot does not go.
func TestLastShareIsForgotten(t *testing.T) {
	ctx := context.Background()
	f := newVault(t, nil)
	f.withAllSlots()
	remove := func(kind SlotKind) error {
		for _, s := range f.Slots() {
			if s.Kind == kind {
				return f.RemoveSlot(ctx, s.ID)
			}
		}
		t.Fatalf("no slot of kind %s", kind)
		return nil
	}
	has := func() bool { _, ok := f.keyring.items[f.item(itemShare)]; return ok }
	for i, kind := range allKinds {
		err := remove(kind)
		if last := i == len(allKinds)-1; last {
			wantError(t, "the last", err, ErrSlot)
		} else if err != nil {
			t.Fatal(err)
		}
		if has() != (i < 2) {
			t.Errorf("after %s is gone the share is there: %v", kind, has())
		}
	}
	if err := f.another().UnlockBy(ctx, f.proof(SlotKeyFile)); err != nil {
		t.Error(err)
	}
}

func TestWeakest(t *testing.T) {
	f := newVault(t, nil)
	f.withAllSlots()
	slots := f.Slots()
	for _, want := range []SlotKind{SlotKeyFile, SlotKeyring, SlotPassphrase, SlotKeyringPassphrase, SlotRecovery, ""} {
		if got := Weakest(slots); got != want {
			t.Errorf("of %+v: got %q, want %q", slots, got, want)
		}
		slots = slices.DeleteFunc(slots, func(s SlotInfo) bool { return s.Kind == want })
	}
}

// TestCreateWithMoreSlots: a vault has its recovery code from its first generation on,
// and one share however many slots take it.
func TestCreateWithMoreSlots(t *testing.T) {
	f := newVault(t, nil)
	cfg := f.cfg
	cfg.Store, cfg.MachineKeyFile = &memStore{}, filepath.Join(t.TempDir(), "machine.key")
	v, err := Create(context.Background(), cfg, f.slot(SlotKeyringPassphrase), f.slot(SlotRecovery), f.slot(SlotKeyring))
	if err != nil {
		t.Fatal(err)
	}
	g := &fixture{t: t, cfg: cfg, keyring: f.keyring, Vault: v}
	if g.Generation() != 1 || g.kinds() != "keyring keyring+passphrase recovery" {
		t.Errorf("generation %d, slots %s", g.Generation(), g.kinds())
	}
	for _, kind := range []SlotKind{SlotKeyring, SlotKeyringPassphrase, SlotRecovery} {
		if err := g.another().UnlockBy(context.Background(), g.proof(kind)); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
	cfg.Store = &memStore{}
	calls := len(f.keyring.items)
	if _, err := Create(context.Background(), cfg, f.slot(SlotKeyring), Slot{Kind: SlotRecovery}); err == nil || len(f.keyring.items) != calls {
		t.Errorf("a vault that was not made left %d items behind: %v", len(f.keyring.items)-calls, err)
	}
}
