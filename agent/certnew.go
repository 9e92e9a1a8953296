package agent

import (
	"context"
	"fmt"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/internal/secret"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/signer"
)

// Changes that a staged profile belongs to.
const (
	changeCertificate = "cert new"    // waits for people to upload it
	changeRotation    = "cert rotate" // goes on by itself
)

// NewCertificate makes a private key and its certificate, for a new profile or, staged, for
// one that is there.
func (s adminService) NewCertificate(ctx context.Context, q *pb.NewCertificateRequest) (*pb.NewCertificateResponse, error) {
	out, err := s.newCertificate(ctx, q)
	if err != nil {
		return nil, s.reply(s.denied(callerOf(ctx), audit.EventCertNew, q.GetProfile().GetName(), err))
	}
	return out, nil
}

func (a *Agent) newCertificate(ctx context.Context, q *pb.NewCertificateRequest) (*pb.NewCertificateResponse, error) {
	w := certificateWish{kind: secret.KeyKind(q.GetKey()), name: q.GetCommonName(), days: int(q.GetDays())}
	if err := w.check(); err != nil {
		return nil, err
	}
	name := q.GetProfile().GetName()
	if q.GetProfile().GetAccount() == "" {
		st, err := a.stageCertificate(ctx, name, w, changeCertificate)
		if err != nil {
			return nil, err
		}
		return &pb.NewCertificateResponse{Certificate: st.certificateMessage(), Profile: a.changed(&profile{Name: name})}, nil
	}
	p, err := a.addWithCertificate(ctx, q.GetProfile(), w)
	if err != nil {
		return nil, err
	}
	return &pb.NewCertificateResponse{Certificate: p.certificateMessage(), Profile: a.changed(p)}, nil
}

// addWithCertificate stores a new profile with a new key.
func (a *Agent) addWithCertificate(ctx context.Context, m *pb.Profile, w certificateWish) (*profile, error) {
	s, end, err := a.beginChange(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	if m.GetCertificate() != "" || m.GetCertificateId() != "" || m.GetAlg() != "" {
		return nil, credential("a new certificate goes with no other", "")
	}
	m.Auth, m.CertificateId = authM2M, "new" // it passes the check; the real one follows
	now := a.clock()
	p, err := newProfile(m, now)
	if err != nil {
		return nil, err
	}
	a.mu.RLock()
	_, taken := s.profiles[p.Name]
	a.mu.RUnlock()
	if taken {
		return nil, exists(p.Name)
	}
	made, err := a.makeCertificate(p, w, now)
	if err != nil {
		return nil, err
	}
	defer made.destroy()
	return p, a.storeNew(ctx, s, p, made, audit.EventCertNew, fmt.Sprintf("key=%s certificate=%s", w.withDefaults("").kind, p.CertificateID), func(*live) {})
}

// stageCertificate makes the next key and certificate of a profile, and stages them.
func (a *Agent) stageCertificate(ctx context.Context, name string, w certificateWish, change string) (*live, error) {
	s, old, end, err := a.beginChangeOf(ctx, name)
	if err != nil {
		return nil, err
	}
	defer end()
	if old.Auth != authM2M {
		return nil, noCertificate(old)
	}
	if st := a.stagedFor(s, name); st != nil {
		return nil, alreadyStaged(st)
	}
	if w.kind == "" {
		w.kind = kindOfKey(old.key)
	}
	if w.name == "" {
		w.name = old.nameOnCertificate()
	}
	p := *old.profile
	p.Previous, p.RotateAfter, p.Retired = nil, 0, nil
	p.Created = a.clock().Unix()
	w = w.withDefaults(name)
	made, err := a.makeCertificate(&p, w, a.timeFor(old))
	if err != nil {
		return nil, err
	}
	defer made.destroy()
	return a.stage(ctx, s, old, &p, made, change, audit.EventCertNew, fmt.Sprintf("next key=%s certificate=%s", w.kind, p.CertificateID))
}

// DropCertificate forgets the next key and certificate of a profile.
func (s adminService) DropCertificate(ctx context.Context, q *pb.DropCertificateRequest) (*pb.DropCertificateResponse, error) {
	p, err := s.dropCertificate(ctx, q.GetName())
	if err != nil {
		return nil, s.reply(s.denied(callerOf(ctx), audit.EventCertDrop, q.GetName(), err))
	}
	return &pb.DropCertificateResponse{Profile: s.changed(p)}, nil
}

func (a *Agent) dropCertificate(ctx context.Context, name string) (*profile, error) {
	release, err := a.rotations.claim(name)
	if err != nil {
		return nil, err
	}
	defer release()
	s, p, end, err := a.beginChangeOf(ctx, name)
	if err != nil {
		return nil, err
	}
	defer end()
	st := a.stagedFor(s, name)
	if st == nil || st.Auth != authM2M {
		return nil, noNext(name)
	}
	return p.profile, a.unstage(ctx, s, st, audit.EventCertDrop, "certificate="+st.CertificateID, nil)
}

// certificateMessage returns the certificate of p in the form of the API.
func (p *profile) certificateMessage() *pb.Certificate {
	out := &pb.Certificate{CertificateId: p.CertificateID, Certificate: p.Certificate, State: "current", ValidUntil: p.Expires}
	if p.For != "" {
		out.State = "next"
	}
	if cert, err := signer.ParseCertificate([]byte(p.Certificate)); err == nil {
		out.ValidFrom, out.Algorithm, out.CommonName = cert.NotBefore.Unix(), cert.PublicKeyAlgorithm.String(), cert.Subject.CommonName
		if out.Algorithm == "ECDSA" {
			out.Algorithm = "EC"
		}
	}
	return out
}
