package agent

import (
	"context"
	"sync"
	"time"

	"github.com/nsagent/nsagent/agent/policy"
	"github.com/nsagent/nsagent/internal/peercred"
)

// evidenceTime bounds how long looking at a process may take: its executable is hashed.
const evidenceTime = 5 * time.Second

// evidences are what is known about the processes at the other ends of connections. Each
// is looked at once, when a rule first asks; what a process becomes by exec is not seen,
// as little as who else has the descriptor.
type evidences struct {
	mu sync.Mutex // guards of
	of map[*peercred.Peer]*evidence
}

// evidence is what is known about one process.
type evidence struct {
	mu     sync.Mutex // held while the process is looked at; guards what follows
	asked  policy.Facts
	answer policy.Evidence
}

// forget drops what is known about a peer that is gone.
func (e *evidences) forget(p *peercred.Peer) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.of, p)
}

func (e *evidences) get(p *peercred.Peer) *evidence {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.of == nil {
		e.of = make(map[*peercred.Peer]*evidence)
	}
	if e.of[p] == nil {
		e.of[p] = new(evidence)
	}
	return e.of[p]
}

// evidenceOf returns what is known about the process of c, as far as the policy asks for
// it. It may take a while: the caller holds no lock.
func (a *Agent) evidenceOf(c *caller, boot time.Duration) policy.Evidence {
	a.mu.RLock()
	s, err := a.sessionForLocked(c, boot)
	a.mu.RUnlock()
	if err != nil {
		return policy.Evidence{}
	}
	asked := s.policy().policy.Asks()
	if asked == 0 {
		return policy.Evidence{}
	}
	e := a.evidences.get(c.peer)
	e.mu.Lock()
	defer e.mu.Unlock()
	if asked&^e.asked == 0 {
		return e.answer
	}
	e.asked |= asked
	e.answer = a.lookAt(c.peer, e.asked)
	return e.answer
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
	ctx, cancel := context.WithTimeout(context.Background(), evidenceTime)
	defer cancel()
	e, err := a.cfg.Evidence(ctx, p.PID, asked)
	if err != nil {
		a.log.Warn("a process that asks cannot be looked at", "error", err)
		return policy.Evidence{}
	}
	if p.Alive() != nil {
		return policy.Evidence{}
	}
	return e
}
