package agent

import (
	"context"
	"fmt"
	"time"

	"github.com/nsagent/nsagent/vault"
	"github.com/nsagent/nsagent/vault/store"
)

// freeTries is how many wrong passphrases cost no wait; each further one doubles
// it, up to longestWait.
const (
	freeTries   = 3
	longestWait = 5 * time.Minute
)

// tryUnlock unlocks the vault of s and counts wrong passphrases in the ledger, where
// the count survives a restart. The recovery code opens a vault without its ledger too:
// nobody guesses it, so that nothing has to be counted.
func (a *Agent) tryUnlock(ctx context.Context, s *session, proof vault.Proof) error {
	v := s.vault
	byCode := !proof.Recovery.IsZero()
	var seen sightings
	k, weak, err := a.ledgerKeyOf(ctx, v)
	s.weakMachineKey = weak
	if err == nil {
		defer k.Destroy()
		seen, err = k.sightings(ctx)
	}
	if err != nil {
		if !byCode || !lostLedger(err) {
			return err
		}
		if err := v.UnlockBy(ctx, proof); err != nil {
			return err
		}
		a.log.Warn("unlocked by the recovery code without the ledger", "error", err)
		s.notes = append(s.notes, "the ledger of this machine cannot be read, so that an older copy of the vault may go unnoticed; nsagent key recover starts it anew")
		return nil
	}
	a.notePin(seen, s)
	if err := a.counted(ctx, v, k, seen, proof, v.UnlockBy, a.auditPin(v.ID())...); err != nil {
		return err
	}
	a.settleRevocations(ctx, v, k)
	if !seen.vault {
		s.notes = append(s.notes, a.forgotten(v)...)
	}
	if byCode && !seen.vault {
		s.notes = append(s.notes, "this machine opens the vault for the first time: that it is the newest copy, only you can tell")
	}
	return nil
}

// proveBy checks that proof opens a key slot. Wrong passphrases count as those of unlock
// do.
func (a *Agent) proveBy(ctx context.Context, s *session, proof vault.Proof) error {
	if !proof.Recovery.IsZero() { // with or without the ledger, as in tryUnlock
		return s.vault.Prove(ctx, proof)
	}
	k, _, err := a.ledgerKeyOf(ctx, s.vault)
	if err != nil {
		return err
	}
	defer k.Destroy()
	seen, err := k.sightings(ctx)
	if err != nil {
		return err
	}
	return a.counted(ctx, s.vault, k, seen, proof, s.vault.Prove)
}

// sightings are what the ledger says that this machine has seen.
type sightings struct {
	vault      bool   // it was unlocked or made here
	generation uint64 // its newest
	// auditSize and auditHead pin the audit log.
	auditSize, auditHead uint64
}

// sightings reads them.
func (k *ledgerKey) sightings(ctx context.Context) (s sightings, err error) {
	err = k.use(ctx, func(l *ledger) error {
		s.generation, s.vault = l.Get(ledgerGeneration, k.vault)
		s.auditSize, _ = l.Get(ledgerAuditSize, k.vault)
		s.auditHead, _ = l.Get(ledgerAuditHead, k.vault)
		return nil
	})
	return s, err
}

// tries is how often a secret was guessed wrong in a row, as the ledger has it.
type tries struct {
	ledger   tally
	subject  []byte
	failures store.Kind // which entry counts them
	last     store.Kind // which entry has the time of the last one, in Unix milliseconds
}

// pause returns how many wrong guesses came before, and how long the next one has to wait.
func (t tries) pause(now time.Time) (failures uint64, wait time.Duration, err error) {
	failures, _ = t.ledger.Get(t.failures, t.subject)
	last, _ := t.ledger.Get(t.last, t.subject)
	if ms := unixMilliseconds(now); last > ms {
		// The clock was ahead when that was written. Waiting starts anew, once.
		last = ms
		if err := t.ledger.Append(store.Entry{Kind: t.last, Subject: t.subject, Value: last}); err != nil {
			return failures, 0, fmt.Errorf("correcting the time of the last wrong guess: %w", err)
		}
	}
	return failures, backoff(failures, last, now), nil
}

// wrong counts one more.
func (t tries) wrong(failures uint64, now time.Time) error {
	err := t.ledger.Append(
		store.Entry{Kind: t.last, Subject: t.subject, Value: unixMilliseconds(now)},
		t.count(failures+1),
	)
	if err != nil {
		return fmt.Errorf("counting a wrong guess: %w", err)
	}
	return nil
}

// unixMilliseconds returns a time as the ledger has that of a guess.
func unixMilliseconds(t time.Time) uint64 { return uint64(max(t.UnixMilli(), 0)) } // #nosec G115 -- not negative

// count is the entry by which so many guesses were wrong.
func (t tries) count(failures uint64) store.Entry {
	return store.Entry{Kind: t.failures, Subject: t.subject, Value: failures}
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
	since := now.Sub(time.UnixMilli(int64(last))) // #nosec G115 -- written by wrong
	return wait - max(since, 0)
}
