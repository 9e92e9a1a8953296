package signer

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"reflect"
	"strings"
	"sync"
	"testing"
)

func ecKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// rsaKey returns the RSA key of that size, made once: it takes seconds under -race.
func rsaKey(t testing.TB, bits int) *rsa.PrivateKey {
	t.Helper()
	rsaKeys.Lock()
	defer rsaKeys.Unlock()
	if rsaKeys.bySize[bits] == nil {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		rsaKeys.bySize[bits] = key
	}
	return rsaKeys.bySize[bits]
}

var rsaKeys = struct {
	sync.Mutex
	bySize map[int]*rsa.PrivateKey
}{bySize: map[int]*rsa.PrivateKey{}}

func testClaims() AssertionClaims {
	return AssertionClaims{
		ClientID: "1c343a716c1dceb60e7fc149fa6735929ef77d28fe16293f892976dde7d8e3e2",
		KeyID:    "HRril7VwkkW2y0wAzFR9GKk1LVTHSZPeq5EeWT2Fgks",
		Scopes:   []string{ScopeRestlets, ScopeRESTWebServices},
		Audience: "https://3829855.suitetalk.api.netsuite.com/services/rest/auth/oauth2/v1/token",
		IssuedAt: 1742574430, Expires: 1742575030,
		ID: "bZBqhA8MC6U0ukdsmPcp1KHG",
	}
}

// splitJWT decodes a compact JWS, refusing padding and other alphabets.
func splitJWT(t *testing.T, jwt string) (header, payload map[string]any, signed, signature []byte) {
	t.Helper()
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		t.Fatalf("%d parts in %s", len(parts), jwt)
	}
	var decoded [3][]byte
	for i, part := range parts {
		var err error
		if decoded[i], err = base64.RawURLEncoding.Strict().DecodeString(part); err != nil {
			t.Fatalf("part %d of %s: %v", i, jwt, err)
		}
	}
	for i, target := range []*map[string]any{&header, &payload} {
		if err := json.Unmarshal(decoded[i], target); err != nil {
			t.Fatal(err)
		}
	}
	return header, payload, []byte(parts[0] + "." + parts[1]), decoded[2]
}

// TestAssertion verifies each algorithm with crypto/ecdsa and crypto/rsa alone.
func TestAssertion(t *testing.T) {
	p256, p384, p521, rsa3072 := ecKey(t, elliptic.P256()), ecKey(t, elliptic.P384()), ecKey(t, elliptic.P521()), rsaKey(t, 3072)
	tests := []struct {
		alg, want string
		key       crypto.Signer
		hash      crypto.Hash
		octets    int
	}{
		{"", "ES256", p256, crypto.SHA256, 64}, {"ES256", "ES256", p256, crypto.SHA256, 64},
		{"", "ES384", p384, crypto.SHA384, 96}, {"ES384", "ES384", p384, crypto.SHA384, 96},
		{"", "ES512", p521, crypto.SHA512, 132}, {"ES512", "ES512", p521, crypto.SHA512, 132},
		{"", "PS256", rsa3072, crypto.SHA256, 384}, {"PS256", "PS256", rsa3072, crypto.SHA256, 384},
		{"PS384", "PS384", rsa3072, crypto.SHA384, 384}, {"PS512", "PS512", rsa3072, crypto.SHA512, 384},
	}
	for _, c := range tests {
		claims := testClaims()
		claims.Alg = c.alg
		jwt, err := Assertion(claims, c.key, rand.Reader)
		if err != nil {
			t.Fatalf("%s: %v", c.want, err)
		}
		header, payload, signed, signature := splitJWT(t, jwt)
		if want := map[string]any{"typ": "JWT", "alg": c.want, "kid": claims.KeyID}; !reflect.DeepEqual(header, want) {
			t.Errorf("header: got %v, want %v", header, want)
		}
		if want := map[string]any{
			"iss": claims.ClientID, "aud": claims.Audience, "jti": claims.ID,
			"scope": []any{"restlets", "rest_webservices"}, "iat": 1742574430., "exp": 1742575030.,
		}; !reflect.DeepEqual(payload, want) {
			t.Errorf("payload: got %v, want %v", payload, want)
		}
		if len(signature) != c.octets {
			t.Errorf("%s: signature of %d octets, want %d", c.want, len(signature), c.octets)
		}
		h := c.hash.New()
		h.Write(signed)
		if !verifyJWS(c.key.Public(), c.hash, h.Sum(nil), signature) {
			t.Errorf("%s: the signature does not verify", c.want)
		}
		signed[len(signed)-1] ^= 1
		h = c.hash.New()
		h.Write(signed)
		if verifyJWS(c.key.Public(), c.hash, h.Sum(nil), signature) {
			t.Errorf("%s: the signature verifies for another text", c.want)
		}
	}
}

