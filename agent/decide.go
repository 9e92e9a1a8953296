package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nsagent/nsagent/agent/approval"
	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/agent/policy"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/signer"
	"github.com/nsagent/nsagent/vault"
)

// use is one attempt to use a profile, from the question to the audit entry.
type use struct {
	caller *caller
	kind   policy.Kind
	// name is the profile asked for; empty means the only one there is.
	name   string
	method string
	// target is nil where nothing is sent to a URL (passport, connect-password).
	target *signer.Target
	// form is the part of a body that is signed; scopes are those asked for.
	form   []byte
	scopes []string
	// check is what this kind of use asks of the profile beyond policy; nil: nothing.
	check func(*live) error
	// fault is what was wrong with the request before the profile was known.
	fault error
	// beyond is set where check refused it: no policy was asked.
	beyond bool
	// unheard is why nobody can say what other agents have revoked; nil: that is known.
	unheard error

	// What authorize says of it: the rule of the policy that decided, and whether it has
	// a place among the uses of that rule that are under way, until endUse.
	rule    string
	counted bool
	// looked is what the process that asks was looked at for, in vain or not.
	looked policy.Facts
	// approved is the question that somebody has approved for this use, and approval the
	// request that they were asked by; empty where nobody had to.
	approved approval.Question
	approval string
}

// withProfile is the one way to a key: it decides and records, and only then lets
// act use the profile. What was allowed and could not be made is recorded too.
//
// Where the vault was unlocked anew or the profile changed in between, it decides anew;
// where the right of the caller has ended, as while the ledger or a disk was waited for,
// nothing is done. Where somebody has to approve it, it waits for that, at the longest
// until ctx ends.
func (a *Agent) withProfile(ctx context.Context, u use, act func(*live) error) (err error) {
	defer func() { u.caller.by().count(err) }()
	for {
		s, p, err := a.authorize(ctx, &u)
		if err != nil {
			return err
		}
		if _, err = a.goodFor(u.caller, a.clock(), a.boottime()); err == nil {
			err = a.useProfile(s, p, act)
		}
		a.endUse(&u)
		if err == nil {
			return nil
		}
		if !errors.Is(err, errReplaced) {
			return a.failed(&u, p, err)
		}
	}
}

// errReplaced means that what a decision was made on is no more: the session, or the
// profile as it was.
var errReplaced = errors.New("agent: session or profile replaced")

// useProfile calls act while nobody can lock, unless somebody has.
func (a *Agent) useProfile(s *session, p *live, act func(*live) error) error {
	a.mu.RLock()
	defer a.mu.RUnlock()
	switch {
	case s.of != nil && s.of.own == s:
		return act(p)
	case s.of != nil:
		return a.dropped(s.of)
	case a.session == s && p.replaced:
		return errReplaced
	case a.session == s:
		return act(p)
	case a.session == nil:
		return vault.ErrLocked
	default:
		return errReplaced
	}
}

// authorize decides on u and, where somebody has to approve it, waits for that and
// decides anew. Only if all of it went well it returns the profile and its session.
func (a *Agent) authorize(ctx context.Context, u *use) (*session, *live, error) {
	for {
		s, p, err := a.decide(ctx, u)
		ask := (*asks)(nil)
		if !errors.As(err, &ask) {
			return s, p, err
		}
		if err := a.awaitApproval(ctx, u, s, p, ask); err != nil {
			return nil, nil, err
		}
	}
}

// atOnce marks the context of a call that does not wait for an approval.
type atOnce struct{}

// withoutWaiting returns a context for what is refused where somebody has to approve it.
func withoutWaiting(ctx context.Context) context.Context {
	return context.WithValue(ctx, atOnce{}, true)
}

