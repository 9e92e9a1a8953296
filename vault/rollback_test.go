//go:build !race

// These tests compute much, in one goroutine: one run without the race detector is enough.

package vault

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/vault/envelope"
	"github.com/nsagent/nsagent/vault/keyring"
	"github.com/nsagent/nsagent/vault/store"
)

// TestRollbackWithPin is V-07: a machine that has seen a newer vault refuses an older
// one, and one that went another way since.
func TestRollbackWithPin(t *testing.T) {
	mem := &memStore{}
	f := newVault(t, mem)
	var states []store.Snapshot
	for _, name := range []string{"a", "b", "c", "d"} {
		f.add(name)
		states = append(states, copySnapshot(mem.snap))
	}
	if got := f.RollbackProtection(); got != protectionKeyring {
		t.Fatalf("rollback protection %q", got)
	}
	pinned := bytes.Clone(f.keyring.items[f.item(itemPin)])
	if len(pinned) != pinSize {
		t.Fatalf("pin of %d bytes", len(pinned))
	}

	mem.snap = states[3]
	if err := f.another().unlock(""); err != nil {
		t.Errorf("same state: %v", err)
	}
	for i := range 3 {
		mem.snap = states[i]
		g := f.another()
		wantError(t, "older state", g.unlock(""), ErrRollback)
		if !g.Locked() || !bytes.Equal(f.keyring.items[f.item(itemPin)], pinned) {
			t.Error("an older state unlocked, or moved the pin")
		}
	}

	// From state 1 another machine, or whoever had the vault unlocked, went another way.
	mem.snap = states[1]
	cfg := f.cfg
	cfg.Keyring = newKeyring(f.cfg.Arena)
	cfg.Keyring.(*fakeKeyring).items = map[string][]byte{f.item(itemShare): f.keyring.items[f.item(itemShare)]}
	v, err := Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	fork := &fixture{t: t, cfg: cfg, Vault: v}
	if err := fork.unlock(""); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"x", "y", "z"} {
		fork.add(name) // generations 4, 5, 6 of the fork; 5 is pinned here
		err := f.another().unlock("")
		wantError(t, "fork with "+name, err, ErrRollback)
	}

	// A newer state that descends from the pinned one is taken, and pinned.
	mem.snap = states[3]
	cfg.Keyring.(*fakeKeyring).items = map[string][]byte{f.item(itemShare): f.keyring.items[f.item(itemShare)]}
	if v, err = Open(context.Background(), cfg); err != nil {
		t.Fatal(err)
	}
	later := &fixture{t: t, cfg: cfg, Vault: v}
	if err := later.unlock(""); err != nil {
		t.Fatal(err)
	}
	later.add("e")
	later.add("f")
	g := f.unlocked()
	if bytes.Equal(f.keyring.items[f.item(itemPin)], pinned) || g.RollbackProtection() != protectionKeyring {
		t.Error("the pin was not moved to the newer state")
	}
	mem.snap = states[3]
	wantError(t, "back to the state before", f.another().unlock(""), ErrRollback)
}

