package vault

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/vault/keyring"
	"github.com/nsagent/nsagent/vault/store"
)

func newArena(t testing.TB) *secret.Arena {
	t.Helper()
	a, err := secret.NewArena(secret.ArenaConfig{Size: 768 << 10})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

// fakeKeyring stands for a keyring in the tests of what the vault does with it. The
// real one is tested in vault/keyring and in TestRealKeyring.
type fakeKeyring struct {
	arena *secret.Arena

	mu    sync.Mutex
	items map[string][]byte
	fail  map[string]error // by "get " or "set " and the end of the item's name; "" for all
	calls int
}

func newKeyring(a *secret.Arena) *fakeKeyring {
	return &fakeKeyring{arena: a, items: map[string][]byte{}, fail: map[string]error{}}
}

func (k *fakeKeyring) failing(op, item string) error {
	k.calls++
	for what, err := range k.fail {
		if o, name, _ := strings.Cut(what, " "); what == "" || o == op && strings.HasSuffix(item, "/"+name) {
			return err
		}
	}
	return nil
}

func (k *fakeKeyring) Get(_ context.Context, item string) (secret.Bytes, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.failing("get", item); err != nil {
		return secret.Bytes{}, err
	}
	p, ok := k.items[item]
	if !ok {
		return secret.Bytes{}, fmt.Errorf("item %s: %w", item, keyring.ErrNotFound)
	}
	return k.arena.Take(bytes.Clone(p))
}

func (k *fakeKeyring) Set(_ context.Context, item string, v secret.Bytes) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.failing("set", item); err != nil {
		return err
	}
	return v.Use(func(p []byte) error {
		if len(p) > 48 {
			return keyring.ErrTooLarge
		}
		k.items[item] = bytes.Clone(p)
		return nil
	})
}

func (k *fakeKeyring) Delete(_ context.Context, item string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.items, item)
	return nil
}

// memStore is a store without a file under it, for tests that edit the snapshot: it
// has neither checksum nor form of its own.
type memStore struct {
	mu    sync.Mutex
	snap  store.Snapshot
	blobs map[store.BlobHash][]byte
}

func (m *memStore) Blob(_ context.Context, h store.BlobHash) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.blobs[h]
	if !ok {
		return nil, store.ErrNotFound
	}
	return bytes.Clone(b), nil
}

func (m *memStore) Load(context.Context) (store.Snapshot, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.snap.Generation == 0 {
		return store.Snapshot{}, store.ErrNotFound
	}
	return copySnapshot(m.snap), nil
}

func (m *memStore) Commit(_ context.Context, base uint64, c store.Change) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if base != m.snap.Generation {
		return 0, store.ErrConflict
	}
	next := copySnapshot(m.snap)
	next.Generation++
	if c.Root != nil {
		next.Root = bytes.Clone(c.Root)
	}
	for _, id := range c.Delete {
		delete(next.Records, id)
	}
	maps.Copy(next.Records, c.Put)
	if m.blobs == nil {
		m.blobs = make(map[store.BlobHash][]byte)
	}
	maps.Copy(m.blobs, c.Blobs)
	m.snap = next
	return next.Generation, nil
}

func copySnapshot(s store.Snapshot) store.Snapshot {
	c := store.Snapshot{Generation: s.Generation, Root: bytes.Clone(s.Root), Records: map[store.ID][]byte{}}
	for id, r := range s.Records {
		c.Records[id] = bytes.Clone(r)
	}
	return c
}

// fixture is a vault in a store with what is needed to open it again.
type fixture struct {
	t       testing.TB
	cfg     Config
	keyring *fakeKeyring
	*Vault
}

const testPassphrase = "correct horse battery staple"

// bytesOf returns s in locked memory.
func (f *fixture) bytesOf(s string) secret.Bytes {
	f.t.Helper()
	b, err := f.cfg.Arena.Take([]byte(s))
	if err != nil {
		f.t.Fatal(err)
	}
	return b
}

func (f *fixture) slot(kind SlotKind) Slot {
	s := Slot{Kind: kind, KDF: KDFLow}
	if kind.NeedsPassphrase() {
		s.Passphrase = f.bytesOf(testPassphrase)
	}
	if n := kind.KeySize(); n > 0 {
		s.Key = f.bytesOf(testKey[:n])
	}
	return s
}

// testKey begins with the recovery code of tests and is the key of their key file.
const testKey = "0123456789abcdef0123456789abcdef"

// allKinds are the kinds of key slots.
var allKinds = []SlotKind{SlotKeyring, SlotPassphrase, SlotKeyringPassphrase, SlotRecovery, SlotKeyFile}

