//go:build !race

// These tests compute much, in one goroutine: one run without the race detector is enough.

package vault

import (
	"context"
	"crypto/sha256"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/nsagent/nsagent/internal/needs"
	"github.com/nsagent/nsagent/vault/store"
)

// TestSweep is V-02 for the vault file: every flipped bit and every truncation is an
// error at some point between opening the file and having opened every secret, never
// a panic and never a wrong secret. Each is tried as it is, which the checksum must
// find, and with the checksum put right, which must be found without it.
//
// The short form flips one bit of each byte; NSAGENT_LONG=1 flips all.
func TestSweep(t *testing.T) {
	long := needs.Long()
	path := filepath.Join(t.TempDir(), "vault.nsv")
	f := newVaultWith(t, store.NewFile(path), SlotPassphrase)
	f.add("a")
	f.withAllSlots()
	if err := f.Rotate(context.Background(), "a", f.bytesOf("second a"), f.bytesOf("second raw a")); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.openFile(path, good); err != nil {
		t.Fatalf("as it is: %v", err)
	}
	delete(f.keyring.items, f.item(itemPin)) // nothing but the file itself may tell

	for i := range good {
		bits := []int{rand.IntN(8)}
		if long {
			bits = []int{0, 1, 2, 3, 4, 5, 6, 7}
		}
		for _, bit := range bits {
			bad := append([]byte(nil), good...)
			bad[i] ^= 1 << bit
			if f.openFile(path, bad) == nil {
				t.Errorf("byte %d, bit %d: opens", i, bit)
			}
			// A flip in the checksum itself is put right again.
			if i < len(good)-sha256.Size && f.openFile(path, withChecksum(bad)) == nil {
				t.Errorf("byte %d, bit %d, checksum put right: opens", i, bit)
			}
		}
		if f.openFile(path, good[:i]) == nil {
			t.Errorf("cut to %d bytes: opens", i)
		}
		if i > sha256.Size && f.openFile(path, withChecksum(append([]byte(nil), good[:i]...))) == nil {
			t.Errorf("cut to %d bytes, checksum put right: opens", i)
		}
	}
	if err := f.openFile(path, good); err != nil {
		t.Errorf("as it was again: %v", err)
	}
	t.Logf("%d bytes swept", len(good))
}

// openFile puts data in the place of the vault and opens everything in it. The key
// derivation runs only if the vault gets that far.
func (f *fixture) openFile(path string, data []byte) error {
	f.t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		f.t.Fatal(err)
	}
	v, err := Open(context.Background(), f.cfg)
	if err != nil {
		return err
	}
	g := &fixture{t: f.t, cfg: f.cfg, keyring: f.keyring, Vault: v}
	if err := g.unlock(testPassphrase); err != nil {
		return err
	}
	if err := g.Check(context.Background()); err != nil {
		return err
	}
	signOnly, raw, err := g.content("a")
	if err == nil && (signOnly != "second a" || raw != "second raw a") {
		f.t.Errorf("opened to %q and %q", signOnly, raw)
	}
	return err
}
