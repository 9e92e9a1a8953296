package command

import (
	"context"
	"errors"
	"slices"
	"time"

	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

const (
	// settleTime is how long a caller has to say that it asks at its own terminal.
	settleTime = 2 * time.Second
	// faultPause is how long nobody is asked after the program failed: it would fail for
	// the next request as it did for this one.
	faultPause = time.Minute
)

// prompter has somebody asked for what waits, one request at a time and each once. A
// question goes away with its request: answered elsewhere, timed out, or given up.
type prompter struct {
	look  func(ctx context.Context, after uint64) (*pb.ListRequestsResponse, error)
	ask   func(ctx context.Context, r *pb.ApprovalRequest) error
	fault func(error) // takes note of why somebody could not be asked

	waiting []*pb.ApprovalRequest // the oldest first
	since   map[string]time.Time  // when each was first seen
	asked   map[string]bool
	pause   time.Time // until when nobody is asked
	open    string    // the request that somebody is asked for; empty: none
	leave   context.CancelFunc
}

// run asks until nothing waits, or ctx ends.
func (p *prompter) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p.since, p.asked, p.leave = map[string]time.Time{}, map[string]bool{}, func() {}
	states, lost, answers := make(chan []*pb.ApprovalRequest), make(chan error, 1), make(chan error, 1)
	go func() { lost <- p.watch(ctx, states) }()
	err := p.serve(ctx, states, lost, answers)
	if p.leave(); p.open != "" {
		<-answers // no question is left behind
	}
	return err
}

// watch hands over what waits, whenever that changes.
func (p *prompter) watch(ctx context.Context, states chan<- []*pb.ApprovalRequest) error {
	for after := uint64(0); ; {
		r, err := p.look(ctx, after)
		if err != nil {
			return err
		}
		after = r.GetRevision()
		select {
		case states <- r.GetRequests():
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (p *prompter) serve(ctx context.Context, states <-chan []*pb.ApprovalRequest, lost <-chan error, answers chan error) error {
	var due <-chan time.Time
	for {
		select {
		case all := <-states:
			p.take(all)
		case err := <-answers:
			p.answered(err)
		case <-due:
		case err := <-lost:
			return err
		}
		if len(p.waiting) == 0 && p.open == "" {
			return nil
		}
		due = p.next(ctx, answers)
	}
}

// take notes what waits now, and ends the question for what does no more.
func (p *prompter) take(all []*pb.ApprovalRequest) {
	since, asked := map[string]time.Time{}, map[string]bool{}
	for _, r := range all {
		id := r.GetId()
		asked[id] = p.asked[id]
		since[id] = p.since[id]
		if since[id].IsZero() {
			since[id] = time.Now()
		}
	}
	p.waiting, p.since, p.asked = all, since, asked
	if _, waits := since[p.open]; !waits {
		p.leave()
	}
}

// answered takes the end of a question.
func (p *prompter) answered(err error) {
	p.open = ""
	p.leave()
	if errors.Is(err, errNotAsked) && !errors.Is(err, context.Canceled) {
		p.fault(err)
		p.pause = time.Now().Add(faultPause)
	}
}

// next asks for the oldest request that nobody was asked for yet and no terminal asks for.
// Where that is still to come, it says when to call again.
func (p *prompter) next(ctx context.Context, answers chan<- error) <-chan time.Time {
	i := slices.IndexFunc(p.waiting, func(r *pb.ApprovalRequest) bool {
		attended := slices.ContainsFunc(r.GetCallers(), func(c *pb.WaitingCaller) bool { return c.GetAttended() })
		return !attended && !p.asked[r.GetId()]
	})
	if i < 0 || p.open != "" {
		return nil
	}
	r := p.waiting[i]
	at := p.since[r.GetId()].Add(settleTime)
	if p.pause.After(at) {
		at = p.pause
	}
	if wait := time.Until(at); wait > 0 {
		return time.After(wait)
	}
	ctx, p.leave = context.WithCancel(ctx)
	p.open, p.asked[r.GetId()] = r.GetId(), true
	go func() { answers <- p.ask(ctx, r) }()
	return nil
}
