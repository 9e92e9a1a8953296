package agent

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/internal/secret"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
)

// ListCertificates lists the certificates of the profile's integration record.
func (s adminService) ListCertificates(ctx context.Context, q *pb.ListCertificatesRequest) (*pb.ListCertificatesResponse, error) {
	out, err := s.certificates(ctx, q.GetName())
	if err != nil {
		return nil, s.reply(s.denied(callerOf(ctx), audit.EventCertList, q.GetName(), err))
	}
	return out, nil
}

func (a *Agent) certificates(ctx context.Context, name string) (*pb.ListCertificatesResponse, error) {
	listed, err := a.listCertificates(ctx, name)
	if err != nil {
		return nil, err
	}
	s, p, err := a.certified(name)
	if err != nil {
		return nil, err
	}
	st := a.stagedFor(s, name)
	now := a.clock()
	out := &pb.ListCertificatesResponse{Limit: maxActiveCertificates}
	slices.SortStableFunc(listed, func(a, b mapped) int {
		if x, y := a.active(now), b.active(now); x != y {
			return cmp.Compare(boolInt(y), boolInt(x))
		}
		return a.until.Compare(b.until)
	})
	for _, m := range listed {
		c := &pb.Certificate{
			CertificateId: m.id, Algorithm: m.algorithm, Revoked: m.revoked, ValidFrom: unixOf(m.from), ValidUntil: unixOf(m.until),
			Entity: m.entity, EntityName: m.entityName, Role: m.role, RoleName: m.roleName, Application: m.application,
		}
		switch {
		case m.id == p.CertificateID:
			c.State = "current"
		case st != nil && m.id == st.CertificateID:
			c.State = "next"
		case slices.ContainsFunc(p.Retired, func(r retired) bool { return r.ID == m.id && r.lent() }):
			c.State = "bundle"
		case slices.ContainsFunc(p.Retired, func(r retired) bool { return r.ID == m.id }):
			c.State = "previous"
		}
		if m.active(now) {
			out.Active++
		}
		out.Certificates = append(out.Certificates, c)
	}
	return out, nil
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func unixOf(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// UploadCertificate uploads the next certificate of a profile.
func (s adminService) UploadCertificate(ctx context.Context, q *pb.UploadCertificateRequest) (*pb.UploadCertificateResponse, error) {
	defer s.seals.drop(callerOf(ctx).peer, boxes(q.GetProof())...)
	c, err := s.uploadNext(ctx, q)
	if err != nil {
		return nil, s.reply(s.denied(callerOf(ctx), audit.EventCertUpload, q.GetName(), err))
	}
	return &pb.UploadCertificateResponse{Certificate: c}, nil
}

func (a *Agent) uploadNext(ctx context.Context, q *pb.UploadCertificateRequest) (*pb.Certificate, error) {
	name := q.GetName()
	asked := standing{q.GetEntity(), q.GetRole()}
	if err := asked.check(); err != nil {
		return nil, err
	}
	release, err := a.rotations.claim(name)
	if err != nil {
		return nil, err
	}
	defer release()
	s, _, err := a.certified(name)
	if err != nil {
		return nil, err
	}
	st := a.stagedFor(s, name)
	if st == nil || st.Auth != authM2M {
		return nil, noNext(name)
	}
	listed, err := a.listCertificates(ctx, name)
	if err != nil {
		return nil, err
	}
	r := &rotation{Agent: a, name: name}
	own := presentOf(listed).standing
	switch {
	case !own.fits(asked):
		return nil, otherStanding(name, own)
	case !own.or(asked).known(): // before somebody is asked for a proof in vain
		return nil, notKnown(name)
	case own.or(asked) != own:
		r.asked = asked
		if r.proof, err = a.proveStanding(ctx, name, q.GetProof()); err != nil {
			return nil, err
		}
	}
	if st, err = r.uploaded(ctx, st, listed); err != nil {
		return nil, err
	}
	return st.certificateMessage(), nil
}

// proveStanding is prove for an upload that names what no certificate of the profile says.
// The upload goes on without the turn: NetSuite may take its time.
func (a *Agent) proveStanding(ctx context.Context, name string, proof *pb.Proof) (string, error) {
	s, _, end, err := a.beginChangeOf(ctx, name)
	if err != nil {
		return "", err
	}
	defer end()
	return a.prove(ctx, s, proof, pb.Admin_UploadCertificate_FullMethodName, name, "naming the entity or role of a certificate", (*session).stepUp)
}

func noNext(name string) error {
	return refuse(vault.ErrNotFound, pb.CodeNotFound, fmt.Sprintf("profile %q has no next certificate", name), "", "make one:  nsagent cert new -p "+name)
}

// RotateCertificate puts the next certificate into the place of the present one.
func (s adminService) RotateCertificate(ctx context.Context, q *pb.RotateCertificateRequest) (*pb.RotateCertificateResponse, error) {
	out, err := s.rotateCertificate(ctx, q)
	if err != nil {
		return nil, s.reply(s.denied(callerOf(ctx), audit.EventCertRotate, q.GetName(), err))
	}
	return &pb.RotateCertificateResponse{
		Profile: s.changed(out.profile), Certificate: out.profile.certificateMessage(), PreviousCertificateId: out.before, RevokedAfter: out.until,
	}, nil
}

func (a *Agent) rotateCertificate(ctx context.Context, q *pb.RotateCertificateRequest) (rotated, error) {
	r := &rotation{
		Agent: a, name: q.GetName(), byHand: q.GetByHand(), why: "asked",
		wish: certificateWish{kind: secret.KeyKind(q.GetKey()), name: q.GetCommonName(), days: int(q.GetDays())},
	}
	if err := r.wish.check(); err != nil {
		return rotated{}, err
	}
	var err error
	if r.overlap, err = overlapOf(q.GetOverlapSeconds()); err != nil {
		return rotated{}, err
	}
	return r.run(ctx)
}

// RevokeCertificate revokes a certificate at NetSuite.
func (s adminService) RevokeCertificate(ctx context.Context, q *pb.RevokeCertificateRequest) (*pb.RevokeCertificateResponse, error) {
	if err := s.revokeOther(ctx, q.GetName(), q.GetCertificateId()); err != nil {
		return nil, s.reply(s.denied(callerOf(ctx), audit.EventCertRevoke, q.GetName(), err))
	}
	return &pb.RevokeCertificateResponse{}, nil
}

// revokeOther revokes a certificate that is not the one in use.
func (a *Agent) revokeOther(ctx context.Context, name, id string) error {
	if !certificateIDs().MatchString(id) {
		return refuse(ErrRequest, pb.CodeRequest, fmt.Sprintf("%.60q is not a certificate ID", id), "it has 43 letters, digits, hyphens and underscores", "list them:  nsagent cert ls -p "+name)
	}
	release, err := a.rotations.claim(name)
	if err != nil {
		return err
	}
	defer release()
	s, p, err := a.certified(name)
	if err != nil {
		return err
	}
	if id == p.CertificateID {
		return refuse(ErrRequest, pb.CodeRequest, fmt.Sprintf("%s is the certificate that profile %q uses", id, name), "without it nothing can be asked of NetSuite", "rotate first:  nsagent cert rotate -p "+name)
	}
	if err := a.revokeCertificate(ctx, name, id); err != nil {
		return err
	}
	if st := a.stagedFor(s, name); st != nil && st.CertificateID == id {
		return (&rotation{Agent: a, name: name, id: id}).unstageFailed(ctx, st)
	}
	return a.forgetRetired(ctx, name, []string{id})
}
