package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/nsagent/nsagent/agent/approval"
	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/agent/policy"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// asks is why a use does not go ahead yet: somebody has to approve it.
type asks struct {
	approval.Question
	within time.Duration // how long the caller may wait for that
}

// Error says what is missing.
func (a *asks) Error() string { return "agent: somebody has to approve it" }

// errNobody means that nobody can approve anything, since the vault is locked.
var errNobody = errors.New("agent: nobody can approve")

// refusal is for a caller that does not wait.
func (a *asks) refusal() *Refusal {
	return refuse(ErrAsk, pb.CodeAsk, fmt.Sprintf("somebody has to approve this use of profile %q", a.Profile),
		"a rule of the policy wants that, and this call does not wait for it", "sign by itself, and watch:  nsagent requests")
}

// approved returns nil where u may go ahead as policy decided, or was approved, and else an
// asks. A rule that wants a code is one that asks: a code is given with an approval.
func (a *Agent) approved(s *session, u *use, p *live, d *policy.Decision) error {
	if d.Effect != policy.Ask && !d.TOTP {
		return nil
	}
	q := approval.Question{
		UID: u.caller.uid(), Profile: p.Name, Credential: p.record, Account: p.Account, Environment: p.identity.Account.Environment(),
		Kind: string(u.kind), Method: u.method, Rule: d.Rule, TOTP: d.TOTP,
	}
	if g := u.caller.granted(); g != nil {
		q.Grant = g.name
	} else {
		q.Exe = u.caller.peer.KnownExe()
	}
	if s := u.caller.by(); s != nil {
		q.Socket, q.Outermost = s.name, s.outermost().path
	}
	if u.kind == policy.KindAssertion || u.kind == policy.KindToken {
		q.Scopes = strings.Join(p.scopesOf(u.scopes), " ")
	}
	if len(u.form) > 0 {
		sum := sha256.Sum256(u.form)
		q.FormSHA256, q.FormBytes = hex.EncodeToString(sum[:]), len(u.form)
	}
	if u.target != nil {
		q.URL = u.target.String()
	}
	if u.approval != "" && u.approved == q {
		return nil
	}
	if id, ok := a.approvals.Approved(q); ok {
		u.approved, u.approval = q, id
		return nil
	}
	u.approval = ""
	return &asks{q, s.policy().timeout()}
}

// awaitApproval has the caller of u wait until somebody answers what is asked. It returns
// nil where u is to be decided on again: it was approved, or what asked is no more.
func (a *Agent) awaitApproval(ctx context.Context, u *use, s *session, p *live, ask *asks) error {
	if s.of != nil {
		return a.unapproved(u, p, ask, errNobody)
	}
	w, first, err := a.approvals.Ask(ask.Question, a.evidence(ctx, u.caller), ask.within)
	if err != nil {
		return a.unapproved(u, p, ask, err)
	}
	request := w.Request()
	if first {
		e := u.event(p, a.clock())
		e.Event, e.Detail = audit.EventApprovalAsk, "request="+request.ID
		if _, err := a.audit.AppendSync(e); err != nil {
			w.Cancel()
			return fmt.Errorf("recording what is asked: %w", err)
		}
	}
	if a.current() != s { // locked since, and nothing may wait for that any more
		w.Cancel()
		return nil
	}
	giveNotice(ctx)
	last, err := w.Wait(ctx)
	switch {
	case err == nil:
		u.approved, u.approval = ask.Question, request.ID
		return nil
	case errors.Is(err, approval.ErrDropped):
		return nil
	case last:
		e := u.event(p, a.clock())
		e.Event, e.Outcome, e.Reason, e.Detail = audit.EventApprovalTimeout, audit.OutcomeDenied, string(pb.CodeDeclined), "request="+request.ID
		if err := a.recordDurably(u.caller, e); err != nil {
			return fmt.Errorf("recording that nobody answered: %w", err)
		}
	}
	return a.unapproved(u, p, ask, err)
}

// current returns the session, nil while locked.
func (a *Agent) current() *session {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.session
}

// unapproved records that u does not go ahead, and returns why.
func (a *Agent) unapproved(u *use, p *live, ask *asks, cause error) error {
	what := fmt.Sprintf("the use of profile %q was not approved", p.Name)
	var r *Refusal
	switch {
	case errors.Is(cause, approval.ErrDenied):
		r = refuse(cause, pb.CodeDeclined, what, "somebody said no, and is not asked again for a minute", "")
	case errors.Is(cause, approval.ErrTimeout):
		r = refuse(cause, pb.CodeDeclined, what, "nobody answered within "+ask.within.String(), "see what waits:  nsagent requests --watch")
	case errors.Is(cause, errNobody):
		why, next := "nobody can while the vault is locked", "have its owner unlock it:  nsagent unlock"
		if a.bundled != nil {
			why, next = "nobody can where a bundle is served", "have its owner allow it, and make another bundle:  nsagent policy edit"
		}
		r = refuse(cause, pb.CodeAsk, fmt.Sprintf("somebody has to approve this use of profile %q", p.Name), why, next)
	case errors.Is(cause, approval.ErrLimit):
		r = refuse(cause, pb.CodeLimited, "too many callers wait for approval", "", "see what waits:  nsagent requests")
	default:
		r = refuse(cause, pb.CodeDeclined, what, "the caller did not wait for the answer", "")
	}
	e := u.event(p, a.clock())
	e.Outcome, e.Reason = audit.OutcomeDenied, string(r.Code)
	if errors.Is(cause, approval.ErrDenied) {
		e.Detail = strings.TrimSpace(e.Detail + " " + audit.AnswerNo)
	}
	if _, err := a.audit.Append(e); err != nil {
		return fmt.Errorf("recording the use: %w", err)
	}
	return r
}

// evidence is what whoever approves is told of the process that asks.
func (a *Agent) evidence(ctx context.Context, c *caller) approval.Caller {
	out := approval.Caller{PID: int(c.peer.PID), Exe: c.peer.Exe()}
	parent, err := parentOf(c.peer.PID)
	if err != nil {
		return out
	}
	ctx, cancel := context.WithTimeout(ctx, exeTime)
	defer cancel()
	if a.cfg.Exe == nil {
		out.Parent, _ = os.Readlink(fmt.Sprintf("/proc/%d/exe", parent))
	} else {
		out.Parent, _ = a.cfg.Exe(ctx, parent)
	}
	return out
}

// parentOf returns the parent of a process (proc_pid_stat(5)).
func parentOf(pid int32) (int32, error) {
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)) // of one that is gone nothing, in which stands no parent
	return parentIn(string(stat))
}

// parentIn reads the parent out of a line of /proc/PID/stat. The name of the program stands
// in parentheses and may hold any character.
func parentIn(stat string) (int32, error) {
	i := strings.LastIndexByte(stat, ')')
	fields := strings.Fields(stat[i+1:])
	if i < 0 || len(fields) < 2 {
		return 0, fmt.Errorf("reading a parent: %w: %d fields", ErrRequest, len(fields))
	}
	n, err := strconv.ParseInt(fields[1], 10, 32)
	return int32(n), err
}
