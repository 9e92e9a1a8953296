package agent

import (
	"sync"
	"time"
)

// steadyClock judges the times of a grant where nobody else does: it goes on with the boot
// clock, and never back behind what was seen before.
type steadyClock struct {
	boottime func() time.Duration

	mu   sync.Mutex // guards what follows
	high time.Time
	boot time.Duration // when high was seen
}

// newSteadyClock returns a clock that is at high at least.
func newSteadyClock(boottime func() time.Duration, high time.Time) *steadyClock {
	return &steadyClock{boottime: boottime, high: high, boot: boottime()}
}

// at returns the time that counts where the machine's clock says now. A nil clock believes
// it.
func (s *steadyClock) at(now time.Time) time.Time {
	if s == nil {
		return now
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	boot := s.boottime()
	if least := s.high.Add(boot - s.boot); now.Before(least) {
		return least
	}
	s.high, s.boot = now, boot
	return now
}
