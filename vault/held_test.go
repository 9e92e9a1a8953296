package vault

import (
	"context"
	"maps"
	"slices"
	"testing"

	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/vault/store"
)

// countingStore counts how often it is read.
type countingStore struct {
	*memStore
	loads int
}

func (c *countingStore) Load(ctx context.Context) (store.Snapshot, error) {
	c.loads++
	return c.memStore.Load(ctx)
}

// anotherHeld is another by OpenHeld.
func (f *fixture) anotherHeld() *fixture {
	f.t.Helper()
	v, err := OpenHeld(context.Background(), f.cfg)
	if err != nil {
		f.t.Fatal(err)
	}
	return &fixture{t: f.t, cfg: f.cfg, keyring: f.keyring, Vault: v}
}

// seen returns the names that Each gives.
func (f *fixture) seen() []string {
	f.t.Helper()
	got := make(map[string]bool)
	if err := f.Each(func(r Record, b secret.Bytes) error { got[r.Name] = true; b.Destroy(); return nil }); err != nil {
		f.t.Fatal(err)
	}
	return slices.Sorted(maps.Keys(got))
}

// TestHeldReadsOnce: what an unlock asks a held vault for is answered from one reading;
// after Release, after a commit and after Lock the store is read again.
func TestHeldReadsOnce(t *testing.T) {
	s := &countingStore{memStore: &memStore{}}
	f := newVault(t, s)
	f.add("a")

	s.loads = 0
	g := f.anotherHeld()
	if err := g.unlock(""); err != nil {
		t.Fatal(err)
	}
	if got := g.seen(); !slices.Equal(got, []string{"a"}) {
		t.Errorf("records %q", got)
	}
	_, err := g.Grants()
	_, _, err2 := g.Policy()
	if err != nil || err2 != nil || s.loads != 1 {
		t.Errorf("the store was read %d times, want once: %v, %v", s.loads, err, err2)
	}

	f.add("b")
	if got := g.seen(); !slices.Equal(got, []string{"a"}) {
		t.Errorf("a held vault has %q, want what it was opened with", got)
	}
	g.Release()
	if got := g.seen(); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("after Release: %q", got)
	}

	h := f.anotherHeld()
	if err := h.unlock(""); err != nil {
		t.Fatal(err)
	}
	f.add("c")
	h.add("d")
	if got := h.seen(); !slices.Equal(got, []string{"a", "b", "c", "d"}) {
		t.Errorf("after a commit on top of another's: %q", got)
	}

	k := f.anotherHeld()
	k.Lock()
	s.loads = 0
	if err := k.unlock(""); err != nil || s.loads != 1 {
		t.Errorf("after Lock the store was read %d times: %v", s.loads, err)
	}
	f.integrity()
}

// TestHeldIsNoRollback: where this process, the keyring or the caller remembers something
// newer than what a vault holds, it reads the store, and refuses what is older there too.
func TestHeldIsNoRollback(t *testing.T) {
	for name, remember := range map[string]func(f, g *fixture){
		"the process": func(f, g *fixture) {
			delete(f.keyring.items, f.item(itemPin))
			g.cfg.Memory.remember(f.id, f.root)
		},
		"the keyring": func(_, _ *fixture) {}, // by the commit
		"the caller": func(f, g *fixture) {
			delete(f.keyring.items, f.item(itemPin))
			if err := g.AtLeast(context.Background(), f.Generation()); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			mem := &memStore{}
			f := newVault(t, mem)
			f.add("a")
			f.cfg.Memory = &Memory{} // for what is opened from here on
			g, old := f.anotherHeld(), f.anotherHeld()
			before := copySnapshot(mem.snap)
			f.add("b")
			remember(f, g)
			if err := g.unlock(""); err != nil {
				t.Fatal(err)
			}
			if got := g.seen(); !slices.Equal(got, []string{"a", "b"}) {
				t.Errorf("records %q", got)
			}
			mem.snap = before
			wantError(t, "an older copy, held", old.unlock(""), ErrRollback)
		})
	}
}
