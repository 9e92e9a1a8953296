package oidc

import (
	"bytes"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
)

// The issuers that are known without being configured.
const (
	GitHub = "https://token.actions.githubusercontent.com"
	GitLab = "https://gitlab.com"
)

const (
	maxURL = 512      // bytes of the URL of an issuer
	maxCA  = 16 << 10 // bytes of the certificates of an issuer
)

// Issuer is a service whose tokens are looked at. That makes nobody able to do anything:
// a grant has to name it.
type Issuer struct {
	// URL is what its tokens name as iss, with https and without a final slash unless
	// they have one.
	URL string
	// JWKS is its key set (RFC 7517). Nil means to fetch it, as OpenID Connect Discovery
	// says.
	JWKS []byte
	// CA are more certificates to trust where keys are fetched, as PEM; empty: none.
	CA string
}

// NewIssuer returns the issuer that a policy describes: without jwks its keys are fetched.
func NewIssuer(url, jwks, ca string) Issuer {
	i := Issuer{URL: url, CA: ca}
	if jwks != "" {
		i.JWKS = []byte(jwks)
	}
	return i
}

// Equal reports whether i and other are the same issuer, whose keys are had in the same way.
func (i Issuer) Equal(other Issuer) bool {
	return i.URL == other.URL && bytes.Equal(i.JWKS, other.JWKS) && i.CA == other.CA
}

// Presets returns the issuers that are known anyway.
func Presets() []Issuer { return []Issuer{{URL: GitHub}, {URL: GitLab}} }

// Check returns an error wrapping ErrConfig, or ErrKeys, where i makes no sense.
func (i Issuer) Check() error {
	if err := checkURL(i.URL); err != nil {
		return err
	}
	if i.CA != "" && (len(i.CA) > maxCA || !x509.NewCertPool().AppendCertsFromPEM([]byte(i.CA))) {
		return fmt.Errorf("%w: the CA of an issuer is PEM certificates, at most %d bytes", ErrConfig, maxCA)
	}
	if i.JWKS == nil {
		return nil
	}
	_, err := parseKeys(i.JWKS)
	return err
}

// Fault says in plain words why Check returns an error; "" where it returns none.
func (i Issuer) Fault() string {
	err := i.Check()
	if err == nil {
		return ""
	}
	plain := strings.NewReplacer(ErrConfig.Error()+": ", "", ErrKeys.Error()+": ", "its keys: ")
	return fmt.Sprintf("issuer %.100q: %s", i.URL, plain.Replace(err.Error()))
}

// checkURL demands what is said of issuers in OpenID Connect Core 1.0, section 2.
func checkURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || len(text) > maxURL || u.Scheme != "https" || u.Host == "":
		return fmt.Errorf("%w: the URL of an issuer starts with https:// and a host", ErrConfig)
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || strings.Contains(text, "#"):
		return fmt.Errorf("%w: the URL of an issuer has no user, query or fragment", ErrConfig)
	}
	return nil
}

// Audience returns the audience that tokens for a vault must have, and no other beside.
func Audience(vault [16]byte) string { return "nsagent:" + hex.EncodeToString(vault[:]) }
