package oidc

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"math/big"

	"github.com/go-json-experiment/json"
)

const (
	maxKeys  = 32       // of an issuer
	maxJWKS  = 64 << 10 // bytes of a key set that is configured
	maxKeyID = 256      // bytes

	minModulus, maxModulus = 2048, 4096 // bits
)

// jwk is what is looked at of a JSON Web Key (RFC 7517 section 4, RFC 7518 section 6).
type jwk struct {
	KeyID string `json:"kid"`
	Type  string `json:"kty"`
	Use   string `json:"use"`
	Alg   string `json:"alg"`
	N     string `json:"n"`
	E     string `json:"e"`
	Curve string `json:"crv"`
	X     string `json:"x"`
	Y     string `json:"y"`
}

// jwkMembers are the names of what is looked at.
var jwkMembers = []string{"kid", "kty", "use", "alg", "n", "e", "crv", "x", "y"}

// keyName is what picks a key: a token names both, and a key serves one algorithm.
type keyName struct{ id, alg string }

// keySet is the keys of an issuer.
type keySet map[keyName]crypto.PublicKey

// parseKeys reads a key set. The error wraps ErrKeys.
func parseKeys(b []byte) (keySet, error) {
	var set struct {
		Keys []jwk `json:"keys"`
	}
	if len(b) > maxJWKS {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrKeys, maxJWKS)
	}
	if err := json.Unmarshal(b, &set); err != nil { // of unknown members there are many
		return nil, fmt.Errorf("%w: no key set in JSON", ErrKeys)
	}
	return newKeySet(set.Keys)
}

// newKeySet takes the keys that can verify a token of a kind that is accepted. The rest is
// passed over: issuers have keys for other uses as well.
func newKeySet(keys []jwk) (keySet, error) {
	if len(keys) > maxKeys {
		return nil, fmt.Errorf("%w: %d keys, at most %d", ErrKeys, len(keys), maxKeys)
	}
	set := make(keySet)
	for _, k := range keys {
		if k.KeyID == "" || len(k.KeyID) > maxKeyID || k.Use != "" && k.Use != "sig" {
			continue
		}
		alg, key := k.public()
		if key == nil || k.Alg != "" && k.Alg != alg {
			continue
		}
		name := keyName{k.KeyID, alg}
		if set[name] != nil {
			return nil, fmt.Errorf("%w: two keys of one name", ErrKeys)
		}
		set[name] = key
	}
	if len(set) == 0 {
		return nil, fmt.Errorf("%w: none for RS256 or ES256", ErrKeys)
	}
	return set, nil
}

// public returns the key and the one algorithm that it is for; nil where it is for none.
func (k jwk) public() (alg string, key crypto.PublicKey) {
	switch k.Type {
	case "RSA":
		n, e := number(k.N, maxModulus/8), number(k.E, 4)
		if n == nil || e == nil || n.BitLen() < minModulus || n.BitLen() > maxModulus || n.Bit(0) == 0 {
			return "", nil
		}
		if e.BitLen() > 31 || e.Int64() < 3 || e.Bit(0) == 0 {
			return "", nil
		}
		return "RS256", &rsa.PublicKey{N: n, E: int(e.Int64())}
	case "EC":
		x, err1 := base64.RawURLEncoding.DecodeString(k.X)
		y, err2 := base64.RawURLEncoding.DecodeString(k.Y)
		if k.Curve != "P-256" || err1 != nil || err2 != nil || len(x) != 32 { // both together are measured below
			return "", nil
		}
		key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, x...), y...))
		if err != nil { // no point of the curve
			return "", nil
		}
		return "ES256", key
	}
	return "", nil
}

// number reads an unsigned number of at most max bytes, big endian; nil: it is none.
func number(text string, max int) *big.Int {
	if len(text) > base64.RawURLEncoding.EncodedLen(max+1) {
		return nil
	}
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(b) == 0 {
		return nil
	}
	return new(big.Int).SetBytes(b)
}
