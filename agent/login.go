package agent

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/agent/policy"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/signer"
	"github.com/nsagent/nsagent/vault"
)

// BeginLogin begins a login in the browser.
func (s adminService) BeginLogin(ctx context.Context, q *pb.BeginLoginRequest) (*pb.BeginLoginResponse, error) {
	defer s.seals.drop(callerOf(ctx).peer, q.GetSecrets()...)
	r, err := s.beginLogin(ctx, q)
	if err != nil {
		return nil, s.reply(s.denied(callerOf(ctx), audit.EventLogin, q.GetProfile().GetName(), err))
	}
	return r, nil
}

func (a *Agent) beginLogin(ctx context.Context, q *pb.BeginLoginRequest) (*pb.BeginLoginResponse, error) {
	defer a.arena.ReleaseMemory()
	s, err := a.unlocked()
	if err != nil {
		return nil, err
	}
	if err := a.logins.room(); err != nil {
		return nil, err
	}
	l, err := a.planLogin(ctx, s, q)
	if err != nil {
		return nil, err
	}
	kept := false
	defer func() {
		if !kept {
			l.destroy()
		}
	}()
	who, err := describe(l.profile)
	if err != nil {
		return nil, err
	}
	if err := a.recordDurably(callerOf(ctx), l.event("begin", audit.OutcomeOK)); err != nil {
		return nil, fmt.Errorf("recording a login: %w", err)
	}
	var page string
	if l.flow == flowPKCE {
		page, err = a.beginCode(l, who)
	} else {
		page, err = a.beginThreeStep(ctx, l, who, q.GetRedirectUri(), q.GetRole())
	}
	if err != nil {
		return nil, err
	}
	kept = true
	id, err := a.keepLogin(l)
	if err != nil {
		return nil, err
	}
	return &pb.BeginLoginResponse{
		Id: id, AuthorizeUrl: page, State: l.state, ExpiresIn: int64(loginLife / time.Second),
		Account: l.profile.Account, Environment: who.identity.Account.Environment(),
	}, nil
}

// keepLogin has a login wait, unless somebody locked meanwhile: what locks drops all that
// wait once it has taken the session away. It owns l.
func (a *Agent) keepLogin(l *login) ([]byte, error) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	if a.session != l.session {
		l.destroy()
		return nil, vault.ErrLocked
	}
	return a.logins.add(l)
}

// event is what the log says of a step of a login.
func (l *login) event(step, outcome string) audit.Event {
	e := audit.Event{Event: audit.EventLogin, Outcome: outcome, Profile: l.profile.Name, Account: l.profile.Account, Kind: l.profile.Auth, Detail: "flow=" + l.flow + " step=" + step}
	if t, err := signer.ParseEndpoint(l.profile.Endpoint); err == nil {
		e.Host = t.Host()
	}
	return e
}

// FinishLogin ends a login with the answer that the browser brought.
func (s adminService) FinishLogin(ctx context.Context, q *pb.FinishLoginRequest) (*pb.FinishLoginResponse, error) {
	defer s.seals.drop(callerOf(ctx).peer, q.GetCode())
	p, name, err := s.finishLogin(ctx, q)
	if err != nil {
		return nil, s.reply(s.denied(callerOf(ctx), audit.EventLogin, name, err))
	}
	return &pb.FinishLoginResponse{Profile: s.changed(p)}, nil
}

// finishTime is how long the end of a login may wait: for an exchanger, and for its turn to
// store what came. The exchange has its own time.
const finishTime = 2 * time.Minute

// finishLogin returns the name of the profile also where it fails.
func (a *Agent) finishLogin(ctx context.Context, q *pb.FinishLoginRequest) (*profile, string, error) {
	defer a.arena.ReleaseMemory()
	if _, err := a.unlocked(); err != nil {
		return nil, "", err
	}
	l, err := a.logins.take(q.GetId(), q.GetState())
	if err != nil {
		return nil, "", err
	}
	defer l.destroy()
	// Whoever asked may go away: what was begun comes to an end.
	ctx, cancel := l.session.line.during(ctx, finishTime)
	defer cancel()
	name := l.profile.Name
	if err := l.answered(q); err != nil {
		return nil, name, err
	}
	code, err := a.open(ctx, q.GetCode(), pb.Admin_FinishLogin_FullMethodName, name, maxCode)
	if err != nil {
		return nil, name, err
	}
	defer code.Destroy()
	p := *l.profile
	p.consent = consent{Role: shortID(q.GetRole()), Entity: shortID(q.GetEntity()), Authorized: a.clock().Unix()}
	p.Stale = 0
	l.profile = &p
	who, err := describe(&p)
	if err != nil {
		return nil, name, err
	}
	if err := a.recordDurably(callerOf(ctx), l.event("answer", audit.OutcomeOK)); err != nil {
		return nil, name, fmt.Errorf("recording a login: %w", err)
	}
	if l.flow == flowPKCE {
		err = a.finishCode(ctx, l, who, code)
	} else {
		err = a.finishThreeStep(ctx, l, who, code)
	}
	return &p, name, err
}

// maxCode is the longest authorization code or verifier that is taken, in bytes.
const maxCode = 4096

// shortID returns an internal ID, or "" for what is none.
func shortID(s string) string {
	if signer.CheckRole(strings.TrimPrefix(s, "-")) != nil {
		return ""
	}
	return s
}

