package signer

import (
	"encoding/asn1"
	"errors"
	"math"
	"math/big"
	"strings"
	"testing"
)

// TestLimits takes what is just allowed, and refuses what is just beyond.
func TestLimits(t *testing.T) {
	claims := func(change func(*AssertionClaims)) error {
		c := testClaims()
		change(&c)
		return c.check()
	}
	method := func(m string) error {
		_, err := checkMethod(m)
		return err
	}
	form := func(pairs int, more Params) error {
		body := []byte(strings.Repeat("a&", pairs-1) + "a")
		_, err := BaseString(Request{Method: "POST", Target: mustTarget(t, "https://example.com/"), ContentType: "application/x-www-form-urlencoded", Form: body}, more)
		return err
	}
	collect := func(list string) error {
		s := newScratch()
		defer s.done()
		return s.collect("query", list, false)
	}
	raw := func(r, s int64) error {
		der, err := asn1.Marshal(struct{ R, S *big.Int }{big.NewInt(r), big.NewInt(s)})
		if err != nil {
			t.Fatal(err)
		}
		_, err = rawSignature(der, 1)
		return err
	}
	certificate := func(length int) error {
		text, _ := loadCertificate(t)
		_, err := ParseCertificate([]byte(text + strings.Repeat("\n", length-len(text))))
		return err
	}
	for _, c := range []struct {
		name string
		got  error
		want error
	}{
		{"method of 32", method(strings.Repeat("M", 32)), nil},
		{"method of 33", method(strings.Repeat("M", 33)), ErrRequest},
		{"method with each mark", method("!#$%&'*+-.^_`|~"), nil},
		{"kid of 256", claims(func(c *AssertionClaims) { c.KeyID = strings.Repeat("k", maxClaim) }), nil},
		{"kid of 257", claims(func(c *AssertionClaims) { c.KeyID = strings.Repeat("k", maxClaim+1) }), ErrClaims},
		{"kid with a space", claims(func(c *AssertionClaims) { c.KeyID = "a b" }), ErrClaims},
		{"kid with !~", claims(func(c *AssertionClaims) { c.KeyID = "!~" }), nil},
		{"kid with DEL", claims(func(c *AssertionClaims) { c.KeyID = "a\x7f" }), ErrClaims},
		{"iat of 0", claims(func(c *AssertionClaims) { c.IssuedAt, c.Expires = 0, MinAssertionLife }), ErrClaims},
		{"iat of 1", claims(func(c *AssertionClaims) { c.IssuedAt, c.Expires = 1, 1+MinAssertionLife }), nil},
		{"exp that wraps", claims(func(c *AssertionClaims) { c.IssuedAt, c.Expires = math.MaxInt64, math.MinInt64+MinAssertionLife }), ErrClaims},
		{"10,000 pairs", form(maxPairs, nil), nil},
		{"10,000 pairs and one", form(maxPairs, Params{{"oauth_x", "1"}}), ErrRequest},
		{"half an escape in a name", collect("%zz=1"), ErrRequest},
		{"half an escape in a value", collect("a=%zz"), ErrRequest},
		{"signature with r of 0", raw(0, 1), ErrKey},
		{"signature with s of 0", raw(1, 0), ErrKey},
		{"signature of 255", raw(255, 255), nil},
		{"signature of 256", raw(1, 256), ErrKey},
		{"certificate as long as may be", certificate(maxCertificate), nil},
		{"certificate longer than that", certificate(maxCertificate + 1), ErrCertificate},
	} {
		if !errors.Is(c.got, c.want) || (c.got == nil) != (c.want == nil) {
			t.Errorf("%s: got %v, want %v", c.name, c.got, c.want)
		}
	}
}

// TestErrorsSayWhere counts from 1, as people do.
func TestErrorsSayWhere(t *testing.T) {
	_, separator := ParseAccount("12__3")
	_, letter := ParseAccount("12 3")
	for want, err := range map[string]error{
		"before it, at character 4":        separator,
		"a space at character 3":           letter,
		"kid holds a space at character 2": checkClaim("kid", "a b"),
	} {
		if err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("got %v, want it to end in %q", err, want)
		}
	}
}
