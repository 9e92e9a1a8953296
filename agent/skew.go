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

// skew is how far the clock of this machine is behind that of NetSuite, as far as it is
// known. It corrects the timestamps of signatures and iat, and nothing else: time limits
// go by the boot clock, and the audit log by the clock of this machine.
type skew struct{ behind atomic.Int64 }

// now returns the time by NetSuite's clock, at a time of ours.
func (s *skew) now(ours time.Time) time.Time { return ours.Add(time.Duration(s.behind.Load())) }

// shareSkew tells the other profiles of the account what p has learnt of its clock, as
// far as they go to the same place.
func (a *Agent) shareSkew(s *session, p *live) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	for _, other := range s.profiles {
		if other.Account == p.Account && other.Endpoint == p.Endpoint && other.CA == p.CA {
			other.skew.behind.Store(p.skew.behind.Load())
		}
	}
}

// learn takes over what an answer that came at a time of ours says about NetSuite's clock. Only a verified server is
// believed. It reports whether timestamps will differ by more than a little from now on.
func (s *skew) learn(a gateway.Answer, ours time.Time) bool {
	if a.Failure != gateway.FailedNothing || !a.Verified || a.Date == 0 {
		return false
	}
	taken := time.Duration(max(0, min(a.Took, gateway.MaxTime.Milliseconds()))) * time.Millisecond
	behind := time.Unix(a.Date, 0).Add(time.Second / 2).Sub(ours.Add(-taken / 2))
	if behind.Abs() < minSkew {
		behind = 0
	}
	if behind.Abs() > maxSkew {
		return false
	}
	before := time.Duration(s.behind.Swap(int64(behind)))
	return (behind - before).Abs() >= 2*minSkew
}
