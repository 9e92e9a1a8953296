package envelope

import (
	"bytes"
	"crypto/rand"
	"testing"

	"github.com/nsagent/nsagent/internal/secret"
)

func newArena(t testing.TB) *secret.Arena {
	t.Helper()
	a, err := secret.NewArena(secret.ArenaConfig{Size: 128 << 10})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

func take(t testing.TB, a *secret.Arena, p []byte) secret.Bytes {
	t.Helper()
	b, err := a.Take(bytes.Clone(p))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// equal fails unless b holds want.
func equal(t testing.TB, b secret.Bytes, want []byte) {
	t.Helper()
	err := b.Use(func(p []byte) error {
		if !bytes.Equal(p, want) {
			t.Errorf("got %q, want %q", p, want)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

var testVault = ID{0xaa, 1, 2, 3}

func newKeys(t testing.TB) *Keys {
	t.Helper()
	k, err := GenerateKeys(newArena(t), rand.Reader, testVault)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// sealed returns a record of that name with both parts, and its metadata.
func sealed(t testing.TB, k *Keys, name string) (*Record, *Metadata) {
	t.Helper()
	m := &Metadata{Name: name, Kind: "tba", Created: 1_700_000_000, Meta: []byte("meta of " + name)}
	r, err := k.SealRecord(m, Secret{
		SignOnly: take(t, k.arena, []byte("sign-only of "+name)),
		Raw:      take(t, k.arena, []byte("raw of "+name)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return r, m
}

func opener(t testing.TB, k *Keys) *Opener {
	t.Helper()
	o, err := k.NewOpener()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.Close)
	return o
}
