package agent

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"github.com/nsagent/nsagent/internal/secret"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/signer"
	"github.com/nsagent/nsagent/vault"
)

// maxSecret is the longest consumer or token secret accepted, in bytes. NetSuite's
// have 64.
const maxSecret = 512

// material is a credential's secret content in the two forms that the vault
// keeps: what is opened at unlock, and what is opened only to rotate.
type material struct {
	signOnly secret.Bytes
	raw      secret.Bytes
	long     vault.Value // takes the place of raw where that is too long
}

func (m material) destroy() {
	m.signOnly.Destroy()
	m.raw.Destroy()
	m.long.Destroy()
}

// newTBA makes the two forms of a TBA credential from its secrets: the HMAC
// midstates of enc(cs)&enc(ts), and both secrets as they came in.
func newTBA(arena *secret.Arena, consumerSecret, tokenSecret secret.Bytes) (material, error) {
	for _, f := range []struct {
		name string
		b    secret.Bytes
	}{{"consumer_secret", consumerSecret}, {"token_secret", tokenSecret}} {
		if err := checkSecret(f.name, f.b); err != nil {
			return material{}, err
		}
	}
	if consumerSecret.Equal(tokenSecret) {
		return material{}, credential("consumer_secret and token_secret are the same", "one of them was pasted twice")
	}
	key, err := signingKey(arena, consumerSecret, tokenSecret)
	if err != nil {
		return material{}, err
	}
	defer key.Destroy()
	mac, err := arena.NewHMACKey(key)
	if err != nil {
		return material{}, err
	}
	defer mac.Destroy()
	var m material
	if m.signOnly, err = arena.Alloc(64); err != nil {
		return material{}, err
	}
	err = mac.UseMidstates(func(states []byte) error {
		return m.signOnly.Use(func(p []byte) error { secret.Copy(p, states); return nil })
	})
	if err == nil {
		m.raw, err = joinSecrets(arena, consumerSecret, tokenSecret)
	}
	if err != nil {
		m.destroy()
		return material{}, err
	}
	return m, nil
}

// signingKey returns enc(cs)&enc(ts) (RFC 5849 section 3.4.2) in the arena; ts may be the
// zero Bytes.
func signingKey(arena *secret.Arena, cs, ts secret.Bytes) (secret.Bytes, error) {
	key, err := arena.Alloc(signer.SigningKeyLen(cs.Len(), ts.Len()))
	if err != nil {
		return secret.Bytes{}, err
	}
	n := 0
	err = useBoth(cs, ts, func(c, t []byte) error {
		return key.Use(func(p []byte) error {
			secret.Do(func() { n = len(signer.AppendSigningKey(p[:0], c, t)) })
			return nil
		})
	})
	if err == nil {
		err = key.Truncate(n)
	}
	if err != nil {
		key.Destroy()
		return secret.Bytes{}, err
	}
	return key, nil
}

// joinSecrets returns the raw form of a credential of two secrets: each behind its length
// in two bytes, big endian. One that is not there is the zero Bytes.
func joinSecrets(arena *secret.Arena, all ...secret.Bytes) (secret.Bytes, error) {
	size := 0
	for _, s := range all {
		size += 2 + s.Len()
	}
	raw, err := arena.Alloc(size)
	if err != nil {
		return secret.Bytes{}, err
	}
	err = raw.Use(func(p []byte) error {
		for _, s := range all {
			n := s.Len()
			p[0], p[1] = byte(n>>8), byte(n)
			if n > 0 {
				if err := s.Use(func(q []byte) error { secret.Copy(p[2:2+n], q); return nil }); err != nil {
					return err
				}
			}
			p = p[2+n:]
		}
		return nil
	})
	if err != nil {
		raw.Destroy()
		return secret.Bytes{}, err
	}
	return raw, nil
}

// useBoth lends two secrets, of which the second may be the zero Bytes.
func useBoth(a, b secret.Bytes, f func(a, b []byte) error) error {
	if b.IsZero() {
		return a.Use(func(p []byte) error { return f(p, nil) })
	}
	return a.Use(func(p []byte) error { return b.Use(func(q []byte) error { return f(p, q) }) })
}

// checkSecret refuses what cannot be a NetSuite secret. The message names the
// field and the kind of mistake, never the value.
func checkSecret(name string, b secret.Bytes) error {
	if b.Len() == 0 {
		return credential(name+" is missing", "")
	}
	if b.Len() > maxSecret {
		return credential(name+" is too long", fmt.Sprintf("at most %d bytes", maxSecret))
	}
	blank := false
	err := b.Use(func(p []byte) error {
		for _, c := range p {
			blank = blank || c <= ' ' || c > '~'
		}
		return nil
	})
	if err == nil && blank {
		err = credential(name+" has a character that NetSuite does not use", "a blank or line end copied along with it?")
	}
	return err
}

