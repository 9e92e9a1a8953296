package nstest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha256" // SHA-256 for crypto.Hash
	_ "crypto/sha512" // SHA-384 and SHA-512 for crypto.Hash
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"strconv"
	"strings"
)

const maxJWT = 16 << 10

// jwt is a signed JWT taken apart, not verified.
type jwt struct {
	header    map[string]json.RawMessage
	claims    map[string]json.RawMessage
	signed    string // what the signature is over
	signature []byte
}

var errJWT = errors.New("not three base64url parts without padding, the first two of them JSON objects")

// parseJWT reads the compact form of RFC 7515 strictly.
func parseJWT(s string) (jwt, error) {
	var out jwt
	parts := strings.Split(s, ".")
	if len(s) > maxJWT || len(parts) != 3 {
		return out, errJWT
	}
	encoding := base64.RawURLEncoding.Strict()
	var raw [3][]byte
	for i, part := range parts {
		if strings.ContainsAny(part, "\r\n") {
			return out, errJWT
		}
		decoded, err := encoding.DecodeString(part)
		if err != nil {
			return out, errJWT
		}
		raw[i] = decoded
	}
	var err error
	if out.header, err = decodeObject(raw[0]); err != nil {
		return jwt{}, errJWT
	}
	if out.claims, err = decodeObject(raw[1]); err != nil {
		return jwt{}, errJWT
	}
	out.signed = parts[0] + "." + parts[1]
	out.signature = raw[2]
	return out, nil
}

// claimText returns a claim that is a string.
func claimText(from map[string]json.RawMessage, name string) (string, bool) {
	var s *string
	if err := json.Unmarshal(from[name], &s); err != nil || s == nil {
		return "", false
	}
	return *s, true
}

// claimSeconds returns a claim that is a whole number.
func claimSeconds(from map[string]json.RawMessage, name string) (int64, bool) {
	n, err := strconv.ParseInt(string(from[name]), 10, 64)
	return n, err == nil && n > 0
}

// claimTexts returns a claim that is an array of strings.
func claimTexts(from map[string]json.RawMessage, name string) ([]string, bool) {
	var out []string
	if err := json.Unmarshal(from[name], &out); err != nil {
		return nil, false
	}
	return out, true
}

// jwtAlgorithm is one of the six that NetSuite takes.
type jwtAlgorithm struct {
	hash crypto.Hash
	bits int // of the curve; 0 for RSA-PSS
	size int // octets of r and of s
}

func findAlgorithm(name string) (jwtAlgorithm, bool) {
	switch name {
	case "ES256":
		return jwtAlgorithm{crypto.SHA256, 256, 32}, true
	case "ES384":
		return jwtAlgorithm{crypto.SHA384, 384, 48}, true
	case "ES512":
		return jwtAlgorithm{crypto.SHA512, 521, 66}, true
	case "PS256":
		return jwtAlgorithm{crypto.SHA256, 0, 0}, true
	case "PS384":
		return jwtAlgorithm{crypto.SHA384, 0, 0}, true
	case "PS512":
		return jwtAlgorithm{crypto.SHA512, 0, 0}, true
	}
	return jwtAlgorithm{}, false
}

// verifyJWT checks the signature and names what is wrong with it.
func verifyJWT(j jwt, alg jwtAlgorithm, key any) *refusal {
	h := alg.hash.New()
	h.Write([]byte(j.signed))
	sum := h.Sum(nil)
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		if alg.bits != key.Curve.Params().BitSize {
			return mistaken(ReasonUnsupportedAlgo, "algorithm-of-another-key", "alg does not fit the curve of the certificate's key")
		}
		if len(j.signature) == 2*alg.size {
			r := new(big.Int).SetBytes(j.signature[:alg.size])
			s := new(big.Int).SetBytes(j.signature[alg.size:])
			if ecdsa.Verify(key, sum, r, s) {
				return nil
			}
		}
		if ecdsa.VerifyASN1(key, sum, j.signature) {
			return mistaken(ReasonSignatureValidation, "asn1-signature", "the signature is ASN.1; JWS wants r and s one after the other")
		}
	case *rsa.PublicKey:
		if alg.bits != 0 {
			return mistaken(ReasonUnsupportedAlgo, "algorithm-of-another-key", "alg is for EC keys, the certificate's key is RSA")
		}
		if rsa.VerifyPSS(key, alg.hash, sum, j.signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil {
			return nil
		}
		if rsa.VerifyPSS(key, alg.hash, sum, j.signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthAuto}) == nil {
			return mistaken(ReasonSignatureValidation, "pss-salt-length", "the salt is not as long as the hash")
		}
		if rsa.VerifyPKCS1v15(key, alg.hash, sum, j.signature) == nil {
			return mistaken(ReasonSignatureValidation, "pkcs1-not-pss", "the signature is PKCS #1 v1.5; the PS algorithms want PSS")
		}
	}
	return refuse(ReasonSignatureValidation, "the signature does not belong to this assertion and this certificate")
}

// signES256 makes the compact form, for the server's own access tokens.
func signES256(key *ecdsa.PrivateKey, header, claims any) (string, error) {
	h, err := json.Marshal(header)
	if err != nil {
		return "", err
	}
	c, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	signed := base64.RawURLEncoding.EncodeToString(h) + "." + base64.RawURLEncoding.EncodeToString(c)
	hash := crypto.SHA256.New()
	hash.Write([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, key, hash.Sum(nil))
	if err != nil {
		return "", err
	}
	var rs [64]byte
	r.FillBytes(rs[:32])
	s.FillBytes(rs[32:])
	return signed + "." + base64.RawURLEncoding.EncodeToString(rs[:]), nil
}
