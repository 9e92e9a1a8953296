package agent

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/internal/secret"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
)

// integration is an integration record as profiles show it: NetSuite's entry for an
// application. Its endpoint and CA count: a new secret goes to the profiles of the
// destination that it was entered for, and to no other that somebody gave the same key.
type integration struct{ account, key, endpoint, ca string }

// integration returns the record that p uses; false where it uses none.
func (p *profile) integration() (i integration, ok bool) {
	key := p.ConsumerKey
	if p.Auth != authTBA {
		key = p.ClientID
	}
	return integration{p.Account, key, p.Endpoint, p.CA}, key != ""
}

// usesClientSecret reports whether something of p is made with the secret of its
// integration record.
func (l *live) usesClientSecret() bool { return l.Auth == authTBA || l.Confidential }

// uses returns the profiles, and staged ones, that use a record, by name.
func (a *Agent) uses(s *session, of integration) []*live {
	return a.withStaged(s, func(p *live) bool {
		i, ok := p.integration()
		return ok && i == of
	})
}

// ListIntegrations lists the integration records that profiles use.
func (s adminService) ListIntegrations(context.Context, *pb.ListIntegrationsRequest) (*pb.ListIntegrationsResponse, error) {
	out, err := s.listIntegrations()
	return out, s.reply(err)
}

func (a *Agent) listIntegrations() (*pb.ListIntegrationsResponse, error) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	s, err := a.currentLocked()
	if err != nil {
		return nil, err
	}
	all := make(map[integration]*pb.Integration)
	for _, p := range s.profiles {
		i, ok := p.integration()
		if !ok {
			continue
		}
		if all[i] == nil {
			all[i] = &pb.Integration{Account: i.account, Environment: p.identity.Account.Environment(), Key: i.key, Endpoint: i.endpoint}
		}
		all[i].Uses = append(all[i].Uses, &pb.IntegrationUse{Profile: p.Name, Auth: p.Auth, Keyed: p.usesClientSecret()})
	}
	out := &pb.ListIntegrationsResponse{}
	for _, i := range all {
		slices.SortFunc(i.Uses, func(a, b *pb.IntegrationUse) int { return strings.Compare(a.GetProfile(), b.GetProfile()) })
		out.Integrations = append(out.Integrations, i)
	}
	slices.SortFunc(out.Integrations, func(a, b *pb.Integration) int {
		return slices.Compare([]string{a.GetAccount(), a.GetKey(), a.GetEndpoint(), a.GetUses()[0].GetProfile()}, []string{b.GetAccount(), b.GetKey(), b.GetEndpoint(), b.GetUses()[0].GetProfile()})
	})
	return out, nil
}

// RotateIntegration gives every profile of a record its new pair.
func (s adminService) RotateIntegration(ctx context.Context, q *pb.RotateIntegrationRequest) (*pb.RotateIntegrationResponse, error) {
	defer s.seals.drop(callerOf(ctx).peer, q.GetSecret())
	done, err := s.rotateIntegration(ctx, q)
	if err != nil {
		return nil, s.reply(s.denied(callerOf(ctx), audit.EventIntegration, q.GetName(), err))
	}
	out := &pb.RotateIntegrationResponse{}
	for _, p := range done {
		out.Profiles = append(out.Profiles, s.changed(p))
	}
	return out, nil
}

// rotateIntegration gives every profile of a record its new pair, in one commit. Tokens
// and mappings of certificates go on with the new pair, and the old one is dead from the
// reset on; the previous versions are kept for who has taken the wrong record.
//
// Source: NetSuite Help, "Regenerating a Consumer Key and Secret".
func (a *Agent) rotateIntegration(ctx context.Context, q *pb.RotateIntegrationRequest) ([]*profile, error) {
	s, l, end, err := a.beginChangeOf(ctx, q.GetName())
	if err != nil {
		return nil, err
	}
	defer end()
	of, ok := l.integration()
	if !ok {
		return nil, refuse(ErrKind, pb.CodeRequest, fmt.Sprintf("profile %q uses no integration record", l.Name), "it holds an API secret", "see:  nsagent integration ls")
	}
	r := &integrationRotation{agent: a, session: s, key: q.GetKey(), now: a.clock()}
	if r.overlap, err = overlapOf(q.GetOverlapSeconds()); err != nil {
		return nil, err
	}
	if err := publicID("consumer_key", r.key); err != nil {
		return nil, err
	}
	if r.key == of.key {
		return nil, credential("consumer_key is the one that there is", "a reset of an integration record gives a new key and a new secret")
	}
	users := a.uses(s, of)
	if err := r.open(ctx, q, l.Name, slices.ContainsFunc(users, (*live).usesClientSecret)); err != nil {
		return nil, err
	}
	defer r.secret.Destroy()
	defer r.destroy()
	var done []*profile
	for _, old := range users {
		next, err := r.renew(old)
		if err != nil {
			r.abandon()
			return nil, err
		}
		if next.For == "" {
			done = append(done, next)
		}
	}
	if err := a.replaceAll(ctx, s, audit.EventIntegration, fmt.Sprintf("profiles=%d", len(done)), r.all); err != nil {
		return nil, err
	}
	for _, p := range done {
		if p.Auth == authTBA {
			a.keepUntil(p, a.boottime()+r.overlap)
		}
	}
	return done, nil
}

