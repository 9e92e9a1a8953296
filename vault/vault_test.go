package vault

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/vault/store"
)

func TestRoundTrip(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "vault.nsv")
	f := newVault(t, store.NewFile(path))
	f.add("acme-sb1")
	f.add("beta")
	if _, err := f.Add(ctx, NewRecord{Name: "m2m", Kind: "m2m", SignOnly: f.bytesOf("der")}); err != nil {
		t.Fatal(err)
	}
	f.integrity()

	g := f.another()
	if !g.Locked() || !bytes.Equal(g.ID(), f.ID()) || g.Generation() != 4 {
		t.Errorf("reopened: locked %v, id %x, generation %d", g.Locked(), g.ID(), g.Generation())
	}
	for what, err := range map[string]error{
		"records":   second(g.Records()),
		"sign-only": second(g.OpenSignOnly("beta")),
		"raw":       second(g.OpenRaw("beta")),
		"each":      g.Each(func(Record, secret.Bytes) error { return nil }),
		"add":       errOf(g.Add(ctx, f.newRecord("x"))),
		"remove":    g.Remove(ctx, "beta"),
		"slot":      g.AddSlot(ctx, f.slot(SlotKeyring)),
	} {
		wantError(t, "locked: "+what, err, ErrLocked)
	}
	if err := g.Check(ctx); err != nil {
		t.Errorf("checking a locked vault: %v", err)
	}
	if err := g.unlock(""); err != nil {
		t.Fatal(err)
	}
	if got := g.names(); !slices.Equal(got, []string{"acme-sb1", "beta", "m2m"}) {
		t.Errorf("records %q", got)
	}
	l, err := g.Records()
	if err != nil {
		t.Fatal(err)
	}
	if r := l[1]; r.Kind != "tba" || string(r.Meta) != "meta of beta" || r.Version != 1 || !r.HasRaw || time.Since(r.Created) > time.Minute || r.Changed != r.Created {
		t.Errorf("record %+v", r)
	}
	if l[2].HasRaw {
		t.Error("a record has a raw part that it was not given")
	}
	if s, r, err := g.content("beta"); s != "sign-only of beta" || r != "raw of beta" || err != nil {
		t.Errorf("opened %q and %q, %v", s, r, err)
	}
	wantError(t, "raw part that is not there", second(g.OpenRaw("m2m")), ErrNotFound)
	wantError(t, "record that is not there", second(g.OpenSignOnly("gamma")), ErrNotFound)

	wantError(t, "second record of a name", errOf(g.Add(ctx, f.newRecord("beta"))), ErrExists)
	if err := g.Remove(ctx, "beta"); err != nil {
		t.Fatal(err)
	}
	wantError(t, "removing twice", g.Remove(ctx, "beta"), ErrNotFound)
	wantError(t, "opening what was removed", second(g.OpenSignOnly("beta")), ErrNotFound)
	g.integrity()

	// The first process sees what the second did.
	if _, err := f.OpenSignOnly("acme-sb1"); err != nil {
		t.Error(err)
	}
	if got := f.names(); !slices.Equal(got, []string{"acme-sb1", "m2m"}) {
		t.Errorf("the other process has records %q", got)
	}
	f.Lock()
	wantError(t, "after Lock", second(f.OpenSignOnly("acme-sb1")), ErrLocked)
	if err := f.unlock(""); err != nil {
		t.Error(err)
	}
	f.integrity()
}

func second[T any](_ T, err error) error { return err }

// TestNothingInClear: neither names nor metadata nor secrets are in the file.
func TestNothingInClear(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vault.nsv")
	f := newVaultWith(t, store.NewFile(path), SlotKeyringPassphrase)
	f.add("acme-canary")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"acme", "canary", "meta of", "sign-only of", "raw of", "tba", testPassphrase} {
		if bytes.Contains(data, []byte(s)) {
			t.Errorf("%q is in the vault file", s)
		}
	}
	for item, value := range f.keyring.items {
		if bytes.Contains(data, value) && !strings.HasSuffix(item, "/pin") {
			t.Errorf("keyring item %s is in the vault file", item)
		}
	}
	if !bytes.Contains(data, []byte("nsagent vault")) {
		t.Error("the search finds not even the magic")
	}
}