// decide checks that the peer still lives and its grant is good, finds the profile,
// checks that the target is the profile's own, that the grant and policy allow the use,
// counts it, and writes the audit entry, in this order. Only if all of it went well it
// returns the profile and its session; the caller says endUse then, once the use is over.
// Where somebody has to approve it, and ctx is not of a call that does not wait for that,
// it is not counted and there is no entry yet: the error is an asks.
//
// Where the policy asks about the process, that is looked at once all that is checked before
// the policy is found good. It waits for that until ctx ends, or for evidenceTime, and checks
// all anew.
//
// A refusal is written too, with its code. If the entry cannot be written the
// answer is audit.ErrUnavailable, whatever the decision was. No lock is held
// meanwhile: a disk that hangs must not keep anybody from locking.
func (a *Agent) decide(ctx context.Context, u *use) (*session, *live, error) {
	u.caller.peer.Exe() // it may take a while: not with the lock held
	var (
		now  time.Time
		boot time.Duration
		s    *session
		p    *live
		d    policy.Decision
		err  error
	)
	for {
		u.unheard = a.heed(u.caller.granted())
		now, boot = a.clock(), a.boottime()
		a.mu.RLock()
		s, p, d, err = a.decideLocked(u, now, boot)
		a.mu.RUnlock()
		missing, ok := errors.AsType[unseen](err)
		if !ok {
			break
		}
		u.looked = policy.Facts(missing)
		a.awaitLook(ctx, u.caller, u.looked)
	}
	a.haveShownAgain(u.caller, err)
	u.rule = d.Rule
	if ask := (*asks)(nil); errors.As(err, &ask) {
		if ctx.Value(atOnce{}) == nil {
			return s, p, err
		}
		err = ask.refusal()
	}
	if err == nil {
		err = a.admitUse(u, s, d, boot)
	}
	e := u.event(p, now)
	if err != nil {
		e.Outcome, e.Reason = audit.OutcomeDenied, string(refusalOf(err).Code)
	}
	if _, werr := a.audit.Append(e); werr != nil {
		err = fmt.Errorf("recording the use: %w", werr)
	}
	if err != nil {
		a.endUse(u)
		return nil, nil, err
	}
	p.lastUsed.Store(now.Unix())
	s.lastUse.Store(int64(boot))
	return s, p, nil
}

// event returns what the log says of u; p is the profile, or nil.
func (u *use) event(p *live, now time.Time) audit.Event {
	e := audit.Event{Time: now, Event: string(u.kind), Outcome: audit.OutcomeOK, Profile: u.name, Method: u.method, Rule: u.rule}
	u.caller.fill(&e)
	if p != nil {
		e.Profile, e.Account, e.Kind = p.Name, p.Account, p.Auth
	}
	if u.target != nil {
		e.Host, e.Path, e.RESTlet = u.target.Host(), u.target.Path(), policy.Script(u.target.Path(), u.target.RawQuery())
	}
	if u.approval != "" {
		e.Detail = "approval=" + u.approval
	}
	if u.beyond {
		e.Detail = strings.TrimSpace(e.Detail + " " + audit.ByProfile)
	}
	return e
}

// failed records that a use that was allowed could not be made, and returns err.
func (a *Agent) failed(u *use, p *live, err error) error {
	e := u.event(p, a.clock())
	e.Outcome, e.Reason = audit.OutcomeFailed, string(refusalOf(err).Code)
	if _, werr := a.audit.Append(e); werr != nil {
		return fmt.Errorf("recording a failure: %w", unrecorded(werr, err))
	}
	return err
}

