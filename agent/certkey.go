package agent

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nsagent/nsagent/internal/secret"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/signer"
)

const (
	// certificateLead is how long before now a new certificate begins: the clock here may be
	// a little ahead of NetSuite's.
	certificateLead = 5 * time.Minute
	// maxCertificateDays is two years, less the lead.
	maxCertificateDays = 729
)

// certificateWish is what a new key and its certificate shall be. Zero values mean the
// defaults: EC P-256, the name of the profile, two years.
type certificateWish struct {
	kind secret.KeyKind
	name string
	days int
	// until is when it ends, in Unix seconds; 0: after days.
	until int64
}

func (w certificateWish) withDefaults(profile string) certificateWish {
	if w.kind == "" {
		w.kind = secret.KeyEC256
	}
	if w.name == "" {
		w.name = profile
	}
	return w
}

// check refuses what no certificate for NetSuite can be.
func (w certificateWish) check() error {
	if w.kind != "" && !slices.Contains(secret.KeyKinds(), w.kind) {
		var kinds []string
		for _, k := range secret.KeyKinds() {
			kinds = append(kinds, string(k))
		}
		return refuse(ErrRequest, pb.CodeRequest, fmt.Sprintf("%.20q is no kind of key that NetSuite takes", w.kind), "take one of "+strings.Join(kinds, ", "), "")
	}
	if w.days < 0 || w.days > maxCertificateDays {
		return refuse(ErrRequest, pb.CodeRequest, fmt.Sprintf("a certificate for %d days is not made", w.days), fmt.Sprintf("NetSuite ends each after two years: take 1 to %d days", maxCertificateDays), "")
	}
	return nil
}

// makeCertificate makes a private key in the arena, and a certificate for it that it signs
// itself, and completes p from them. now is NetSuite's clock as far as it is known.
func (a *Agent) makeCertificate(p *profile, w certificateWish, now time.Time) (material, error) {
	if err := w.check(); err != nil {
		return material{}, err
	}
	w = w.withDefaults(p.callersName())
	der, err := a.arena.GenerateKey(w.kind)
	if err != nil {
		return material{}, fmt.Errorf("making a private key: %w", err)
	}
	stored, err := a.arena.Clone(der)
	if err != nil {
		der.Destroy()
		return material{}, err
	}
	key, err := a.arena.NewPrivateKey(der)
	if err != nil {
		stored.Destroy()
		return material{}, fmt.Errorf("making a private key: %w", err)
	}
	defer key.Destroy()
	if p.Certificate, err = selfSigned(key, w, now); err == nil {
		p.CertificateID, p.Alg = "", ""
		err = completeM2M(p, key, now)
	}
	if err != nil {
		stored.Destroy()
		return material{}, err
	}
	return material{signOnly: stored}, nil
}

// selfSigned returns a new certificate for key, as PEM.
func selfSigned(key *secret.PrivateKey, w certificateWish, now time.Time) (string, error) {
	c := signer.NewCertificate{CommonName: w.name, NotBefore: now.Add(-certificateLead)}
	c.NotAfter = c.NotBefore.AddDate(2, 0, 0)
	if w.days > 0 {
		c.NotAfter = now.Add(time.Duration(w.days) * day)
	}
	if w.until != 0 {
		c.NotAfter = time.Unix(w.until, 0)
	}
	if _, err := rand.Read(c.Serial[:]); err != nil {
		return "", fmt.Errorf("making a certificate: %w", err)
	}
	der, err := signer.SelfSigned(c, key, rand.Reader)
	if err != nil {
		return "", refuse(err, pb.CodeRequest, "the certificate cannot be made", reason(err, signer.ErrCertificate), "")
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), nil
}

// kindOfKey returns the kind of a key, as GenerateKey names it, or "" for one that it does
// not make.
func kindOfKey(key *secret.PrivateKey) secret.KeyKind {
	switch pub := key.Public().(type) {
	case *ecdsa.PublicKey:
		return secret.KeyKind(fmt.Sprintf("ec%d", pub.Curve.Params().BitSize))
	case *rsa.PublicKey:
		if kind := secret.KeyKind(fmt.Sprintf("rsa%d", pub.N.BitLen())); slices.Contains(secret.KeyKinds(), kind) {
			return kind
		}
	}
	return ""
}

// nameOnCertificate returns the common name of the certificate that p has; "" if it is not
// known.
func (p *profile) nameOnCertificate() string {
	cert, err := signer.ParseCertificate([]byte(p.Certificate))
	if err != nil {
		return ""
	}
	return cert.Subject.CommonName
}

// certificateSince returns when the certificate of p began, or, where only its ID is
// known, when it was stored.
func (p *profile) certificateSince() time.Time {
	if cert, err := signer.ParseCertificate([]byte(p.Certificate)); err == nil {
		return cert.NotBefore
	}
	if len(p.versions) > 0 {
		return p.versions[0].Created
	}
	return time.Unix(p.Created, 0)
}
