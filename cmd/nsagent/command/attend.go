package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/harden"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/term"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

const (
	// patience is how long a call may take before it is looked whether it waits for an
	// approval; the agent answers within milliseconds.
	patience = 300 * time.Millisecond
	// leaving is how long a question at the terminal may take to go away.
	leaving = 3 * time.Second
	// silence is how long a call may take, where it cannot be seen whether it waits for an
	// approval, before that is said; NetSuite may be slow.
	silence = 2 * time.Second
	// approvalTries is how often a passphrase may be mistyped.
	approvalTries = 3
)

// attended makes a call to the agent. Where it waits until somebody approves it, whoever
// sits at the terminal is shown what for, and asked; without a terminal it is said what is
// waited for. The call goes on meanwhile: somebody else may answer, too. Until the answer is
// there, others of the user can read the process.
func (e *env) attended(ctx context.Context, call func(context.Context) error) error {
	beKnown()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := make(chan error, 1)
	go func() {
		err := call(ctx)
		if err == nil { // the answer may be a secret, and the agent has seen which program asks
			err = harden.Unreadable()
		}
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-time.After(patience):
	}
	asking, over := context.WithCancel(ctx)
	left := make(chan struct{})
	go func() {
		defer close(left)
		if err := e.attend(asking); err != nil {
			cancel(err)
		}
	}()
	err := <-done
	over()
	select {
	case <-left:
	case <-time.After(leaving):
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// attend waits until a call of this process waits for an approval, and asks for that. An
// error ends the call.
func (e *env) attend(ctx context.Context) error {
	a, err := e.dialAdmin(ctx)
	if err != nil {
		e.noteSilence(ctx)
		return nil
	}
	defer func() { _ = a.Close() }()
	r, err := ownRequest(ctx, a)
	if err != nil {
		e.noteSilence(ctx)
		return nil
	}
	t, err := e.terminal()
	if err == nil && !t.Foreground() {
		err = errors.Join(term.ErrNoTerminal, t.Close())
	}
	if err != nil {
		e.noteWaits(r.GetId())
		return nil
	}
	defer func() { _ = t.Close() }()
	arena, err := newArena() // only now: the agent has seen which program asks
	if err != nil {
		return nil
	}
	defer func() { _ = arena.Close() }()
	id := r.GetId()
	r, end, err := e.toAsk(ctx, a, t, id)
	switch {
	case errors.Is(err, errBehind):
		e.noteWaits(id)
		return nil
	case err != nil:
		return nil // the call itself says what is wrong
	}
	defer end()
	fmt.Fprintln(t)
	if err := writeCard(t, screen{colours: colourful(e.getenv)}, r); err != nil {
		return nil
	}
	return e.approveOwn(ctx, a, arena, t, r)
}

// noteWaits says what a call waits for where nobody can be asked here.
func (e *env) noteWaits(id string) {
	e.note("this waits until somebody approves it:  nsagent approve %s", id)
}

// noteSilence says what a call may wait for, where that cannot be seen: who may only use
// the agent, as a program that nsagent exec runs, waits for somebody else.
func (e *env) noteSilence(ctx context.Context) {
	select {
	case <-time.After(silence):
		e.note("there is no answer yet; where somebody has to approve this, another shell shows it:  nsagent requests")
	case <-ctx.Done():
	}
}

// ownRequest waits for a request of this process.
func ownRequest(ctx context.Context, a *client.Admin) (*pb.ApprovalRequest, error) {
	for after := uint64(0); ; {
		r, err := a.Requests(ctx, after)
		if err != nil {
			return nil, err
		}
		for _, m := range r.GetRequests() {
			if ownCaller(m) != nil {
				return m, nil
			}
		}
		after = r.GetRevision()
	}
}

// ownCaller returns this process among those that wait for a request; nil where it does not.
func ownCaller(r *pb.ApprovalRequest) *pb.WaitingCaller {
	i := slices.IndexFunc(r.GetCallers(), func(c *pb.WaitingCaller) bool { return int(c.GetPid()) == os.Getpid() })
	if i < 0 {
		return nil
	}
	return r.GetCallers()[i]
}

var (
	// errAnswered means that a request waits no more.
	errAnswered = errors.New("command: it was answered")
	// errBehind means that this process is in the background: it would be stopped where it asks.
	errBehind = errors.New("command: another job has the terminal")
)

// toAsk waits until it is this process that asks for its request, and returns that. What
// else is asked at this terminal has its answer first; and of all that wait for one request,
// one asks. Until end is called nobody asks by a window, and no other command here.
func (e *env) toAsk(ctx context.Context, a *client.Admin, t *term.TTY, id string) (r *pb.ApprovalRequest, end func(), err error) {
	for told := false; ; told = true {
		turn, err := t.Turn(ctx)
		if err != nil {
			return nil, nil, err
		}
		if !t.Foreground() { // any more: it may have waited for long
			turn()
			return nil, nil, errBehind
		}
		end = func() {
			defer turn()
			ctx, cancel := context.WithTimeout(ctx, leaving)
			defer cancel()
			_, _ = a.Attend(ctx, false, 0) // it may still be approved elsewhere
		}
		all, err := a.Attend(ctx, true, 0)
		if r = requestOf(all, id); err == nil && r == nil {
			err = errAnswered
		}
		if err != nil {
			end()
			return nil, nil, err
		}
		if ownCaller(r).GetAttended() {
			return r, end, nil
		}
		turn()
		if !told {
			e.note("this waits until somebody approves it; another command asks for that, or:  nsagent approve %s", id)
		}
		for slices.ContainsFunc(r.GetCallers(), (*pb.WaitingCaller).GetAttended) {
			if all, err = a.Requests(ctx, all.GetRevision()); err != nil {
				return nil, nil, err
			}
			r = requestOf(all, id)
		}
	}
}

// requestOf returns a request of all that wait; nil where it does not.
func requestOf(all *pb.ListRequestsResponse, id string) *pb.ApprovalRequest {
	for _, r := range all.GetRequests() {
		if r.GetId() == id {
			return r
		}
	}
	return nil
}

// approveOwn asks at the terminal for the proof that approves a request of this process.
func (e *env) approveOwn(ctx context.Context, a *client.Admin, arena *secret.Arena, t *term.TTY, r *pb.ApprovalRequest) error {
	asks := &terminalAsker{ctx, e, arena, r.GetGrant() != "" || ownCaller(r).GetExe() != ""}
	err := e.approveBy(ctx, a, arena, r.GetId(), asks, func(fault string) { fmt.Fprintln(t, fault+".") })
	if ctx.Err() == nil && errors.Is(err, term.ErrInterrupted) {
		return err
	}
	return nil // the call itself says what came of it
}

// approveBy has somebody who is asked approve a request, or deny it with a no. wrong is told
// what was wrong with an answer; then it is asked again. The error is why there is no answer.
func (e *env) approveBy(ctx context.Context, a *client.Admin, arena *secret.Arena, id string, asks asker, wrong func(fault string)) error {
	span, err := asks.span()
	for try := 1; ; try++ {
		if err == nil {
			p := &prover{env: e, arena: arena, asks: asks, from: openerFlags{passphrase: passphraseFlags{fd: -1}, totp: -1}}
			err = p.prove(func(proof client.Proof) error { return a.Approve(ctx, proof, id, span) })
			p.destroy()
		}
		switch {
		case err == nil:
			return nil
		case errors.Is(err, errNo):
			return a.Deny(ctx, id)
		case ctx.Err() != nil || errors.Is(err, term.ErrInterrupted) || errors.Is(err, errNotAsked):
			return err
		}
		wrong(failure(err).Message)
		if try == approvalTries || !mistyped(err) {
			return err
		}
		err = nil
	}
}

// mistyped reports whether another answer may do.
func mistyped(err error) bool {
	return slices.ContainsFunc([]error{client.ErrPassphrase, client.ErrTOTP, client.ErrBackoff, term.ErrTooLong}, func(e error) bool { return errors.Is(err, e) })
}
