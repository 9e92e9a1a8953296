package signer

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// maxCommonName is the most characters of a common name (RFC 5280, appendix A.1).
const maxCommonName = 64

// NewCertificate is what a self-signed certificate says.
type NewCertificate struct {
	// CommonName is the subject and issuer, 1 to 64 characters without control characters.
	// NetSuite shows it to administrators and makes nothing of it.
	CommonName string
	// Serial is 16 random octets; the certificate's number is made positive from them.
	Serial [16]byte
	// NotBefore and NotAfter bound its validity, both included, to the second. They are at
	// most two years apart.
	NotBefore, NotAfter time.Time
}

// SelfSigned returns the certificate for key's public half, in DER, signed by key and
// verified. It serves to sign assertions and nothing else: it is no authority, and no
// server's. rand is the random source of the signature.
//
// It is signed with ECDSA and the hash of the curve (P-256 SHA-256, P-384 SHA-384, P-521
// SHA-512), or with RSASSA-PSS, SHA-256 and a salt of 32 octets.
//
// Errors wrap ErrKey, ErrCertificate or what key returned.
//
// Source: NetSuite Help, "Certificate Conditions"; RFC 5280 section 4.1; RFC 4055
// section 3.1.
func SelfSigned(c NewCertificate, key crypto.Signer, rand io.Reader) ([]byte, error) {
	if key == nil || rand == nil {
		return nil, fmt.Errorf("%w: no key or no random source given", ErrKey)
	}
	curveBits, err := keyKind(key.Public())
	if err != nil {
		return nil, err
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	alg := map[int]x509.SignatureAlgorithm{0: x509.SHA256WithRSAPSS, 256: x509.ECDSAWithSHA256, 384: x509.ECDSAWithSHA384, 521: x509.ECDSAWithSHA512}[curveBits]
	serial := c.Serial
	serial[0] = serial[0]&0x7f | 0x40 // positive, and always of 16 octets
	t := &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial[:]), Subject: pkix.Name{CommonName: c.CommonName},
		NotBefore: c.NotBefore.UTC(), NotAfter: c.NotAfter.UTC(),
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true, SignatureAlgorithm: alg,
	}
	der, err := x509.CreateCertificate(rand, t, t, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("making a certificate: %w", err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil || made.CheckSignature(alg, made.RawTBSCertificate, made.Signature) != nil {
		return nil, errFaultySignature()
	}
	return der, nil
}

func (c NewCertificate) check() error {
	switch n := utf8.RuneCountInString(c.CommonName); {
	case n == 0 || n > maxCommonName:
		return fmt.Errorf("%w: a name of %d characters, take 1 to %d", ErrCertificate, n, maxCommonName)
	case !utf8.ValidString(c.CommonName) || strings.ContainsFunc(c.CommonName, unicode.IsControl):
		return fmt.Errorf("%w: its name has a character that cannot be shown", ErrCertificate)
	case !c.NotBefore.Before(c.NotAfter):
		return fmt.Errorf("%w: it ends before it begins", ErrCertificate)
	case c.NotAfter.After(twoYears(c.NotBefore)):
		return fmt.Errorf("%w: it runs for more than two years", ErrCertificate)
	}
	return nil
}

// twoYears returns when NetSuite ends a certificate that begins at t, at the latest.
func twoYears(t time.Time) time.Time { return t.UTC().AddDate(2, 0, 0) }

// CertificateEnd returns the last second at which NetSuite accepts a certificate: its own
// end, or two years after its start where it runs longer.
//
// Source: NetSuite Help, "Certificate Conditions".
func CertificateEnd(cert *x509.Certificate) time.Time {
	if end := twoYears(cert.NotBefore); cert.NotAfter.After(end) {
		return end
	}
	return cert.NotAfter.UTC()
}