// answered returns the refusal for an answer that brings nothing, or comes from another
// account.
//
// Source: NetSuite Help, "Authorization Errors in Step One"; "Step Two" of the three-step
// flow, where an empty verifier is a refusal.
func (l *login) answered(q *pb.FinishLoginRequest) error {
	switch code := q.GetError(); code {
	case "":
	case "access_denied":
		return declined(l.profile.Name)
	default:
		why := map[string]string{
			"invalid_request":           "NetSuite answered invalid_request: the redirect URI is not to the letter that of the integration record, or PKCE is not allowed there",
			"unauthorized_client":       "NetSuite answered unauthorized_client: the integration record does not allow Authorization Code Grant, or is blocked",
			"unsupported_response_type": "NetSuite answered unsupported_response_type: the integration record does not allow Authorization Code Grant",
			"invalid_scope":             "NetSuite answered invalid_scope: the integration record lacks one of " + strings.Join(l.profile.Scopes, ", "),
		}[code]
		if why == "" {
			why = "NetSuite answered with an error that it does not document"
		}
		return refuse(ErrNetSuite, pb.CodeNetSuite, fmt.Sprintf("nobody could log in for profile %q", l.profile.Name), why, loginTrail)
	}
	if l.flow == flow3SA && q.GetRequestToken() != l.requestToken {
		return refuse(policy.ErrDenied, pb.CodeDenied, "the browser's answer does not belong to this login", "its request token is another", "begin anew, and use the page that opens:  nsagent login")
	}
	if company := q.GetCompany(); company != "" {
		if a, err := signer.ParseAccount(company); err != nil || a.ID() != l.profile.Account {
			return refuse(policy.ErrDenied, pb.CodeDenied, fmt.Sprintf("somebody logged in to account %.40q", company), fmt.Sprintf("profile %q is for %s", l.profile.Name, l.profile.Account), "log in to that account in the browser first, and begin anew")
		}
	}
	if q.GetCode() == nil && l.flow == flow3SA {
		return declined(l.profile.Name)
	}
	if q.GetCode() == nil {
		return refuse(ErrRequest, pb.CodeRequest, "the browser's answer has no code", "", "begin anew:  nsagent login")
	}
	return nil
}

// declined is the refusal for a login to which somebody said no. What was stored before
// stays as it is.
func declined(name string) error {
	return refuse(ErrConsent, pb.CodeDeclined, fmt.Sprintf("nobody logged in for profile %q", name), "whoever was asked in the browser said no", "begin anew, and allow it:  nsagent login -p "+name)
}

// notStored says what failed where NetSuite did its part.
func (l *login) notStored() string {
	return fmt.Sprintf("the login for profile %q was not stored", l.profile.Name)
}

// loginTrail is where NetSuite says more.
const loginTrail = "the precise reason is in NetSuite:  Setup > Users/Roles > User Management > View Login Audit Trail, column Detail"

// storeLogin stores what a login brought: a new profile, or the next version of the one
// that is there, unless that changed meanwhile. prepare is called with the live profile
// before anybody can use it.
func (a *Agent) storeLogin(ctx context.Context, l *login, m material, prepare func(*live)) error {
	detail := "flow=" + l.flow + " step=finish access=" + l.profile.Access
	if l.old == nil {
		s, end, err := a.beginChange(ctx)
		if err != nil {
			return err
		}
		defer end()
		if s != l.session {
			return vault.ErrLocked
		}
		return a.storeNew(ctx, s, l.profile, m, audit.EventLogin, detail, prepare)
	}
	if l.profile.Auth == authCode && !l.profile.Confidential {
		guard, err := lockRefresh(ctx, a.cfg.Paths.Vault, l.profile.Name)
		if err != nil {
			return err
		}
		defer guard.Unlock()
	}
	s, old, end, err := a.beginChangeOf(ctx, l.profile.Name)
	if err != nil {
		return err
	}
	defer end()
	if s != l.session || old.Auth != l.profile.Auth || old.Account != l.profile.Account || !old.equal(l.old.bound) ||
		!slices.Equal(old.Scopes, l.old.Scopes) || old.RedirectURI != l.old.RedirectURI {
		return refuse(ErrBusy, pb.CodeLimited, fmt.Sprintf("profile %q was changed during the login", old.Name), "", "begin anew:  nsagent login -p "+old.Name)
	}
	p := *old.profile
	p.consent, p.Scopes, p.RedirectURI, p.TokenID = l.profile.consent, l.profile.Scopes, l.profile.RedirectURI, l.profile.TokenID
	p.Stale = 0
	change := vault.Edit{SignOnly: m.signOnly, Raw: m.raw, Replace: p.Auth == authCode}
	if p.Auth == authTBA {
		p.Previous = &previous{Account: old.Account, bound: old.bound, Until: a.clock().Add(minOverlap).Unix()}
	}
	signOnly, err := a.arena.Clone(m.signOnly)
	if err != nil {
		return err
	}
	next, err := newLive(a.arena, &p, signOnly)
	if err != nil {
		return err
	}
	prepare(next)
	if _, err := a.replaceProfile(ctx, s, old, next, audit.EventLogin, detail, change); err != nil {
		next.tokens.destroy()
		return err
	}
	if p.Previous != nil {
		a.keepUntil(&p, a.boottime()+minOverlap)
	}
	return nil
}

// equal reports whether two versions go to the same place, as the same client.
func (b bound) equal(other bound) bool {
	return b.Endpoint == other.Endpoint && b.CA == other.CA && b.ConsumerKey == other.ConsumerKey && b.TokenID == other.TokenID &&
		b.ClientID == other.ClientID && b.Confidential == other.Confidential
}

// pageURL returns the URL of a page of the account with a query. Blanks are %20: not every
// server takes a plus sign for one.
func pageURL(l *live, path string, query url.Values) string {
	return l.url("app", path) + "?" + strings.ReplaceAll(query.Encode(), "+", "%20")
}
