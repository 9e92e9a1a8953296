package agent

import (
	"context"
	"sync"
	"time"

	"github.com/nsagent/nsagent/agent/policy"
	"github.com/nsagent/nsagent/internal/peercred"
)

const (
	// evidenceTime bounds how long a call waits until its process has been looked at: the
	// executable is hashed.
	evidenceTime = 5 * time.Second
	// looksAtOnce is how many processes are looked at at once for agent.sock, and for each
	// socket of a grant: who is behind one of them, and has an executable that takes long
	// to read, or never ends, keeps nobody else waiting. The parent takes what all of them
	// may ask for.
	looksAtOnce = 4
)

// evidence is what is known about the process at the other end of a connection. What it
// becomes by exec is not seen, as little as who else has the descriptor. A nil evidence
// knows nothing, and learns nothing.
type evidence struct {
	turn chan struct{} // holds a value while the process is looked at

	mu sync.Mutex // guards learnt
	// learnt is what the last look told that told anything; what is missing is asked again.
	learnt policy.Evidence
}

func newEvidence() *evidence { return &evidence{turn: make(chan struct{}, 1)} }

// known returns what was learnt.
func (e *evidence) known() policy.Evidence {
	if e == nil {
		return policy.Evidence{}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.learnt
}

// unseen is why a use is not decided on yet: its process has to be looked at for this.
type unseen policy.Facts

// Error says what is missing.
func (unseen) Error() string { return "agent: the process has not been looked at" }

// awaitLook has the process of c looked at for what is asked, unless that is known, and
// returns after that, or once c has waited long enough. The caller holds no lock.
//
// A look that nobody waits for any more goes on, in its place, and what it tells is kept:
// the parent cannot stop reading a file that does not come.
func (a *Agent) awaitLook(ctx context.Context, c *caller, asked policy.Facts) {
	e, places := c.evidence, a.looksOf(c.by())
	if e == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, evidenceTime)
	defer cancel()
	over := make(chan struct{})
	select {
	case e.turn <- struct{}{}:
	case <-ctx.Done():
		return
	}
	if asked&^e.known().Known == 0 {
		<-e.turn
		return
	}
	select {
	case places <- struct{}{}:
	case <-ctx.Done():
		<-e.turn
		return
	}
	go func() {
		defer close(over)
		got := a.lookAt(c.peer, asked)
		<-places
		if got.Known != 0 {
			e.mu.Lock()
			e.learnt = got
			e.mu.Unlock()
		}
		<-e.turn
	}()
	select {
	case <-over:
	case <-ctx.Done():
	}
}

// looksOf returns where the looks at processes behind s have their places: at the outermost
// socket, so that nobody gets more of them by opening another.
func (a *Agent) looksOf(s *grantSocket) chan struct{} {
	if s == nil {
		return a.looks
	}
	return s.outermost().looks
}

// lookAt looks at a process. What cannot be told counts as not known, and so does all of a
// process that has ended meanwhile: its number may be another's by now.
func (a *Agent) lookAt(p *peercred.Peer, asked policy.Facts) policy.Evidence {
	if a.cfg.Evidence == nil {
		exe := p.Exe()
		if exe == "" {
			return policy.Evidence{}
		}
		return policy.Evidence{Known: policy.FactExe, Exe: exe}
	}
	if p.PID == 0 || p.Alive() != nil {
		return policy.Evidence{}
	}
	e, err := a.cfg.Evidence(context.Background(), p.PID, asked)
	if err != nil {
		a.log.Warn("a process that asks cannot be looked at", "error", err)
		return policy.Evidence{}
	}
	if p.Alive() != nil {
		return policy.Evidence{}
	}
	return e
}
