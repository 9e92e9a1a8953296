package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nsagent/nsagent/agent/policy"
)

// looker is an agent that serves nobody. It is told at once that a process runs /a.
type looker struct {
	*Agent
	looks atomic.Int32
	// slow has, by its number, what a look at a process waits for, else it ends with its
	// time.
	slow map[int32]chan struct{}
}

func newLooker() *looker {
	l := &looker{slow: make(map[int32]chan struct{})}
	l.Agent = &Agent{looks: newLooks(), log: slog.New(slog.DiscardHandler)}
	l.cfg.Evidence = func(ctx context.Context, pid int32, asked policy.Facts) (policy.Evidence, error) {
		l.looks.Add(1)
		if slow, ok := l.slow[pid]; ok {
			select {
			case <-slow:
			case <-ctx.Done():
				return policy.Evidence{}, ctx.Err()
			}
		}
		return policy.Evidence{Known: asked, Exe: "/a"}, nil
	}
	return l
}

// after returns what is known of the process of c after a call that asks for its executable.
func (l *looker) after(t *testing.T, c *caller) policy.Facts {
	l.awaitLook(t.Context(), c, policy.FactExe)
	return c.evidence.known().Known
}

// idle returns an error unless all places are free, and nobody is held to be looked at.
func (s *looks) idle() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.places) != 0 || len(s.under) != 0 {
		return fmt.Errorf("%d places taken, %d processes looked at", len(s.places), len(s.under))
	}
	return nil
}

// callersOf returns n callers by agent.sock, on connections of processes of these numbers.
// All of them live as long as the test.
func callersOf(t *testing.T, pids ...int32) []*caller {
	t.Helper()
	var all []*caller
	for _, pid := range pids {
		c := &caller{peer: ownPeer(t), has: ofOwner(), evidence: new(evidence)}
		c.peer.PID = pid
		all = append(all, c)
	}
	return all
}

// TestEvidencePlaces: who has processes on a socket that take for ever to be looked at keeps
// nobody else from being looked at, and gets no more places by another socket. A place is
// given back after a while, and whoever waits for one gets it.
func TestEvidencePlaces(t *testing.T) {
	callers := callersOf(t, 1, 2, 3, 4, 5, 6)
	hang, waits, elsewhere := callers[:looksAtOnce], callers[looksAtOnce], callers[looksAtOnce+1]
	synctest.Test(t, func(t *testing.T) {
		l, outer := newLooker(), &grantSocket{looks: newLooks()}
		waits.socket = outer
		for _, c := range hang {
			c.socket = &grantSocket{through: &grantSocket{through: outer}}
			l.slow[c.peer.PID] = nil
		}
		for _, c := range callers[:looksAtOnce+1] {
			if got := l.after(t, c); got != 0 {
				t.Errorf("before it is known: got %b", got)
			}
		}
		if n := l.looks.Load(); n != looksAtOnce || len(outer.looks.places) != looksAtOnce {
			t.Errorf("%d looks, %d places taken", n, len(outer.looks.places))
		}
		if got := l.after(t, elsewhere); got != policy.FactExe {
			t.Errorf("by agent.sock: got %b", got)
		}
		time.Sleep(lookTime)
		synctest.Wait()
		if got := waits.evidence.known().Known; got != policy.FactExe {
			t.Errorf("who has waited for a place: got %b", got)
		}
		if err := errors.Join(outer.looks.idle(), l.Agent.looks.idle()); err != nil {
			t.Error(err)
		}
	})
}

// TestEvidenceOfWhoLeaves: nobody is looked at for a call that is over.
func TestEvidenceOfWhoLeaves(t *testing.T) {
	c := callersOf(t, 1)[0]
	synctest.Test(t, func(t *testing.T) {
		l := newLooker()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		l.awaitLook(ctx, c, policy.FactExe)
		if synctest.Wait(); l.looks.Load() != 0 {
			t.Error("looked at")
		}
	})
}

// TestEvidenceOfOneConnection: calls on a connection wait for one look, each as long as it
// may. A look that takes longer goes on, and what it tells is kept.
func TestEvidenceOfOneConnection(t *testing.T) {
	c := callersOf(t, 1)[0]
	synctest.Test(t, func(t *testing.T) {
		l := newLooker()
		l.slow[1] = make(chan struct{})
		for range 2 { // the first looks, the second waits for that
			if got := l.after(t, c); got != 0 {
				t.Errorf("before it is known: got %b", got)
			}
		}
		got := make(chan policy.Facts)
		for range 3 {
			go func() { got <- l.after(t, c) }()
		}
		synctest.Wait()
		if of := l.Agent.looks.under[1].of; len(of) != 1 {
			t.Errorf("it learns %d times", len(of))
		}
		close(l.slow[1])
		for range 3 {
			if g := <-got; g != policy.FactExe {
				t.Errorf("got %b", g)
			}
		}
		if err := l.Agent.looks.idle(); err != nil || l.looks.Load() != 1 {
			t.Errorf("%d looks, %v", l.looks.Load(), err)
		}
	})
}

