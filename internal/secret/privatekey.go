package secret

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"io"
)

const (
	maxKeyDER  = 16 << 10 // an RSA key of 8192 bits takes 4.7 KB
	minRSABits = 2048
	maxRSABits = 8192
)

// PrivateKey signs with ECDSA (P-256, P-384, P-521) or RSA-PSS. It is a
// crypto.Signer. The key lies in the arena as DER and is parsed anew for each
// signature inside Do, because a parsed key would stay on the heap for ever.
type PrivateKey struct {
	arena *Arena
	der   Bytes
	form  keyForm
	pub   crypto.PublicKey
}

// keyForm says how the DER is to be parsed.
type keyForm int

const (
	formPKCS8 keyForm = iota
	formSEC1
	formPKCS1
)

// NewPrivateKey takes ownership of der, one private key in PKCS#8, SEC 1 or
// PKCS#1 form, and checks that it is of a kind that can sign here. The error is
// ErrKeyFormat, ErrKeyKind or ErrDestroyed, and then der is destroyed.
func (a *Arena) NewPrivateKey(der Bytes) (*PrivateKey, error) {
	k := &PrivateKey{arena: a, der: der}
	var pub []byte
	err := der.Use(func(p []byte) error {
		var err error
		Do(func() { pub, err = k.inspect(p) })
		return err
	})
	a.ReleaseMemory()
	if err != nil {
		der.Destroy()
		return nil, err
	}
	// Parsed outside Do from a copy, so that nothing of the private key lives on
	// with it.
	if k.pub, err = x509.ParsePKIXPublicKey(bytes.Clone(pub)); err != nil {
		der.Destroy()
		return nil, ErrKeyFormat
	}
	return k, nil
}

// inspect finds the form of the key, checks its kind and returns the public key
// in PKIX form.
func (k *PrivateKey) inspect(der []byte) ([]byte, error) {
	var whole asn1.RawValue
	if len(der) > maxKeyDER {
		return nil, ErrKeyFormat
	}
	if rest, err := asn1.Unmarshal(der, &whole); err != nil || len(rest) != 0 {
		return nil, ErrKeyFormat
	}
	for _, form := range []keyForm{formPKCS8, formSEC1, formPKCS1} {
		key, err := form.parse(der)
		if err != nil {
			continue
		}
		k.form = form
		if err := checkKind(key); err != nil {
			return nil, err
		}
		pub, err := x509.MarshalPKIXPublicKey(key.Public())
		if err != nil {
			return nil, ErrKeyKind
		}
		return pub, nil
	}
	return nil, ErrKeyFormat
}

// parse returns the key. Its errors may quote the input, so callers drop them.
func (f keyForm) parse(der []byte) (crypto.Signer, error) {
	switch f {
	case formSEC1:
		return x509.ParseECPrivateKey(der)
	case formPKCS1:
		return x509.ParsePKCS1PrivateKey(der)
	default:
		key, err := x509.ParsePKCS8PrivateKey(der)
		if err != nil {
			return nil, err
		}
		s, ok := key.(crypto.Signer)
		if !ok { // X25519
			return noSigner{}, nil
		}
		return s, nil
	}
}

// noSigner stands for a well-formed key that cannot sign.
type noSigner struct{ crypto.Signer }

func checkKind(key crypto.Signer) error {
	switch key := key.(type) {
	case *ecdsa.PrivateKey:
		switch key.Curve {
		case elliptic.P256(), elliptic.P384(), elliptic.P521():
			return nil
		}
	case *rsa.PrivateKey:
		if n := key.N.BitLen(); n >= minRSABits && n <= maxRSABits {
			return nil
		}
	}
	return ErrKeyKind
}

// Public returns the public key, an *ecdsa.PublicKey or *rsa.PublicKey.
func (k *PrivateKey) Public() crypto.PublicKey { return k.pub }

// Sign signs a digest made with SHA-256, SHA-384 or SHA-512, which opts names.
// With an EC key the signature is ASN.1, as crypto/ecdsa gives it, and random may
// be nil for the system's source. An RSA key signs only with *rsa.PSSOptions:
// NetSuite takes no PKCS #1 v1.5.
//
// The error is ErrDestroyed or wraps ErrSign.
func (k *PrivateKey) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if err := k.checkOpts(digest, opts); err != nil {
		return nil, err
	}
	if random == nil {
		random = rand.Reader
	}
	var made []byte
	err := k.der.Use(func(p []byte) error {
		var err error
		Do(func() {
			var key crypto.Signer
			if key, err = k.form.parse(p); err == nil {
				made, err = key.Sign(random, digest, opts)
			}
		})
		if err != nil {
			return fmt.Errorf("%w: the key does not sign this digest", ErrSign)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	k.arena.ReleaseMemory()
	return bytes.Clone(made), nil // made is erased when it is freed
}

func (k *PrivateKey) checkOpts(digest []byte, opts crypto.SignerOpts) error {
	if opts == nil {
		return fmt.Errorf("%w: no hash named", ErrSign)
	}
	h := opts.HashFunc()
	switch h {
	case crypto.SHA256, crypto.SHA384, crypto.SHA512:
	default:
		return fmt.Errorf("%w: hash %v, want SHA-256, SHA-384 or SHA-512", ErrSign, h)
	}
	if len(digest) != h.Size() {
		return fmt.Errorf("%w: digest of %d bytes for %v", ErrSign, len(digest), h)
	}
	_, pss := opts.(*rsa.PSSOptions)
	if _, isRSA := k.pub.(*rsa.PublicKey); isRSA != pss {
		return fmt.Errorf("%w: RSA keys sign with PSS and no others do", ErrSign)
	}
	return nil
}

// UseDER calls f with the key as it was given, under the rules of Bytes.Use; f
// must not write.
func (k *PrivateKey) UseDER(f func(p []byte) error) error { return k.der.Use(f) }

// Destroy wipes the key. Public still answers.
func (k *PrivateKey) Destroy() { k.der.Destroy() }
