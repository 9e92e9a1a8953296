package secret

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"errors"
	"testing"
)

// Each kind of key is what it says, signs, and is another one each time.
func TestGenerateKey(t *testing.T) {
	a := newArena(t, ArenaConfig{})
	used := a.Info().Used
	for _, kind := range KeyKinds() {
		if kind == KeyRSA4096 && (raceEnabled || testing.Short()) {
			continue // takes seconds, and is made as the smaller one
		}
		var first Bytes
		for range 2 {
			der, err := a.GenerateKey(kind)
			if err != nil {
				t.Fatalf("%s: %v", kind, err)
			}
			if der.Equal(first) {
				t.Errorf("%s: the same key twice", kind)
			}
			first.Destroy()
			if first, err = a.Clone(der); err != nil {
				t.Fatal(err)
			}
			k, err := a.NewPrivateKey(der)
			if err != nil {
				t.Fatalf("%s: %v", kind, err)
			}
			var opts crypto.SignerOpts = crypto.SHA256
			got := ""
			switch pub := k.Public().(type) {
			case *ecdsa.PublicKey:
				got = map[int]string{256: "ec256", 384: "ec384", 521: "ec521"}[pub.Curve.Params().BitSize]
			case *rsa.PublicKey:
				got = map[int]string{3072: "rsa3072", 4096: "rsa4096"}[pub.N.BitLen()]
				opts = &rsa.PSSOptions{Hash: crypto.SHA256, SaltLength: rsa.PSSSaltLengthEqualsHash}
			}
			if got != string(kind) {
				t.Errorf("%s: made a key of kind %q", kind, got)
			}
			if _, err := k.Sign(nil, digestOf(crypto.SHA256), opts); err != nil {
				t.Errorf("%s: %v", kind, err)
			}
			k.Destroy()
			if kind == KeyRSA3072 || kind == KeyRSA4096 {
				break // one takes seconds
			}
		}
		first.Destroy()
	}
	if got := a.Info().Used; got != used {
		t.Errorf("%d bytes of locked memory are lost", got-used)
	}
}

func TestGenerateKeyRefuses(t *testing.T) {
	a := newArena(t, ArenaConfig{})
	used := a.Info().Used
	for _, kind := range []KeyKind{"", "rsa2048", "ec224", "EC256", "ed25519"} {
		if b, err := a.GenerateKey(kind); !errors.Is(err, ErrKeyKind) || !b.IsZero() {
			t.Errorf("%q: got %v", kind, err)
		}
	}
	if got := a.Info().Used; got != used {
		t.Errorf("%d bytes of locked memory are lost", got-used)
	}
	full := newArena(t, ArenaConfig{Size: minSize})
	for {
		if _, err := full.Alloc(maxGenerated); err != nil {
			break
		}
	}
	if _, err := full.GenerateKey(KeyEC256); !errors.Is(err, ErrFull) {
		t.Errorf("with a full arena: %v", err)
	}
}
