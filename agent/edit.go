package agent

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/signer"
	"github.com/nsagent/nsagent/vault"
)

// The overlap is how long the previous version of a secret is kept after an edit.
const (
	minOverlap = time.Hour // as NetSuite's own API secrets do
	maxOverlap = 30 * 24 * time.Hour
)

// EditProfile changes a profile.
func (s adminService) EditProfile(ctx context.Context, q *pb.EditProfileRequest) (*pb.EditProfileResponse, error) {
	defer s.seals.drop(callerOf(ctx).peer, boxes(q.GetProof(), q.GetSecrets()...)...)
	p, err := s.editProfile(ctx, q)
	if err != nil {
		return nil, s.reply(s.denied(callerOf(ctx), audit.EventProfileEdit, q.GetName(), err))
	}
	return &pb.EditProfileResponse{Profile: s.changed(p)}, nil
}

func (a *Agent) editProfile(ctx context.Context, q *pb.EditProfileRequest) (*profile, error) {
	s, old, end, err := a.beginChangeOf(ctx, q.GetName())
	if err != nil {
		return nil, err
	}
	defer end()
	e := &profileEdit{agent: a, session: s, old: old, q: q, now: a.clock()}
	defer func() { e.secret.destroy() }()
	next, err := e.plan(ctx)
	if err != nil {
		return nil, err
	}
	p, err := a.replaceProfile(ctx, s, old, next, audit.EventProfileEdit, e.detail(next.profile),
		vault.Edit{SignOnly: e.secret.signOnly, Raw: e.secret.raw, Long: e.secret.long, UsePrevious: q.GetUsePrevious(), Replace: next.Auth == authCode && !e.secret.signOnly.IsZero()})
	if err == nil && p.Previous != old.Previous {
		a.keepUntil(p, a.boottime()+time.Duration(p.Previous.Until-e.now.Unix())*time.Second)
	}
	return p, err
}

// profileEdit is one edit on its way: what was asked for, and what comes of it.
type profileEdit struct {
	agent   *Agent
	session *session
	old     *live
	q       *pb.EditProfileRequest
	now     time.Time

	secret material // of the next version; zero: the secret stays
	proof  string   // what was given as proof; "": none was needed
}

// plan checks what was asked for and returns the profile as it will be.
func (e *profileEdit) plan(ctx context.Context) (*live, error) {
	q := e.q
	fresh := len(q.GetSecrets()) > 0
	overlap, err := e.overlap(fresh)
	switch {
	case err != nil:
		return nil, err
	case q.GetUsePrevious() && (fresh || len(q.GetFields()) > 0):
		return nil, refuse(ErrRequest, pb.CodeRequest, "going back to the previous version changes nothing else", "", "do one after the other")
	case q.GetUsePrevious():
		return e.usePrevious(overlap)
	case !fresh && len(q.GetFields()) == 0:
		return nil, refuse(ErrRequest, pb.CodeRequest, "there is nothing to change", "", "")
	}
	p, err := e.merge()
	if err != nil {
		return nil, err
	}
	if p.Auth == authCode {
		return e.planCode(ctx, p)
	}
	if !fresh {
		if err := e.mayKeepSecret(); err != nil {
			return nil, err
		}
		if slices.ContainsFunc(q.GetFields(), ofCertificate) {
			if err := completeM2M(p, e.old.key, e.now); err != nil {
				return nil, err
			}
		}
		if e.renews(p) {
			p.Stale = 0
		}
		if err := e.prove(ctx, p); err != nil {
			return nil, err
		}
		return e.old.with(p)
	}
	if err := e.newSecret(ctx, p); err != nil {
		return nil, err
	}
	if e.renews(p) {
		p.Stale = 0
	}
	if err := e.prove(ctx, p); err != nil {
		return nil, err
	}
	p.Previous = &previous{Account: e.old.Account, bound: e.old.bound, Until: e.now.Add(overlap).Unix()}
	signOnly, err := e.agent.arena.Clone(e.secret.signOnly)
	if err != nil {
		return nil, err
	}
	return newLive(e.agent.arena, p, signOnly)
}

