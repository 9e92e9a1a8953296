package signer

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"
)

type certificateInput struct {
	PEM string `json:"pem"`
}

func loadCertificate(t testing.TB) (text, id string) {
	t.Helper()
	type steps struct {
		Rule string `json:"rule"`
	}
	type want struct {
		ID string `json:"certificate_id"`
	}
	v := loadVectors[certificateInput, steps, want](t, "certificate.json", 1)[0]
	return v.Input.PEM, v.Want.ID
}

func TestCertificateIDVector(t *testing.T) {
	text, want := loadCertificate(t)
	cert, err := ParseCertificate([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if got := CertificateID(cert.Raw); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if alg, err := AlgorithmFor(cert.PublicKey); alg != "ES256" || err != nil {
		t.Errorf("algorithm %q, %v", alg, err)
	}
}

// newCertificate returns a self-signed certificate of key in PEM.
func newCertificate(t testing.TB, key crypto.Signer, from, until time.Time) []byte {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: from, NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func TestParseCertificateRefuses(t *testing.T) {
	text, _ := loadCertificate(t)
	key, err := x509.MarshalPKCS8PrivateKey(ecKey(t, elliptic.P256()))
	if err != nil {
		t.Fatal(err)
	}
	keyPEM := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
	tests := map[string]string{
		"nothing":             "",
		"blanks":              " \n",
		"text before":         "subject=x\n" + text,
		"text after":          text + "x",
		"two":                 text + text,
		"key after":           text + keyPEM,
		"key before":          keyPEM + text,
		"key only":            keyPEM,
		"DER":                 string(key),
		"another type":        strings.ReplaceAll(text, "CERTIFICATE", "TRUSTED CERTIFICATE"),
		"another end":         strings.Replace(text, "END CERTIFICATE", "END KEY", 1),
		"cut":                 text[:len(text)/2],
		"headers":             strings.Replace(text, "-----\n", "-----\nProc-Type: 4,ENCRYPTED\n\n", 1),
		"not base64":          "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n",
		"not a certificate":   "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
		"too long":            text + strings.Repeat("\n", maxCertificate),
		"octets after in DER": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: append(pemBytes(t, text), 0)})),
	}
	for name, text := range tests {
		cert, err := ParseCertificate([]byte(text))
		if !errors.Is(err, ErrCertificate) || cert != nil {
			t.Errorf("%s: got %v, %v, want ErrCertificate", name, cert, err)
		} else {
			checkErrorText(t, err, name)
		}
	}
	for name, text := range map[string]string{
		"line ends of Windows": strings.ReplaceAll(text, "\n", "\r\n"),
		"blanks around":        "\n\n  " + text + "\n \n",
		"no line end":          strings.TrimSpace(text),
	} {
		if _, err := ParseCertificate([]byte(text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func pemBytes(t testing.TB, text string) []byte {
	t.Helper()
	block, _ := pem.Decode([]byte(text))
	return bytes.Clone(block.Bytes)
}

func TestCheckCertificate(t *testing.T) {
	from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	until := from.AddDate(2, 0, 0)
	parse := func(key crypto.Signer) *x509.Certificate {
		cert, err := ParseCertificate(newCertificate(t, key, from, until))
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}
	p256, rsa2048, rsa3072 := ecKey(t, elliptic.P256()), rsaKey(t, 2048), rsaKey(t, 3072)
	cert := parse(p256)
	tests := map[string]struct {
		cert *x509.Certificate
		pub  crypto.PublicKey
		now  time.Time
		want error
	}{
		"right":        {cert, p256.Public(), from.AddDate(1, 0, 0), nil},
		"RSA":          {parse(rsa3072), rsa3072.Public(), from, nil},
		"first second": {cert, p256.Public(), from, nil},
		"last second":  {cert, p256.Public(), until, nil},
		"too early":    {cert, p256.Public(), from.Add(-time.Second), ErrCertificateTime},
		"too late":     {cert, p256.Public(), until.Add(time.Second), ErrCertificateTime},
		"other key":    {cert, ecKey(t, elliptic.P256()).Public(), from, ErrCertificateKey},
		"other kind":   {cert, rsa3072.Public(), from, ErrCertificateKey},
		"no key":       {cert, nil, from, ErrKey},
		"nil key":      {cert, (*ecdsa.PublicKey)(nil), from, ErrKey},
		"RSA 2048":     {parse(rsa2048), rsa2048.Public(), from, ErrKey},
		"none":         {nil, p256.Public(), from, ErrCertificate},
	}
	for name, c := range tests {
		if err := CheckCertificate(c.cert, c.pub, c.now); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
}

func FuzzParseCertificate(f *testing.F) {
	text, _ := loadCertificate(f)
	f.Add([]byte(text))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Add([]byte(text + text))
	f.Add(newCertificate(f, ecKey(f, elliptic.P384()), time.Unix(0, 0), time.Unix(1, 0)))
	f.Fuzz(func(t *testing.T, text []byte) {
		cert, err := ParseCertificate(text)
		if err != nil {
			if !errors.Is(err, ErrCertificate) || cert != nil {
				t.Fatalf("got %v, %v", cert, err)
			}
			checkErrorText(t, err, "certificate")
			return
		}
		again, err := ParseCertificate(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}))
		if err != nil || !again.Equal(cert) || CertificateID(again.Raw) != CertificateID(cert.Raw) {
			t.Fatalf("written again it is %v, %v", again, err)
		}
		_ = CheckCertificate(cert, cert.PublicKey, cert.NotBefore) // must not panic
	})
}

// TestOAuth2Vectors keeps the vectors of the code grant true; nothing here signs them.
func TestOAuth2Vectors(t *testing.T) {
	type input struct {
		Verifier     string `json:"code_verifier"`
		ClientID     string `json:"client_id"`
		ClientSecret string `json:"client_secret"`
	}
	type want struct {
		Challenge     string `json:"code_challenge"`
		Authorization string `json:"authorization"`
	}
	for _, v := range loadVectors[input, none, want](t, "oauth2.json", 5) {
		var got want
		if v.Input.Verifier != "" {
			var err error
			if got.Challenge, err = CodeChallenge([]byte(v.Input.Verifier)); err != nil {
				t.Errorf("%s: %v", v.Name, err)
			}
		} else {
			got.Authorization = "Basic " + base64.StdEncoding.EncodeToString([]byte(v.Input.ClientID+":"+v.Input.ClientSecret))
		}
		if got != v.Want {
			t.Errorf("%s: got %+v, want %+v", v.Name, got, v.Want)
		}
	}
}
