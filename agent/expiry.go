package agent

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

const day = 24 * time.Hour

// milestones are how many days before its end a credential is spoken of; at 0 it has
// ended. NetSuite writes to administrators at 60, 30 and 14.
//
// Source: NetSuite Help, "OAuth 2.0 Client Credentials Setup".
func milestones() []int32 { return []int32{60, 30, 14, 7, 1, 0} }

// milestone returns the last milestone that a credential has passed which has so long to
// live; false where its end is far away.
func milestone(left time.Duration) (days int32, passed bool) {
	for _, m := range milestones() {
		if left > time.Duration(m)*day {
			break
		}
		days, passed = m, true
	}
	return days, passed
}

// expiry returns what is to be said of the end of l; nil where there is nothing.
func (l *live) expiry(now time.Time) *pb.Expiry {
	ends := l.ends()
	days, near := milestone(time.Unix(ends, 0).Sub(now))
	switch {
	case ends == 0 || !near:
		return nil
	case l.Auth == authCode && days > 1: // a consent lives for a week
		return nil
	case days > 0 && l.rotates() && !l.rotationDue(now.Add(-day)):
		return nil // the agent sees to it, unless it has failed to for a day
	}
	return &pb.Expiry{
		Profile: l.Name, Account: l.Account, Environment: l.identity.Account.Environment(), Auth: l.Auth, ExpiresAt: ends, WithinDays: days,
	}
}

// expiring returns what has ended or will soon, the next to end first.
func (s *session) expiring(now time.Time) []*pb.Expiry {
	var out []*pb.Expiry
	for _, p := range s.profiles {
		if e := p.expiry(now); e != nil {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(a, b *pb.Expiry) int {
		if a.GetExpiresAt() != b.GetExpiresAt() {
			return int(min(max(a.GetExpiresAt()-b.GetExpiresAt(), -1), 1))
		}
		return strings.Compare(a.GetProfile(), b.GetProfile())
	})
	return out
}

// expiryDetail says for the log what is near. Who reads it there knows that it was said.
func expiryDetail(e *pb.Expiry) string {
	return fmt.Sprintf("within=%dd ends=%s", e.GetWithinDays(), time.Unix(e.GetExpiresAt(), 0).UTC().Format(time.RFC3339))
}

// watchExpiry records each milestone of each credential once, as soon as the vault is open
// and the log was read.
func (a *Agent) watchExpiry(ctx context.Context) error {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	select {
	case <-ctx.Done():
		return nil
	case <-a.recalled:
	}
	for {
		if err := a.tellExpiry(); err != nil {
			a.log.Error("the end of a credential is not on record; the next try is in an hour", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-a.aging:
		}
	}
}

// tellExpiry records what was not recorded yet.
func (a *Agent) tellExpiry() error {
	a.mu.RLock()
	s, err := a.currentLocked()
	var near []*pb.Expiry
	if err == nil {
		near = slices.DeleteFunc(s.expiring(a.clock()), func(e *pb.Expiry) bool { return a.told[e.GetProfile()] == expiryDetail(e) })
	}
	a.mu.RUnlock()
	for _, n := range near {
		detail := expiryDetail(n)
		e := audit.Event{Event: audit.EventExpiry, Outcome: audit.OutcomeOK, Profile: n.GetProfile(), Account: n.GetAccount(), Kind: n.GetAuth(), Detail: detail}
		if err := a.recordDurably(nil, e); err != nil {
			return fmt.Errorf("recording the end of a credential: %w", err)
		}
		a.log.Warn("a credential ends", "profile", n.GetProfile(), "within_days", n.GetWithinDays())
		a.mu.Lock()
		a.told[n.GetProfile()] = detail
		a.mu.Unlock()
	}
	return nil
}

// lookAtAges has watchExpiry look now.
func (a *Agent) lookAtAges() {
	select {
	case a.aging <- struct{}{}:
	default:
	}
}
