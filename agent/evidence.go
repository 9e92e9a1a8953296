package agent

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/nsagent/nsagent/agent/policy"
	"github.com/nsagent/nsagent/internal/peercred"
)

const (
	// evidenceTime bounds how long a call waits until its process has been looked at: the
	// executable is hashed.
	evidenceTime = 5 * time.Second
	// lookTime bounds how long a look has its place. The parent may still read a file that
	// does not come, and has bounds of its own for that.
	lookTime = time.Minute
	// looksAtOnce is how many processes are looked at at once for agent.sock, and for each
	// socket of a grant: who is behind one of them, and has an executable that takes long
	// to read, or never ends, keeps nobody behind another waiting.
	looksAtOnce = 4
)

// evidence is what is known about the process at the other end of a connection. What it
// becomes by exec is not seen, as little as who else has the descriptor. A nil evidence
// knows nothing, and learns nothing.
type evidence struct {
	mu sync.Mutex // guards learnt
	// learnt is what the last look told that told anything; what is missing is asked again.
	learnt policy.Evidence
}

// known returns what was learnt.
func (e *evidence) known() policy.Evidence {
	if e == nil {
		return policy.Evidence{}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.learnt
}

// learn keeps what a look told, if it told anything.
func (e *evidence) learn(got policy.Evidence) {
	if got.Known == 0 {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.learnt = got
}

// unseen is why a use is not decided on yet: its process has to be looked at for this.
type unseen policy.Facts

// Error says what is missing.
func (unseen) Error() string { return "agent: the process has not been looked at" }

// looks are the looks at processes behind agent.sock, or behind a socket of a grant and
// those that were asked for on it.
type looks struct {
	places chan struct{} // holds a value for each process that is looked at

	mu sync.Mutex // guards under, and the looks in it
	// under holds the looks that are under way, or wait for a place, by the number of the
	// process: it gets one place, however many connections it has.
	under map[int32]*look
}

func newLooks() *looks {
	return &looks{places: make(chan struct{}, looksAtOnce), under: make(map[int32]*look)}
}

// look is one look at a process.
type look struct {
	asked policy.Facts
	of    []*caller     // who learns what it tells: connections of the one process
	over  chan struct{} // closed once it has ended
}

// dropGone drops the connections that are closed, or whose process has ended. Those that
// are left are of one process: each was there while another one was.
func (l *look) dropGone() {
	l.of = slices.DeleteFunc(l.of, func(c *caller) bool { return c.peer.Alive() != nil })
}

// awaitLook has the process of c looked at for what is asked, unless that is known, and
// returns after that, or once c has waited long enough. The caller holds no lock.
//
// A look that nobody waits for any more goes on, and what it tells is kept.
func (a *Agent) awaitLook(ctx context.Context, c *caller, asked policy.Facts) {
	if c.evidence == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, evidenceTime)
	defer cancel()
	for ctx.Err() == nil {
		l, joined := a.lookFor(c, asked)
		if l == nil {
			return
		}
		select {
		case <-l.over:
		case <-ctx.Done():
		}
		if joined {
			return
		}
	}
}

// lookFor returns the look at the process of c that is under way, or else begins one; nil
// where it is known already what is asked. Where c has not joined it, it is a look for less,
// or one at a process that had the number before: c may begin its own after it.
func (a *Agent) lookFor(c *caller, asked policy.Facts) (l *look, joined bool) {
	s := a.looksOf(c.by())
	s.mu.Lock()
	defer s.mu.Unlock()
	if asked&^c.evidence.known().Known == 0 {
		return nil, true
	}
	l = s.under[c.peer.PID]
	if l == nil {
		l = &look{asked: asked, of: []*caller{c}, over: make(chan struct{})}
		s.under[c.peer.PID] = l
		go a.performLook(l, s, c.peer.PID)
		return l, true
	}
	l.dropGone()
	if len(l.of) == 0 || asked&^l.asked != 0 {
		return l, false
	}
	if !slices.ContainsFunc(l.of, func(o *caller) bool { return o.evidence == c.evidence }) {
		l.of = append(l.of, c)
	}
	return l, true
}

// performLook carries out a look at the process of that number, once it has a place in s.
func (a *Agent) performLook(l *look, s *looks, pid int32) {
	s.places <- struct{}{}
	s.mu.Lock()
	l.dropGone()
	of := slices.Clone(l.of)
	s.mu.Unlock()
	got := policy.Evidence{}
	if len(of) != 0 {
		got = a.lookAt(of[0].peer, l.asked)
	}
	<-s.places
	s.mu.Lock()
	defer s.mu.Unlock()
	l.dropGone()
	for _, c := range l.of {
		c.evidence.learn(got)
	}
	delete(s.under, pid)
	close(l.over)
}

// looksOf returns the looks at processes behind s: those of the outermost socket, so that
// nobody gets more places by opening another.
func (a *Agent) looksOf(s *grantSocket) *looks {
	if s == nil {
		return a.looks
	}
	return s.outermost().looks
}

// lookAt looks at a process. What cannot be told counts as not known. What is told is of
// p only where its process still runs: else the number may be another's by now.
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
	ctx, cancel := context.WithTimeout(context.Background(), lookTime)
	defer cancel()
	e, err := a.cfg.Evidence(ctx, p.PID, asked)
	if err != nil {
		a.log.Warn("a process that asks cannot be looked at", "error", err)
		return policy.Evidence{}
	}
	return e
}
