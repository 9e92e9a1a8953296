package agent

import (
	"sync/atomic"
	"time"

	"github.com/nsagent/nsagent/agent/gateway"
)

const (
	// maxSkew is how far the clock of this machine may be off to be corrected. Beyond it
	// something else is wrong, and nobody shall move our signatures far by a header.
	maxSkew = 15 * time.Minute
	// minSkew is what the header Date cannot tell: it has whole seconds.
	minSkew = 2 * time.Second
)

// skew is what is known of NetSuite's clock. It corrects the timestamps of signatures and
// iat, and nothing else: time limits go by the boot clock, and the audit log by the clock
// of this machine.
//
// It is held against the boot clock, which nobody sets: where the clock of this machine is
// put right, or wrong, after it was learnt, signatures have the right time all the same.
type skew struct{ known atomic.Pointer[reference] }

// reference is what NetSuite's clock showed at a time of the boot clock.
type reference struct {
	theirs time.Time
	boot   time.Duration
}

// now returns the time by NetSuite's clock, at a time of ours.
func (s *skew) now(ours time.Time, boottime func() time.Duration) time.Time {
	r := s.known.Load()
	if r == nil {
		return ours
	}
	theirs := r.theirs.Add(boottime() - r.boot)
	if off := theirs.Sub(ours).Abs(); off < minSkew || off > maxSkew {
		return ours
	}
	return theirs
}

// timeFor returns the time that what p signs has.
func (a *Agent) timeFor(p *live) time.Time { return p.skew.now(a.clock(), a.boottime) }

// shareSkew tells the other profiles of the account what p has learnt of its clock, as
// far as they go to the same place.
func (a *Agent) shareSkew(s *session, p *live) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	for _, other := range s.profiles {
		if other.Account == p.Account && other.Endpoint == p.Endpoint && other.CA == p.CA {
			other.skew.known.Store(p.skew.known.Load())
		}
	}
}

// learn takes over what an answer that came at a time of ours says about NetSuite's clock.
// Only a verified server is believed. It reports whether timestamps will differ by more
// than a little from now on.
func (s *skew) learn(a gateway.Answer, ours time.Time, boottime func() time.Duration) bool {
	if a.Failure != gateway.FailedNothing || !a.Verified || a.Date == 0 {
		return false
	}
	taken := time.Duration(max(0, min(a.Took, gateway.MaxTime.Milliseconds()))) * time.Millisecond
	theirs := time.Unix(a.Date, 0).Add(time.Second / 2).Add(taken / 2)
	if theirs.Sub(ours).Abs() > maxSkew {
		return false
	}
	before := s.now(ours, boottime)
	s.known.Store(&reference{theirs, boottime()})
	return s.now(ours, boottime).Sub(before).Abs() >= 2*minSkew
}