// newM2M makes the stored form of an M2M key and completes the profile from it:
// algorithm, certificate ID and expiry. It owns pemText.
func newM2M(arena *secret.Arena, p *profile, pemText secret.Bytes, now time.Time) (material, error) {
	der, label, err := arena.DecodePEM(pemText)
	pemText.Destroy()
	why := "one unencrypted PKCS#8, SEC 1 or PKCS#1 block is needed"
	if err == nil && !slices.Contains([]string{"PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"}, label) {
		der.Destroy()
		err = fmt.Errorf("%w: a block of type %.40q", ErrCredential, label)
		switch label {
		case "CERTIFICATE":
			why = "it is a certificate: the key is in the file that was made along with it"
		case "ENCRYPTED PRIVATE KEY":
			why = "it is encrypted: decrypt it first, with openssl pkcs8 -in FILE"
		}
	}
	if err != nil {
		return material{}, refuse(err, pb.CodeCredential, "private_key is not a PEM private key", why, "")
	}
	stored, err := arena.Clone(der)
	if err != nil {
		der.Destroy()
		return material{}, err
	}
	key, err := arena.NewPrivateKey(der)
	if err != nil {
		stored.Destroy()
		return material{}, refuse(err, pb.CodeCredential, "private_key cannot be used", "NetSuite takes EC P-256, P-384, P-521 and RSA 3072 or 4096", "")
	}
	defer key.Destroy()
	if err := completeM2M(p, key, now); err != nil {
		stored.Destroy()
		return material{}, err
	}
	return material{signOnly: stored}, nil
}

func completeM2M(p *profile, key *secret.PrivateKey, now time.Time) error {
	alg, err := signer.AlgorithmFor(key.Public())
	if err != nil {
		return refuse(err, pb.CodeCredential, "private_key is of a kind that NetSuite does not take", keyKind(key), "")
	}
	if p.Alg == "" {
		p.Alg = alg
	}
	if err := signer.CheckAlgorithm(p.Alg, key.Public()); err != nil {
		return refuse(err, pb.CodeCredential, fmt.Sprintf("alg %.20q does not fit the private key", p.Alg), keyKind(key)+" goes with "+alg, "")
	}
	if p.Certificate == "" {
		return nil
	}
	cert, err := signer.ParseCertificate([]byte(p.Certificate))
	if err != nil {
		return refuse(err, pb.CodeCredential, "certificate cannot be read", "one PEM block of type CERTIFICATE is needed", "")
	}
	if err := signer.CheckCertificate(cert, key.Public(), now); err != nil {
		return refuse(err, pb.CodeCredential, "certificate cannot be used with this key", certificateFault(cert, now), "")
	}
	end := p.certificateEnd(cert)
	if now.After(end) {
		return refuse(signer.ErrCertificateTime, pb.CodeCredential, "certificate cannot be used with this key",
			endedEarly(end), "")
	}
	id := signer.CertificateID(cert.Raw)
	if p.CertificateID != "" && p.CertificateID != id {
		return credential("certificate_id is not that of the certificate", "the certificate's own ID is "+id)
	}
	p.CertificateID, p.Expires = id, end.Unix()
	return nil
}

// certificateEnd returns when a certificate of p ends. What is behind an endpoint of its
// own, such as a mock, need not cut it as NetSuite does.
func (p *profile) certificateEnd(cert *x509.Certificate) time.Time {
	if p.Endpoint != "" {
		return cert.NotAfter.UTC()
	}
	return signer.CertificateEnd(cert)
}

// endedEarly says why a certificate is over that runs for longer than NetSuite takes it.
func endedEarly(end time.Time) string {
	return "NetSuite ended it on " + end.Format(time.DateOnly) + ", two years after its start, though it runs for longer"
}

func certificateFault(cert *x509.Certificate, now time.Time) string {
	switch {
	case now.After(cert.NotAfter):
		return "it expired on " + cert.NotAfter.UTC().Format(time.DateOnly)
	case now.Before(cert.NotBefore):
		return "it begins on " + cert.NotBefore.UTC().Format(time.DateOnly)
	default:
		return "it belongs to another key"
	}
}

func keyKind(key *secret.PrivateKey) string {
	switch k := key.Public().(type) {
	case *ecdsa.PublicKey:
		return "EC " + k.Curve.Params().Name
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", k.N.BitLen())
	default:
		return "this kind of key"
	}
}
