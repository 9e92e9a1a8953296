package signer

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	_ "crypto/sha256" // crypto.SHA256 for ES256 and PS256
	_ "crypto/sha512" // crypto.SHA384 and SHA512 for the rest
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"io"
	"math/big"
)

// minRSABits is the smallest RSA key that NetSuite takes.
const minRSABits = 3072

// algorithm is one JWS signature algorithm.
type algorithm struct {
	name string
	hash crypto.Hash
	// curveBits is the size of the curve that belongs to it, 0 for RSASSA-PSS.
	curveBits int
}

// The algorithms that NetSuite takes, the default of each kind of key first. RS256 is
// not among them.
//
// Source: NetSuite Help, "The Request Token Structure"; RFC 7518 sections 3.4 and 3.5.
func algorithms() [6]algorithm {
	return [...]algorithm{
		{"ES256", crypto.SHA256, 256},
		{"ES384", crypto.SHA384, 384},
		{"ES512", crypto.SHA512, 521},
		{"PS256", crypto.SHA256, 0},
		{"PS384", crypto.SHA384, 0},
		{"PS512", crypto.SHA512, 0},
	}
}

// AlgorithmFor returns the signature algorithm to use with a key unless another is asked
// for: that of its curve for EC keys (P-256 ES256, P-384 ES384, P-521 ES512), PS256 for
// RSA keys of at least 3072 bits.
//
// Any other key is an error that wraps ErrKey.
func AlgorithmFor(pub crypto.PublicKey) (string, error) {
	alg, err := algorithmOf("", pub)
	return alg.name, err
}

// CheckAlgorithm returns nil if alg can be used with a key, as can an empty alg, which
// stands for AlgorithmFor's, with any key that NetSuite takes. Errors wrap ErrAlgorithm
// or ErrKey.
func CheckAlgorithm(alg string, pub crypto.PublicKey) error {
	_, err := algorithmOf(alg, pub)
	return err
}

// algorithmOf returns the algorithm of that name, or the default if it is empty,
// provided that pub is a key for it.
func algorithmOf(name string, pub crypto.PublicKey) (algorithm, error) {
	curveBits, err := keyKind(pub)
	if err != nil {
		return algorithm{}, err
	}
	known := false
	for _, alg := range algorithms() {
		known = known || alg.name == name
		if alg.curveBits == curveBits && (alg.name == name || name == "") {
			return alg, nil
		}
	}
	if !known {
		return algorithm{}, fmt.Errorf("%w: %.20q, take ES256, ES384, ES512, PS256, PS384 or PS512", ErrAlgorithm, name)
	}
	return algorithm{}, fmt.Errorf("%w: %s does not fit the key", ErrAlgorithm, name)
}

// keyKind returns the size of an EC key's curve in bits, or 0 for an RSA key.
func keyKind(pub crypto.PublicKey) (curveBits int, err error) {
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		if k == nil || k.Curve == nil || k.Params() == nil {
			return 0, fmt.Errorf("%w: EC key without a curve", ErrKey)
		}
		switch bits := k.Params().BitSize; k.Params().Name {
		case "P-256", "P-384", "P-521":
			return bits, nil
		default:
			return 0, fmt.Errorf("%w: EC curve is none of P-256, P-384, P-521", ErrKey)
		}
	case *rsa.PublicKey:
		if k == nil || k.N == nil || k.N.BitLen() < minRSABits {
			return 0, fmt.Errorf("%w: RSA key of less than %d bits", ErrKey, minRSABits)
		}
		return 0, nil
	}
	return 0, fmt.Errorf("%w: neither EC nor RSA", ErrKey)
}

// compact returns the JWS compact serialization of header and payload.
func (a algorithm) compact(header, payload []byte, key crypto.Signer, rand io.Reader) (string, error) {
	enc := base64.RawURLEncoding
	out := enc.AppendEncode(nil, header)
	out = append(out, '.')
	out = enc.AppendEncode(out, payload)
	h := a.hash.New()
	h.Write(out)
	signature, err := a.sign(h.Sum(nil), key, rand)
	if err != nil {
		return "", fmt.Errorf("signing an assertion: %w", err)
	}
	out = append(out, '.')
	return string(enc.AppendEncode(out, signature)), nil
}

// sign returns the signature of digest as JWS wants it, having verified it.
func (a algorithm) sign(digest []byte, key crypto.Signer, rand io.Reader) ([]byte, error) {
	if a.curveBits == 0 {
		opts := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: a.hash}
		signature, err := key.Sign(rand, digest, opts)
		if err != nil {
			return nil, err
		}
		pub, ok := key.Public().(*rsa.PublicKey)
		if !ok || rsa.VerifyPSS(pub, a.hash, digest, signature, opts) != nil {
			return nil, errFaultySignature()
		}
		return signature, nil
	}
	der, err := key.Sign(rand, digest, a.hash)
	if err != nil {
		return nil, err
	}
	pub, ok := key.Public().(*ecdsa.PublicKey)
	if !ok || !ecdsa.VerifyASN1(pub, digest, der) {
		return nil, errFaultySignature()
	}
	return rawSignature(der, (a.curveBits+7)/8)
}

// errFaultySignature: a wrong signature may give a private key away, so it never leaves.
func errFaultySignature() error {
	return fmt.Errorf("%w: its signature does not verify with its own public key", ErrKey)
}

// rawSignature returns an ASN.1 ECDSA signature as r and s of size octets each, in big
// endian.
//
// Source: RFC 7518 section 3.4.
func rawSignature(der []byte, size int) ([]byte, error) {
	var sig struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &sig); err != nil {
		return nil, fmt.Errorf("%w: its signature is not ASN.1", ErrKey)
	}
	// Unmarshal passes over octets after the two numbers, inside and outside.
	if again, err := asn1.Marshal(sig); err != nil || !bytes.Equal(again, der) {
		return nil, fmt.Errorf("%w: its signature is not DER", ErrKey)
	}
	for _, n := range []*big.Int{sig.R, sig.S} {
		if n.Sign() <= 0 || n.BitLen() > 8*size {
			return nil, fmt.Errorf("%w: its signature is out of range", ErrKey)
		}
	}
	out := make([]byte, 2*size)
	sig.R.FillBytes(out[:size])
	sig.S.FillBytes(out[size:])
	return out, nil
}
