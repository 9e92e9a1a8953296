package agent

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/nsagent/nsagent/client"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/signer"
)

// keyText returns a private key as PEM (PKCS #8) and a certificate of it.
func keyText(t *testing.T, k crypto.Signer, notBefore, notAfter time.Time) (key, certificate string) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: notBefore, NotAfter: notAfter}
	cert, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	return block("PRIVATE KEY", der), block("CERTIFICATE", cert)
}

func block(label string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der}))
}

// caPEM returns some certificate.
func caPEM(t *testing.T) string {
	t.Helper()
	_, cert := keyPair(t, elliptic.P256(), time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	return cert
}

// TestHostileKeys: a key or certificate that NetSuite would not take, or that does
// not fit the other, is refused when it comes in; the key is not repeated.
func TestHostileKeys(t *testing.T) {
	f := start(t)
	f.unlock()
	now := time.Now()
	from, to := now.Add(-time.Hour), now.Add(time.Hour)
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, cert := keyText(t, ec, from, to)
	_, otherCert := keyPair(t, elliptic.P256(), from, to)
	_, expired := keyText(t, ec, now.Add(-2*time.Hour), now.Add(-time.Hour))
	_, early := keyText(t, ec, now.Add(time.Hour), now.Add(2*time.Hour))
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p224Key, p224Cert := keyText(t, p224, from, to)
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	edText, edCert := keyText(t, edKey, from, to)
	weak, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	weakKey, weakCert := keyText(t, weak, from, to)
	sec1, err := x509.MarshalECPrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	encrypted := block("ENCRYPTED PRIVATE KEY", sec1)
	legacy := strings.Replace(block("EC PRIVATE KEY", sec1), "-----\n", "-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n", 1)
	public, err := x509.MarshalPKIXPublicKey(ec.Public())
	if err != nil {
		t.Fatal(err)
	}
	body := strings.Split(key, "\n")[1][20:]

	m2m := func() *pb.Profile {
		return &pb.Profile{Name: "m2m", Account: "1234567_SB1", Auth: "m2m", ClientId: sample(1), Certificate: cert, Scopes: []string{"restlets"}}
	}
	for why, c := range map[string]struct {
		key    string
		change func(*pb.Profile)
	}{
		"an expired certificate":         {key, func(p *pb.Profile) { p.Certificate = expired }},
		"a certificate of tomorrow":      {key, func(p *pb.Profile) { p.Certificate = early }},
		"a certificate of another key":   {key, func(p *pb.Profile) { p.Certificate = otherCert }},
		"a certificate that is none":     {key, func(p *pb.Profile) { p.Certificate = "x" }},
		"two certificates":               {key, func(p *pb.Profile) { p.Certificate = cert + otherCert }},
		"text around the certificate":    {key, func(p *pb.Profile) { p.Certificate = "\x1b[2J" + cert }},
		"the key as certificate":         {key, func(p *pb.Profile) { p.Certificate = key }},
		"a certificate of 200 KB":        {key, func(p *pb.Profile) { p.Certificate = cert + strings.Repeat("\n", 200<<10) }},
		"another certificate ID":         {key, func(p *pb.Profile) { p.CertificateId = "x" }},
		"neither ID nor certificate":     {key, func(p *pb.Profile) { p.Certificate = "" }},
		"a newline in the ID":            {key, func(p *pb.Profile) { p.Certificate, p.CertificateId = "", "a\nb" }},
		"an alg of RSA":                  {key, func(p *pb.Profile) { p.Alg = "PS256" }},
		"an alg of another curve":        {key, func(p *pb.Profile) { p.Alg = "ES384" }},
		"RS256":                          {key, func(p *pb.Profile) { p.Alg = "RS256" }},
		"none":                           {key, func(p *pb.Profile) { p.Alg = "none" }},
		"HS256":                          {key, func(p *pb.Profile) { p.Alg = "HS256" }},
		"no scope":                       {key, func(p *pb.Profile) { p.Scopes = nil }},
		"an unknown scope":               {key, func(p *pb.Profile) { p.Scopes = []string{"mcp"} }},
		"a scope twice":                  {key, func(p *pb.Profile) { p.Scopes = []string{"restlets", "restlets"} }},
		"scopes in one":                  {key, func(p *pb.Profile) { p.Scopes = []string{"restlets rest_webservices"} }},
		"no client ID":                   {key, func(p *pb.Profile) { p.ClientId = "" }},
		"a token ID too":                 {key, func(p *pb.Profile) { p.TokenId = "x" }},
		"RSA 2048":                       {weakKey, func(p *pb.Profile) { p.Certificate = weakCert }},
		"RSA 2048 with RS256":            {weakKey, func(p *pb.Profile) { p.Certificate, p.Alg = weakCert, "RS256" }},
		"P-224":                          {p224Key, func(p *pb.Profile) { p.Certificate = p224Cert }},
		"Ed25519":                        {edText, func(p *pb.Profile) { p.Certificate = edCert }},
		"an encrypted key":               {encrypted, nil},
		"a key encrypted the old way":    {legacy, nil},
		"a certificate as key":           {cert, nil},
		"a public key":                   {block("PUBLIC KEY", public), nil},
		"a request":                      {block("CERTIFICATE REQUEST", public), nil},
		"two keys":                       {key + key, nil},
		"key and certificate in one":     {key + cert, nil},
		"text before the key":            {"x" + key, nil},
		"text after the key":             {key + "x", nil},
		"no PEM":                         {body, nil},
		"half of it":                     {key[:len(key)/2], nil},
		"the label of a certificate":     {strings.ReplaceAll(key, "PRIVATE KEY", "CERTIFICATE"), nil},
		"damaged base64":                 {strings.Replace(key, body[:4], "!!!!", 1), nil},
		"a flipped letter of DER":        {block("PRIVATE KEY", append([]byte{0x31}, sec1[1:]...)), nil},
		"trailing bytes in DER":          {block("EC PRIVATE KEY", append(sec1[:len(sec1):len(sec1)], 0)), nil},
		"empty":                          {"", nil},
		"an SSH key":                     {"-----BEGIN OPENSSH PRIVATE KEY-----\n" + body + "\n-----END OPENSSH PRIVATE KEY-----\n", nil},
		"a key of 17 KB":                 {key + strings.Repeat("\n", 17<<10), nil},
		"a key of 40 KB":                 {key + strings.Repeat("\n", 40<<10), nil},
		"the secret of a TBA credential": {sample(2), nil},
	} {
		p := m2m()
		if c.change != nil {
			c.change(p)
		}
		_, err := f.admin.AddProfile(t.Context(), p, map[string]client.Sealer{"private_key": f.sealer(c.key)})
		if errorCode(err) != string(pb.CodeCredential) {
			t.Errorf("%s: got %v, want %s", why, err, pb.CodeCredential)
		}
		if err != nil && (strings.Contains(err.Error(), body[:10]) || strings.Contains(err.Error(), "\x1b")) {
			t.Errorf("%s: the message repeats what was sent: %q", why, err)
		}
		if err == nil {
			_ = f.admin.RemoveProfile(t.Context(), "m2m")
		}
	}
	if l, err := f.signer.Profiles(t.Context()); err != nil || len(l.GetProfiles()) != 0 {
		t.Errorf("afterwards: got %v, %v, want no profile", l, err)
	}

	strong, err := rsa.GenerateKey(rand.Reader, 3072)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, rsaCert := keyText(t, strong, from, to)
	p521, p521Cert := keyPair(t, elliptic.P521(), from, to)
	for why, c := range map[string]struct {
		key, alg string
		change   func(*pb.Profile)
	}{
		"P-256":         {key, "ES256", nil},
		"SEC 1":         {block("EC PRIVATE KEY", sec1), "ES256", nil},
		"P-521":         {p521, "ES512", func(p *pb.Profile) { p.Certificate = p521Cert }},
		"RSA":           {rsaKey, "PS256", func(p *pb.Profile) { p.Certificate = rsaCert }},
		"RSA, PKCS #1":  {block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(strong)), "PS512", func(p *pb.Profile) { p.Certificate, p.Alg = rsaCert, "PS512" }},
		"only the ID":   {key, "ES256", func(p *pb.Profile) { p.Certificate, p.CertificateId = "", "abc" }},
		"ID and itself": {key, "ES256", func(p *pb.Profile) { p.CertificateId = certificateID(t, cert) }},
	} {
		p := m2m()
		if c.change != nil {
			c.change(p)
		}
		got, err := f.admin.AddProfile(t.Context(), p, map[string]client.Sealer{"private_key": f.sealer(c.key)})
		if err != nil || got.GetAlg() != c.alg || got.GetCertificateId() == "" {
			t.Errorf("%s: got %v, %v, want %s", why, got, err, c.alg)
			continue
		}
		if a, err := f.signer.Assertion(t.Context(), client.AssertionRequest{}); err != nil || strings.Count(a.GetAssertion(), ".") != 2 {
			t.Errorf("%s: assertion: got %v, %v", why, a, err)
		}
		if err := f.admin.RemoveProfile(t.Context(), "m2m"); err != nil {
			t.Error(err)
		}
	}
}

func certificateID(t *testing.T, text string) string {
	t.Helper()
	cert, err := signer.ParseCertificate([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return signer.CertificateID(cert.Raw)
}
