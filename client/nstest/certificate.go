package nstest

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

const maxActiveCertificates = 5

// certificate is a Certificate at work.
type certificate struct {
	Certificate
	id      string
	key     any // *ecdsa.PublicKey or *rsa.PublicKey
	from    time.Time
	until   time.Time
	created time.Time // when it was mapped
	fault   error     // why it cannot be used; nil if it can
}

// newCertificate reads c. NetSuite cuts the validity to two years.
func newCertificate(c Certificate, long bool) *certificate {
	out := &certificate{Certificate: c, id: c.ID}
	block, _ := pem.Decode([]byte(c.PEM))
	if block == nil || block.Type != "CERTIFICATE" {
		out.fault = errors.New("there is no PEM block of type CERTIFICATE")
		return out
	}
	parsed, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		out.fault = fmt.Errorf("reading the certificate: %w", err)
		return out
	}
	if out.id == "" {
		sum := sha256.Sum256(block.Bytes)
		out.id = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	out.key, out.from, out.until, out.created = parsed.PublicKey, parsed.NotBefore, parsed.NotAfter, parsed.NotBefore
	if limit := parsed.NotBefore.AddDate(2, 0, 0); !long && out.until.After(limit) {
		out.until = limit
	}
	switch key := parsed.PublicKey.(type) {
	case *ecdsa.PublicKey:
		if bits := key.Curve.Params().BitSize; bits != 256 && bits != 384 && bits != 521 {
			out.fault = fmt.Errorf("EC keys have 256, 384 or 521 bits, not %d", bits)
		}
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits != 3072 && bits != 4096 {
			out.fault = fmt.Errorf("RSA keys have 3072 or 4096 bits, not %d", bits)
		}
	default:
		out.fault = errors.New("the key is neither EC nor RSA")
	}
	return out
}

// active says whether the certificate takes one of the five places.
func (c *certificate) active(now time.Time) bool { return !c.Revoked && !now.After(c.until) }

// algorithm is the kind of the key, as the list of certificates names it.
func (c *certificate) algorithm() string {
	if _, isRSA := c.key.(*rsa.PublicKey); isRSA {
		return "RSA"
	}
	return "EC"
}

// usable says why the certificate cannot be used at that time.
func (c *certificate) usable(now time.Time) *refusal {
	switch {
	case c.fault != nil:
		return refuse(ReasonMissingKey, "the certificate of this kid is not usable: "+c.fault.Error())
	case c.Revoked:
		return mistaken(ReasonMissingKey, "certificate-revoked", "the certificate of this kid is revoked")
	case now.Before(c.from):
		return mistaken(ReasonMissingKey, "certificate-not-yet-valid", "the certificate of this kid is not valid yet")
	case now.After(c.until):
		return mistaken(ReasonMissingKey, "certificate-expired", "the certificate of this kid has expired")
	}
	return nil
}

// allows says whether the integration record has this scope.
func (c *certificate) allows(scope string) bool {
	if len(c.Scopes) == 0 {
		return knownScope(scope)
	}
	return oneOf(scope, c.Scopes...)
}

// knownScope says whether a client of this grant may ask for the scope at all.
func knownScope(scope string) bool {
	return oneOf(scope, "restlets", "rest_webservices", "suite_analytics")
}

func checkCertificates(all []Certificate) error {
	active := map[string]int{}
	ids := map[string]bool{}
	for n, c := range all {
		read := newCertificate(c, true)
		if read.fault != nil {
			return fmt.Errorf("certificate %d: %w", n+1, read.fault)
		}
		if c.ClientID == "" || ids[read.id] {
			return fmt.Errorf("certificate %d has no client_id, or is there twice", n+1)
		}
		ids[read.id] = true
		for _, scope := range c.Scopes {
			if !knownScope(scope) {
				return fmt.Errorf("certificate %d: scope %q", n+1, scope)
			}
		}
		if !c.Revoked {
			active[c.ClientID]++
		}
		if active[c.ClientID] > maxActiveCertificates {
			return fmt.Errorf("more than five active certificates for one client ID")
		}
	}
	return nil
}
