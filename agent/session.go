package agent

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/vault"
	"github.com/nsagent/nsagent/vault/store"
)

// session is what exists only while the agent is unlocked: the opened vault and
// the live profiles. It dies as a whole at lock.
type session struct {
	vault    *vault.Vault
	profiles map[string]*live
	// staged are what is to take the place of profiles, by their names. No caller uses
	// them.
	staged map[string]*live
	// of is the right whose token opened this session, for its connections alone; such a
	// session has no vault. nil means that the whole vault is open.
	of *granted
	// signer is the key that signs the grants of the vault.
	signer [32]byte
	// authenticator is the app whose codes count as a proof; nil: none is set up.
	authenticator *authenticator
	// caughtUp is the generation of the vault whose policy and app these are. Whoever has the
	// turn to change the vault guards it.
	caughtUp uint64
	// rules is the policy in force; nil while it is not read yet.
	rules atomic.Pointer[rules]
	// checkpoints signs the audit log; nil if this session was never installed.
	checkpoints *audit.Checkpoints

	// weakMachineKey is set where the machine key is a file and not in the keyring.
	weakMachineKey bool
	// notes are sentences about how the vault was opened, for status.
	notes []string
	// missing are the blobs of secrets in use that were not there at the unlock, as after a
	// copy of the vault file without them.
	missing map[store.BlobHash]bool
	// auditCut names the entry that the audit log should hold and does not; empty if it does.
	auditCut string

	// since, idle and hard are boot-clock times: the unlock, how long the session
	// survives unused, and how long it lives at most.
	since, idle, hard time.Duration
	// lastUse is the boot-clock time of the last use, in nanoseconds.
	lastUse atomic.Int64
	// line is what the session has under way at NetSuite.
	line line
}

// left returns how long the session lives if it is not used, and how long at
// most; a value of zero or less means that it is over.
func (s *session) left(now time.Duration) (idle, hard time.Duration) {
	return time.Duration(s.lastUse.Load()) + s.idle - now, s.since + s.hard - now
}

// over reports whether a time limit has passed.
func (s *session) over(now time.Duration) bool {
	idle, hard := s.left(now)
	return idle <= 0 || hard <= 0
}

// noteUse takes over when profiles were last used, in Unix seconds, where that is
// news.
func (s *session) noteUse(used map[string]int64) {
	for name, t := range used {
		if p, ok := s.profiles[name]; ok {
			p.lastUsed.Store(max(p.lastUsed.Load(), t))
		}
	}
}

// keepUse notes in used when the profiles of a session that ends were last used.
func (s *session) keepUse(used map[string]int64) {
	for name, p := range s.profiles {
		used[name] = max(used[name], p.lastUsed.Load())
	}
}

// destroy wipes every key of the session, and ends what it has under way. Nobody may use it
// any more.
func (s *session) destroy() {
	s.line.end()
	for _, p := range s.profiles {
		p.destroy()
	}
	for _, p := range s.staged {
		p.destroy()
	}
	if s.authenticator != nil {
		s.authenticator.key.Destroy()
	}
	if s.vault != nil {
		s.vault.Lock()
	}
}

// currentLocked returns the session, or vault.ErrLocked where there is none or
// its time is over. The caller holds a.mu for reading.
//
// A session that is over counts as none from this very call on; the keys
// themselves are dropped by the watcher, which is woken.
func (a *Agent) currentLocked() (*session, error) { return a.currentAtLocked(a.boottime()) }

// currentAtLocked is currentLocked for the boot-clock time now.
func (a *Agent) currentAtLocked(now time.Duration) (*session, error) {
	s := a.session
	if s == nil && a.bundled != nil {
		return nil, noVaultInBundle(vault.ErrLocked)
	}
	if s == nil {
		return nil, vault.ErrLocked
	}
	if s.over(now) {
		a.look()
		return nil, vault.ErrLocked
	}
	return s, nil
}

// look has the watcher look at the time limits now.
func (a *Agent) look() { wake(a.wake) }

// wake has the task that waits on c look at what it watches, once more at least.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// lock drops every key, overrules an unlock that is under way, and records why.
// Locking never depends on the audit log.
func (a *Agent) lock(why string, c *caller) {
	a.mu.Lock()
	a.locks++
	s := a.takeLocked()
	a.mu.Unlock()
	if s != nil {
		a.end(s, why, c)
	} else {
		a.closeAll(a.presented.all())
	}
	a.closeBundle()
}

// expire locks because the time of s is over, unless another session took its
// place since.
func (a *Agent) expire(s *session, why string) {
	a.mu.Lock()
	current := a.session == s
	if current {
		a.takeLocked()
	}
	a.mu.Unlock()
	if current {
		a.end(s, why, nil)
	}
}

// takeLocked takes the session away from everybody, and returns it.
func (a *Agent) takeLocked() *session {
	s := a.session
	a.session = nil
	if s != nil {
		s.keepUse(a.lastUse)
	}
	return s
}

// end wipes a session that was taken away, and records it. The key of the audit log lives
// a moment longer: the checkpoint that it signs covers the entry of the lock.
func (a *Agent) end(s *session, why string, c *caller) {
	s.destroy()
	a.closeAll(a.presented.all()) // who shows a token again has what it opens by itself
	a.uploads.clear()
	a.logins.clear()
	a.approvals.Drop()
	a.arena.ReleaseMemory()
	e := audit.Event{Event: audit.EventVaultLock, Outcome: audit.OutcomeOK, Detail: why}
	if err := a.recordDurably(c, e); err != nil {
		a.log.Error("audit log not written at lock", "error", err)
	}
	if !a.stopping.Load() {
		s.checkpoints.Stop()
	}
}

// watchSession locks when a time limit passes. The limits are judged by the boot
// clock, which goes on in suspend; the timer only says when to look, so that a
// machine that slept is locked at the first look after it wakes.
func (a *Agent) watchSession(ctx context.Context) error {
	return keepLooking(ctx, a.wake, a.endSession)
}

// endSession locks if a time limit has passed, and returns when to look again, at the
// latest after most.
func (a *Agent) endSession(most time.Duration) time.Duration {
	a.mu.RLock()
	s := a.session
	a.mu.RUnlock()
	if s == nil {
		return most
	}
	idle, hard := s.left(a.boottime())
	switch {
	case hard <= 0:
		a.expire(s, "hard limit")
	case idle <= 0:
		a.expire(s, "idle")
	default:
		return max(min(most, idle, hard), time.Millisecond)
	}
	return most
}

// keepLooking calls look until ctx ends: when it is woken, when the time has come that look
// returned last, and every 15 seconds in any case, since timers stand still while the
// machine sleeps and clocks are set.
func keepLooking(ctx context.Context, wake <-chan struct{}, look func(most time.Duration) time.Duration) error {
	const most = 15 * time.Second
	timer := time.NewTimer(most)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
		case <-timer.C:
		}
		timer.Reset(look(most))
	}
}
