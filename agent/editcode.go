package agent

import (
	"context"
	"slices"

	"github.com/nsagent/nsagent/internal/secret"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// planCode is plan for an authcode profile, of which no previous version is ever kept: an
// old refresh token is worth nothing, or is what ends the chain when it is used.
//
// What somebody has allowed was for this account and client, these scopes and this
// destination. Where one of them changes the refresh token goes.
func (e *profileEdit) planCode(ctx context.Context, p *profile) (*live, error) {
	if e.q.GetOverlapSeconds() != 0 {
		return nil, refuse(ErrRequest, pb.CodeRequest, "of a profile with auth authcode no previous version is kept", "", "leave the overlap out")
	}
	got, err := e.agent.openSecrets(ctx, e.q.GetSecrets(), p, pb.Admin_EditProfile_FullMethodName)
	defer got.destroy()
	if err != nil {
		return nil, err
	}
	fresh := got.given() > 0
	if e.old.Confidential && !fresh {
		if err := e.mayKeepSecret(); err != nil {
			return nil, err
		}
	}
	p.Confidential = e.old.Confidential || fresh
	over := e.endsConsent(p)
	if err := e.prove(ctx, p); err != nil {
		return nil, err
	}
	if !fresh && !over {
		return e.old.with(p)
	}
	if over {
		p.consent = consent{Consent: consentChanged}
		if e.old.Consent == consentNew {
			p.Consent = consentNew
		}
	}
	raw, err := e.session.vault.OpenRaw(p.Name)
	if err != nil {
		return nil, err
	}
	defer raw.Destroy()
	if err := got.split(e.agent.arena, raw, "client_secret", "refresh_token"); err != nil {
		return nil, err
	}
	refreshToken := got.fields["refresh_token"]
	if over {
		refreshToken = secret.Bytes{}
	}
	if e.secret, err = newCode(e.agent.arena, got.fields["client_secret"], refreshToken); err != nil {
		return nil, err
	}
	return e.old.with(p)
}

// endsConsent reports whether p is not what somebody has allowed.
func (e *profileEdit) endsConsent(p *profile) bool {
	old := e.old.profile
	sameScopes := len(p.Scopes) == len(old.Scopes)
	for _, s := range p.Scopes {
		sameScopes = sameScopes && slices.Contains(old.Scopes, s)
	}
	return !sameScopes || p.Account != old.Account || p.ClientID != old.ClientID || p.Endpoint != old.Endpoint || p.CA != old.CA || p.Confidential != old.Confidential
}
