package policy

import (
	"crypto/sha256"
	"fmt"
	"net/url"
	"slices"
)

// Issuer is one OIDC issuer.
type Issuer struct {
	// URL is the issuer, as its tokens say it.
	URL string
	// JWKSFile is the path of its keys, which are read when the policy is adopted; JWKS
	// are its keys as JSON. Without them, the keys are fetched.
	JWKSFile, JWKS string
	// CAFile is the path of PEM certificates that are trusted beside the system's where
	// the keys are fetched, read as JWKSFile is; CA are those certificates. Nothing of
	// JWKS goes with them.
	CAFile, CA string
}

func readIssuer(t *table) Issuer {
	t.must("url")
	i := Issuer{URL: t.text("url"), JWKSFile: absolute(t, "jwks_file")}
	if u, err := url.Parse(i.URL); i.URL != "" && (err != nil || u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil) {
		t.fail("url", "it is the URL of an issuer: https, without query")
	}
	if v, ok := t.get("jwks"); ok {
		if i.JWKS, _ = v.(string); i.JWKS == "" || i.JWKSFile != "" {
			t.fail("jwks", "it is the JSON of a key set, and goes without jwks_file")
		}
	}
	i.CAFile = absolute(t, "ca_file")
	if v, ok := t.get("ca"); ok {
		if i.CA = t.certificates("ca", v); i.CAFile != "" {
			t.fail("ca", "it goes without ca_file")
		}
	}
	for key, given := range map[string]bool{"ca": i.CA != "", "ca_file": i.CAFile != ""} {
		if given && (i.JWKS != "" || i.JWKSFile != "") {
			t.fail(key, "it is for keys that are fetched, and goes without jwks and jwks_file")
		}
	}
	t.end()
	return i
}

// certificates reads a CA, which v holds.
func (t *table) certificates(key string, v any) string {
	s, _ := v.(string)
	if err := checkCA(s); err != nil {
		t.fail(key, "%v", err)
	}
	return s
}

// issuers returns the issuers that count under p: its own, and those of known that it does
// not name.
func (p *Policy) issuers(known []string) []Issuer {
	all := slices.Clone(p.Issuers)
	for _, url := range known {
		if !slices.ContainsFunc(p.Issuers, func(i Issuer) bool { return i.URL == url }) {
			all = append(all, Issuer{URL: url})
		}
	}
	return all
}

// keys says by which keys the tokens of i are verified. Files count by their bytes.
func (i Issuer) keys() string {
	switch {
	case i.JWKS != "":
		return fmt.Sprintf("by pinned keys with SHA-256 %x", sha256.Sum256([]byte(i.JWKS)))
	case i.CA != "":
		return fmt.Sprintf("by keys that are fetched, where a CA with SHA-256 %x counts too", sha256.Sum256([]byte(i.CA)))
	}
	return "by keys that are fetched"
}

// same reports whether the same tokens count, by the same keys.
func (i Issuer) same(other Issuer) bool { return i.URL == other.URL && i.keys() == other.keys() }
