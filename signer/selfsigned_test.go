package signer

import (
	"crypto"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

func newCertificateOf(name string, years int) NewCertificate {
	from := time.Date(2026, 2, 28, 12, 0, 0, 0, time.UTC)
	return NewCertificate{CommonName: name, Serial: [16]byte{0xff, 1}, NotBefore: from, NotAfter: from.AddDate(years, 0, 0)}
}

// TestSelfSigned guards that each kind of key gets a certificate that NetSuite can take,
// which is its own, and which signs with it.
func TestSelfSigned(t *testing.T) {
	for name, test := range map[string]struct {
		key crypto.Signer
		alg x509.SignatureAlgorithm
	}{
		"P-256":    {ecKey(t, elliptic.P256()), x509.ECDSAWithSHA256},
		"P-384":    {ecKey(t, elliptic.P384()), x509.ECDSAWithSHA384},
		"P-521":    {ecKey(t, elliptic.P521()), x509.ECDSAWithSHA512},
		"RSA 3072": {rsaKey(t, 3072), x509.SHA256WithRSAPSS},
	} {
		c := newCertificateOf("acme-prod", 2)
		der, err := SelfSigned(c, test.key, rand.Reader)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		cert, err := ParseCertificate(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := CheckCertificate(cert, test.key.Public(), c.NotAfter); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if cert.SignatureAlgorithm != test.alg || cert.Subject.String() != "CN=acme-prod" || cert.Issuer.String() != "CN=acme-prod" || cert.IsCA || cert.KeyUsage != x509.KeyUsageDigitalSignature {
			t.Errorf("%s: got %s, %s by %s, CA %t", name, cert.SignatureAlgorithm, cert.Subject, cert.Issuer, cert.IsCA)
		}
		if n := cert.SerialNumber; n.Sign() != 1 || n.BitLen() != 127 {
			t.Errorf("%s: serial number %d", name, n)
		}
		if !cert.NotBefore.Equal(c.NotBefore) || !cert.NotAfter.Equal(c.NotAfter) || !CertificateEnd(cert).Equal(c.NotAfter) {
			t.Errorf("%s: from %s until %s", name, cert.NotBefore, cert.NotAfter)
		}
	}
}

// faulty signs wrongly.
type faulty struct{ crypto.Signer }

func (f faulty) Sign(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	wrong := append([]byte{}, digest...)
	wrong[0] ^= 1
	return f.Signer.Sign(r, wrong, opts)
}

func TestSelfSignedRefuses(t *testing.T) {
	key := ecKey(t, elliptic.P256())
	leap := newCertificateOf("a", 2)
	leap.NotAfter = leap.NotAfter.Add(time.Second)
	backwards := newCertificateOf("a", 2)
	backwards.NotBefore = backwards.NotAfter
	for name, test := range map[string]struct {
		c    NewCertificate
		key  crypto.Signer
		rand io.Reader
		want error
	}{
		"no name":               {newCertificateOf("", 2), key, rand.Reader, ErrCertificate},
		"a name of 65":          {newCertificateOf(strings.Repeat("ä", 65), 2), key, rand.Reader, ErrCertificate},
		"a line end in it":      {newCertificateOf("a\nb", 2), key, rand.Reader, ErrCertificate},
		"no UTF-8":              {newCertificateOf("a\xffb", 2), key, rand.Reader, ErrCertificate},
		"two years, one second": {leap, key, rand.Reader, ErrCertificate},
		"three years":           {newCertificateOf("a", 3), key, rand.Reader, ErrCertificate},
		"no time at all":        {backwards, key, rand.Reader, ErrCertificate},
		"no key":                {newCertificateOf("a", 2), nil, rand.Reader, ErrKey},
		"no random source":      {newCertificateOf("a", 2), key, nil, ErrKey},
		"P-224":                 {newCertificateOf("a", 2), ecKey(t, elliptic.P224()), rand.Reader, ErrKey},
		"RSA 2048":              {newCertificateOf("a", 2), rsaKey(t, 2048), rand.Reader, ErrKey},
	} {
		if der, err := SelfSigned(test.c, test.key, test.rand); !errors.Is(err, test.want) || der != nil {
			t.Errorf("%s: got %v, want %v", name, err, test.want)
		}
	}
	if _, err := SelfSigned(newCertificateOf(strings.Repeat("ä", 64), 1), key, rand.Reader); err != nil {
		t.Errorf("a name of 64 characters: %v", err)
	}
	if der, err := SelfSigned(newCertificateOf("a", 1), faulty{key}, rand.Reader); err == nil || der != nil {
		t.Error("a certificate with a wrong signature came out")
	}
}

// TestCertificateEnd guards that a certificate which runs for longer ends when NetSuite
// ends it.
func TestCertificateEnd(t *testing.T) {
	from := time.Date(2024, 2, 29, 10, 0, 0, 0, time.UTC)
	end := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	key := ecKey(t, elliptic.P256())
	cert, err := ParseCertificate(newCertificate(t, key, from, from.AddDate(10, 0, 0)))
	if err != nil {
		t.Fatal(err)
	}
	if got := CertificateEnd(cert); !got.Equal(end) {
		t.Errorf("ends %s, want %s", got, end)
	}
	short, err := ParseCertificate(newCertificate(t, key, from, from.AddDate(1, 0, 0)))
	if err != nil {
		t.Fatal(err)
	}
	if got := CertificateEnd(short); !got.Equal(short.NotAfter) {
		t.Errorf("one of a year ends %s, want %s", got, short.NotAfter)
	}
}
