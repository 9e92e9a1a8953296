package signer

import (
	"crypto"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Life of a client assertion in seconds, Expires less IssuedAt. NetSuite wants less
// than 3600; half of that is ample for one exchange, and five minutes are its tolerance
// for clocks elsewhere.
const (
	MinAssertionLife = 300
	MaxAssertionLife = 1800
)

// Scopes that a client assertion can ask for.
const (
	ScopeRestlets        = "restlets"
	ScopeRESTWebServices = "rest_webservices"
	ScopeSuiteAnalytics  = "suite_analytics"
)

// maxClaim is the longest kid or jti in characters; NetSuite's certificate IDs have 43.
const maxClaim = 256

// AssertionClaims is what a client assertion says.
type AssertionClaims struct {
	// ClientID of the integration record becomes iss.
	ClientID string
	// KeyID is the certificate ID and becomes kid; CertificateID gives it.
	KeyID string
	// Scopes has each of the Scope constants at most once, and at least one.
	Scopes []string
	// Audience is the very URL that the assertion will be posted to.
	Audience string
	// IssuedAt and Expires are Unix seconds, MinAssertionLife to MaxAssertionLife apart.
	// A clock that is seconds fast makes NetSuite refuse: let IssuedAt be a little early.
	IssuedAt, Expires int64
	// ID becomes jti, which must not repeat.
	ID string
	// Alg is one of ES256, ES384, ES512, PS256, PS384, PS512, or empty for the one that
	// AlgorithmFor gives.
	Alg string
}

// Assertion returns the JWT client assertion for c in compact form, signed by key. The
// signature has been verified with key's public half, so that a faulty key never yields
// an assertion. rand is the random source of the signature.
//
// Whoever holds the result can exchange it, until it expires, for an access token with
// all rights of the mapped role.
//
// Errors wrap ErrClaims, ErrIdentity, ErrURL, ErrAlgorithm, ErrKey or what key returned.
//
// Source: NetSuite Help, "The Request Token Structure"; RFC 7523 section 3; RFC 7515
// section 7.1.
func Assertion(c AssertionClaims, key crypto.Signer, rand io.Reader) (string, error) {
	if key == nil || rand == nil {
		return "", fmt.Errorf("%w: no key or no random source given", ErrKey)
	}
	if err := c.check(); err != nil {
		return "", err
	}
	alg, err := algorithmOf(c.Alg, key.Public())
	if err != nil {
		return "", err
	}
	header, err := json.Marshal(struct {
		Type      string `json:"typ"`
		Algorithm string `json:"alg"`
		KeyID     string `json:"kid"`
	}{"JWT", alg.name, c.KeyID})
	if err != nil {
		return "", fmt.Errorf("encoding an assertion header: %w", err)
	}
	payload, err := json.Marshal(struct {
		Issuer   string   `json:"iss"`
		Scope    []string `json:"scope"`
		Audience string   `json:"aud"`
		ID       string   `json:"jti"`
		Expires  int64    `json:"exp"`
		IssuedAt int64    `json:"iat"`
	}{c.ClientID, c.Scopes, c.Audience, c.ID, c.Expires, c.IssuedAt})
	if err != nil {
		return "", fmt.Errorf("encoding assertion claims: %w", err)
	}
	return alg.compact(header, payload, key, rand)
}

func (c AssertionClaims) check() error {
	if err := checkIdentifier("client ID", c.ClientID); err != nil {
		return err
	}
	if err := checkClaim("kid", c.KeyID); err != nil {
		return err
	}
	if err := checkClaim("jti", c.ID); err != nil {
		return err
	}
	if err := checkScopes(c.Scopes); err != nil {
		return err
	}
	aud, err := ParseTarget(c.Audience)
	if err != nil {
		return fmt.Errorf("checking aud: %w", err)
	}
	if strings.Contains(aud.String(), "?") {
		return fmt.Errorf("%w: aud: the token endpoint has no query", ErrClaims)
	}
	if c.IssuedAt <= 0 || c.Expires <= 0 {
		return fmt.Errorf("%w: iat and exp must be positive", ErrClaims)
	}
	if life := c.Expires - c.IssuedAt; life < MinAssertionLife || life > MaxAssertionLife {
		return fmt.Errorf("%w: exp must be %d to %d seconds after iat", ErrClaims, MinAssertionLife, MaxAssertionLife)
	}
	return nil
}

// checkScopes refuses scopes that this grant does not have: mcp needs a user.
func checkScopes(scopes []string) error {
	if len(scopes) == 0 {
		return fmt.Errorf("%w: no scope", ErrClaims)
	}
	for i, s := range scopes {
		switch s {
		case ScopeRestlets, ScopeRESTWebServices, ScopeSuiteAnalytics:
		default:
			return fmt.Errorf("%w: scope %.40q, take %s, %s or %s", ErrClaims, s, ScopeRestlets, ScopeRESTWebServices, ScopeSuiteAnalytics)
		}
		if slices.Contains(scopes[:i], s) {
			return fmt.Errorf("%w: scope %s twice", ErrClaims, s)
		}
	}
	return nil
}

func checkClaim(name, value string) error {
	if value == "" || len(value) > maxClaim {
		return fmt.Errorf("%w: %s: %d characters, take 1 to %d", ErrClaims, name, len(value), maxClaim)
	}
	for i := range len(value) {
		if c := value[i]; c <= ' ' || c >= 0x7f {
			return fmt.Errorf("%w: %s holds %s at character %d", ErrClaims, name, describe(c), i+1)
		}
	}
	return nil
}
