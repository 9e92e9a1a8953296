package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nsagent/nsagent/agent/oidc"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
	"github.com/nsagent/nsagent/vault/store"
)

// issuers are those whose ID tokens are looked at.
type issuers struct {
	configured []oidc.Issuer // beside the presets
	// of are those that the agent was told of: configured, or some that it can make no use of.
	of []oidc.Issuer
	*oidc.Verifier
}

// knowIssuers has the agent look at the ID tokens of these issuers, beside the presets.
func (a *Agent) knowIssuers(configured []oidc.Issuer) error {
	return a.knowInstead(configured, configured)
}

// knowInstead is knowIssuers of configured where the agent was told of others.
func (a *Agent) knowInstead(of, configured []oidc.Issuer) error {
	v, err := oidc.New(oidc.Config{Issuers: configured, Do: a.network.do, Boottime: a.boottime})
	if err != nil {
		return fmt.Errorf("taking issuers of ID tokens: %w", err)
	}
	a.issuers.Store(&issuers{configured, of, v})
	return nil
}

// learnIssuers has the agent look at the ID tokens of the issuers of a policy. One that
// makes no sense leaves the presets alone. Jobs that showed a token of another issuer, or by
// other keys, are over.
func (a *Agent) learnIssuers(r *rules) {
	list := r.issuers()
	if slices.EqualFunc(list, a.issuers.Load().of, oidc.Issuer.Equal) {
		return // keys that were fetched are kept
	}
	err := a.knowIssuers(list)
	if err != nil {
		a.log.Warn("the issuers of the policy cannot be used", "error", err)
		_ = a.knowInstead(list, nil) // the presets always can
	}
	a.endAll(a.presented.which(func(g *granted) bool { return !a.counts(g) }))
}

// counts reports whether the ID token that was shown for g, if any, would be verified as it
// was then: by the same keys, or by those that the issuer has where it had them then. Which
// these are is the issuer's to say, and no matter of this. Once it would not, the job is
// over, whatever the policy says later.
func (a *Agent) counts(g *granted) bool {
	if !a.issuers.Load().Issuer(g.issuer.URL).Equal(g.issuer) {
		g.withdrawn.Store(true)
	}
	return !g.withdrawn.Load()
}

// notCounting is the refusal of a job whose ID token does not count any more.
func (g *granted) notCounting() error {
	return refuse(ErrGrant, pb.CodeGrant, "the ID token does not count any more", fmt.Sprintf("since it was shown, the policy was without issuer %.100q, or had another key set or CA for it", g.issuer.URL), "get another from the CI service, and connect again")
}

// learnLocked is learnIssuers for the policy of a locked vault. Anybody can write a file
// without a policy, so that what the shares open has to prove whose it is. That is closed at
// once: nothing stays open while an issuer is asked for its keys.
func (a *Agent) learnLocked(ctx context.Context, v *vault.Vault, g *granted, shares secret.Bytes) error {
	own, err := a.openOwn(ctx, v, g, shares)
	if err != nil {
		return err
	}
	defer own.destroy()
	a.learnIssuers(own.policy())
	return nil
}

// identify notes for g which job an ID token is of. The token is used up, durably in the
// ledger that open opens, and counts for this vault no more. token is borrowed. Its times
// are judged by the clock of grants: one that is over stays so where the clock is set back.
//
// Errors: a *Refusal; those of the arena and the ledger.
func (a *Agent) identify(ctx context.Context, g *granted, token secret.Bytes, open func() (*ledger, error)) error {
	clock := a.clock()
	now := a.timeOf(g, clock)
	known := a.issuers.Load()
	id, err := known.Verify(ctx, token, oidc.Audience(g.Vault), now)
	if err == nil {
		err = oidc.Admit(id, g.Grant)
	}
	a.arena.ReleaseMemory()
	if err != nil {
		return g.badIdentity(err)
	}
	l, err := open()
	if err != nil {
		return err
	}
	defer func() { _ = l.Close() }()
	if _, used := l.Get(ledgerIDToken, id.ID[:]); used {
		return refuse(ErrGrant, pb.CodeGrant, "the ID token was not taken", "it was used before, and is good for one exchange", "get another from the CI service for each command")
	}
	// By the machine's clock, which no grant's is behind: one that is over for this grant may
	// be good for another.
	l.Forget(ledgerIDToken, unixSeconds(clock))
	if err := l.Append(store.Entry{Kind: ledgerIDToken, Subject: id.ID[:], Value: unixSeconds(id.Expires)}); err != nil {
		return fmt.Errorf("noting an ID token: %w", err)
	}
	g.issuer, g.claims = known.Issuer(id.Issuer), id.Claims
	return nil
}

// badIdentity says what is wrong with the ID token of a job.
func (g *granted) badIdentity(err error) error {
	r := (*oidc.Refused)(nil)
	switch {
	case errors.Is(err, oidc.ErrScope), errors.Is(err, oidc.ErrEvent):
		errors.As(err, &r)
		return refuse(errors.Join(ErrGrantScope, err), pb.CodeGrantScope, "grant "+g.name+" does not allow this job", r.Why, "have its owner look at it:  nsagent grant show "+g.name)
	case errors.As(err, &r):
		return refuse(errors.Join(ErrGrant, err), pb.CodeGrant, "the ID token was not taken", r.Why, "see how to get one:  nsagent help ci")
	case errors.Is(err, oidc.ErrKeys):
		return refuse(errors.Join(ErrNetwork, err), pb.CodeNetwork, "the ID token was not verified", reason(err, oidc.ErrKeys), "try again; for a machine without a way there, jwks_file in the policy (docs/ci/README.md)")
	}
	return err
}

// checkIdentities refuses identities that should stand in no grant.
func checkIdentities(c unlocktoken.Caveats) error {
	for _, i := range c.Identities {
		if err := oidc.CheckIdentity(i); err != nil {
			return refuse(errors.Join(ErrRequest, err), pb.CodeRequest, "the limits of the grant cannot be used", reason(err, oidc.ErrConfig), "see which jobs a grant can be for:  docs/ci/README.md")
		}
	}
	return nil
}

// checkIssuers refuses identities of issuers that are not known, whose ID tokens nobody
// looks at.
func checkIssuers(c unlocktoken.Caveats, configured []oidc.Issuer) error {
	known := append(oidc.Presets(), configured...)
	for _, i := range c.Identities {
		if !slices.ContainsFunc(known, func(k oidc.Issuer) bool { return k.URL == i.Issuer }) {
			return refuse(ErrRequest, pb.CodeRequest, fmt.Sprintf("no ID token of %.100q would be taken", i.Issuer),
				"the policy has no such issuer, and it is neither GitHub's nor GitLab.com's", "add it as [[issuer]], url and all (docs/ci/README.md):  nsagent policy edit")
		}
	}
	return nil
}