func TestCreateRefuses(t *testing.T) {
	ctx := context.Background()
	f := newVault(t, nil)
	wantError(t, "over another vault", second(Create(ctx, f.cfg, f.slot(SlotKeyring))), store.ErrExists)

	empty := f.cfg
	empty.Store = &memStore{}
	noKeyring := empty
	noKeyring.Keyring = nil
	for _, c := range []struct {
		name string
		cfg  Config
		slot Slot
		want error
	}{
		{"no passphrase", empty, Slot{Kind: SlotPassphrase}, ErrNeedPassphrase},
		{"no passphrase beside the share", empty, Slot{Kind: SlotKeyringPassphrase}, ErrNeedPassphrase},
		{"no keyring", noKeyring, f.slot(SlotKeyring), ErrKeyring},
		{"no keyring beside the passphrase", noKeyring, f.slot(SlotKeyringPassphrase), ErrKeyring},
		{"unknown kind", empty, Slot{Kind: "age"}, ErrSlot},
		{"cheap", empty, Slot{Kind: SlotPassphrase, Passphrase: f.bytesOf("p"), KDF: KDF{MemoryKiB: 1024, Time: 1, Threads: 1}}, ErrSlot},
	} {
		items := len(f.keyring.items)
		v, err := Create(ctx, c.cfg, c.slot)
		wantError(t, c.name, err, c.want)
		if v != nil || len(f.keyring.items) != items {
			t.Errorf("%s: left something behind", c.name)
		}
		if _, err := empty.Store.Load(ctx); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: the store holds something: %v", c.name, err)
		}
	}
}

// TestCreateOnBrokenKeyring: a keyring that refuses shows before there is a vault that
// depends on it.
func TestCreateOnBrokenKeyring(t *testing.T) {
	ctx := context.Background()
	f := newVault(t, nil)
	boom := errors.New("boom")
	for _, op := range []string{"set share", ""} {
		f.keyring.fail = map[string]error{op: boom}
		cfg := f.cfg
		cfg.Store = &memStore{}
		_, err := Create(ctx, cfg, f.slot(SlotKeyringPassphrase))
		wantError(t, op, err, ErrKeyring)
		wantError(t, op, err, boom)
		if _, err := cfg.Store.Load(ctx); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: the store holds something: %v", op, err)
		}
	}
}

// failingStore fails its first commit, before or after it is made.
type failingStore struct {
	*memStore
	after bool
	err   error
}

func (s *failingStore) Commit(ctx context.Context, base uint64, c store.Change) (uint64, error) {
	err := s.err
	s.err = nil
	if err == nil {
		return s.memStore.Commit(ctx, base, c)
	}
	if s.after {
		_, _ = s.memStore.Commit(ctx, base, c)
	}
	return 0, err
}

// TestCommitFails: after a commit that failed the vault works on, whether or not the
// store took the change all the same.
func TestCommitFails(t *testing.T) {
	ctx := context.Background()
	for _, after := range []bool{false, true} {
		s := &failingStore{memStore: &memStore{}, after: after}
		f := newVault(t, s)
		f.add("a")
		s.err = errors.New("no space left")
		if _, err := f.Add(ctx, f.newRecord("b")); err == nil {
			t.Fatal("the commit did not fail")
		}
		f.add("c")
		want := []string{"a", "c"}
		if after {
			want = []string{"a", "b", "c"}
		}
		if got := f.names(); !slices.Equal(got, want) {
			t.Errorf("after=%v: records %q, want %q", after, got, want)
		}
		f.integrity()
		f.unlocked().integrity()
	}
}

func TestAddRefuses(t *testing.T) {
	ctx := context.Background()
	f := newVault(t, nil)
	large, err := f.cfg.Arena.Alloc(64<<10 + 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		edit func(*NewRecord)
	}{
		{"no name", func(r *NewRecord) { r.Name = "" }},
		{"long name", func(r *NewRecord) { r.Name = strings.Repeat("n", 256) }},
		{"line feed in the name", func(r *NewRecord) { r.Name = "a\nb" }},
		{"name not ASCII", func(r *NewRecord) { r.Name = "ä" }},
		{"no kind", func(r *NewRecord) { r.Kind = "" }},
		{"no secret", func(r *NewRecord) { r.SignOnly = secret.Bytes{} }},
		{"large secret", func(r *NewRecord) { r.Raw = large }},
		{"large metadata", func(r *NewRecord) { r.Meta = make([]byte, 32<<10+1) }},
	} {
		r := f.newRecord("a")
		c.edit(&r)
		_, err := f.Add(ctx, r)
		wantError(t, c.name, err, ErrRecord)
		if errors.Is(err, ErrDamaged) {
			t.Errorf("%s: called damage: %v", c.name, err)
		}
	}
	wantError(t, "same name twice", errOf(f.AddAll(ctx, []NewRecord{f.newRecord("a"), f.newRecord("a")})), ErrExists)
	if got := f.names(); len(got) != 0 || f.Generation() != 1 {
		t.Errorf("after refusals: records %q, generation %d", got, f.Generation())
	}
	f.integrity()
}

