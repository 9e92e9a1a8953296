package agent

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/nsagent/nsagent/agent/oidc"
	"github.com/nsagent/nsagent/agent/policy"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
)

// granted is the right of whoever showed an unlock token: what the token says, for all
// calls of a connection. It stands in the place of the owner's own right and takes from
// it; it never adds.
type granted struct {
	*unlocktoken.Grant
	// name is the grant's name for people and the log: g_ and 26 characters.
	name string
	// signer is the key that signed the grant, which is the vault's own only where something
	// that the token opened has proved that, or the vault is unlocked and has the same one.
	signer [32]byte
	// issuer and claims are those of the OIDC token that was shown with the unlock token,
	// and verified; zero and nil without one.
	issuer oidc.Issuer
	claims map[string]string
	// withdrawn is set where issuer was known in another way since, or not at all: that is
	// final, also for the sockets that share the right.
	withdrawn atomic.Bool
	// quotas are its limits that have to be counted, and vault whose ledger they are
	// counted in.
	quotas []quota
	vault  *vault.Vault
	// revoked is set when the grant is revoked: nothing is done for it from then on. All
	// rights of a grant share it.
	revoked *atomic.Bool
	// presenter is the connection on which the token was shown; nil where the right was
	// given otherwise.
	presenter *countedConn
	// own is what the token's own shares opened, while the agent was locked, until the
	// agent is locked again, the grant ends or the presenter closes. Agent.mu guards it.
	own *session
	// served is the right of the token that opened the bundle that is served, where another
	// token of the grant takes from it: what it uses is there, and not its own.
	served *granted
	// ends is the clock of the grant's vault, by which the grant ends.
	ends *grantClock
	// clock says what ends is told of the time; nil means that the clock of the machine does.
	clock *steadyClock
}

// newGranted returns the right that a chain gives which was verified by signer.
func (a *Agent) newGranted(g *unlocktoken.Grant, signer [32]byte) *granted {
	return &granted{
		Grant: g, name: unlocktoken.GrantName(g.Authority.Grant), signer: signer, quotas: quotasOf(g),
		revoked: a.presented.flag(g.Authority.Grant), ends: a.grantClocks.of(g.Vault[:]),
	}
}

// opened returns what a token opened that g may use; nil: nothing, or not any more. Agent.mu
// guards it.
func (g *granted) opened() *session {
	if g.served != nil {
		return g.served.own
	}
	return g.own
}

// goodAt returns an error where a grant gives nothing to anybody any more, and the time by
// which it is judged.
func (a *Agent) goodAt(g *granted, now time.Time) (time.Time, error) {
	now = a.timeOf(g, now)
	err := g.good(now)
	if err == nil && !a.counts(g) {
		err = g.notCounting()
	}
	return now, err
}

// good returns an error where the grant gives nothing at a time of the grants' clock.
func (g *granted) good(now time.Time) error {
	another := "have its owner make another:  nsagent grant new"
	if g.Mode == unlocktoken.Detached {
		another += " --bundle FILE"
	}
	switch {
	case g.revoked.Load():
		return refuse(ErrRevoked, pb.CodeRevoked, "grant "+g.name+" was revoked", "its unlock tokens open nothing any more", another)
	case isAhead(g.IssuedAt, now.Unix()):
		return refuse(ErrExpired, pb.CodeExpired, "the unlock token was made when the clock was ahead", "that was at "+time.Unix(g.IssuedAt, 0).UTC().Format(time.RFC3339)+", which has not come yet", "look at the clock; "+another)
	case now.Unix() > g.NotAfter():
		return refuse(ErrExpired, pb.CodeExpired, "the unlock token has expired", "it ended at "+time.Unix(g.NotAfter(), 0).UTC().Format(time.RFC3339), another)
	}
	return nil
}