// withAllSlots gives an unlocked vault a slot of every kind that it has none of.
func (f *fixture) withAllSlots() {
	f.t.Helper()
	for _, kind := range allKinds {
		if !slices.ContainsFunc(f.Slots(), func(s SlotInfo) bool { return s.Kind == kind }) {
			if err := f.AddSlot(context.Background(), f.slot(kind)); err != nil {
				f.t.Fatal(err)
			}
		}
	}
}

// proof returns what opens the slot of a kind that f.slot makes.
func (f *fixture) proof(kind SlotKind) Proof {
	s := f.slot(kind)
	switch kind {
	case SlotRecovery:
		return Proof{Recovery: s.Key}
	case SlotKeyFile:
		return Proof{KeyFile: s.Key}
	default:
		return Proof{Passphrase: s.Passphrase}
	}
}

// kinds returns the kinds of the slots, sorted.
func (f *fixture) kinds() string {
	var l []string
	for _, s := range f.Slots() {
		l = append(l, string(s.Kind))
	}
	slices.Sort(l)
	return strings.Join(l, " ")
}

// newVault creates a vault with a keyring slot, in memory unless a store is given.
func newVault(t testing.TB, s store.Store) *fixture { return newVaultWith(t, s, SlotKeyring) }

func newVaultWith(t testing.TB, s store.Store, kind SlotKind) *fixture {
	t.Helper()
	if s == nil {
		s = &memStore{}
	}
	a := newArena(t)
	f := &fixture{t: t, keyring: newKeyring(a)}
	f.cfg = Config{Store: s, Arena: a, Keyring: f.keyring, MachineKeyFile: filepath.Join(t.TempDir(), "machine.key")}
	v, err := Create(context.Background(), f.cfg, f.slot(kind))
	if err != nil {
		t.Fatal(err)
	}
	f.Vault = v
	return f
}

// add adds a record with both parts, whose content follows from its name.
func (f *fixture) add(name string) {
	f.t.Helper()
	if _, err := f.Add(context.Background(), f.newRecord(name)); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) newRecord(name string) NewRecord {
	return NewRecord{Name: name, Kind: "tba", Meta: []byte("meta of " + name), SignOnly: f.bytesOf("sign-only of " + name), Raw: f.bytesOf("raw of " + name)}
}

// another opens the same store as another process would, locked.
func (f *fixture) another() *fixture {
	f.t.Helper()
	v, err := Open(context.Background(), f.cfg)
	if err != nil {
		f.t.Fatal(err)
	}
	return &fixture{t: f.t, cfg: f.cfg, keyring: f.keyring, Vault: v}
}

// unlock unlocks with the passphrase, or with the keyring alone if there is none.
func (f *fixture) unlock(passphrase string) error {
	f.t.Helper()
	var p secret.Bytes
	if passphrase != "" {
		p = f.bytesOf(passphrase)
		defer p.Destroy()
	}
	return f.Unlock(context.Background(), p)
}

// unlocked is another, unlocked.
func (f *fixture) unlocked() *fixture {
	f.t.Helper()
	other := f.another()
	if err := other.unlock(""); err != nil {
		f.t.Fatal(err)
	}
	return other
}

// integrity fails the test unless everything in the vault opens.
func (f *fixture) integrity() {
	f.t.Helper()
	if f.Locked() {
		f.t.Error("integrity check of a locked vault says little")
	}
	if err := f.Check(context.Background()); err != nil {
		f.t.Error(err)
	}
}

// content returns the parts of a record as strings: they are no secrets here.
func (f *fixture) content(name string) (signOnly, raw string, err error) {
	read := func(open func(string) (secret.Bytes, error)) (s string) {
		var b secret.Bytes
		if b, err = open(name); err != nil {
			return ""
		}
		defer b.Destroy()
		err = b.Use(func(p []byte) error {
			s = string(p)
			return nil
		})
		return s
	}
	if signOnly = read(f.OpenSignOnly); err != nil {
		return "", "", err
	}
	if raw = read(f.OpenRaw); errors.Is(err, ErrNotFound) {
		err = nil
	}
	return signOnly, raw, err
}

func (f *fixture) names() []string {
	f.t.Helper()
	l, err := f.Records()
	if err != nil {
		f.t.Fatal(err)
	}
	var names []string
	for _, r := range l {
		names = append(names, r.Name)
	}
	return names
}

// errOf returns what a call failed with whose result is of no matter.
func errOf[T any](_ T, err error) error { return err }

func wantError(t testing.TB, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func withChecksum(b []byte) []byte {
	body := b[:len(b)-sha256.Size]
	sum := sha256.Sum256(body)
	copy(b[len(body):], sum[:])
	return b
}
