package secret

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
)

// KeyKind names a kind of private key.
type KeyKind string

// The kinds that GenerateKey makes.
const (
	KeyEC256   KeyKind = "ec256"
	KeyEC384   KeyKind = "ec384"
	KeyEC521   KeyKind = "ec521"
	KeyRSA3072 KeyKind = "rsa3072"
	KeyRSA4096 KeyKind = "rsa4096"
)

// KeyKinds returns the kinds that GenerateKey makes.
func KeyKinds() []KeyKind {
	return []KeyKind{KeyEC256, KeyEC384, KeyEC521, KeyRSA3072, KeyRSA4096}
}

// maxGenerated holds the PKCS#8 form of any key that GenerateKey makes, in bytes; one of
// RSA 4096 takes some 2,380.
const maxGenerated = 3 << 10

// GenerateKey makes a new private key and returns it in PKCS#8 form, for NewPrivateKey.
// The standard library makes it inside Do; what it leaves on the heap is erased by the
// collections that are asked for here. An RSA key takes seconds.
//
// The error is ErrKeyKind, or one of Alloc's.
func (a *Arena) GenerateKey(kind KeyKind) (Bytes, error) {
	der, err := a.Alloc(maxGenerated)
	if err != nil {
		return Bytes{}, err
	}
	n := 0
	err = der.Use(func(p []byte) error {
		var err error
		Do(func() {
			var made []byte
			if made, err = generate(kind); err == nil {
				n = copy(p, made)
				Wipe(made)
			}
		})
		return err
	})
	a.ReleaseMemory()
	if err == nil {
		err = der.Truncate(n)
	}
	if err != nil {
		der.Destroy()
		return Bytes{}, err
	}
	return der, nil
}

// generate returns a new key in PKCS#8 form, on the heap.
func generate(kind KeyKind) ([]byte, error) {
	curves := map[KeyKind]elliptic.Curve{KeyEC256: elliptic.P256(), KeyEC384: elliptic.P384(), KeyEC521: elliptic.P521()}
	bits := map[KeyKind]int{KeyRSA3072: 3072, KeyRSA4096: 4096}
	var key any
	var err error
	switch {
	case curves[kind] != nil:
		key, err = ecdsa.GenerateKey(curves[kind], rand.Reader)
	case bits[kind] != 0:
		key, err = rsa.GenerateKey(rand.Reader, bits[kind])
	default:
		return nil, ErrKeyKind
	}
	if err != nil {
		return nil, fmt.Errorf("%w: making one failed", ErrKeyKind) // nothing of err: it may show the key
	}
	return x509.MarshalPKCS8PrivateKey(key)
}
