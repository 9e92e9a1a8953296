package secret

import (
	"bytes"
	"crypto/ecdh"
	"crypto/hpke"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

func testContext() SealContext {
	return SealContext{VaultID: []byte("vault-id-16bytes"), Instance: []byte("instance"), Method: "/m", Profile: "prod", Field: "secret"}
}

func newReceiver(t testing.TB, a *Arena) *Receiver {
	t.Helper()
	r, err := a.NewReceiver()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestSealOpen(t *testing.T) {
	a, client := newArena(t, ArenaConfig{}), newArena(t, ArenaConfig{})
	for _, n := range []int{0, 1, 64, 129, 1_000_000} {
		plain, err := client.Random(n)
		if err != nil {
			t.Fatal(err)
		}
		r := newReceiver(t, a)
		sealed, err := SealTo(r.PublicKey(), testContext(), plain)
		if err != nil || len(sealed) != 32+n+16 {
			t.Fatalf("%d bytes: sealed to %d, %v", n, len(sealed), err)
		}
		got, err := r.Open(sealed, testContext())
		if err != nil || !got.Equal(plain) {
			t.Fatalf("%d bytes: %v", n, err)
		}
		// Once only, also with the very same message.
		if again, err := r.Open(sealed, testContext()); !errors.Is(err, ErrDestroyed) || !again.IsZero() {
			t.Errorf("second Open: %v", err)
		}
		got.Destroy()
		plain.Destroy()
	}
}

// The wire form is what the comments say, by the standard library alone.
func TestSealWireForm(t *testing.T) {
	a := newArena(t, ArenaConfig{})
	key, err := hpke.DHKEM(ecdh.X25519()).GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := SealTo(key.PublicKey().Bytes(), testContext(), take(t, a, "plain"))
	if err != nil {
		t.Fatal(err)
	}
	info := "\x00\x0fnsagent/v1 seal\x00\x10vault-id-16bytes\x00\x08instance"
	aad := "\x00\x02/m\x00\x04prod\x00\x06secret"
	from, err := hpke.NewRecipient(sealed[:32], key, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), []byte(info))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := from.Open([]byte(aad), sealed[32:]); err != nil || string(got) != "plain" {
		t.Errorf("got %q, %v", got, err)
	}
}

// A message opens under no other context, key or content, and every refusal is
// the same and costs the key.
func TestOpenRefuses(t *testing.T) {
	a := newArena(t, ArenaConfig{})
	plain := take(t, a, "plain")
	used := a.Info().Used
	alter := func(f func(*SealContext)) SealContext {
		c := testContext()
		f(&c)
		return c
	}
	for name, c := range map[string]SealContext{
		"vault": alter(func(c *SealContext) { c.VaultID = []byte("other") }), "instance": alter(func(c *SealContext) { c.Instance = nil }),
		"method": alter(func(c *SealContext) { c.Method = "/n" }), "profile": alter(func(c *SealContext) { c.Profile = "" }),
		"field":         alter(func(c *SealContext) { c.Field = "token_secret" }),
		"moved border":  alter(func(c *SealContext) { c.Method, c.Profile = "/mp", "rod" }),
		"moved border2": alter(func(c *SealContext) { c.VaultID, c.Instance = []byte("vault-id-16bytesi"), []byte("nstance") }),
	} {
		r := newReceiver(t, a)
		sealed, err := SealTo(r.PublicKey(), testContext(), plain)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := r.Open(sealed, c); err != ErrOpen || !got.IsZero() {
			t.Errorf("other %s: %v", name, err)
		}
		if _, err := r.Open(sealed, testContext()); !errors.Is(err, ErrDestroyed) {
			t.Errorf("other %s: the key is still good: %v", name, err)
		}
	}
	r := newReceiver(t, a)
	sealed, err := SealTo(newReceiver(t, a).PublicKey(), testContext(), plain)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Open(sealed, testContext()); err != ErrOpen {
		t.Errorf("other key: %v", err)
	}
	for n := range len(sealed) {
		if _, err := newReceiver(t, a).Open(sealed[:n], testContext()); err != ErrOpen {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	if _, err := newReceiver(t, a).Open(make([]byte, 100), testContext()); err != ErrOpen { // point of low order
		t.Errorf("zero point: %v", err)
	}
	long := alter(func(c *SealContext) { c.Field = strings.Repeat("x", 1<<16) })
	if _, err := newReceiver(t, a).Open(sealed, long); !errors.Is(err, ErrContext) {
		t.Errorf("long context: %v", err)
	}
	r = newReceiver(t, a)
	r.Destroy()
	if _, err := r.Open(sealed, testContext()); !errors.Is(err, ErrDestroyed) {
		t.Errorf("destroyed: %v", err)
	}
	if got := a.Info().Used; got != used+x25519Size { // of the receiver that was only sealed to
		t.Errorf("%d bytes are lost", got-used)
	}
}

func TestSealRefuses(t *testing.T) {
	a := newArena(t, ArenaConfig{})
	plain, pub := take(t, a, "x"), newReceiver(t, a).PublicKey()
	for name, p := range map[string][]byte{"nil": nil, "short": pub[:31], "long": append(bytes.Clone(pub), 0), "zero": make([]byte, 32)} {
		if _, err := SealTo(p, testContext(), plain); !errors.Is(err, ErrPublicKey) {
			t.Errorf("%s key: %v", name, err)
		}
	}
	if _, err := SealTo(pub, SealContext{Profile: strings.Repeat("x", 1<<16)}, plain); !errors.Is(err, ErrContext) {
		t.Errorf("long context: %v", err)
	}
	if _, err := SealTo(pub, testContext(), Bytes{}); !errors.Is(err, ErrDestroyed) {
		t.Errorf("zero Bytes: %v", err)
	}
}

// Of many that open the same message at once, one succeeds.
func TestOpenRace(t *testing.T) {
	a := newArena(t, ArenaConfig{})
	for range 20 {
		r := newReceiver(t, a)
		sealed, err := SealTo(r.PublicKey(), testContext(), take(t, a, "plain"))
		if err != nil {
			t.Fatal(err)
		}
		var opened atomic.Int32
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if _, err := r.Open(sealed, testContext()); err == nil {
					opened.Add(1)
				} else if !errors.Is(err, ErrDestroyed) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := opened.Load(); n != 1 {
			t.Fatalf("opened %d times", n)
		}
	}
}

// Whatever is sealed opens to the same; any change to it, and any other bytes,
// do not open; and no error leaves anything in the arena.
func FuzzReceiverOpen(f *testing.F) {
	a, err := NewArena(ArenaConfig{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = a.Close() })
	f.Add([]byte("secret"), []byte("vault"), []byte("instance"), "/m", "prod", "field", uint(3), byte(0))
	f.Add([]byte("secret"), []byte("vault"), []byte("instance"), "/m", "prod", "field", uint(40), byte(1))
	f.Add([]byte{}, []byte{}, []byte{}, "", "", "", uint(0), byte(0x80))
	f.Fuzz(func(t *testing.T, text, vault, instance []byte, method, profile, field string, at uint, mask byte) {
		used := a.Info().Used
		c := SealContext{VaultID: vault, Instance: instance, Method: method, Profile: profile, Field: field}
		r := newReceiver(t, a)
		if got, err := newReceiver(t, a).Open(text, c); err == nil || !got.IsZero() {
			t.Fatal("bytes that nobody sealed opened")
		}
		plain, err := a.Take(bytes.Clone(text))
		if err != nil {
			t.Skip(err)
		}
		sealed, err := SealTo(r.PublicKey(), c, plain)
		if err != nil {
			t.Skip(err)
		}
		sealed[at%uint(len(sealed))] ^= mask
		got, err := r.Open(sealed, c)
		// X25519 ignores the top bit of a point, but HPKE binds its bytes.
		if mask == 0 && (err != nil || !got.Equal(plain)) || mask != 0 && (err == nil || !got.IsZero()) {
			t.Fatalf("mask %#x: %v", mask, err)
		}
		got.Destroy()
		plain.Destroy()
		if now := a.Info().Used; now != used {
			t.Fatalf("%d bytes are lost", now-used)
		}
	})
}

// TestPieces seals a long message in pieces: it opens in order, and in no other way.
func TestPieces(t *testing.T) {
	a := newArena(t, ArenaConfig{})
	c := SealContext{VaultID: []byte("v"), Instance: []byte("i"), Method: "m", Profile: "p", Field: "f"}
	plain := bytes.Repeat([]byte("0123456789"), 1000)
	seal := func(r *Receiver) [][]byte {
		t.Helper()
		b, err := a.Take(bytes.Clone(plain))
		if err != nil {
			t.Fatal(err)
		}
		defer b.Destroy()
		var pieces [][]byte
		if err := SealPieces(r.PublicKey(), c, b, 3000, func(p []byte) error { pieces = append(pieces, p); return nil }); err != nil {
			t.Fatal(err)
		}
		return pieces
	}
	receiver := func() *Receiver {
		t.Helper()
		r, err := a.NewReceiver()
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	open := func(r *Receiver, c SealContext, pieces [][]byte) (got []byte, err error) {
		o, err := r.Begin(pieces[0], c)
		if err != nil {
			return nil, err
		}
		for _, p := range pieces[1:] {
			b, err := o.Next(p)
			if err != nil {
				return got, err
			}
			_ = b.Use(func(p []byte) error { got = append(got, p...); return nil })
			b.Destroy()
		}
		return got, nil
	}
	r := receiver()
	pieces := seal(r)
	if len(pieces) != 5 {
		t.Fatalf("%d pieces", len(pieces))
	}
	if got, err := open(r, c, pieces); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("opened %d bytes, %v", len(got), err)
	}
	if _, err := open(r, c, pieces); !errors.Is(err, ErrDestroyed) {
		t.Errorf("a second time: %v", err)
	}
	other := c
	other.Profile = "q"
	for name, change := range map[string]func([][]byte) ([][]byte, SealContext){
		"a piece left out":   func(p [][]byte) ([][]byte, SealContext) { return append(p[:2:2], p[3:]...), c },
		"a piece twice":      func(p [][]byte) ([][]byte, SealContext) { return append(p[:2:2], p[1:]...), c },
		"pieces swapped":     func(p [][]byte) ([][]byte, SealContext) { p[1], p[2] = p[2], p[1]; return p, c },
		"a piece changed":    func(p [][]byte) ([][]byte, SealContext) { p[1][5] ^= 1; return p, c },
		"another context":    func(p [][]byte) ([][]byte, SealContext) { return p, other },
		"another key's head": func(p [][]byte) ([][]byte, SealContext) { p[0] = receiver().PublicKey(); return p, c },
		"a short head":       func(p [][]byte) ([][]byte, SealContext) { p[0] = p[0][:31]; return p, c },
	} {
		r := receiver()
		pieces, c := change(seal(r))
		if got, err := open(r, c, pieces); !errors.Is(err, ErrOpen) {
			t.Errorf("%s: opened %d bytes, %v", name, len(got), err)
		}
	}
}
