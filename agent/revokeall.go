package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nsagent/nsagent/agent/audit"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// revokeProfile ends at NetSuite everything that a profile stands for, and returns the
// profile as it was then. It has its turn only to begin: the network may be slow, and
// whoever wants to unlock or to change something meanwhile does not wait for it.
func (a *Agent) revokeProfile(ctx context.Context, name string) (*live, error) {
	release, err := a.rotations.claim(name)
	if err != nil {
		return nil, err
	}
	defer release()
	s, p, end, err := a.beginChangeOf(ctx, name)
	if err != nil {
		return nil, err
	}
	st := a.stagedFor(s, name)
	end()
	// Whoever asked may go away: what was begun comes to an end.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rotationTime)
	defer cancel()
	return p, a.carryOut(callerOf(ctx), changeOf(audit.EventProfileRevoke, p.profile, ""), func() error { return a.revokeAtNetSuite(ctx, s, p, st) })
}

// revokeAtNetSuite ends at NetSuite what p stands for, so that a copy of it is worth
// nothing any more: its credential, the one before that is kept for its overlap, and st,
// the one that waits for its turn; nil: none does. What fails keeps nothing else from
// being revoked. The error names what is alive.
func (a *Agent) revokeAtNetSuite(ctx context.Context, s *session, p, st *live) error {
	r := &revocation{name: p.Name}
	if st != nil && st.Auth == authTBA {
		r.try("its other token, "+st.TokenID, unlessDead(a.revokeToken(ctx, s, st)))
	}
	if st != nil && st.Auth == authM2M && p.Auth != authM2M {
		r.try("its next certificate, "+st.CertificateID, refuse(ErrKind, pb.CodeNetSuite, "", "only a certificate in use can revoke one; if it was uploaded, it is revoked by hand at "+menuOfCertificates, "then remove the profile:  nsagent profile rm "+p.Name))
	}
	switch p.Auth {
	case authCode:
		r.try("its consent", a.revokeConsent(ctx, s, p))
	case authTBA:
		if p.Previous != nil && p.Previous.TokenID != p.TokenID {
			r.try("the token before, "+p.Previous.TokenID, unlessDead(a.revokePrevious(ctx, s, p)))
		}
		r.try("its token, "+p.TokenID, a.revokeToken(ctx, s, p))
	case authM2M:
		a.revokeCertificates(ctx, r, p, st)
	default:
		return refuse(ErrKind, pb.CodeRequest, fmt.Sprintf("profile %q was not revoked at NetSuite", p.Name), "of a profile with auth "+p.Auth+" there is no token that NetSuite could revoke", "")
	}
	return r.err()
}

// menuOfCertificates is where an administrator revokes a certificate by hand.
const menuOfCertificates = "Setup > Integration > Manage Authentication > OAuth 2.0 Client Credentials (M2M) Setup"

// revocation gathers what could not be revoked.
type revocation struct {
	name  string
	done  int
	alive []string
	first error
}

// try notes what came of one credential.
func (r *revocation) try(what string, err error) {
	if err == nil {
		r.done++
		return
	}
	if r.first == nil {
		r.first = err
	}
	f := refusalOf(err)
	why := f.Why
	if why == "" {
		why = f.Message
	}
	r.alive = append(r.alive, what+" ("+why+")")
}

// err says what is alive; nil: nothing is.
func (r *revocation) err() error {
	if r.first == nil {
		return nil
	}
	f := refusalOf(r.first)
	what := fmt.Sprintf("profile %q was not revoked at NetSuite", r.name)
	if r.done > 0 {
		what = fmt.Sprintf("profile %q was not wholly revoked at NetSuite", r.name)
	}
	return refuse(r.first, f.Code, what, "alive: "+strings.Join(r.alive, "; "), f.Next)
}

// unlessDead returns err unless it says that NetSuite does not take the token, which is all
// that is wanted of one that is not in use.
func unlessDead(err error) error {
	if errors.Is(err, errNotTaken) {
		return nil
	}
	return err
}

// revokePrevious has the token before the one of p revoke itself.
func (a *Agent) revokePrevious(ctx context.Context, s *session, p *live) error {
	signOnly, err := s.vault.OpenPrevious(p.Name)
	if err != nil {
		return err
	}
	q := *p.profile
	q.Account, q.bound, q.Previous = p.Previous.Account, p.Previous.bound, nil
	before, err := newLive(a.arena, &q, signOnly)
	if err != nil {
		return err
	}
	defer before.destroy()
	before.skew.known.Store(p.skew.known.Load())
	return a.revokeToken(ctx, s, before)
}

// revokeCertificates revokes the certificates of p that are still to be revoked, the one
// before, the next one, and then its own, which the others are revoked with. What is not
// active any more at NetSuite is left alone: whether it minds is not documented.
func (a *Agent) revokeCertificates(ctx context.Context, r *revocation, p, st *live) {
	var ids []string
	for _, old := range p.Retired {
		ids = append(ids, old.ID)
	}
	if p.Previous != nil {
		ids = append(ids, p.Previous.CertificateID)
	}
	if st != nil && st.Auth == authM2M {
		ids = append(ids, st.CertificateID)
	}
	slices.Sort(ids)
	ids = slices.DeleteFunc(slices.Compact(ids), func(id string) bool { return id == p.CertificateID })
	if len(ids) > 0 {
		listed, err := a.listCertificates(ctx, p.Name)
		for _, id := range ids {
			i := slices.IndexFunc(listed, func(m mapped) bool { return m.id == id })
			switch {
			case err != nil:
				r.try("certificate "+id, err)
			case i < 0 || !listed[i].active(a.clock()) || a.usedByOther(p, id):
			default:
				r.try("certificate "+id, a.revokeCertificate(ctx, p.Name, id))
			}
		}
	}
	r.try("its certificate, "+p.CertificateID, a.revokeCertificate(ctx, p.Name, p.CertificateID))
}
