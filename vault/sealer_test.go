package vault

import (
	"bytes"
	"errors"
	"testing"
)

// What a Sealer sealed opens in the same vault for the same use, after a lock too, and
// nowhere else.
func TestSealer(t *testing.T) {
	v, other := newVault(t, nil), newVault(t, nil)
	a, err := v.NewSealer("first use")
	if err != nil {
		t.Fatal(err)
	}
	plain, err := v.cfg.Arena.Random(32)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := a.Seal(plain)
	if err != nil {
		t.Fatal(err)
	}
	again, err := v.NewSealer("first use")
	if err != nil {
		t.Fatal(err)
	}
	for name, open := range map[string]func() (*Sealer, error){
		"another use":   func() (*Sealer, error) { return v.NewSealer("second use") },
		"another vault": func() (*Sealer, error) { return other.NewSealer("first use") },
	} {
		s, err := open()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Open(sealed); !errors.Is(err, ErrSealed) {
			t.Errorf("%s: got %v, want ErrSealed", name, err)
		}
	}
	v.Lock()
	if _, err := v.NewSealer("first use"); !errors.Is(err, ErrLocked) {
		t.Errorf("locked: got %v, want ErrLocked", err)
	}
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 1
		if _, err := again.Open(bad); !errors.Is(err, ErrSealed) {
			t.Fatalf("byte %d changed: got %v, want ErrSealed", i, err)
		}
		if _, err := again.Open(sealed[:i]); !errors.Is(err, ErrSealed) {
			t.Fatalf("cut to %d bytes: got %v, want ErrSealed", i, err)
		}
	}
	b, err := again.Open(sealed)
	if err != nil || !b.Equal(plain) {
		t.Fatalf("Open: got %v, %v", b, err)
	}
	again.Destroy()
	if _, err := again.Open(sealed); err == nil {
		t.Error("opened after Destroy")
	}
}
