package agent

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nsagent/nsagent/agent/approval"
	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/agent/policy"
	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// answered is a context of calls that somebody answers while the test runs: one that waits
// in vain ends before the minutes of an approval are over.
func answered(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// asked is what a rule that asks has asked of u.
func (f *fixture) asked(u *use, p *live) *asks {
	f.t.Helper()
	d := policy.Decision{Effect: policy.Ask, Rule: "writes"}
	var ask *asks
	if err := f.agent.approved(f.agent.session, u, p, &d); err != nil && !errors.As(err, &ask) {
		f.t.Fatal(err)
	}
	return ask
}

// What is approved of an assertion or a token are its scopes; of nothing else.
func TestApprovalOfScopes(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	c := &caller{peer: livePeer(t, f), has: ofOwner()}
	acme := *f.agent.session.profiles["acme"].profile
	acme.Scopes = []string{"restlets", "rest_webservices"}
	p := &live{profile: &acme, identity: f.agent.session.profiles["acme"].identity}
	for kind, want := range map[policy.Kind]string{policy.KindAssertion: "restlets", policy.KindToken: "restlets", policy.KindSign: "", policy.KindPassport: ""} {
		ask := f.asked(&use{caller: c, kind: kind, scopes: []string{"restlets"}}, p)
		if ask == nil || ask.Scopes != want {
			t.Errorf("%s: got %+v, want scopes %q", kind, ask, want)
		}
	}
}

// An approval is for the very question that was asked, and is used up once policy asks
// another.
func TestApprovalOfAQuestion(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	p := f.agent.session.profiles["acme"]
	u := &use{caller: &caller{peer: livePeer(t, f), has: ofOwner()}, kind: policy.KindSign, method: "POST"}
	q := f.asked(u, p).Question
	for name, c := range map[string]struct {
		approved approval.Question
		by       string
		again    bool
	}{
		"approved":           {q, "abc", false},
		"approved by nobody": {q, "", true},
		"another approved":   {approval.Question{Profile: "acme"}, "abc", true},
	} {
		u.approved, u.approval = c.approved, c.by
		if ask := f.asked(u, p); (ask != nil) != c.again || c.again && u.approval != "" {
			t.Errorf("%s: asked %v, approval %q", name, ask != nil, u.approval)
		}
	}
}

// While the vault is locked nobody can approve, so that nobody waits for it.
func TestApprovalWhileLocked(t *testing.T) {
	f := startAsking(t)
	token := f.mint(unlocktoken.Caveats{}, "acme")
	f.lock()
	p := f.shown(token)
	begin := time.Now()
	_, err := p.rpc.Sign(answered(t), &pb.SignRequest{Method: "POST", Url: sandboxURL})
	if codeOf(err) != string(pb.CodeAsk) || !strings.Contains(whyOf(err), "while the vault is locked") || time.Since(begin) > 20*time.Second {
		t.Errorf("got %v (%s) after %v", err, whyOf(err), time.Since(begin))
	}
}

// Who waits when the vault is locked is told that, and not that somebody said no.
func TestApprovalEndsWithTheSession(t *testing.T) {
	f := startAsking(t)
	done := f.signs(answered(t), writing(1))
	f.waiting(1, 1)
	f.lock()
	if err := <-done; !errors.Is(err, client.ErrLocked) {
		t.Errorf("got %v, want ErrLocked", err)
	}
}

// Nothing waits in a session that is over: it is decided on anew.
func TestApprovalOfASessionThatIsOver(t *testing.T) {
	f := startAsking(t)
	s := f.agent.session
	p := s.profiles["acme"]
	u := &use{caller: &caller{peer: livePeer(t, f), has: ofOwner()}, kind: policy.KindSign, method: "POST"}
	ask := f.asked(u, p)
	f.lock()
	if err := f.agent.awaitApproval(answered(t), u, s, p, ask); err != nil || u.approval != "" {
		t.Errorf("got %v, approval %q", err, u.approval)
	}
	if all, _ := f.agent.approvals.Requests(); len(all) != 0 {
		t.Errorf("%d requests wait", len(all))
	}
}

// Whoever is refused is told by whom. What cannot be recorded is answered as that: a
// question is not asked then, and nothing is refused.
func TestApprovalThatIsNotGiven(t *testing.T) {
	f := startAsking(t)
	p := f.agent.session.profiles["acme"]
	u := &use{caller: &caller{peer: livePeer(t, f), has: ofOwner()}, kind: policy.KindSign, method: "POST"}
	ask := f.asked(u, p)
	for cause, says := range map[error]string{
		approval.ErrDenied: "somebody said no", approval.ErrTimeout: "nobody answered within", errNobody: "while the vault is locked",
		approval.ErrLimit: "too many callers", context.Canceled: "did not wait",
	} {
		if r := refusalOf(f.agent.unapproved(u, p, ask, cause)); !strings.Contains(r.Message+" "+r.Why, says) {
			t.Errorf("%v: got %+v", cause, r)
		}
		if log := f.entries(); (log[len(log)-1].Detail == audit.AnswerNo) != errors.Is(cause, approval.ErrDenied) {
			t.Errorf("%v: the log says %+v", cause, log[len(log)-1])
		}
	}
	done := make(chan error, 1)
	ask.within = 5 * time.Second
	go func() { done <- f.agent.awaitApproval(t.Context(), u, f.agent.session, p, ask) }()
	eventually(t, 10*time.Second, func() string { // the question is recorded after it waits
		if all := f.entries(); all[len(all)-1].Event != audit.EventApprovalAsk {
			return "the question is not in the log"
		}
		return ""
	})
	if err := f.agent.audit.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err == nil || !strings.Contains(err.Error(), "recording that nobody answered") {
		t.Errorf("no answer, and no log: got %v", err)
	}
	if err := f.agent.unapproved(u, p, ask, approval.ErrDenied); err == nil || !strings.Contains(err.Error(), "recording the use") {
		t.Errorf("a refusal without a log: got %v", err)
	}
	if err := f.agent.awaitApproval(t.Context(), u, f.agent.session, p, ask); err == nil || !strings.Contains(err.Error(), "recording what is asked") {
		t.Errorf("a question without a log: got %v", err)
	}
	if all, _ := f.agent.approvals.Requests(); len(all) != 0 {
		t.Errorf("%d requests wait", len(all))
	}
}

// TestApprovalPlacesOfASocket: the socket of each grant has places of its own among what waits,
// so that one container keeps no other from asking; and a container that opens more sockets on
// its own has no more places.
func TestApprovalPlacesOfASocket(t *testing.T) {
	f := startAsking(t)
	dir := shortDir(t)
	socketOf := func(name string) *client.Client {
		t.Helper()
		s := f.spec("acme")
		s.Listen = filepath.Join(dir, name)
		if _, err := f.admin.NewGrant(t.Context(), f.passphrase(testPassphrase), s.NewGrant); err != nil {
			t.Fatal(err)
		}
		return f.through(s.Listen)
	}
	one, other := socketOf("one"), socketOf("other")
	opened, err := one.OpenSocket(t.Context(), client.SocketRequest{})
	if err != nil {
		t.Fatal(err)
	}
	inner := f.through(opened.Opened.GetPath())

	ctx, cancel := context.WithCancel(t.Context())
	var waiting sync.WaitGroup
	asks := func(c *client.Client, n int) {
		waiting.Go(func() { _, _ = c.Sign(ctx, writing(n)) })
	}
	for n := range 8 { // 16 are all that one user has by a socket
		asks(one, n)
		asks(inner, n)
	}
	f.waiting(16, 16)
	soon := answered(t)
	for name, c := range map[string]*client.Client{"by itself": one, "by what was opened on it": inner} {
		if _, err := c.Sign(soon, writing(16)); !errors.Is(err, client.ErrLimited) {
			t.Errorf("one more %s: got %v, want %v", name, err, client.ErrLimited)
		}
	}
	asks(other, 0)
	f.waiting(17, 17)
	cancel()
	waiting.Wait()
}