// overlap returns how long the previous version is kept.
func (e *profileEdit) overlap(fresh bool) (time.Duration, error) {
	if e.q.GetOverlapSeconds() != 0 && !fresh && !e.q.GetUsePrevious() {
		return 0, refuse(ErrRequest, pb.CodeRequest, "an overlap goes with a new secret only", "", "")
	}
	return overlapOf(e.q.GetOverlapSeconds())
}

// overlapOf returns how long a previous version is kept; 0 seconds means as short as can
// be.
func overlapOf(seconds int64) (time.Duration, error) {
	switch {
	case seconds == 0:
		return minOverlap, nil
	case seconds < int64(minOverlap/time.Second) || seconds > int64(maxOverlap/time.Second):
		return 0, refuse(ErrRequest, pb.CodeRequest, "the overlap is out of range", "it is from 1h to 30d", "")
	}
	return time.Duration(seconds) * time.Second, nil
}

// usePrevious returns the profile with its two versions in each other's place.
func (e *profileEdit) usePrevious(overlap time.Duration) (*live, error) {
	p := *e.old.profile
	if p.Previous == nil {
		return nil, refuse(ErrRequest, pb.CodeNotFound, fmt.Sprintf("profile %q has no previous version", p.Name), "it is kept for an hour after an edit, or as long as --overlap said", "see:  nsagent profile show "+p.Name)
	}
	was := *p.Previous
	p.Previous = &previous{Account: p.Account, bound: p.bound, Until: e.now.Add(overlap).Unix()}
	p.Account, p.bound = was.Account, was.bound
	// What is in use again is not revoked.
	p.Retired = slices.DeleteFunc(slices.Clone(p.Retired), func(r retired) bool { return r.ID == p.CertificateID })
	signOnly, err := e.session.vault.OpenPrevious(p.Name)
	if err != nil {
		return nil, err
	}
	return newLive(e.agent.arena, &p, signOnly)
}

// newSecret makes the next version of the secret from what came in. Of a TBA
// credential one of the secrets may stay as it is, unless it would go somewhere else
// than where it was entered for.
func (e *profileEdit) newSecret(ctx context.Context, p *profile) error {
	got, err := e.agent.openSecrets(ctx, e.q.GetSecrets(), p, pb.Admin_EditProfile_FullMethodName)
	defer got.destroy()
	if err != nil {
		return err
	}
	want, _ := secretFields(p.Auth)
	if got.given() < len(want) {
		if err := e.mayKeepSecret(); err != nil {
			return err
		}
		raw, err := e.session.vault.OpenRaw(p.Name)
		if err != nil {
			return err
		}
		err = got.fillTBA(e.agent.arena, raw)
		raw.Destroy()
		if err != nil {
			return err
		}
	}
	e.secret, err = e.agent.newMaterial(p, got, e.now)
	return err
}

// mayKeepSecret refuses to take a stored secret to another destination.
func (e *profileEdit) mayKeepSecret() error {
	var moved []string
	for _, f := range e.q.GetFields() {
		if slices.Contains(boundFields(), f) {
			moved = append(moved, f)
		}
	}
	if len(moved) == 0 {
		return nil
	}
	want, _ := secretFields(e.old.Auth)
	return credential(strings.Join(moved, ", ")+" can only change together with "+strings.Join(want, " and "),
		"a stored secret goes nowhere else than where it was entered for")
}

// prove asks for a fresh proof where a limit widens.
func (e *profileEdit) prove(ctx context.Context, p *profile) error {
	wider := p.Access == accessWrite && e.old.Access != accessWrite
	for _, s := range p.Scopes {
		wider = wider || !slices.Contains(e.old.Scopes, s)
	}
	if !wider {
		return nil
	}
	var err error
	e.proof, err = e.agent.prove(ctx, e.session, e.q.GetProof(), pb.Admin_EditProfile_FullMethodName, p.Name, fmt.Sprintf("widening what profile %q may do", p.Name), (*session).stepUp)
	return err
}

