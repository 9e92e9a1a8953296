package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/agent/gateway"
	"github.com/nsagent/nsagent/agent/policy"
	"github.com/nsagent/nsagent/internal/pattern"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/signer"
)

// Ways into NetSuite.
const (
	surfaceToken   = "token"
	surfaceREST    = "rest"
	surfaceSuiteQL = "suiteql"
	surfaceRESTlet = "restlet"
	surfaceSOAP    = "soap"
	surfaceConnect = "connect"
)

// States of a surface.
const (
	stateWorks     = "works"
	stateLimited   = "limited"
	stateRefused   = "refused"
	stateUnreached = "unreached"
	stateSkipped   = "skipped"
)

// probeTime is how long the request of one surface may take.
const probeTime = 20 * time.Second

// probes makes one request on each way into NetSuite that the credential of a profile is
// for. Each is decided on and recorded like any other use.
//
// Five failed logins lock a user out of NetSuite: a test makes three at the most.
type probes struct {
	agent   *Agent
	caller  *caller
	name    string // of the profile
	restlet string // SCRIPT/DEPLOYMENT; empty: none may be called

	found []*pb.Surface
	away  map[string]*pb.Surface // hosts that were not reached
}

// probe is the request of one surface.
type probe struct {
	surface string
	kind    policy.Kind
	scope   string // that an access token needs
	job     gateway.Job
	body    []byte
}

// scriptForm is SCRIPT/DEPLOYMENT: the numbers or the IDs of both.
var scriptForm = pattern.New(`^(customscript[a-z0-9_]{1,64}|[0-9]{1,9})/(customdeploy[a-z0-9_]{1,64}|[0-9]{1,9})$`)

func checkRESTlet(s string) error {
	if s != "" && !scriptForm().MatchString(s) {
		return refuse(ErrRequest, pb.CodeRequest, fmt.Sprintf("%.80q is not a script and its deployment", s), "it looks like 123/1, or customscript_x/customdeploy_x", "")
	}
	return nil
}

// run tries every surface.
func (t *probes) run(ctx context.Context, l *live) {
	if l.Auth == authSecret {
		return
	}
	t.away = make(map[string]*pb.Surface)
	if l.Auth == authTBA {
		t.skip(surfaceToken, "token-based authentication has no access tokens", "")
	} else if !t.token(ctx) {
		for _, s := range []string{surfaceREST, surfaceSuiteQL, surfaceRESTlet} {
			t.skip(s, "there is no access token to try it with", "")
		}
		t.skip(surfaceSOAP, noSOAP, "")
		t.skip(surfaceConnect, "there is no access token to try it with", "")
		return
	}
	rest := t.try(ctx, l, t.rest(l))
	if rest.GetState() == stateRefused && rest.GetStatus() == http.StatusUnauthorized {
		t.skip(surfaceSuiteQL, "it takes the same login as rest, which is refused", "")
	} else {
		t.try(ctx, l, t.suiteQL(l))
	}
	if t.restlet == "" {
		t.skip(surfaceRESTlet, "no script is named that may be called", "name one:  nsagent profile test "+t.name+" --restlet SCRIPT/DEPLOYMENT")
	} else {
		t.try(ctx, l, t.callRESTlet(l))
	}
	if l.Auth == authTBA {
		t.soap(ctx, l)
		t.connectPassword(ctx)
		return
	}
	t.skip(surfaceSOAP, noSOAP, "")
	t.connectToken(l)
}

const noSOAP = "SOAP takes token-based authentication only"

func (t *probes) add(s *pb.Surface) *pb.Surface {
	t.found = append(t.found, s)
	return s
}

func (t *probes) skip(surface, why, fix string) {
	t.add(&pb.Surface{Name: surface, State: stateSkipped, Detail: why, Fix: fix})
}

// refused adds what the agent itself, or NetSuite at the token endpoint, refused.
func (t *probes) refused(surface string, err error) *pb.Surface {
	r := t.agent.refuse(err)
	s := &pb.Surface{Name: surface, State: stateSkipped, Detail: r.Message, Missing: r.Why, Fix: r.Next}
	switch r.Code {
	case pb.CodeNetSuite:
		s.State = stateRefused
	case pb.CodeNetwork:
		s.State = stateUnreached
	}
	return t.add(s)
}

