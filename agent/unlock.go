package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/internal/secret"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
	"github.com/nsagent/nsagent/vault/keyring"
	"github.com/nsagent/nsagent/vault/store"
)

// Kinds of ledger entries. A kind is never used for something else.
const (
	ledgerUnlockFailures store.Kind = 1 // how many wrong passphrases in a row
	ledgerLastFailure    store.Kind = 2 // Unix milliseconds of the last one
	ledgerGeneration     store.Kind = 3 // the newest generation of the vault that was unlocked
)

// freeTries is how many wrong passphrases cost no wait; each further one doubles
// it, up to longestWait.
const (
	freeTries   = 3
	longestWait = 5 * time.Minute
)

// openVault opens the vault file, locked.
func (a *Agent) openVault(ctx context.Context) (*vault.Vault, error) {
	cfg := vault.Config{Store: store.NewFile(a.cfg.Paths.Vault), Arena: a.arena, MachineKeyFile: a.cfg.Paths.MachineKey, Memory: &a.seen}
	if a.cfg.Keyring != nil {
		cfg.Keyring = keyring.New(a.arena, a.cfg.Keyring)
	}
	v, err := vault.Open(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("opening the vault: %w", err)
	}
	a.mu.Lock()
	a.lastID = v.ID()
	a.mu.Unlock()
	return v, nil
}

// unlock opens the vault with passphrase, which may be zero, and makes every
// profile ready to sign. It records the unlock before it takes effect. hard is
// how long the session lives at most; zero means the configured time.
//
// Where somebody locks meanwhile, the agent stays locked: the later word counts.
func (a *Agent) unlock(ctx context.Context, c *caller, passphrase secret.Bytes, hard time.Duration) (*session, error) {
	a.mu.RLock()
	locks := a.locks
	a.mu.RUnlock()
	end, err := a.beginAdmin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	defer a.arena.ReleaseMemory()

	s, err := a.openSession(ctx, passphrase)
	e := audit.Event{Event: audit.EventVaultUnlock, Outcome: audit.OutcomeOK}
	c.fill(&e)
	if err != nil {
		e.Outcome, e.Reason = audit.OutcomeDenied, string(refusalOf(err).Code)
	} else {
		// An older copy that was put back shows in the log as a smaller number.
		e.Detail = fmt.Sprintf("generation=%d", s.vault.Generation())
	}
	if _, werr := a.audit.AppendSync(e); werr != nil {
		if err == nil {
			s.destroy()
		}
		return nil, fmt.Errorf("recording the unlock: %w", werr)
	}
	if err != nil {
		return nil, err
	}
	s.since, s.idle, s.hard = a.boottime(), a.cfg.IdleLock, a.cfg.HardLock
	if hard > 0 {
		s.hard = min(hard, a.cfg.HardLock)
	}
	s.lastUse.Store(int64(s.since))

	if err := a.startCheckpoints(s); err != nil {
		s.destroy()
		return nil, err
	}
	old, ok := a.install(s, locks)
	if old != nil {
		old.destroy()
	}
	if !ok {
		s.destroy()
		s.checkpoints.Stop()
		return nil, a.overruled(e)
	}
	a.look()
	select {
	case a.erase <- struct{}{}:
	default:
	}
	return s, nil
}

// install makes s the session and returns the one before it, unless somebody
// locked since locks was read.
func (a *Agent) install(s *session, locks uint64) (old *session, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.locks != locks {
		return nil, false
	}
	old = a.takeLocked()
	s.noteUse(a.lastUse)
	a.session = s
	return old, true
}

// overruled records that the unlock e did not take effect, and returns why.
func (a *Agent) overruled(e audit.Event) error {
	err := refuse(vault.ErrLocked, pb.CodeLocked, "the vault stays locked", "it was locked while it was being unlocked", "unlock it:  nsagent unlock")
	e.Outcome, e.Reason = audit.OutcomeFailed, string(err.Code)
	if _, werr := a.audit.AppendSync(e); werr != nil {
		a.log.Error("audit log not written after an unlock that was overruled", "error", werr)
	}
	return err
}