func verifyJWS(pub crypto.PublicKey, hash crypto.Hash, digest, signature []byte) bool {
	switch pub := pub.(type) {
	case *ecdsa.PublicKey:
		half := len(signature) / 2
		r, s := new(big.Int).SetBytes(signature[:half]), new(big.Int).SetBytes(signature[half:])
		return ecdsa.Verify(pub, digest, r, s)
	case *rsa.PublicKey: // this salt length refuses every other
		return rsa.VerifyPSS(pub, hash, digest, signature, &rsa.PSSOptions{SaltLength: hash.Size()}) == nil
	}
	return false
}

// TestAssertionVector: our assertion has the members of the published one.
func TestAssertionVector(t *testing.T) {
	type input struct {
		Header  map[string]any `json:"header"`
		Payload map[string]any `json:"payload"`
	}
	type want struct {
		SignatureOctets int `json:"signature_octets"`
	}
	v := loadVectors[input, none, want](t, "assertion.json", 1)[0]
	text := func(m map[string]any, key string) string { s, _ := m[key].(string); return s }
	number := func(m map[string]any, key string) int64 { f, _ := m[key].(float64); return int64(f) }
	claims := AssertionClaims{
		ClientID: text(v.Input.Payload, "iss"), KeyID: text(v.Input.Header, "kid"), Alg: text(v.Input.Header, "alg"),
		Audience: text(v.Input.Payload, "aud"), ID: text(v.Input.Payload, "jti"),
		IssuedAt: number(v.Input.Payload, "iat"), Expires: number(v.Input.Payload, "exp"),
	}
	for _, s := range v.Input.Payload["scope"].([]any) {
		claims.Scopes = append(claims.Scopes, s.(string))
	}
	key := ecKey(t, elliptic.P521())
	if _, err := Assertion(claims, key, rand.Reader); !errors.Is(err, ErrClaims) {
		t.Errorf("an hour, which the prose forbids: %v", err)
	}
	claims.Expires = claims.IssuedAt + MaxAssertionLife
	v.Input.Payload["exp"] = float64(claims.Expires)
	jwt, err := Assertion(claims, key, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	header, payload, _, signature := splitJWT(t, jwt)
	if !reflect.DeepEqual(header, v.Input.Header) || !reflect.DeepEqual(payload, v.Input.Payload) || len(signature) != v.Want.SignatureOctets {
		t.Errorf("got %v %v %d octets\nwant %v %v %d", header, payload, len(signature), v.Input.Header, v.Input.Payload, v.Want.SignatureOctets)
	}
}

func TestAssertionClaims(t *testing.T) {
	key := ecKey(t, elliptic.P256())
	set := func(change func(*AssertionClaims)) AssertionClaims {
		c := testClaims()
		change(&c)
		return c
	}
	tests := map[string]struct {
		claims AssertionClaims
		want   error
	}{
		"no client ID":    {set(func(c *AssertionClaims) { c.ClientID = "" }), ErrIdentity},
		"client ID":       {set(func(c *AssertionClaims) { c.ClientID = "a\nb" }), ErrIdentity},
		"no kid":          {set(func(c *AssertionClaims) { c.KeyID = "" }), ErrClaims},
		"kid":             {set(func(c *AssertionClaims) { c.KeyID = "a b" }), ErrClaims},
		"long kid":        {set(func(c *AssertionClaims) { c.KeyID = strings.Repeat("a", 257) }), ErrClaims},
		"no jti":          {set(func(c *AssertionClaims) { c.ID = "" }), ErrClaims},
		"jti":             {set(func(c *AssertionClaims) { c.ID = "é" }), ErrClaims},
		"no scope":        {set(func(c *AssertionClaims) { c.Scopes = nil }), ErrClaims},
		"mcp":             {set(func(c *AssertionClaims) { c.Scopes = []string{"mcp"} }), ErrClaims},
		"joined scopes":   {set(func(c *AssertionClaims) { c.Scopes = []string{"restlets,rest_webservices"} }), ErrClaims},
		"scope twice":     {set(func(c *AssertionClaims) { c.Scopes = []string{"restlets", "restlets"} }), ErrClaims},
		"no audience":     {set(func(c *AssertionClaims) { c.Audience = "" }), ErrURL},
		"audience":        {set(func(c *AssertionClaims) { c.Audience = "https://u:p@h.example/" }), ErrURL},
		"audience query":  {set(func(c *AssertionClaims) { c.Audience += "?a" }), ErrClaims},
		"iat 0":           {set(func(c *AssertionClaims) { c.IssuedAt = 0 }), ErrClaims},
		"too short":       {set(func(c *AssertionClaims) { c.Expires = c.IssuedAt + 299 }), ErrClaims},
		"too long":        {set(func(c *AssertionClaims) { c.Expires = c.IssuedAt + 1801 }), ErrClaims},
		"exp before iat":  {set(func(c *AssertionClaims) { c.Expires = c.IssuedAt - 600 }), ErrClaims},
		"exp overflowing": {set(func(c *AssertionClaims) { c.Expires = -1 << 63 }), ErrClaims},
		"RS256":           {set(func(c *AssertionClaims) { c.Alg = "RS256" }), ErrAlgorithm},
		"none":            {set(func(c *AssertionClaims) { c.Alg = "none" }), ErrAlgorithm},
		"HS256":           {set(func(c *AssertionClaims) { c.Alg = "HS256" }), ErrAlgorithm},
		"es256":           {set(func(c *AssertionClaims) { c.Alg = "es256" }), ErrAlgorithm},
		"other curve":     {set(func(c *AssertionClaims) { c.Alg = "ES384" }), ErrAlgorithm},
		"other kind":      {set(func(c *AssertionClaims) { c.Alg = "PS256" }), ErrAlgorithm},
	}
	for name, c := range tests {
		if got, err := Assertion(c.claims, key, rand.Reader); !errors.Is(err, c.want) || got != "" {
			t.Errorf("%s: got %q, %v, want %v", name, got, err, c.want)
		} else {
			checkErrorText(t, err, name)
		}
	}
	for _, life := range []int64{MinAssertionLife, MaxAssertionLife} {
		c := testClaims()
		c.Expires = c.IssuedAt + life
		if _, err := Assertion(c, key, rand.Reader); err != nil {
			t.Errorf("%d seconds: %v", life, err)
		}
	}
}

// otherKey signs with one key and claims another.
type otherKey struct {
	crypto.Signer
	public crypto.PublicKey
}

func (k otherKey) Public() crypto.PublicKey { return k.public }

// fixedSigner gives one answer to every Sign.
type fixedSigner struct {
	public crypto.PublicKey
	answer []byte
	err    error
}

func (k fixedSigner) Public() crypto.PublicKey { return k.public }

func (k fixedSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return k.answer, k.err
}

func TestAssertionKeys(t *testing.T) {
	p256, rsa2048, rsa3072 := ecKey(t, elliptic.P256()), rsaKey(t, 2048), rsaKey(t, 3072)
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("key is gone")
	tests := map[string]struct {
		key  crypto.Signer
		want error
	}{
		"none":           {nil, ErrKey},
		"P-224":          {ecKey(t, elliptic.P224()), ErrKey},
		"RSA 2048":       {rsa2048, ErrKey},
		"Ed25519":        {ed, ErrKey},
		"nil EC":         {fixedSigner{public: (*ecdsa.PublicKey)(nil)}, ErrKey},
		"no curve":       {fixedSigner{public: &ecdsa.PublicKey{}}, ErrKey},
		"nil RSA":        {fixedSigner{public: (*rsa.PublicKey)(nil)}, ErrKey},
		"empty RSA":      {fixedSigner{public: &rsa.PublicKey{}}, ErrKey},
		"no public key":  {fixedSigner{}, ErrKey},
		"another EC key": {otherKey{p256, ecKey(t, elliptic.P256()).Public()}, ErrKey},
		"another RSA":    {otherKey{rsa3072, rsaKey(t, 3080).Public()}, ErrKey},
		"EC garbage":     {fixedSigner{public: p256.Public(), answer: []byte("x")}, ErrKey},
		"EC nothing":     {fixedSigner{public: p256.Public()}, ErrKey},
		"RSA garbage":    {fixedSigner{public: rsa3072.Public(), answer: make([]byte, 384)}, ErrKey},
		"EC failing":     {fixedSigner{public: p256.Public(), err: broken}, broken},
		"RSA failing":    {fixedSigner{public: rsa3072.Public(), err: broken}, broken},
	}
	for name, c := range tests {
		if got, err := Assertion(testClaims(), c.key, rand.Reader); !errors.Is(err, c.want) || got != "" {
			t.Errorf("%s: got %q, %v, want %v", name, got, err, c.want)
		}
	}
	if got, err := Assertion(testClaims(), p256, nil); !errors.Is(err, ErrKey) || got != "" {
		t.Errorf("no random source: %q, %v", got, err)
	}
}

func TestAlgorithmFor(t *testing.T) {
	for want, key := range map[string]crypto.Signer{
		"ES256": ecKey(t, elliptic.P256()), "ES384": ecKey(t, elliptic.P384()), "ES512": ecKey(t, elliptic.P521()), "PS256": rsaKey(t, 3072),
	} {
		if got, err := AlgorithmFor(key.Public()); got != want || err != nil {
			t.Errorf("got %q, %v, want %s", got, err, want)
		}
	}
	for _, pub := range []crypto.PublicKey{nil, "key", ed25519.PublicKey{}, ecdsa.PublicKey{}} {
		if got, err := AlgorithmFor(pub); !errors.Is(err, ErrKey) || got != "" {
			t.Errorf("%T: got %q, %v", pub, got, err)
		}
	}
}

func TestCheckAlgorithm(t *testing.T) {
	p384, rsa3072 := ecKey(t, elliptic.P384()).Public(), rsaKey(t, 3072).Public()
	tests := []struct {
		alg  string
		pub  crypto.PublicKey
		want error
	}{
		{"", p384, nil}, {"ES384", p384, nil}, {"", rsa3072, nil}, {"PS256", rsa3072, nil}, {"PS512", rsa3072, nil},
		{"ES256", p384, ErrAlgorithm}, {"PS384", p384, ErrAlgorithm}, {"ES384", rsa3072, ErrAlgorithm},
		{"RS256", rsa3072, ErrAlgorithm}, {"ps256", rsa3072, ErrAlgorithm}, {"ES384", nil, ErrKey},
	}
	for _, c := range tests {
		if err := CheckAlgorithm(c.alg, c.pub); !errors.Is(err, c.want) {
			t.Errorf("%q with %T: got %v, want %v", c.alg, c.pub, err, c.want)
		}
	}
}

func FuzzRawSignature(f *testing.F) {
	f.Add([]byte{0x30, 6, 2, 1, 1, 2, 1, 2}, 32)
	f.Add([]byte{0x30, 8, 2, 2, 0, 0xff, 2, 2, 0, 0x80}, 32)
	f.Add([]byte{0x30, 6, 2, 1, 0, 2, 1, 0x80}, 48)
	f.Add([]byte{0x30, 7, 2, 1, 1, 2, 1, 2, 0}, 66)
	f.Add([]byte{}, 66)
	f.Fuzz(func(t *testing.T, der []byte, size int) {
		if size != 32 && size != 48 && size != 66 {
			return
		}
		raw, err := rawSignature(der, size)
		if err != nil {
			if !errors.Is(err, ErrKey) || raw != nil {
				t.Fatalf("got %x, %v", raw, err)
			}
			return
		}
		if len(raw) != 2*size || !bytes.Equal(derSignature(raw), der) {
			t.Fatalf("%x gives %x, which is %x", der, raw, derSignature(raw))
		}
	})
}

// derSignature is rawSignature the other way round, by hand.
func derSignature(raw []byte) []byte {
	var body []byte
	for _, half := range [][]byte{raw[:len(raw)/2], raw[len(raw)/2:]} {
		half = bytes.TrimLeft(half, "\x00")
		if half[0] >= 0x80 {
			half = append([]byte{0}, half...)
		}
		body = append(append(body, 2, byte(len(half))), half...)
	}
	if len(body) >= 0x80 {
		return append([]byte{0x30, 0x81, byte(len(body))}, body...)
	}
	return append([]byte{0x30, byte(len(body))}, body...)
}