// decideLocked returns the profile that u may use, and what policy decided. Where it
// refuses it returns the profile too, if there is one, so that the entry can name it.
// Where the process has to be looked at first, the error is an unseen.
func (a *Agent) decideLocked(u *use, now time.Time, boot time.Duration) (s *session, p *live, d policy.Decision, err error) {
	if err := u.caller.alive(); err != nil {
		return nil, nil, d, err
	}
	grant := u.caller.granted()
	grantNow, err := a.goodFor(u.caller, now, boot)
	if err != nil {
		return nil, nil, d, err
	}
	s, err = a.sessionForLocked(u.caller, boot)
	if err != nil {
		return nil, nil, d, err
	}
	p, err = s.findFor(u.caller, u.name)
	if err != nil {
		return nil, nil, d, err
	}
	if u.unheard != nil {
		return s, p, d, u.unheard
	}
	if u.fault != nil {
		return s, p, d, u.fault
	}
	if !slices.Contains(madeBy(u.kind), p.Auth) {
		return s, p, d, wrongKind(p, u.kind)
	}
	if p.Stale != 0 {
		return s, p, d, p.staleRefusal()
	}
	if p.Expires != 0 && now.Unix() >= p.Expires {
		return s, p, d, refuse(ErrExpired, pb.CodeExpired, fmt.Sprintf("the certificate of profile %q has expired", p.Name),
			"it ended at "+time.Unix(p.Expires, 0).UTC().Format(time.RFC3339), "make a new one:  nsagent cert new -p "+p.Name)
	}
	at := policy.Attempt{
		UID: u.caller.uid(), Owner: a.owner, Profile: p.Name, Environment: p.identity.Account.Environment(),
		Access: policy.Access(p.Access), Kind: u.kind, Method: u.method, Time: now, Entrusted: u.caller.by() != nil,
	}
	if grant != nil {
		at.Grant, at.Issuer, at.Claims = grant.name, grant.issuer.URL, grant.claims
	}
	if u.target != nil {
		if err := signer.CheckHost(*u.target, p.identity.Account, p.endpoint); err != nil {
			return s, p, d, hostRefusal(err, p, u.target)
		}
		at.Host, at.Path, at.Script = u.target.Host(), u.target.Path(), policy.Script(u.target.Path(), u.target.RawQuery())
	}
	if u.check != nil {
		if err := u.check(p); err != nil {
			u.beyond = true
			return s, p, d, err
		}
	}
	if grant != nil {
		if err := grant.clear(u, p, grantNow); err != nil {
			return s, p, d, err
		}
	}
	at.Evidence = u.caller.evidence.known()
	if asks := s.policy().policy.Asks(); asks&^(at.Evidence.Known|u.looked) != 0 {
		return s, p, d, unseen(asks)
	}
	if d, err = s.policy().decide(at); err != nil {
		return s, p, d, err
	}
	return s, p, d, a.approved(s, u, p, &d)
}

// find returns the profile of that name, or the only one where name is empty.
func (s *session) find(name string) (*live, error) {
	if p, ok := s.profiles[name]; ok {
		return p, nil
	}
	if name == "" {
		if len(s.profiles) == 1 {
			for _, p := range s.profiles {
				return p, nil
			}
		}
		return nil, refuse(ErrNoProfile, pb.CodeNoProfile, "no profile is named", s.have(""), "name one:  nsagent -p NAME …")
	}
	return nil, s.noProfile(name)
}

func (s *session) noProfile(name string) error {
	return refuse(ErrNoProfile, pb.CodeNoProfile, fmt.Sprintf("no profile %.80q", name), s.have(name), "list them:  nsagent profile ls")
}

// madeBy returns the kinds of credential that can make a kind of use.
func madeBy(k policy.Kind) []string {
	switch k {
	case policy.KindAssertion:
		return []string{authM2M}
	case policy.KindToken:
		return []string{authM2M, authCode}
	case policy.KindSend: // the gateway sends for the agent, signed or with an access token
		return []string{authTBA, authM2M, authCode}
	default:
		return []string{authTBA}
	}
}

// wrongKind tells what a profile's credential can make instead.
func wrongKind(p *live, kind policy.Kind) error {
	return refuse(ErrKind, pb.CodeRequest, fmt.Sprintf("profile %q cannot make: %s", p.Name, kind), holds(p), "")
}

// holds says what a profile has, and what can be made with it.
func holds(p *live) string {
	switch p.Auth {
	case authM2M:
		return "it holds an M2M certificate: it can make an assertion, and get an access token"
	case authCode:
		return "it holds a refresh token: it can get an access token"
	case authSecret:
		return "it holds an API secret: no call gives that out, or signs with it"
	}
	return "it holds a TBA credential: it can sign, and make a passport or a connect-password"
}

func hostRefusal(err error, p *live, t *signer.Target) error {
	if errors.Is(err, signer.ErrURL) {
		return fmt.Errorf("checking the URL: %w", err)
	}
	own := "its own hosts are those of account " + p.Account
	if p.endpoint != nil {
		own = "its endpoint is " + p.Endpoint
	}
	return refuse(err, pb.CodeHost, fmt.Sprintf("profile %q does not sign for %.100q", p.Name, t.Host()), own, "see the profile:  nsagent profile show "+p.Name)
}
