package secret

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"sync"
	"testing"
)

func pkcs8(t testing.TB, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func newECDSA(t testing.TB, c elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newRSA(t testing.TB, bits int) *rsa.PrivateKey {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func takeKey(t testing.TB, a *Arena, der []byte) *PrivateKey {
	t.Helper()
	b, err := a.Take(bytes.Clone(der))
	if err != nil {
		t.Fatal(err)
	}
	k, err := a.NewPrivateKey(b)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Destroy)
	return k
}

// digestOf hashes a fixed message.
func digestOf(h crypto.Hash) []byte {
	d := h.New()
	d.Write([]byte("message"))
	return d.Sum(nil)
}

var jwsHashes = []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512}

// Every kind and form of key makes signatures that its public key verifies.
func TestPrivateKeySigns(t *testing.T) {
	a := newArena(t, ArenaConfig{})
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		key := newECDSA(t, curve)
		sec1, err := x509.MarshalECPrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		for form, der := range map[string][]byte{"PKCS#8": pkcs8(t, key), "SEC 1": sec1} {
			k := takeKey(t, a, der)
			if !key.PublicKey.Equal(k.Public()) {
				t.Errorf("%s %s: wrong public key", curve.Params().Name, form)
			}
			for _, h := range jwsHashes {
				for _, random := range []func() ([]byte, error){
					func() ([]byte, error) { return k.Sign(nil, digestOf(h), h) },
					func() ([]byte, error) { return k.Sign(rand.Reader, digestOf(h), h) },
				} {
					sig, err := random()
					if err != nil || !ecdsa.VerifyASN1(&key.PublicKey, digestOf(h), sig) {
						t.Errorf("%s %s with %v: %v", curve.Params().Name, form, h, err)
					}
				}
			}
			if err := k.UseDER(func(p []byte) error {
				if !bytes.Equal(p, der) {
					return errors.New("not what was given")
				}
				return nil
			}); err != nil {
				t.Errorf("UseDER: %v", err)
			}
		}
	}

	key := newRSA(t, 2048)
	for form, der := range map[string][]byte{"PKCS#8": pkcs8(t, key), "PKCS#1": x509.MarshalPKCS1PrivateKey(key)} {
		k := takeKey(t, a, der)
		for _, h := range jwsHashes {
			opts := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: h}
			sig, err := k.Sign(nil, digestOf(h), opts)
			if err != nil || rsa.VerifyPSS(k.Public().(*rsa.PublicKey), h, digestOf(h), sig, opts) != nil {
				t.Errorf("RSA %s with %v: %v", form, h, err)
			}
		}
	}
}

func TestPrivateKeyConcurrent(t *testing.T) {
	a := newArena(t, ArenaConfig{})
	k := takeKey(t, a, pkcs8(t, newECDSA(t, elliptic.P256())))
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for range 10 {
				sig, err := k.Sign(nil, digestOf(crypto.SHA256), crypto.SHA256)
				if g == 0 && errors.Is(err, ErrDestroyed) {
					return
				}
				if err != nil && !errors.Is(err, ErrDestroyed) {
					t.Error(err)
				}
				if err == nil && !ecdsa.VerifyASN1(k.Public().(*ecdsa.PublicKey), digestOf(crypto.SHA256), sig) {
					t.Error("wrong signature")
				}
			}
			if g == 0 {
				k.Destroy()
			}
		})
	}
	wg.Wait()
	if _, err := k.Sign(nil, digestOf(crypto.SHA256), crypto.SHA256); !errors.Is(err, ErrDestroyed) {
		t.Errorf("Sign after Destroy: %v", err)
	}
}

func TestNewPrivateKeyRefuses(t *testing.T) {
	a := newArena(t, ArenaConfig{})
	used := a.Info().Used
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	x, _ := ecdh.X25519().GenerateKey(rand.Reader)
	good := pkcs8(t, newECDSA(t, elliptic.P256()))
	public, err := x509.MarshalPKIXPublicKey(newECDSA(t, elliptic.P256()).Public())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		der  []byte
		want error
	}{
		"P-224": {pkcs8(t, newECDSA(t, elliptic.P224())), ErrKeyKind}, "Ed25519": {pkcs8(t, ed), ErrKeyKind},
		"X25519": {pkcs8(t, x), ErrKeyKind}, "RSA-1024": {pkcs8(t, newRSA(t, 1024)), ErrKeyKind},
		"empty": {nil, ErrKeyFormat}, "text": {[]byte("-----BEGIN PRIVATE KEY-----"), ErrKeyFormat},
		"truncated": {good[:len(good)-1], ErrKeyFormat}, "trailing byte": {append(bytes.Clone(good), 0), ErrKeyFormat},
		"public key": {public, ErrKeyFormat}, "huge": {make([]byte, maxKeyDER+1), ErrKeyFormat},
	} {
		b, err := a.Take(bytes.Clone(c.der))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.NewPrivateKey(b); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
		if err := b.Use(func([]byte) error { return nil }); !errors.Is(err, ErrDestroyed) {
			t.Errorf("%s: refused key lives on", name)
		}
	}
	if _, err := a.NewPrivateKey(Bytes{}); !errors.Is(err, ErrDestroyed) {
		t.Errorf("zero Bytes: %v", err)
	}
	if got := a.Info().Used; got != used {
		t.Errorf("%d bytes are lost", got-used)
	}
}

func TestSignRefuses(t *testing.T) {
	a := newArena(t, ArenaConfig{})
	ec := takeKey(t, a, pkcs8(t, newECDSA(t, elliptic.P256())))
	rs := takeKey(t, a, pkcs8(t, newRSA(t, 2048)))
	pss := &rsa.PSSOptions{Hash: crypto.SHA256, SaltLength: rsa.PSSSaltLengthEqualsHash}
	for name, c := range map[string]struct {
		key    *PrivateKey
		digest []byte
		opts   crypto.SignerOpts
	}{
		"no hash": {ec, digestOf(crypto.SHA256), nil}, "hash 0": {ec, digestOf(crypto.SHA256), crypto.Hash(0)},
		"SHA-1": {ec, make([]byte, 20), crypto.SHA1}, "short digest": {ec, make([]byte, 31), crypto.SHA256},
		"EC with PSS": {ec, digestOf(crypto.SHA256), pss}, "RSA without PSS": {rs, digestOf(crypto.SHA256), crypto.SHA256},
		"salt too long": {rs, digestOf(crypto.SHA256), &rsa.PSSOptions{Hash: crypto.SHA256, SaltLength: 1000}},
	} {
		if sig, err := c.key.Sign(nil, c.digest, c.opts); !errors.Is(err, ErrSign) || sig != nil {
			t.Errorf("%s: got %x, %v", name, sig, err)
		}
	}
}

func BenchmarkSign(b *testing.B) {
	a, err := NewArena(ArenaConfig{})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = a.Close() }()
	for name, c := range map[string]struct {
		key  any
		opts crypto.SignerOpts
	}{
		"ES256": {newECDSA(b, elliptic.P256()), crypto.SHA256},
		"PS256": {newRSA(b, 3072), &rsa.PSSOptions{Hash: crypto.SHA256, SaltLength: rsa.PSSSaltLengthEqualsHash}},
	} {
		k := takeKey(b, a, pkcs8(b, c.key))
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := k.Sign(nil, digestOf(crypto.SHA256), c.opts); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
