package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/socketpath"
	"github.com/nsagent/nsagent/vault"
	"github.com/nsagent/nsagent/vault/store"
)

// largeVault makes a vault with n profiles at paths, in one commit.
func largeVault(t testing.TB, paths socketpath.Paths, n int) {
	t.Helper()
	arena, err := secret.NewArena(secret.ArenaConfig{Mode: secret.ModeAuto})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = arena.Close() }()
	take := func(s string) secret.Bytes {
		b, err := arena.Take([]byte(s))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if err := socketpath.EnsureDir(filepath.Dir(paths.Vault)); err != nil {
		t.Fatal(err)
	}
	passphrase := take(testPassphrase)
	v, err := vault.Create(t.Context(), vault.Config{Store: store.NewFile(paths.Vault), Arena: arena, MachineKeyFile: paths.MachineKey},
		vault.Slot{Kind: vault.SlotPassphrase, Passphrase: passphrase, KDF: vault.KDFLow})
	if err != nil {
		t.Fatal(err)
	}
	codec, err := newProfileCodec()
	if err != nil {
		t.Fatal(err)
	}
	records := make([]vault.NewRecord, 0, n)
	for i := range n {
		p, err := newProfile(tba(fmt.Sprintf("client-%05d", i)), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		meta, err := codec.encode(p)
		if err != nil {
			t.Fatal(err)
		}
		m, err := newTBA(arena, take(sample(byte(i%200)+2)), take(sample(byte(i%200)+4)))
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, vault.NewRecord{Name: p.Name, Kind: p.Auth, Meta: meta, SignOnly: m.signOnly, Raw: m.raw})
	}
	if _, err := v.AddAll(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	v.Lock()
}

// largeAgent returns an agent in a home with a vault of n profiles, and what opens that.
func largeAgent(t testing.TB, home string, n int) (*Agent, vault.Proof) {
	t.Helper()
	env := map[string]string{"HOME": home, "XDG_RUNTIME_DIR": t.TempDir()}
	paths, err := socketpath.Find(socketpath.Options{Getenv: func(k string) string { return env[k] }})
	if err != nil {
		t.Fatal(err)
	}
	largeVault(t, paths, n)
	a, err := New(t.Context(), Config{Paths: paths, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	passphrase, err := a.arena.Take([]byte(testPassphrase))
	if err != nil {
		t.Fatal(err)
	}
	return a, vault.Proof{Passphrase: passphrase}
}

// BenchmarkUnlock unlocks vaults of few and of many profiles, with some 40 ms for the KDF.
// design.md section 11 bounds the difference by 0.5 s.
func BenchmarkUnlock(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			a, proof := largeAgent(b, b.TempDir(), n)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := a.unlock(b.Context(), nil, proof, 0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestLargeVault opens a vault with many profiles and signs with one of them.
// NSAGENT_LARGE_VAULT names a home to leave such a vault in, for make bench.
func TestLargeVault(t *testing.T) {
	n := 2000
	if s := os.Getenv("NSAGENT_LARGE_VAULT_SIZE"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	home := os.Getenv("NSAGENT_LARGE_VAULT")
	if home == "" {
		home = t.TempDir()
	}
	a, proof := largeAgent(t, home, n)
	begin := time.Now()
	s, err := a.unlock(t.Context(), nil, proof, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("unlocked %d profiles in %s", n, time.Since(begin))
	if len(s.profiles) != n {
		t.Errorf("profiles: got %d, want %d", len(s.profiles), n)
	}
	var mac [32]byte
	if err := s.profiles["client-00007"].mac.HMACSHA256(&mac, []byte("x")); err != nil || mac == [32]byte{} {
		t.Errorf("signing: got %x, %v", mac, err)
	}
}
