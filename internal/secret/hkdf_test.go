package secret

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"testing"

	"pgregory.net/rapid"
)

// TestHKDF compares with the standard library.
func TestHKDF(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		some := rapid.SliceOfN(rapid.Byte(), 0, 300)
		ikm, salt, info := some.Draw(t, "ikm"), some.Draw(t, "salt"), some.Draw(t, "info")
		got := make([]byte, rapid.IntRange(1, 255*sha256.Size).Draw(t, "n"))
		HKDF(got, ikm, salt, info)
		want, err := hkdf.Key(sha256.New, ikm, salt, string(info), len(got))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("got %x, want %x", got, want)
		}
	})
}

// TestDeriveKey compares with the standard library, and guards that ikm outlives it.
func TestDeriveKey(t *testing.T) {
	a := newArena(t, ArenaConfig{})
	ikm, err := a.Take([]byte("input key material"))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		key, err := a.DeriveKey(ikm, []byte("salt"), []byte("info"))
		if err != nil {
			t.Fatal(err)
		}
		want, err := hkdf.Key(sha256.New, []byte("input key material"), []byte("salt"), "info", 32)
		if err != nil {
			t.Fatal(err)
		}
		if err := key.Use(func(p []byte) error {
			if !bytes.Equal(p, want) {
				t.Errorf("got %x, want %x", p, want)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
	ikm.Destroy()
	if key, err := a.DeriveKey(ikm, nil, nil); !errors.Is(err, ErrDestroyed) || !key.IsZero() {
		t.Errorf("of destroyed bytes: %v", err)
	}
}
