package grantkey

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"testing"

	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/unlocktoken"
)

// world is one machine, one grant and one share.
type world struct {
	arena          *secret.Arena
	machine, share [32]byte
	grant          unlocktoken.Grant
	issuer         [32]byte
	credential     unlocktoken.ID
}

func newWorld(t *testing.T, mode string) *world {
	t.Helper()
	a, err := secret.NewArena(secret.ArenaConfig{Size: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	g := unlocktoken.Grant{Authority: unlocktoken.Authority{Vault: unlocktoken.ID{1}, Grant: unlocktoken.ID{2}, Mode: mode}, AuthorityHash: [32]byte{3}}
	return &world{arena: a, machine: [32]byte{4}, share: [32]byte{5}, grant: g, issuer: [32]byte{6}, credential: unlocktoken.ID{7}}
}

func (w *world) take(t *testing.T, p []byte) secret.Bytes {
	t.Helper()
	b, err := w.arena.Take(bytes.Clone(p))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// derive returns the key that Derive makes.
func (w *world) derive(t *testing.T) (key []byte) {
	t.Helper()
	machine, err := w.arena.NewHMACKey(w.take(t, w.machine[:]))
	if err != nil {
		t.Fatal(err)
	}
	defer machine.Destroy()
	share := w.take(t, w.share[:])
	defer share.Destroy()
	b, err := Derive(w.arena, machine, &w.grant, w.issuer, w.credential, share)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Destroy()
	_ = b.Use(func(p []byte) error { key = bytes.Clone(p); return nil })
	return key
}

// The key is the one of docs/unlock-tokens.md, by the standard library.
func TestDeriveAgreesWithThePage(t *testing.T) {
	for _, mode := range []string{unlocktoken.Attached, unlocktoken.Detached} {
		w := newWorld(t, mode)
		input := w.share[:]
		if mode == unlocktoken.Attached {
			m := hmac.New(sha256.New, w.machine[:])
			m.Write([]byte("nsagent/v1 agent share"))
			m.Write(w.grant.Vault[:])
			m.Write(w.grant.Authority.Grant[:])
			input = m.Sum(bytes.Clone(input))
		}
		want, err := hkdf.Key(sha256.New, input, w.grant.Authority.Grant[:], string(w.grant.WrapInfo(w.credential, w.issuer)), 32)
		if got := w.derive(t); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: got %x, want %x, %v", mode, got, want, err)
		}
	}
}

// Whatever is changed, the key is another one.
func TestDeriveIsBound(t *testing.T) {
	whole := newWorld(t, unlocktoken.Attached).derive(t)
	for what, change := range map[string]func(*world){
		"machine": func(w *world) { w.machine[31]++ }, "share": func(w *world) { w.share[31]++ }, "issuer": func(w *world) { w.issuer[31]++ },
		"credential": func(w *world) { w.credential[15]++ }, "vault": func(w *world) { w.grant.Vault[15]++ }, "grant": func(w *world) { w.grant.Authority.Grant[15]++ },
		"authority": func(w *world) { w.grant.AuthorityHash[31]++ }, "mode": func(w *world) { w.grant.Mode = unlocktoken.Detached },
	} {
		w := newWorld(t, unlocktoken.Attached)
		if change(w); bytes.Equal(w.derive(t), whole) {
			t.Errorf("another %s gives the same key", what)
		}
	}
}

func TestDeriveRefuses(t *testing.T) {
	w := newWorld(t, unlocktoken.Detached)
	for _, n := range []int{1, 31, 33, 64} {
		share := w.take(t, make([]byte, n))
		if b, err := Derive(w.arena, nil, &w.grant, w.issuer, w.credential, share); !errors.Is(err, secret.ErrLength) || !b.IsZero() {
			t.Errorf("a share of %d bytes: got %v", n, err)
		}
		share.Destroy()
	}
	// A machine key that is gone leaves no key, and not one without the machine.
	w = newWorld(t, unlocktoken.Attached)
	machine, err := w.arena.NewHMACKey(w.take(t, w.machine[:]))
	if err != nil {
		t.Fatal(err)
	}
	machine.Destroy()
	share := w.take(t, w.share[:])
	if b, err := Derive(w.arena, machine, &w.grant, w.issuer, w.credential, share); !errors.Is(err, secret.ErrDestroyed) || !b.IsZero() {
		t.Errorf("without its machine key: got %v", err)
	}
	for err == nil || !errors.Is(err, secret.ErrFull) {
		_, err = w.arena.Alloc(32)
	}
	if b, err := Derive(w.arena, machine, &w.grant, w.issuer, w.credential, share); !errors.Is(err, secret.ErrFull) || !b.IsZero() {
		t.Errorf("without room: got %v", err)
	}
}
