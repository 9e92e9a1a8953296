package oidc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nsagent/nsagent/agent/gateway"
	"github.com/nsagent/nsagent/agent/oidc/oidctest"
)

// Pinned keys are never asked for.
func TestPinnedKeys(t *testing.T) {
	var pinned []byte
	w := newWorld(t, nil)
	pinned = w.JWKS(t)
	v, err := New(Config{Issuers: []Issuer{{URL: w.URL, JWKS: pinned}}, Do: nil, Boottime: func() time.Duration { return 0 }})
	if err != nil {
		t.Fatal(err)
	}
	w.verifier = v
	for name, token := range map[string][]byte{"ES256": w.Sign(t, w.GitHub(audience, now)), "RS256": w.SignRSA(t, w.GitHub(audience, now))} {
		if _, err := w.verify(t, token); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.Rotate(t)
	if _, err := w.verify(t, w.Sign(t, w.GitHub(audience, now))); !errors.Is(err, ErrKey) {
		t.Errorf("a key that is not pinned: got %v, want ErrKey", err)
	}
	if n := w.Fetched(); n != 0 {
		t.Errorf("keys were fetched %d times", n)
	}
}

// Who has verified a token by an issuer can tell later whether it would be verified so again.
func TestIssuersAreTheSame(t *testing.T) {
	i := oidctest.New(t)
	pinned, preset := Issuer{URL: i.URL, JWKS: i.JWKS(t)}, Issuer{URL: GitLab, CA: i.CA}
	v, err := New(Config{Issuers: []Issuer{pinned, preset, {URL: i.URL}}, Do: nil, Boottime: func() time.Duration { return 0 }})
	if err != nil {
		t.Fatal(err)
	}
	for url, want := range map[string]Issuer{i.URL: pinned, GitLab: preset, GitHub: {URL: GitHub}, i.URL + "/": {}, "": {}} {
		if got := v.Issuer(url); !got.Equal(want) {
			t.Errorf("issuer %q: got %+v, want %+v", url, got, want)
		}
	}
	for name, other := range map[string]Issuer{
		"another URL": {URL: i.URL + "/", JWKS: pinned.JWKS}, "other keys": {URL: i.URL, JWKS: oidctest.New(t).JWKS(t)}, "fetched": {URL: i.URL}, "a CA": {URL: i.URL, JWKS: pinned.JWKS, CA: i.CA},
	} {
		if pinned.Equal(other) || other.Equal(pinned) {
			t.Errorf("%s: taken for the same", name)
		}
	}
}

// A new key is fetched at its first token, but nobody makes the agent ask again and again.
func TestKeysAreFetchedAnew(t *testing.T) {
	w := newWorld(t, nil)
	token := func() []byte { return w.Sign(t, w.GitHub(audience, now)) }
	if _, err := w.verify(t, token()); err != nil {
		t.Fatal(err)
	}
	old := token()
	w.Rotate(t)
	for range 3 {
		if _, err := w.verify(t, token()); !errors.Is(err, ErrKey) {
			t.Errorf("within the pause: got %v, want ErrKey", err)
		}
	}
	w.boot += fetchPause
	if _, err := w.verify(t, token()); err != nil {
		t.Errorf("after the pause: %v", err)
	}
	if _, err := w.verify(t, old); !errors.Is(err, ErrKey) {
		t.Errorf("by the key that is gone: got %v, want ErrKey", err)
	}
	if n := w.Fetched(); n != 2 {
		t.Errorf("keys were fetched %d times, want twice", n)
	}
	w.boot += keysLife + time.Second
	if _, err := w.verify(t, token()); err != nil || w.Fetched() != 3 {
		t.Errorf("keys that are old: %v, fetched %d times", err, w.Fetched())
	}
}

// TestFetchKeepsNobodyWaiting: whoever names a key that nobody knows has the keys fetched,
// which may take long. Jobs whose key is known do not wait for that, and it does not end
// with the one who asked: else anybody with a token could keep the keys from being renewed.
func TestFetchKeepsNobodyWaiting(t *testing.T) {
	const url = "https://ci.example"
	ec := good(t, "EC")
	synctest.Test(t, func(t *testing.T) {
		var boot time.Duration
		ids, hangs, release, fetches := []string{"old"}, false, make(chan struct{}), 0
		s, err := newSource(Issuer{URL: url}, func(ctx context.Context, j gateway.Job, _ gateway.Payload) (gateway.Answer, error) {
			fetches++
			kept := map[string]string{"issuer": url, "jwks_uri": url + "/keys"}
			for i, id := range ids {
				key := fmt.Sprintf("keys.%d.", i)
				kept[key+"kid"], kept[key+"kty"], kept[key+"crv"], kept[key+"x"], kept[key+"y"] = id, ec.Type, ec.Curve, ec.X, ec.Y
			}
			if hangs {
				select {
				case <-release:
				case <-ctx.Done():
					return gateway.Answer{}, ctx.Err()
				}
			}
			return gateway.Answer{Status: http.StatusOK, Verified: true, Readable: true, Kept: kept}, nil
		}, func() time.Duration { return boot })
		if err != nil {
			t.Fatal(err)
		}
		has := func(ctx context.Context, id string) error {
			_, err := s.key(ctx, keyName{id, "ES256"})
			return err
		}
		if err := has(t.Context(), "old"); err != nil {
			t.Fatal(err)
		}
		boot += fetchPause
		ids, hangs = []string{"old", "new"}, true
		asks, leave := context.WithCancel(t.Context())
		got := make(chan error)
		go func() { got <- has(asks, "nobody's") }()
		synctest.Wait()
		if err := has(t.Context(), "old"); err != nil || fetches != 3 {
			t.Errorf("a key that is known: %v, %d fetches", err, fetches)
		}
		leave()
		if err := <-got; !errors.Is(err, context.Canceled) {
			t.Errorf("who waits no more: got %v", err)
		}
		nobodys := make(chan error)
		go func() { got <- has(t.Context(), "new") }()
		go func() { nobodys <- has(t.Context(), "nobody's") }()
		if err := has(asks, "new"); !errors.Is(err, context.Canceled) {
			t.Errorf("who does not wait for a turn: got %v", err)
		}
		synctest.Wait()
		close(release)
		if err, other := <-got, <-nobodys; err != nil || !errors.Is(other, ErrKey) || fetches != 4 {
			t.Errorf("those who waited for it: %v, and %v, after %d fetches", err, other, fetches)
		}

		// An issuer that never answers is given up.
		boot += fetchPause
		release = make(chan struct{})
		if err := has(t.Context(), "nobody's"); !errors.Is(err, ErrKeys) {
			t.Errorf("no answer: got %v", err)
		}
		if err := has(t.Context(), "old"); err != nil {
			t.Errorf("after that: %v", err)
		}
	})
}

// A server that is not the issuer's, and one that nobody trusts, give no keys.
func TestKeysOfNobody(t *testing.T) {
	for name, change := range map[string]func(*Issuer){
		"no CA":      func(i *Issuer) { i.CA = "" },
		"other path": func(i *Issuer) { i.URL += "/tenant" },
	} {
		w := newWorld(t, change)
		c := w.GitHub(audience, now)
		for url := range w.verifier.sources {
			if strings.HasPrefix(url, w.URL) {
				c["iss"] = url
			}
		}
		for range 2 { // the second time within the pause
			if _, err := w.verify(t, w.Sign(t, c)); !errors.Is(err, ErrKeys) {
				t.Errorf("%s: got %v, want ErrKeys", name, err)
			}
		}
	}
}

func TestIssuersThatMakeNoSense(t *testing.T) {
	i := oidctest.New(t)
	good := string(i.JWKS(t))
	key := `{"kty":"EC","crv":"P-256","kid":"a","x":"` + strings.Repeat("A", 43) + `","y":"` + strings.Repeat("A", 43) + `"}`
	for name, c := range map[string]struct {
		issuer Issuer
		want   error
	}{
		"http":             {Issuer{URL: "http://ci.example"}, ErrConfig},
		"no host":          {Issuer{URL: "https:///x"}, ErrConfig},
		"user":             {Issuer{URL: "https://a@ci.example"}, ErrConfig},
		"query":            {Issuer{URL: "https://ci.example?a"}, ErrConfig},
		"empty query":      {Issuer{URL: "https://ci.example?"}, ErrConfig},
		"fragment":         {Issuer{URL: "https://ci.example#"}, ErrConfig},
		"long":             {Issuer{URL: "https://ci.example/" + strings.Repeat("a", maxURL)}, ErrConfig},
		"no CA in it":      {Issuer{URL: i.URL, CA: "-----BEGIN CERTIFICATE-----\n"}, ErrConfig},
		"too large a CA":   {Issuer{URL: i.URL, CA: i.CA + strings.Repeat("\n", maxCA)}, ErrConfig},
		"empty set":        {Issuer{URL: i.URL, JWKS: []byte{}}, ErrKeys},
		"no keys":          {Issuer{URL: i.URL, JWKS: []byte(`{"keys":[]}`)}, ErrKeys},
		"no JSON":          {Issuer{URL: i.URL, JWKS: []byte(`keys`)}, ErrKeys},
		"bytes behind":     {Issuer{URL: i.URL, JWKS: []byte(good + "{}")}, ErrKeys},
		"too long":         {Issuer{URL: i.URL, JWKS: []byte(good + strings.Repeat(" ", maxJWKS))}, ErrKeys},
		"no point":         {Issuer{URL: i.URL, JWKS: []byte(`{"keys":[` + key + `]}`)}, ErrKeys},
		"shared secret":    {Issuer{URL: i.URL, JWKS: []byte(`{"keys":[{"kty":"oct","kid":"a","alg":"HS256","k":"AAAA"}]}`)}, ErrKeys},
		"short RSA key":    {Issuer{URL: i.URL, JWKS: []byte(`{"keys":[{"kty":"RSA","kid":"a","n":"` + strings.Repeat("_", 171) + `","e":"AQAB"}]}`)}, ErrKeys},
		"huge RSA key":     {Issuer{URL: i.URL, JWKS: []byte(`{"keys":[{"kty":"RSA","kid":"a","n":"` + strings.Repeat("_", 4000) + `","e":"AQAB"}]}`)}, ErrKeys},
		"exponent one":     {Issuer{URL: i.URL, JWKS: []byte(`{"keys":[{"kty":"RSA","kid":"a","n":"` + strings.Repeat("_", 342) + `","e":"AQ"}]}`)}, ErrKeys},
		"for encryption":   {Issuer{URL: i.URL, JWKS: []byte(strings.ReplaceAll(good, `"sig"`, `"enc"`))}, ErrKeys},
		"two of one name":  {Issuer{URL: i.URL, JWKS: []byte(strings.Replace(good, `{"keys":[`, `{"keys":[`+good[len(`{"keys":[`):len(good)-2]+",", 1))}, ErrKeys},
		"more than enough": {Issuer{URL: i.URL, JWKS: []byte(`{"keys":[` + strings.Repeat("{},", maxKeys) + `{}]}`)}, ErrKeys},
	} {
		if _, err := New(Config{Issuers: []Issuer{c.issuer}}); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
		if c.issuer.Fault() == "" {
			t.Errorf("%s: it has no fault", name)
		}
	}
	for _, c := range []struct{ url, jwks, want string }{
		{i.URL, good, ""},
		{i.URL, "", ""}, // its keys are fetched
		{"https://ci.example", `{"keys":[]}`, `issuer "https://ci.example": its keys: none for RS256 or ES256`},
		{"https://ci.example?a", "", `issuer "https://ci.example?a": the URL of an issuer has no user, query or fragment`},
	} {
		if got := NewIssuer(c.url, c.jwks, "").Fault(); got != c.want {
			t.Errorf("%s with keys %.20q: got %q, want %q", c.url, c.jwks, got, c.want)
		}
	}
	if _, err := New(Config{Issuers: []Issuer{{URL: GitHub, JWKS: []byte(good)}}}); err != nil {
		t.Errorf("pinned keys for a preset: %v", err)
	}
}

func FuzzParseKeys(f *testing.F) {
	f.Add(oidctest.New(f).JWKS(f))
	f.Add([]byte(`{"keys":[{"kty":"RSA","kid":"a","n":"_w","e":"AQAB"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		set, err := parseKeys(b)
		if (set == nil) == (err == nil) {
			t.Errorf("got %v and %v", set, err)
		}
		for name, key := range set {
			if key == nil || name.id == "" || name.alg != "RS256" && name.alg != "ES256" {
				t.Errorf("got %v for %v", key, name)
			}
		}
	})
}

// FuzzVerify looks for a token that verifies and was not signed, and for panics.
func FuzzVerify(f *testing.F) {
	w := newWorld(f, nil)
	signed := [][]byte{w.SignRSA(f, w.GitHub(audience, now)), w.Sign(f, w.GitLab(audience, now))}
	for _, b := range signed {
		f.Add(b)
	}
	f.Add(signed[0][:40])
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := w.verify(t, b); err == nil && !bytes.Equal(b, signed[0]) && !bytes.Equal(b, signed[1]) {
			t.Errorf("verifies: %q", b)
		}
	})
}