func TestRotateAndDescribe(t *testing.T) {
	ctx := context.Background()
	f := newVault(t, nil)
	f.add("a")
	f.add("b")
	if err := f.Rotate(ctx, "a", f.bytesOf("s2"), f.bytesOf("r2")); err != nil {
		t.Fatal(err)
	}
	if err := f.Describe(ctx, "a", []byte("narrower")); err != nil {
		t.Fatal(err)
	}
	for _, g := range []*fixture{f, f.unlocked()} {
		l, err := g.Records()
		if err != nil {
			t.Fatal(err)
		}
		if r := l[0]; r.Version != 2 || string(r.Meta) != "narrower" || r.Name != "a" {
			t.Errorf("record %+v", r)
		}
		if s, r, err := g.content("a"); s != "s2" || r != "r2" || err != nil {
			t.Errorf("opened %q and %q, %v", s, r, err)
		}
		if s, _, _ := g.content("b"); s != "sign-only of b" {
			t.Errorf("another record opened to %q", s)
		}
		g.integrity()
	}
	wantError(t, "rotating one part of two", f.Rotate(ctx, "a", f.bytesOf("s3"), secret.Bytes{}), ErrRecord)
	wantError(t, "rotating nothing", f.Rotate(ctx, "c", f.bytesOf("s3"), f.bytesOf("r3")), ErrNotFound)
	wantError(t, "describing nothing", f.Describe(ctx, "c", nil), ErrNotFound)
}

func TestEach(t *testing.T) {
	ctx := context.Background()
	f := newVault(t, nil)
	const n = 3 * perWorker
	var records []NewRecord
	one := f.bytesOf("0123456789abcdef")
	for i := range n {
		records = append(records, NewRecord{Name: name(i), Kind: "tba", SignOnly: one})
	}
	if _, err := f.AddAll(ctx, records); err != nil {
		t.Fatal(err)
	}
	before := f.cfg.Arena.Info().Used
	var mu sync.Mutex
	got := make(map[string]int)
	err := f.Each(func(r Record, b secret.Bytes) error {
		defer b.Destroy()
		mu.Lock()
		defer mu.Unlock()
		if got[r.Name]++; !b.Equal(one) {
			t.Errorf("record %q has another secret", r.Name)
		}
		return nil
	})
	if err != nil || len(got) != n || got[name(0)] != 1 || got[name(n-1)] != 1 {
		t.Errorf("%d records, %v", len(got), err)
	}
	if used := f.cfg.Arena.Info().Used; used != before {
		t.Errorf("%d bytes of the arena in use, %d before", used, before)
	}

	// ends calls end in the third call of f, and returns how many there were.
	ends := func(end func() error) (int64, error) {
		var calls atomic.Int64
		err := f.Each(func(_ Record, b secret.Bytes) error {
			b.Destroy()
			if calls.Add(1) == 3 {
				return end()
			}
			return nil
		})
		return calls.Load(), err
	}
	stop := errors.New("enough")
	if calls, err := ends(func() error { return stop }); !errors.Is(err, stop) || calls > n/2 {
		t.Errorf("stopped after %d with %v", calls, err)
	}
	calls, err := ends(func() error { f.Lock(); return nil })
	wantError(t, "locked meanwhile", err, ErrLocked)
	if calls > int64(3+workers(n)) {
		t.Errorf("%d records handed over, %d of them after Lock", calls, calls-3)
	}
	if used := f.cfg.Arena.Info().Used; used >= before {
		t.Errorf("%d bytes of the arena in use after Lock, %d before", used, before)
	}
}

func name(i int) string {
	return "record-" + string(rune('a'+i/676)) + string(rune('a'+i/26%26)) + string(rune('a'+i%26))
}

// TestLockDropsEverything: after Lock, nothing of the vault is left in the arena.
func TestLockDropsEverything(t *testing.T) {
	f := newVaultWith(t, nil, SlotKeyringPassphrase)
	f.add("a")
	f.Lock()
	base := f.cfg.Arena.Info().Used
	if err := f.unlock(testPassphrase); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.content("a"); err != nil {
		t.Fatal(err)
	}
	wantError(t, "wrong passphrase", f.unlock("wrong"), ErrPassphrase)
	f.integrity()
	if used := f.cfg.Arena.Info().Used; used <= base {
		t.Errorf("unlocked: %d bytes in use, %d locked", used, base)
	}
	f.Lock()
	f.Lock()
	if used := f.cfg.Arena.Info().Used; used != base {
		t.Errorf("locked again: %d bytes in use, %d before", used, base)
	}
}