// token gets an access token that was not there before. It reports whether there is one.
func (t *probes) token(ctx context.Context) bool {
	u := use{caller: t.caller, kind: policy.KindToken, name: t.name}
	s, p, err := t.agent.authorize(ctx, &u)
	if err == nil {
		defer t.agent.endUse(&u)
		scopes := p.scopesOf(nil)
		p.tokens.forget(tokenKey(scopes))
		err = t.agent.withToken(ctx, s, p, scopes, func(bearer) error { return nil })
	}
	if err != nil {
		t.refused(surfaceToken, changedMeanwhile(err, t.name))
		return false
	}
	t.add(&pb.Surface{Name: surfaceToken, State: stateWorks, Detail: "NetSuite gave an access token for " + strings.Join(p.Scopes, " ")})
	return true
}

// try makes a request, and says what came of it.
func (t *probes) try(ctx context.Context, l *live, pr probe) *pb.Surface {
	if l.Auth != authTBA && !slices.Contains(l.Scopes, pr.scope) {
		return t.add(&pb.Surface{Name: pr.surface, State: stateSkipped, Detail: "the scope " + pr.scope + " is not among the profile's"})
	}
	target, err := signer.ParseTarget(pr.job.URL)
	if err != nil {
		return t.refused(pr.surface, err)
	}
	if s := t.away[target.Host()]; s != nil {
		return t.add(&pb.Surface{Name: pr.surface, State: stateUnreached, Detail: s.GetDetail(), Fix: s.GetFix()})
	}
	return t.send(ctx, pr, &target)
}

// send makes a request of the agent's own, and once more where its clock was wrong and is
// known now.
func (t *probes) send(ctx context.Context, pr probe, target *signer.Target) *pb.Surface {
	for again := true; ; again = false {
		u := use{caller: t.caller, kind: pr.kind, name: t.name, method: pr.job.Method, target: target}
		s, p, err := t.agent.authorize(ctx, &u)
		if err != nil {
			return t.refused(pr.surface, err)
		}
		answer, err := t.agent.sendAs(ctx, s, p, pr, target)
		t.agent.endUse(&u)
		if errors.Is(err, errReplaced) {
			return t.refused(pr.surface, changedMeanwhile(err, t.name))
		}
		if err != nil {
			return t.refused(pr.surface, t.agent.failed(&u, p, err))
		}
		corrected := p.skew.learn(answer, t.agent.clock(), t.agent.boottime)
		t.agent.shareSkew(s, p)
		if corrected && again && answer.Status >= 400 {
			continue
		}
		found := t.add(diagnose(p, pr.surface, target.Host(), answer))
		t.note(u, p, found)
		if answer.Failure != gateway.FailedNothing {
			t.away[target.Host()] = found
		}
		return found
	}
}

// note records what NetSuite refused, or where it was not reached.
func (t *probes) note(u use, p *live, s *pb.Surface) {
	code := pb.CodeNetSuite
	switch s.GetState() {
	case stateUnreached:
		code = pb.CodeNetwork
	case stateRefused:
	default:
		return
	}
	e := u.event(p, t.agent.clock())
	e.Outcome, e.Reason = audit.OutcomeFailed, string(code)
	if err := t.agent.record(t.caller, e); err != nil {
		t.agent.log.Error("audit log not written after a request that failed", "error", err)
	}
}

// sendAs has the gateway make the request of a probe with the credential of p.
func (a *Agent) sendAs(ctx context.Context, s *session, p *live, pr probe, target *signer.Target) (gateway.Answer, error) {
	payload := gateway.Payload{Body: gateway.Plain(pr.body)}
	switch {
	case pr.kind == policy.KindPassport:
		body, err := a.serverTime(s, p)
		if err != nil {
			return gateway.Answer{}, err
		}
		payload.Body = gateway.Plain(body)
	case p.Auth == authTBA:
		var header string
		err := a.useProfile(s, p, func(p *live) error {
			h, err := signer.Sign(p.identity, signer.Request{Method: pr.job.Method, Target: *target, ContentType: pr.job.ContentType}, rand.Text(), a.timeFor(p).Unix(), p.mac)
			header = h.Authorization
			return err
		})
		if err != nil {
			return gateway.Answer{}, err
		}
		payload.Authorization = gateway.Plain(header)
	default:
		header, err := a.authorization(ctx, s, p, p.scopesOf(nil))
		if err != nil {
			return gateway.Answer{}, err
		}
		defer header.Destroy()
		payload.Authorization = header
	}
	job := pr.job
	job.CA, job.Milliseconds = p.CA, probeTime.Milliseconds()
	return a.network.doFor(ctx, s, job, payload)
}

// changedMeanwhile says that a profile was edited, or the vault locked and unlocked, while
// it was being tested.
func changedMeanwhile(err error, name string) error {
	if errors.Is(err, errReplaced) {
		return refuse(err, pb.CodeLimited, fmt.Sprintf("profile %q changed while it was being tested", name), "", "try again:  nsagent profile test "+name)
	}
	return err
}
