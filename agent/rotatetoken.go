package agent

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/agent/policy"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/signer"
)

// changeToken is the change that a staged TBA credential belongs to.
const changeToken = "nsagent rotate"

// RotateProfile gives a TBA profile a new token, once NetSuite has taken it.
func (s adminService) RotateProfile(ctx context.Context, q *pb.RotateProfileRequest) (*pb.RotateProfileResponse, error) {
	defer s.seals.drop(callerOf(ctx).peer, q.GetSecrets()...)
	p, found, err := s.rotateProfile(ctx, q)
	if err != nil {
		return nil, s.reply(s.denied(callerOf(ctx), audit.EventProfileRotate, q.GetName(), err))
	}
	return &pb.RotateProfileResponse{Profile: s.changed(p), Tried: found}, nil
}

// rotateProfile stages the new token, tries it, and puts it into its place; callers go on
// with the old one until then, and where NetSuite does not take the new one. The old one is
// kept for the overlap.
func (a *Agent) rotateProfile(ctx context.Context, q *pb.RotateProfileRequest) (*profile, *pb.Surface, error) {
	overlap, err := overlapOf(q.GetOverlapSeconds())
	if err != nil {
		return nil, nil, err
	}
	s, st, err := a.stageToken(ctx, q)
	if err != nil {
		return nil, nil, err
	}
	// Whoever asked may go away: what was begun comes to an end.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*probeTime)
	defer cancel()
	var found *pb.Surface
	if !q.GetUntested() {
		if found, err = a.tryStaged(ctx, s, st); err != nil {
			return nil, nil, a.dropToken(ctx, st, err)
		}
	}
	p, err := a.promoteToken(ctx, st, overlap)
	if err != nil {
		return nil, nil, a.dropToken(ctx, st, err)
	}
	return p, found, nil
}

// promoteToken has its turn to put a staged token into its place.
func (a *Agent) promoteToken(ctx context.Context, st *live, overlap time.Duration) (*profile, error) {
	s, old, end, err := a.beginChangeOf(ctx, st.For)
	if err != nil {
		return nil, err
	}
	defer end()
	if a.stagedFor(s, old.Name) != st {
		return nil, changedElsewhere(old.Name)
	}
	return a.promote(ctx, s, old, st, promotion{event: audit.EventProfileRotate, detail: "secret=new", overlap: overlap})
}

// stageToken stages the new token of a profile. One that was left there by an agent that
// ended in between goes.
func (a *Agent) stageToken(ctx context.Context, q *pb.RotateProfileRequest) (*session, *live, error) {
	s, old, end, err := a.beginChangeOf(ctx, q.GetName())
	if err != nil {
		return nil, nil, err
	}
	defer end()
	if old.Auth != authTBA {
		return nil, nil, notToken(old)
	}
	p := *old.profile
	p.TokenID, p.Previous, p.Created = q.GetTokenId(), nil, a.clock().Unix()
	if q.GetConsumerKey() != "" {
		p.ConsumerKey = q.GetConsumerKey()
	}
	if err := p.check(); err != nil {
		return nil, nil, err
	}
	m, err := a.tokenMaterial(ctx, s, old, &p, q)
	if err != nil {
		return nil, nil, err
	}
	defer m.destroy()
	if left := a.stagedFor(s, old.Name); left != nil && left.Change == changeToken {
		if err := a.unstage(ctx, s, left, audit.EventProfileRotate, "dropped", nil); err != nil {
			return nil, nil, err
		}
	}
	st, err := a.stage(ctx, s, old, &p, m, changeToken, audit.EventProfileRotate, "next")
	return s, st, err
}

// notToken says how the credential of p is rotated.
func notToken(p *live) error {
	next := "nsagent profile edit " + p.Name
	switch p.Auth {
	case authM2M:
		next = "nsagent cert rotate -p " + p.Name
	case authCode:
		next = "nsagent login -p " + p.Name
	}
	return refuse(ErrKind, pb.CodeRequest, fmt.Sprintf("profile %q has no token of token-based authentication", p.Name), "its credential is of kind "+p.Auth, next)
}

// tokenMaterial makes the new secret: the new token secret, with the new consumer secret or
// the one that there is.
func (a *Agent) tokenMaterial(ctx context.Context, s *session, old *live, p *profile, q *pb.RotateProfileRequest) (material, error) {
	if p.TokenID == old.TokenID {
		return material{}, credential("token_id is the one that there is", "a new token has a new ID")
	}
	got, err := a.openSecrets(ctx, q.GetSecrets(), p, pb.Admin_RotateProfile_FullMethodName)
	defer got.destroy()
	if err != nil {
		return material{}, err
	}
	_, token := got.fields["token_secret"]
	_, consumer := got.fields["consumer_secret"]
	switch {
	case !token:
		return material{}, credential("token_secret is missing", "")
	case consumer != (p.ConsumerKey != old.ConsumerKey):
		return material{}, credential("consumer_key and consumer_secret go together", "a reset of an integration record gives both:  nsagent integration rotate "+old.Name)
	}
	if !consumer {
		raw, err := s.vault.OpenRaw(old.Name)
		if err != nil {
			return material{}, err
		}
		defer raw.Destroy()
		if err := got.fillTBA(a.arena, raw); err != nil {
			return material{}, err
		}
	}
	return a.newMaterial(p, got, a.clock())
}

// tryStaged makes one request with a staged TBA credential.
func (a *Agent) tryStaged(ctx context.Context, s *session, st *live) (*pb.Surface, error) {
	t := &probes{agent: a}
	pr := t.rest(st)
	target, err := signer.ParseTarget(pr.job.URL)
	if err != nil {
		return nil, err
	}
	e := changeOf(string(policy.KindSend), st.public(), "next")
	e.Method, e.Host, e.Path = http.MethodGet, target.Host(), target.Path()
	for again := true; ; again = false {
		if err := a.recordDurably(callerOf(ctx), e); err != nil {
			return nil, fmt.Errorf("recording a request: %w", err)
		}
		answer, err := a.sendAs(ctx, s, st, pr, &target)
		if err != nil {
			return nil, err
		}
		if st.skew.learn(answer, a.clock(), a.boottime) && again && answer.Status >= 400 {
			continue
		}
		found := diagnose(st, pr.surface, target.Host(), answer)
		switch found.GetState() {
		case stateWorks, stateLimited:
			return found, nil
		case stateUnreached:
			return nil, refuse(ErrNetwork, pb.CodeNetwork, "", found.GetDetail(), found.GetFix())
		}
		return nil, refuse(ErrNetSuite, pb.CodeNetSuite, "", found.GetDetail()+"; missing: "+found.GetMissing(), found.GetFix())
	}
}

// dropToken forgets a token that NetSuite did not take, and returns why.
func (a *Agent) dropToken(ctx context.Context, st *live, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), probeTime)
	defer cancel()
	s, _, end, err := a.beginChangeOf(ctx, st.For)
	if err == nil {
		defer end()
		if a.stagedFor(s, st.For) == st {
			err = a.unstage(ctx, s, st, audit.EventProfileRotate, "dropped", nil)
		}
	}
	if err != nil {
		a.log.Error("a token that was not taken is not dropped; the next rotation does", "profile", st.For, "error", err)
	}
	return notDone(cause, fmt.Sprintf("the token of profile %q was not rotated", st.For), "callers go on with the present one")
}