// TestEvidenceOfOneProcess: a process has one place, however many connections it has, and
// closes meanwhile; all that are there while it is looked at learn what that tells, and a
// look for less is followed by one for all.
func TestEvidenceOfOneProcess(t *testing.T) {
	callers := callersOf(t, 1, 1, 1, 1)
	synctest.Test(t, func(t *testing.T) {
		l := newLooker()
		l.slow[1] = make(chan struct{})
		got := make(chan policy.Facts)
		for i, c := range callers[:3] {
			go func() { got <- l.after(t, c) }()
			if synctest.Wait(); i == 1 {
				_ = callers[0].peer.Close()
			}
		}
		both := make(chan policy.Facts)
		go func() {
			l.awaitLook(t.Context(), callers[3], policy.FactExe|policy.FactTTY)
			both <- callers[3].evidence.known().Known
		}()
		synctest.Wait()
		if n := l.looks.Load(); n != 1 || len(l.Agent.looks.places) != 1 {
			t.Errorf("%d looks, %d places taken", n, len(l.Agent.looks.places))
		}
		close(l.slow[1])
		if all := (<-got) + (<-got) + (<-got); all != 2*policy.FactExe || callers[0].evidence.known().Known != 0 {
			t.Errorf("got %d, and %b by the connection that is closed", all, callers[0].evidence.known().Known)
		}
		if g := <-both; g != policy.FactExe|policy.FactTTY || l.looks.Load() != 2 {
			t.Errorf("asked for more: got %b after %d looks", g, l.looks.Load())
		}
		if err := l.Agent.looks.idle(); err != nil {
			t.Error(err)
		}
	})
}

// TestEvidenceOfAnHeir: what a look tells that began at a process before it is not told of
// one that has its number now. That has a look of its own, after it.
func TestEvidenceOfAnHeir(t *testing.T) {
	callers := callersOf(t, 1, 1)
	dead, heir := callers[0], callers[1]
	synctest.Test(t, func(t *testing.T) {
		l := newLooker()
		l.slow[1] = make(chan struct{})
		_ = l.after(t, dead)
		_ = dead.peer.Close()
		if got := l.after(t, heir); got != 0 || l.looks.Load() != 1 {
			t.Errorf("before it is known: got %b after %d looks", got, l.looks.Load())
		}
		close(l.slow[1])
		if synctest.Wait(); heir.evidence.known().Known != 0 {
			t.Error("it has learnt what runs no more")
		}
		if got := l.after(t, heir); got != policy.FactExe || l.looks.Load() != 2 {
			t.Errorf("got %b after %d looks", got, l.looks.Load())
		}
		if dead.evidence.known().Known != 0 {
			t.Error("the process that has ended is known")
		}
	})
}

// TestEvidenceOfWhoWaitedTooLong: a process that ends before it has a place is not looked at,
// and one that has a connection left is.
func TestEvidenceOfWhoWaitedTooLong(t *testing.T) {
	callers := callersOf(t, 1, 2, 2)
	synctest.Test(t, func(t *testing.T) {
		l := newLooker()
		for range looksAtOnce {
			l.Agent.looks.places <- struct{}{}
		}
		for _, c := range callers {
			_ = l.after(t, c)
		}
		for _, c := range callers[:2] {
			_ = c.peer.Close()
		}
		for range looksAtOnce {
			<-l.Agent.looks.places
		}
		synctest.Wait()
		if err := l.Agent.looks.idle(); err != nil || l.looks.Load() != 1 {
			t.Errorf("%d looks, %v", l.looks.Load(), err)
		}
		if got := callers[2].evidence.known().Known; got != policy.FactExe {
			t.Errorf("by the connection that is left: got %b", got)
		}
	})
}

// A process of which all is known that is asked for is not looked at, as where another
// connection of it has learnt that while this one waited.
func TestEvidenceThatIsKnown(t *testing.T) {
	l, c := newLooker(), callersOf(t, 1)[0]
	for range 2 {
		if got := l.after(t, c); got != policy.FactExe {
			t.Errorf("%b is known, want the executable", got)
		}
	}
	if n := l.looks.Load(); n != 1 {
		t.Errorf("it was looked at %d times, want once", n)
	}
}