// integrationRotation is a new pair on its way into the profiles of a record.
type integrationRotation struct {
	agent   *Agent
	session *session
	key     string
	secret  secret.Bytes // zero where nobody needs it
	overlap time.Duration
	now     time.Time

	all       []replacement
	materials []material
}

func (r *integrationRotation) destroy() {
	for _, m := range r.materials {
		m.destroy()
	}
}

// abandon wipes the keys that were made for nothing.
func (r *integrationRotation) abandon() {
	for _, one := range r.all {
		if !one.keeps() {
			one.next.destroy()
		}
	}
}

// open opens the new consumer secret, where there is somebody to use it.
func (r *integrationRotation) open(ctx context.Context, q *pb.RotateIntegrationRequest, name string, needed bool) error {
	switch given := q.GetSecret() != nil; {
	case needed && !given:
		return credential("consumer_secret is missing", "a reset of an integration record gives a new key and a new secret")
	case !needed && given:
		return credential("consumer_secret is of no use here", "no profile of the record signs with it")
	case !needed:
		return nil
	}
	if f := q.GetSecret().GetField(); f != "consumer_secret" {
		return credential(fmt.Sprintf("%.40s does not belong to an integration record", f), "")
	}
	var err error
	r.secret, err = r.agent.open(ctx, q.GetSecret(), pb.Admin_RotateIntegration_FullMethodName, name, maxSecret)
	return err
}

// renew prepares one profile, and returns its metadata as they will be.
func (r *integrationRotation) renew(old *live) (*profile, error) {
	p := *old.profile
	switch p.Auth {
	case authCode:
		return r.renewCode(old)
	case authM2M:
		p.ClientID = r.key
		next, err := old.with(&p)
		if err != nil {
			return nil, err
		}
		r.all = append(r.all, replacement{old: old, next: next})
		return &p, nil
	}
	p.ConsumerKey = r.key
	p.Previous = &previous{Account: old.Account, bound: old.bound, Until: r.now.Add(r.overlap).Unix()}
	m, err := r.tba(old)
	if err != nil {
		return nil, err
	}
	r.materials = append(r.materials, m)
	signOnly, err := r.agent.arena.Clone(m.signOnly)
	if err != nil {
		return nil, err
	}
	next, err := newLive(r.agent.arena, &p, signOnly)
	if err != nil {
		return nil, err
	}
	r.all = append(r.all, replacement{old, next, vault.Edit{SignOnly: m.signOnly, Raw: m.raw}})
	return &p, nil
}

// renewCode prepares an authcode profile. What somebody allowed was for the client as it
// was, so that somebody has to log in again; as in an edit, no version before is kept.
func (r *integrationRotation) renewCode(old *live) (*profile, error) {
	p := *old.profile
	p.ClientID = r.key
	p.consent = consent{Consent: consentChanged}
	if old.Consent == consentNew {
		p.Consent = consentNew
	}
	clientSecret := secret.Bytes{}
	if p.Confidential {
		clientSecret = r.secret
	}
	m, err := newCode(r.agent.arena, clientSecret, secret.Bytes{})
	if err != nil {
		return nil, err
	}
	r.materials = append(r.materials, m)
	next, err := old.with(&p)
	if err != nil {
		return nil, err
	}
	r.all = append(r.all, replacement{old, next, vault.Edit{SignOnly: m.signOnly, Raw: m.raw, Replace: true}})
	return &p, nil
}

// tba makes the next secret of a profile: the new consumer secret and its own token secret.
func (r *integrationRotation) tba(old *live) (material, error) {
	arena := r.agent.arena
	consumer, err := arena.Clone(r.secret)
	if err != nil {
		return material{}, err
	}
	got := &secrets{fields: map[string]secret.Bytes{"consumer_secret": consumer}}
	defer got.destroy()
	raw, err := r.session.vault.OpenRaw(old.Name)
	if err != nil {
		return material{}, err
	}
	defer raw.Destroy()
	if err := got.fillTBA(arena, raw); err != nil {
		return material{}, err
	}
	return newTBA(arena, got.fields["consumer_secret"], got.fields["token_secret"])
}