// openSession opens the vault and all its profiles.
func (a *Agent) openSession(ctx context.Context, passphrase secret.Bytes) (*session, error) {
	v, err := a.openVault(ctx)
	if errors.Is(err, store.ErrNotFound) {
		return nil, noVault()
	}
	if err != nil {
		return nil, err
	}
	s := &session{vault: v, profiles: make(map[string]*live)}
	if s.weakMachineKey, err = a.tryUnlock(ctx, v, passphrase); err != nil {
		v.Lock()
		return nil, err
	}
	err = v.Each(func(r vault.Record, signOnly secret.Bytes) error {
		p, err := a.codec.decode(r.Meta)
		if err == nil && p.Name != r.Name {
			err = fmt.Errorf("record %q: %w: it names another profile", r.Name, vault.ErrDamaged)
		}
		if err != nil {
			signOnly.Destroy()
			return err
		}
		p.versions = r.Versions
		l, err := newLive(a.arena, p, signOnly)
		if err != nil {
			return err
		}
		s.profiles[p.Name] = l
		return nil
	})
	if err != nil {
		s.destroy()
		return nil, fmt.Errorf("opening the profiles: %w", err)
	}
	return s, nil
}

// tryUnlock unlocks v and counts wrong passphrases in the ledger, where the count
// survives a restart. The count is durable before the answer is given. weak is set
// where the machine key, under which the ledger stands, is only a file.
func (a *Agent) tryUnlock(ctx context.Context, v *vault.Vault, passphrase secret.Bytes) (weak bool, err error) {
	key, weak, err := v.MachineKey(ctx)
	if err != nil {
		return weak, fmt.Errorf("reading the machine key: %w", err)
	}
	defer key.Destroy()
	ledger, err := store.OpenLedger(a.cfg.Paths.Ledger, v.ID(), key.HMACSHA256)
	if err != nil {
		return weak, fmt.Errorf("opening the ledger: %w", err)
	}
	defer func() { _ = ledger.Close() }()

	subject := v.ID()
	failures, _ := ledger.Get(ledgerUnlockFailures, subject)
	last, _ := ledger.Get(ledgerLastFailure, subject)
	now := time.Now()
	if ms := uint64(max(now.UnixMilli(), 0)); last > ms { // #nosec G115 -- not negative
		// The clock was ahead when that was written. Waiting starts anew, once.
		last = ms
		if err := ledger.Append(store.Entry{Kind: ledgerLastFailure, Subject: subject, Value: last}); err != nil {
			return weak, fmt.Errorf("correcting the time of the last wrong passphrase: %w", err)
		}
	}
	if seen, _ := ledger.Get(ledgerGeneration, subject); v.Generation() < seen {
		return weak, fmt.Errorf("opening the vault: %w: generation %d was unlocked on this machine before", vault.ErrRollback, seen)
	}
	if wait := backoff(failures, last, now); wait > 0 {
		return weak, refuse(ErrBackoff, pb.CodeBackoff, "unlocking is paused",
			fmt.Sprintf("%d wrong passphrases in a row; the next try is open in %s", failures, wait.Round(time.Second)), "wait, then:  nsagent unlock")
	}
	err = v.Unlock(ctx, passphrase)
	switch {
	case errors.Is(err, vault.ErrPassphrase):
		if werr := ledger.Append(
			store.Entry{Kind: ledgerLastFailure, Subject: subject, Value: uint64(max(now.UnixMilli(), 0))}, // #nosec G115 -- not negative
			store.Entry{Kind: ledgerUnlockFailures, Subject: subject, Value: failures + 1},
		); werr != nil {
			return weak, fmt.Errorf("counting a wrong passphrase: %w", werr)
		}
	case err == nil:
		if werr := ledger.Append(
			store.Entry{Kind: ledgerUnlockFailures, Subject: subject, Value: 0},
			store.Entry{Kind: ledgerGeneration, Subject: subject, Value: v.Generation()},
		); werr != nil {
			return weak, fmt.Errorf("noting the unlock: %w", werr)
		}
	}
	return weak, err
}

// backoff returns how long the next try has to wait. A clock that was set back
// does not shorten the wait.
func backoff(failures, last uint64, now time.Time) time.Duration {
	if failures < freeTries {
		return 0
	}
	wait := longestWait
	if n := failures - freeTries; n < 9 {
		wait = min(time.Second<<n, longestWait)
	}
	since := now.Sub(time.UnixMilli(int64(last))) // #nosec G115 -- written by tryUnlock
	return wait - max(since, 0)
}

func noVault() error {
	return refuse(ErrNoVault, pb.CodeNoVault, "there is no vault yet", "", "make one:  nsagent init")
}
