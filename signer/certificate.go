package signer

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"time"
)

// maxCertificate is the most octets that a certificate in PEM may have.
const maxCertificate = 64 << 10

// CertificateID returns NetSuite's certificate ID, the kid of an assertion, for a
// certificate in DER: SHA-256 in base64url without padding, 43 characters.
//
// Source: the certificate and ID printed together in NetSuite Help, "POST Request to
// Set Up a New Certificate"; it is the x5t#S256 value of RFC 7515 section 4.1.8.
func CertificateID(der []byte) string {
	sum := sha256.Sum256(der)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// ParseCertificate returns the one certificate in text, which is PEM with nothing
// before, after or between the lines but blanks. A second block, whatever it holds, and
// PEM headers are refused. The certificate is not checked; see CheckCertificate.
//
// The error wraps ErrCertificate and shows nothing of text.
func ParseCertificate(text []byte) (*x509.Certificate, error) {
	if len(text) > maxCertificate {
		return nil, fmt.Errorf("%w: %d octets, at most %d", ErrCertificate, len(text), maxCertificate)
	}
	text = bytes.TrimSpace(text)
	const begin = "-----BEGIN CERTIFICATE-----"
	if !bytes.HasPrefix(text, []byte(begin)) {
		return nil, fmt.Errorf("%w: PEM must begin with %s", ErrCertificate, begin)
	}
	if bytes.Count(text, []byte("-----BEGIN")) > 1 {
		return nil, fmt.Errorf("%w: more than one PEM block", ErrCertificate)
	}
	block, rest := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("%w: not PEM", ErrCertificate)
	}
	if len(block.Headers) > 0 {
		return nil, fmt.Errorf("%w: PEM headers", ErrCertificate)
	}
	if len(bytes.TrimSpace(rest)) > 0 {
		return nil, fmt.Errorf("%w: text after the PEM block", ErrCertificate)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w: not an X.509 certificate", ErrCertificate)
	}
	return cert, nil
}

// CheckCertificate returns nil if NetSuite can accept assertions signed by pub's private
// half under cert at time now: cert is pub's, now lies within its validity, and the key
// is of a kind NetSuite takes. It need not be signed by anybody in particular.
//
// NetSuite itself ends a certificate two years after its start, however long it runs: see
// CertificateEnd, which is not looked at here.
//
// Errors wrap ErrCertificate, ErrCertificateKey, ErrCertificateTime or ErrKey.
//
// Source: NetSuite Help, "Certificate Conditions".
func CheckCertificate(cert *x509.Certificate, pub crypto.PublicKey, now time.Time) error {
	if cert == nil {
		return fmt.Errorf("%w: none given", ErrCertificate)
	}
	if _, err := keyKind(cert.PublicKey); err != nil {
		return err
	}
	if _, err := keyKind(pub); err != nil {
		return err
	}
	own, ok := cert.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !own.Equal(pub) {
		return ErrCertificateKey
	}
	if now.Before(cert.NotBefore) {
		return fmt.Errorf("%w: it begins at %s", ErrCertificateTime, cert.NotBefore.UTC().Format(time.RFC3339))
	}
	if now.After(cert.NotAfter) {
		return fmt.Errorf("%w: it ended at %s", ErrCertificateTime, cert.NotAfter.UTC().Format(time.RFC3339))
	}
	return nil
}