// detail says for the log what changed: values of our own and names of fields.
func (e *profileEdit) detail(p *profile) string {
	s := "access=" + p.Access
	switch {
	case e.q.GetUsePrevious():
		s += " secret=previous"
	case !e.secret.signOnly.IsZero():
		s += " secret=new"
	}
	if e.proof != "" {
		s += " proof=" + e.proof
	}
	if fields := e.q.GetFields(); len(fields) > 0 {
		s += " fields=" + strings.Join(fields, ",")
	}
	return s
}

// ofCertificate reports whether a field has to fit to the private key.
func ofCertificate(field string) bool {
	return field == "certificate" || field == "certificate_id" || field == "alg"
}

// boundFields are the fields that go with the secret: where it may go.
func boundFields() []string { return []string{"account", "endpoint", "ca", "hosts", "header"} }

// merge returns the profile with the fields that were given.
func (e *profileEdit) merge() (*profile, error) {
	p, m := *e.old.profile, e.q.GetProfile()
	text := map[string]struct {
		to *string
		v  string
	}{
		"account": {&p.Account, m.GetAccount()}, "access": {&p.Access, m.GetAccess()}, "owner": {&p.Owner, m.GetOwner()}, "note": {&p.Note, m.GetNote()},
		"endpoint": {&p.Endpoint, m.GetEndpoint()}, "ca": {&p.CA, m.GetCa()}, "consumer_key": {&p.ConsumerKey, m.GetConsumerKey()},
		"token_id": {&p.TokenID, m.GetTokenId()}, "client_id": {&p.ClientID, m.GetClientId()}, "certificate_id": {&p.CertificateID, m.GetCertificateId()},
		"certificate": {&p.Certificate, m.GetCertificate()}, "alg": {&p.Alg, m.GetAlg()},
		"header": {&p.Header, m.GetHeader()}, "redirect_uri": {&p.RedirectURI, m.GetRedirectUri()},
	}
	given := make(map[string]bool)
	for _, f := range e.q.GetFields() {
		t, ok := text[f]
		switch {
		case given[f]:
			return nil, refuse(ErrRequest, pb.CodeRequest, fmt.Sprintf("field %.40q is given twice", f), "", "")
		case ok:
			*t.to = t.v
		case f == "scopes":
			p.Scopes = slices.Clone(m.GetScopes())
		case f == "rotate_after" && p.Auth == authM2M:
			p.RotateAfter = m.GetRotateAfter()
		case f == "hosts":
			p.Hosts = slices.Clone(m.GetHosts())
		case f == "expires_at" && p.Auth == authSecret:
			p.Expires = m.GetExpiresAt()
		default:
			return nil, credential(fmt.Sprintf("%.40q cannot be changed", f), "auth and name stay; to rename:  nsagent profile rename")
		}
		given[f] = true
	}
	account, err := signer.ParseAccount(p.Account)
	if err != nil {
		return nil, fmt.Errorf("checking profile %q: %w", p.Name, err)
	}
	p.Account = account.ID()
	if p.Endpoint, err = endpointOrigin(p.Endpoint); err != nil {
		return nil, err
	}
	if p.Auth == authM2M {
		e.mergeM2M(&p, given)
	}
	return &p, p.check()
}

// mergeM2M drops what follows from parts that were replaced: the ID and the end of
// a certificate, and the algorithm of a key.
func (e *profileEdit) mergeM2M(p *profile, given map[string]bool) {
	newKey := len(e.q.GetSecrets()) > 0
	if given["certificate"] || given["certificate_id"] || newKey {
		p.Expires = 0
		if !given["certificate"] {
			p.Certificate = ""
		}
		if !given["certificate_id"] {
			p.CertificateID = ""
		}
	}
	if newKey && !given["alg"] {
		p.Alg = ""
	}
}