// clear returns an error where a caveat of the token does not hold for u on p.
func (g *granted) clear(u *use, p *live, now time.Time) error {
	r := unlocktoken.Request{
		Time: now.Unix(), Credential: unlocktoken.ID(p.record), Kind: string(u.kind), Method: u.method, Issuer: g.issuer.URL, Claims: g.claims,
		HasPeer: true, UID: u.caller.uid(), Executable: u.caller.peer.KnownExe(),
	}
	if u.target != nil {
		r.Host, r.Path, r.Script = u.target.Host(), u.target.Path(), policy.Script(u.target.Path(), u.target.RawQuery())
	}
	err := g.Clear(r)
	if refused := (*unlocktoken.Refused)(nil); errors.As(err, &refused) {
		if refused.Caveat == unlocktoken.CaveatIdentities && g.issuer.URL == "" {
			return noJob()
		}
		doesNot := fmt.Sprintf("does not allow %.200q with profile %q", u.wanted(), p.Name)
		if refused.Caveat == unlocktoken.CaveatNotBefore {
			return g.notBegun(doesNot, refused.Why)
		}
		return g.outside(doesNot, refused.Why)
	}
	return err
}

// wanted says for people what is asked for, without a query: that may hold anything.
func (u *use) wanted() string {
	if u.target == nil {
		return string(u.kind)
	}
	return u.method + " " + u.target.Path()
}

// outside is the refusal of what a grant does not do. Whoever shows its token often has it
// no more, as what exec runs has not, so that its owner is the one to look.
func (g *granted) outside(doesNot, why string) error {
	return refuse(ErrGrantScope, pb.CodeGrantScope, "grant "+g.name+" "+doesNot, why, "have its owner look at it:  nsagent grant show "+g.name)
}

// notBegun is outside where a grant will do it, and does not yet.
func (g *granted) notBegun(doesNot, why string) error {
	return refuse(ErrGrantScope, pb.CodeGrantScope, "grant "+g.name+" "+doesNot, why, "wait until then, or have another token made:  nsagent grant new")
}

// may reports whether the profile p is one of the grant's.
func (g *granted) may(p *live) bool { return g.Covers(unlocktoken.ID(p.record)) }

// whom says which profiles of s the grant is for.
func (g *granted) whom(s *session) string {
	var names []string
	for name, p := range s.profiles {
		if g.may(p) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "none of its profiles is in this vault any more"
	}
	slices.Sort(names)
	if g.lacks(s) {
		return "it opens " + someOf(names) + "; its other profiles have new keys, or are gone"
	}
	return "it is for " + someOf(names)
}

// lacks reports whether s is what a token opened of a locked vault, and that is not all it
// is for. What else it is for has no name then.
func (g *granted) lacks(s *session) bool {
	n := 0
	for _, id := range g.Authority.Caveats.Credentials {
		if g.Covers(id) {
			n++
		}
	}
	return s.of != nil && len(s.profiles) < n
}

// findFor is find among the profiles that c may use. What lies outside of a grant is
// refused in the same words whether it is there or not.
func (s *session) findFor(c *caller, name string) (*live, error) {
	name, err := c.by().only(name)
	if err != nil {
		return nil, err
	}
	if c.right() == ofOwner() {
		return s.find(name)
	}
	g := c.granted()
	if g == nil {
		return nil, errNoRight
	}
	if p, ok := s.profiles[name]; ok && g.may(p) {
		return p, c.by().lockedFor(s.opens(p))
	}
	if name != "" && g.lacks(s) {
		return nil, g.outside(fmt.Sprintf("does not open a profile %.80q", name), g.whom(s))
	}
	if name != "" {
		return nil, g.outside(fmt.Sprintf("is not for a profile %.80q", name), g.whom(s))
	}
	var only *live
	for _, p := range s.profiles {
		if !g.may(p) {
			continue
		}
		if only != nil {
			return nil, refuse(ErrNoProfile, pb.CodeNoProfile, "no profile is named", "the unlock token is for more than one", "list them:  nsagent profile ls")
		}
		only = p
	}
	if only == nil {
		return nil, g.outside("allows nothing", "none of its profiles is in this vault any more")
	}
	return only, c.by().lockedFor(s.opens(only))
}
