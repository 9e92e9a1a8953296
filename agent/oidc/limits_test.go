package oidc

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/nsagent/nsagent/agent/gateway"
	"github.com/nsagent/nsagent/agent/oidc/oidctest"
)

// good is a key of an issuer for tests, as it stands in a key set.
func good(t *testing.T, kind string) jwk {
	t.Helper()
	var set struct {
		Keys []jwk `json:"keys"`
	}
	if err := json.Unmarshal(oidctest.New(t).JWKS(t), &set); err != nil {
		t.Fatal(err)
	}
	for _, k := range set.Keys {
		if k.Type == kind {
			return k
		}
	}
	t.Fatalf("there is no %s key", kind)
	return jwk{}
}

// Each part of a key is looked at: with any of them wrong, it is passed over.
func TestKeysAreLookedAt(t *testing.T) {
	rsa, ec := good(t, "RSA"), good(t, "EC")
	b64 := base64.RawURLEncoding
	x, _ := b64.DecodeString(ec.X)
	y, _ := b64.DecodeString(ec.Y)
	n, _ := b64.DecodeString(rsa.N)
	even := append([]byte(nil), n...)
	even[len(even)-1] &^= 1
	for name, c := range map[string]struct {
		key    jwk
		change func(*jwk)
		ok     bool
	}{
		"RSA":                     {rsa, func(*jwk) {}, true},
		"EC":                      {ec, func(*jwk) {}, true},
		"no use, no algorithm":    {rsa, func(k *jwk) { k.Use, k.Alg = "", "" }, true},
		"longest name":            {ec, func(k *jwk) { k.KeyID = strings.Repeat("k", maxKeyID) }, true},
		"no name":                 {ec, func(k *jwk) { k.KeyID = "" }, false},
		"long name":               {ec, func(k *jwk) { k.KeyID = strings.Repeat("k", maxKeyID+1) }, false},
		"for encryption":          {ec, func(k *jwk) { k.Use = "enc" }, false},
		"another algorithm":       {ec, func(k *jwk) { k.Alg = "ES384" }, false},
		"the algorithm of RSA":    {ec, func(k *jwk) { k.Alg = "RS256" }, false},
		"no modulus":              {rsa, func(k *jwk) { k.N = "" }, false},
		"no exponent":             {rsa, func(k *jwk) { k.E = "" }, false},
		"even modulus":            {rsa, func(k *jwk) { k.N = b64.EncodeToString(even) }, false},
		"modulus of 4097 bits":    {rsa, func(k *jwk) { k.N = b64.EncodeToString(append(append([]byte{1}, make([]byte, 511)...), 1)) }, false},
		"modulus with a tail":     {rsa, func(k *jwk) { k.N += "!" }, false},
		"even exponent":           {rsa, func(k *jwk) { k.E = b64.EncodeToString([]byte{1, 0, 0}) }, false},
		"exponent of 32 bits":     {rsa, func(k *jwk) { k.E = b64.EncodeToString([]byte{0x80, 0, 0, 1}) }, false},
		"exponent of 40 bits":     {rsa, func(k *jwk) { k.E = b64.EncodeToString([]byte{1, 0, 0, 0, 1}) }, false},
		"another curve":           {ec, func(k *jwk) { k.Curve = "P-384" }, false},
		"no curve":                {ec, func(k *jwk) { k.Curve = "" }, false},
		"the point cut elsewhere": {ec, func(k *jwk) { k.X, k.Y = b64.EncodeToString(x[:31]), b64.EncodeToString(append(x[31:32:32], y...)) }, false},
		"a point with a tail":     {ec, func(k *jwk) { k.Y = b64.EncodeToString(append(y[:32:32], 0)) }, false},
	} {
		c.change(&c.key)
		if set, err := newKeySet([]jwk{c.key}); (err == nil) != c.ok || (set != nil) != c.ok {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if n := number("AQAB!", 4); n != nil || number("", 4) != nil {
		t.Errorf("a number of something else: %v", n)
	}
	var many []jwk
	for i := range maxKeys + 1 {
		ec.KeyID = strconv.Itoa(i)
		many = append(many, ec)
	}
	if set, err := newKeySet(many[1:]); err != nil || len(set) != maxKeys {
		t.Errorf("%d keys: %v", maxKeys, err)
	}
	if _, err := newKeySet(many); !errors.Is(err, ErrKeys) {
		t.Errorf("%d keys: got %v", len(many), err)
	}
}

// Requirement: keys come from the issuer itself, over TLS, or not at all, and what is
// known meanwhile goes on.
func TestAnswersThatGiveNoKeys(t *testing.T) {
	const url = "https://ci.example"
	ec := good(t, "EC")
	configuration := func() gateway.Answer {
		return gateway.Answer{Status: http.StatusOK, Verified: true, Readable: true, Kept: map[string]string{"issuer": url, "jwks_uri": url + "/keys"}}
	}
	keys := func() gateway.Answer {
		return gateway.Answer{Status: http.StatusOK, Verified: true, Readable: true, Kept: map[string]string{
			"keys.0.kid": "k", "keys.0.kty": ec.Type, "keys.0.crv": ec.Curve, "keys.0.x": ec.X, "keys.0.y": ec.Y,
		}}
	}
	errDo := errors.New("the gateway is gone")
	for name, c := range map[string]struct {
		change func(first, second *gateway.Answer) error
		says   string
	}{
		"none":                {func(_, _ *gateway.Answer) error { return nil }, ""},
		"no gateway":          {func(_, _ *gateway.Answer) error { return errDo }, errDo.Error()},
		"not reached":         {func(a, _ *gateway.Answer) error { a.Failure = gateway.FailedAnswer; return nil }, "not reached"},
		"not reached at last": {func(_, b *gateway.Answer) error { b.Failure = gateway.FailedAnswer; return nil }, "not reached"},
		"not found":           {func(a, _ *gateway.Answer) error { a.Status = 404; return nil }, "404"},
		"keys not found":      {func(_, b *gateway.Answer) error { b.Status = 404; return nil }, "404"},
		"no JSON":             {func(_, b *gateway.Answer) error { b.Readable = false; return nil }, "without them"},
		"without TLS":         {func(_, b *gateway.Answer) error { b.Verified = false; return nil }, "without them"},
		"another issuer":      {func(a, _ *gateway.Answer) error { a.Kept["issuer"] = url + "/"; return nil }, "another issuer"},
		"keys over http":      {func(a, _ *gateway.Answer) error { a.Kept["jwks_uri"] = "http://ci.example/keys"; return nil }, "another issuer"},
		"keys nowhere":        {func(a, _ *gateway.Answer) error { delete(a.Kept, "jwks_uri"); return nil }, "another issuer"},
		"keys at a long URL": {func(a, _ *gateway.Answer) error {
			a.Kept["jwks_uri"] = url + "/" + strings.Repeat("k", maxURL)
			return nil
		}, "another issuer"},
		"keys that are no keys": {func(_, b *gateway.Answer) error { b.Kept = nil; return nil }, "none for"},
	} {
		first, second := configuration(), keys()
		good := true
		var boot time.Duration
		do := func(_ context.Context, j gateway.Job, _ gateway.Payload) (gateway.Answer, error) {
			a, b := configuration(), keys()
			var err error
			if !good {
				err = c.change(&first, &second)
				a, b = first, second
			}
			if strings.HasSuffix(j.URL, "/.well-known/openid-configuration") {
				return a, err
			}
			return b, err
		}
		s, err := newSource(Issuer{URL: url}, do, func() time.Duration { return boot })
		if err != nil {
			t.Fatal(err)
		}
		if key, err := s.key(t.Context(), keyName{"k", "ES256"}); err != nil || key == nil {
			t.Fatalf("control: %v", err)
		}
		good = false
		boot += fetchPause
		key, err := s.key(t.Context(), keyName{"other", "ES256"})
		if name == "none" {
			if !errors.Is(err, ErrKey) {
				t.Errorf("%s: got %v", name, err)
			}
			continue
		}
		if key != nil || !errors.Is(err, ErrKeys) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, %v", name, key, err)
		}
		if name == "no gateway" && !errors.Is(err, errDo) {
			t.Errorf("%s: got %v", name, err)
		}
		if key, err := s.key(t.Context(), keyName{"k", "ES256"}); err != nil || key == nil {
			t.Errorf("%s: the key that is known: %v", name, err)
		}
		boot += keysLife
		if _, err := s.key(t.Context(), keyName{"k", "ES256"}); err != nil && !errors.Is(err, ErrKeys) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// Pinned keys do not get old, and take the place of what a preset would fetch.
func TestPinnedKeysStay(t *testing.T) {
	i := oidctest.New(t)
	var boot time.Duration
	v, err := New(Config{Issuers: []Issuer{{URL: GitHub, JWKS: i.JWKS(t)}}, Boottime: func() time.Duration { return boot }})
	if err != nil {
		t.Fatal(err)
	}
	boot = 100 * keysLife
	if key, err := v.sources[GitHub].key(t.Context(), keyName{"rsa", "RS256"}); err != nil || key == nil {
		t.Errorf("got %v", err)
	}
	for _, url := range []string{"https://ci.example/%zz", "https:ci.example", "https://ci.example#a", "https://ci.example/" + strings.Repeat("a", maxURL-18)} {
		if err := checkURL(url); !errors.Is(err, ErrConfig) {
			t.Errorf("%.60s: got %v", url, err)
		}
	}
}

// What a signed token says is read strictly; this is the part behind the signature.
func TestClaimsAreReadStrictly(t *testing.T) {
	const issuer = "https://ci.example"
	whole := func() oidctest.Claims {
		return oidctest.Claims{"iss": issuer, "aud": audience, "jti": "j", "iat": now.Unix(), "exp": now.Unix() + 300}
	}
	for name, c := range map[string]struct {
		claims any
		want   error
		says   string
	}{
		"whole":             {whole(), nil, ""},
		"a list":            {[]int{}, ErrClaims, "no JSON object"},
		"another issuer":    {whole().With("iss", "https://ci.example/"), ErrIssuer, "another issuer"},
		"another in a list": {whole().With("aud", []string{"nsagent:0"}), ErrAudience, audience},
		"no end":            {whole().With("exp", nil), ErrTime, "does not say"},
		"no beginning":      {whole().With("iat", nil), ErrTime, "does not say"},
		"nbf of no number":  {whole().With("nbf", true), ErrTime, "does not say"},
		"nbf of zero":       {whole().With("nbf", 0), ErrTime, "does not say"},
		"year 3000":         {whole().With("nbf", int64(32503680000)), ErrTime, "does not say"},
		"before 1970":       {whole().With("nbf", -1), ErrTime, "does not say"},
	} {
		b, err := json.Marshal(c.claims)
		if err != nil {
			t.Fatal(err)
		}
		id, err := newIdentity(b, opening{issuer: issuer}, audience, now)
		if !errors.Is(err, c.want) || (id == nil) != (c.want != nil) || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, %v, want %v", name, id, err, c.want)
		}
	}
	b, _ := json.Marshal(whole().With(strings.Repeat("n", maxName), "in").With(strings.Repeat("n", maxName+1), "out"))
	if id, err := newIdentity(b, opening{issuer: issuer}, audience, now); err != nil || len(id.Claims) != 6 {
		t.Errorf("a name that is too long: got %v, %v", id, err)
	}
	for v, want := range map[string]bool{"0": true, "7": true, "10": true, "07": false, "": false, "-1": false, strings.Repeat("9", 20): true, strings.Repeat("9", 21): false} {
		if decimal(v) != want {
			t.Errorf("%q: got %t", v, !want)
		}
	}
	for _, v := range []jsontext.Value{nil, jsontext.Value("7"), jsontext.Value("true"), jsontext.Value(`["a"]`)} {
		if got := text(v); got != "" {
			t.Errorf("the text of %s: %q", v, got)
		}
	}
	missing := &Identity{Issuer: issuer, Claims: map[string]string{"ref": ""}}
	if why := missing.misses(identity(issuer, "sub", "x")); !strings.Contains(why, "does not have") {
		t.Errorf("a claim that is missing: got %q", why)
	}
}

// What is refused before a key is looked for says why.
func TestHeadersAreLookedAt(t *testing.T) {
	w := newWorld(t, nil)
	b64 := base64.RawURLEncoding.EncodeToString
	token := func(header string) []byte {
		return fmt.Appendf(nil, "%s.%s.AAAA", b64([]byte(header)), b64(fmt.Appendf(nil, `{"iss":%q}`, w.URL)))
	}
	for name, c := range map[string]struct {
		token []byte
		want  error
		says  string
	}{
		"empty":           {nil, ErrFormat, "empty"},
		"header no JSON":  {token("header"), ErrFormat, "no JSON object"},
		"a long name":     {token(`{"alg":"RS256","kid":"` + strings.Repeat("k", maxKeyID+1) + `"}`), ErrFormat, "does not name the key"},
		"longest of them": {token(`{"alg":"RS256","kid":"` + strings.Repeat("k", maxKeyID) + `"}`), ErrKey, "no such key"},
	} {
		if _, err := w.verify(t, c.token); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