// TestRollbackWhileRunning: without any keyring the process itself remembers.
func TestRollbackWhileRunning(t *testing.T) {
	ctx := context.Background()
	mem := &memStore{}
	f := newVaultWith(t, mem, SlotPassphrase)
	cfg := f.cfg
	cfg.Keyring = nil
	v, err := Open(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	g := &fixture{t: t, cfg: cfg, Vault: v}
	if err := g.unlock(testPassphrase); err != nil {
		t.Fatal(err)
	}
	if got := g.RollbackProtection(); got != protectionNone || !strings.HasPrefix(got, "weak: ") {
		t.Errorf("rollback protection %q", got)
	}
	g.add("a")
	old := copySnapshot(mem.snap)
	g.add("b")
	newest := copySnapshot(mem.snap)
	mem.snap = old
	wantError(t, "opening", second(g.OpenSignOnly("a")), ErrRollback)
	wantError(t, "adding", errOf(g.Add(ctx, g.newRecord("c"))), ErrRollback)
	wantError(t, "checking", g.Check(ctx), ErrRollback)
	g.Lock()
	wantError(t, "checking while locked", g.Check(ctx), ErrRollback)
	wantError(t, "unlocking", g.unlock(testPassphrase), ErrRollback)

	// A Vault of its own knows nothing of that; one with the same Memory does.
	cfg.Memory = g.Vault.cfg.Memory
	if v, err = Open(ctx, cfg); err != nil {
		t.Fatal(err)
	}
	wantError(t, "unlocking another Vault of this process", v.Unlock(ctx, f.bytesOf(testPassphrase)), ErrRollback)
	mem.snap = newest
	if err := g.unlock(testPassphrase); err != nil {
		t.Error(err)
	}
	g.integrity()
}

// TestPinTrouble: a pin that cannot be read or written weakens the protection, says
// so, and costs neither an unlock nor a commit.
func TestPinTrouble(t *testing.T) {
	ctx := context.Background()
	f := newVault(t, nil)
	f.keyring.fail = map[string]error{"set pin": keyring.ErrTimeout}
	f.add("a")
	if got := f.RollbackProtection(); !strings.HasPrefix(got, "weak: the pin cannot be written: ") {
		t.Errorf("rollback protection %q", got)
	}
	if got := f.unlocked().names(); !slices.Equal(got, []string{"a"}) {
		t.Errorf("the commit is lost: %q", got)
	}
	f.keyring.fail = nil
	g := f.unlocked() // the pin is one behind, and is moved up
	if got := g.RollbackProtection(); got != protectionKeyring {
		t.Errorf("rollback protection %q", got)
	}
	if p, err := g.readPin(ctx); err != nil || p.generation != 2 {
		t.Errorf("pin %+v, %v", p, err)
	}
	f.keyring.fail = map[string]error{"get pin": keyring.ErrForeign}
	wantError(t, "somebody else's item", f.another().unlock(""), ErrRollback)

	if err := f.AddSlot(ctx, f.slot(SlotPassphrase)); err != nil {
		t.Fatal(err)
	}
	f.keyring.fail = map[string]error{"": keyring.ErrLocked}
	g = f.another()
	if err := g.unlock(testPassphrase); err != nil {
		t.Fatal(err)
	}
	if got := g.RollbackProtection(); !strings.HasPrefix(got, "weak: the pin cannot be read: ") {
		t.Errorf("rollback protection %q", got)
	}
	f.keyring.fail = nil
	for _, bad := range [][]byte{{}, make([]byte, pinSize), make([]byte, pinSize-1), bytes.Repeat([]byte{1}, pinSize+1)} {
		f.keyring.items[f.item(itemPin)] = bad
		wantError(t, "broken pin", f.another().unlock(""), ErrRollback)
	}
	delete(f.keyring.items, f.item(itemPin))
	if f.unlocked(); f.keyring.items[f.item(itemPin)] == nil {
		t.Error("a machine without a pin made none")
	}
	f.integrity()
}

// TestPinBeyondHistory: a machine that has not seen the vault for longer than its
// history refuses it rather than guess.
func TestPinBeyondHistory(t *testing.T) {
	ctx := context.Background()
	f := newVault(t, nil)
	f.keyring.fail = map[string]error{"set pin": keyring.ErrTimeout} // stays at generation 1
	f.add("a")
	for i := range envelope.HistoryLimit {
		if err := f.Describe(ctx, "a", []byte{byte(i), byte(i >> 8)}); err != nil {
			t.Fatal(err)
		}
	}
	f.keyring.fail = map[string]error{"set pin": errors.New("still")}
	if err := f.another().unlock(""); err != nil {
		t.Errorf("at the last generation that reaches back: %v", err)
	}
	if err := f.Remove(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	wantError(t, "one generation further", f.another().unlock(""), ErrRollback)
	f.keyring.fail = nil
}

// TestOldSlotMeetsNoPassphrase: the passphrase is not tried on an older vault.
func TestOldSlotMeetsNoPassphrase(t *testing.T) {
	ctx := context.Background()
	mem := &memStore{}
	f := newVaultWith(t, mem, SlotPassphrase)
	old := copySnapshot(mem.snap)
	if err := f.AddSlot(ctx, Slot{Kind: SlotPassphrase, Passphrase: f.bytesOf("new"), KDF: KDFLow}); err != nil {
		t.Fatal(err)
	}
	mem.snap = old
	g := f.another()
	p, err := secret.Bytes{}, error(nil)
	if p, err = f.cfg.Arena.Take([]byte("new")); err != nil {
		t.Fatal(err)
	}
	wantError(t, "the new passphrase on the old vault", g.Unlock(ctx, p), ErrRollback)
}
