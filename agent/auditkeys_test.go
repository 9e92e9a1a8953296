//go:build !race

// These tests look at the product from outside, or at its memory, which has no race
// detector: one run of them is enough.

package agent

import (
	"bytes"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/memscan"
	"github.com/nsagent/nsagent/internal/needs"
	"github.com/nsagent/nsagent/vault"
	"github.com/nsagent/nsagent/vault/store"
)

// TestCheckpointKeysAfterLock guards A-04 and G-10 with the product: the key of the next
// checkpoint is in locked memory alone while the vault is unlocked, in none after a lock,
// and the keys that have signed are nowhere. The test knows them since it can open the
// key file.
func TestCheckpointKeysAfterLock(t *testing.T) {
	needs.Root(t, "scans the memory of another process")
	d := startDaemon(t, "memory = \"mlock\"\n")
	admin := d.dialAdmin()
	used := d.arenaUsed()
	k := d.checkpointOpener()
	var needles []memscan.Needle
	known := 0
	know := func() {
		t.Helper()
		known++
		needles = append(needles, keyNeedles(fmt.Sprint("key ", known), k.seed())...)
	}
	if _, err := admin.Unlock(t.Context(), sealWith(d.arena, testPassphrase), 0); err != nil {
		t.Fatal(err)
	}
	d.needsErasing()
	if err := d.addTBA(admin, "acme", sample(1), sample(2)); err != nil {
		t.Fatal(err)
	}
	signs := d.dial()
	// Each unlock and each lock signs, and draws another key.
	for range 2 {
		before := k.file()
		for range 40 {
			if _, err := signs.Sign(t.Context(), client.Request{URL: sandboxURL}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := admin.Unlock(t.Context(), sealWith(d.arena, testPassphrase), 0); err != nil {
			t.Fatal(err)
		}
		eventually(t, 10*time.Second, func() string {
			if bytes.Equal(before, k.file()) {
				return "the same key"
			}
			return ""
		})
		know()
	}
	if r := d.atRest("unlocked", needles, noneUnlocked); r.Total.Locked == 0 {
		t.Errorf("control: locked memory does not hold the key either:\n%s", r)
	}
	if err := admin.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	know()
	d.atRest("after lock", needles, none)
	if got := d.arenaUsed(); got != used {
		t.Errorf("after lock %d bytes of locked memory are in use, before the unlock %d were", got, used)
	}
}

func (d *daemon) arenaUsed() int64 {
	d.t.Helper()
	s, err := d.dial().Status(d.t.Context())
	if err != nil {
		d.t.Fatal(err)
	}
	return s.GetMemory().GetUsed()
}

// checkpointOpener opens the key file of a daemon's audit log in the process of the test.
type checkpointOpener struct {
	d *daemon
	v *vault.Vault
}

func (d *daemon) checkpointOpener() *checkpointOpener {
	d.t.Helper()
	arena := longArena(d.t)
	v, err := vault.Open(d.t.Context(), vault.Config{Store: store.NewFile(d.paths.Vault), Arena: arena})
	if err != nil {
		d.t.Fatal(err)
	}
	passphrase, err := arena.Take([]byte(testPassphrase))
	if err == nil {
		err = v.UnlockBy(d.t.Context(), vault.Proof{Passphrase: passphrase})
	}
	if err != nil {
		d.t.Fatal(err)
	}
	return &checkpointOpener{d, v}
}

func (o *checkpointOpener) file() []byte {
	o.d.t.Helper()
	b, err := os.ReadFile(filepath.Join(o.d.paths.AuditDir, "audit.key"))
	if err != nil {
		o.d.t.Fatal(err)
	}
	return b
}

// seed returns the key that signs next.
func (o *checkpointOpener) seed() (seed []byte) {
	o.d.t.Helper()
	lines := bytes.SplitN(o.file(), []byte("\n"), 3)
	sealed, err := base64.StdEncoding.DecodeString(string(lines[1]))
	if err != nil {
		o.d.t.Fatal(err)
	}
	s, err := o.v.NewSealer("audit checkpoint key")
	if err != nil {
		o.d.t.Fatal(err)
	}
	defer s.Destroy()
	b, err := s.Open(sealed)
	if err != nil {
		o.d.t.Fatal(err)
	}
	defer b.Destroy()
	_ = b.Use(func(p []byte) error { seed = bytes.Clone(p); return nil })
	return seed
}

// keyNeedles returns what betrays an Ed25519 key: the seed, the two halves of its SHA-512,
// the scalar that the first half makes, and that in the form in which Go computes with it.
func keyNeedles(name string, seed []byte) []memscan.Needle {
	h := sha512.Sum512(seed)
	scalar := slices.Clone(h[:32])
	scalar[0] &= 248
	scalar[31] = scalar[31]&63 | 64
	order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	reversed := slices.Clone(scalar)
	slices.Reverse(reversed)
	s := new(big.Int).SetBytes(reversed)
	reduced := new(big.Int).Mod(s, order)
	montgomery := new(big.Int).Mod(new(big.Int).Lsh(reduced, 256), order)
	little := func(n *big.Int) []byte {
		b := n.FillBytes(make([]byte, 32))
		slices.Reverse(b)
		return b
	}
	all := memscan.Needles(name+" seed", seed)
	for what, b := range map[string][]byte{"SHA-512, first half": h[:32], "SHA-512, second half": h[32:], "scalar": scalar, "reduced scalar": little(reduced), "Montgomery scalar": little(montgomery)} {
		for part := range slices.Chunk(b, 16) {
			all = append(all, memscan.Needle{Name: name, Form: what, Bytes: part})
		}
	}
	return all
}
