package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nsagent/nsagent/internal/secret"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
	"github.com/nsagent/nsagent/vault/store"
)

// Kinds of ledger entries. A kind is never used for something else.
const (
	ledgerUnlockFailures store.Kind = 1  // how many wrong passphrases in a row
	ledgerLastFailure    store.Kind = 2  // Unix milliseconds of the last one
	ledgerGeneration     store.Kind = 3  // the newest generation of the vault that was unlocked or made here
	ledgerAuditSize      store.Kind = 4  // how many entries the newest checkpoint of the audit log covered at an unlock
	ledgerAuditHead      store.Kind = 5  // the start of the hash of the last of them
	ledgerGrantRevoked   store.Kind = 6  // by grant: Unix seconds at which it was revoked
	ledgerUses           store.Kind = 7  // by the subject of a limit: how many uses were reserved
	ledgerSubjects       store.Kind = 8  // by grant: how many subjects its tokens have added
	ledgerClock          store.Kind = 9  // Unix seconds: the highest time at which a token was looked at
	ledgerClockEpoch     store.Kind = 10 // grants issued before that go by the next
	ledgerClockBefore    store.Kind = 11 // the highest time before that
	ledgerIDToken        store.Kind = 24 // by oidc.Identity.ID: Unix seconds from which the token is over anyway
)

// freeTries is how many wrong passphrases cost no wait; each further one doubles
// it, up to longestWait.
const (
	freeTries   = 3
	longestWait = 5 * time.Minute
)

// ledger is an open ledger with the machine key under which it stands.
type ledger struct {
	*store.Ledger
	key  *secret.HMACKey
	turn <-chan struct{} // holds a value while it is open
}

// Close closes the ledger, drops the key, and lets the next have it.
func (l *ledger) Close() error {
	l.key.Destroy()
	err := l.Ledger.Close()
	<-l.turn
	return err
}

const (
	// ledgerTime bounds the question for the machine key.
	ledgerTime = 10 * time.Second
	// otherProcesses bounds how long another process is waited for that has the ledger: it
	// has it for a moment.
	otherProcesses = 2 * time.Second
)

// onLedger calls use with the ledger of v, for work that nobody waits for in particular.
func (a *Agent) onLedger(v *vault.Vault, use func(*ledger) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), ledgerTime)
	defer cancel()
	l, _, err := a.openLedger(ctx, v)
	if err != nil {
		return err
	}
	return errors.Join(use(l), l.Close())
}

// openLedger opens the ledger of v, or of the bundle that is served. weak is set where the
// machine key is only a file. The caller closes it.
func (a *Agent) openLedger(ctx context.Context, v *vault.Vault) (l *ledger, weak bool, err error) {
	if a.bundled != nil {
		l, err = a.bundleLedger(ctx, a.bundled.Grant)
		return l, false, err
	}
	key, weak, err := v.MachineKey(ctx)
	if err != nil {
		return nil, weak, fmt.Errorf("reading the machine key: %w", err)
	}
	l, err = a.ledgerUnder(ctx, key, v.ID())
	return l, weak, err
}

// ledgerUnder opens the ledger of a vault under key, which it takes. One part of the agent has
// it at a time, and the others wait, until ctx ends.
func (a *Agent) ledgerUnder(ctx context.Context, key *secret.HMACKey, id []byte) (*ledger, error) {
	select {
	case a.ledgers <- struct{}{}:
	case <-ctx.Done():
		key.Destroy()
		return nil, fmt.Errorf("waiting for the ledger: %w", errors.Join(ErrBusy, ctx.Err()))
	}
	ctx, cancel := context.WithTimeout(ctx, otherProcesses)
	defer cancel()
	l, err := store.OpenLedger(ctx, a.cfg.Paths.Ledger, id, key.HMACSHA256)
	if err != nil {
		<-a.ledgers
		key.Destroy()
		return nil, fmt.Errorf("opening the ledger: %w", err)
	}
	return &ledger{l, key, a.ledgers}, nil
}

// lostLedger reports whether err of openLedger means that the machine key or the ledger
// is gone or is that of another machine, as after a move or the loss of the keyring.
func lostLedger(err error) bool {
	return errors.Is(err, vault.ErrMachineKey) || errors.Is(err, vault.ErrKeyring) || errors.Is(err, store.ErrMAC) || errors.Is(err, store.ErrDamaged)
}

// tryUnlock unlocks the vault of s and counts wrong passphrases in the ledger, where
// the count survives a restart. The recovery code opens a vault without its ledger too:
// nobody guesses it, so that nothing has to be counted.
func (a *Agent) tryUnlock(ctx context.Context, s *session, proof vault.Proof) error {
	v := s.vault
	byCode := !proof.Recovery.IsZero()
	l, weak, err := a.openLedger(ctx, v)
	s.weakMachineKey = weak
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
	defer func() { _ = l.Close() }()
	_, seen := l.Get(ledgerGeneration, v.ID())
	a.notePin(l, s)
	if err := a.counted(ctx, v, l, proof, v.UnlockBy, a.auditPin(v.ID())...); err != nil {
		return err
	}
	a.settleRevocations(ctx, v, l)
	if !seen {
		s.notes = append(s.notes, a.forgotten(v)...)
	}
	if byCode && !seen {
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
	l, _, err := a.openLedger(ctx, s.vault)
	if err != nil {
		return err
	}
	defer func() { _ = l.Close() }()
	return a.counted(ctx, s.vault, l, proof, s.vault.Prove)
}

// tries is how often a secret was guessed wrong in a row, as the ledger has it.
type tries struct {
	ledger   *ledger
	subject  []byte
	failures store.Kind // which entry counts them
	last     store.Kind // which entry has the time of the last one, in Unix milliseconds
}

// pause returns how many wrong guesses came before, and how long the next one has to wait.
func (t tries) pause(now time.Time) (failures uint64, wait time.Duration, err error) {
	failures, _ = t.ledger.Get(t.failures, t.subject)
	last, _ := t.ledger.Get(t.last, t.subject)
	if ms := uint64(max(now.UnixMilli(), 0)); last > ms { // #nosec G115 -- not negative
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
		store.Entry{Kind: t.last, Subject: t.subject, Value: uint64(max(now.UnixMilli(), 0))}, // #nosec G115 -- not negative
		store.Entry{Kind: t.failures, Subject: t.subject, Value: failures + 1},
	)
	if err != nil {
		return fmt.Errorf("counting a wrong guess: %w", err)
	}
	return nil
}

// right is the entry that has the count begin anew.
func (t tries) right() store.Entry {
	return store.Entry{Kind: t.failures, Subject: t.subject, Value: 0}
}

// counted calls try with proof unless too many wrong passphrases came before, and
// counts one more where it was wrong. Where it was right, it notes more. All that is
// durable before counted returns.
func (a *Agent) counted(ctx context.Context, v *vault.Vault, l *ledger, proof vault.Proof, try func(context.Context, vault.Proof) error, more ...store.Entry) error {
	subject := v.ID()
	guesses := tries{l, subject, ledgerUnlockFailures, ledgerLastFailure}
	now := a.clock()
	failures, wait, err := guesses.pause(now)
	if err != nil {
		return err
	}
	if seen, _ := l.Get(ledgerGeneration, subject); v.Generation() < seen {
		return fmt.Errorf("opening the vault: %w: generation %d was seen on this machine before", vault.ErrRollback, seen)
	}
	guessable := proof.Recovery.IsZero() && proof.KeyFile.IsZero()
	if wait > 0 && guessable {
		return refuse(ErrBackoff, pb.CodeBackoff, "unlocking is paused",
			fmt.Sprintf("%d wrong passphrases in a row; the next try is open in %s", failures, wait.Round(time.Second)), "wait, then:  nsagent unlock")
	}
	err = try(ctx, proof)
	switch {
	case errors.Is(err, vault.ErrPassphrase):
		if werr := guesses.wrong(failures, now); werr != nil {
			return werr
		}
		if !slices.ContainsFunc(v.Slots(), func(i vault.SlotInfo) bool { return i.Kind == vault.SlotKeyringPassphrase }) {
			return refuse(err, pb.CodePassphrase, "the vault did not open", "the passphrase is wrong", "try again:  nsagent unlock")
		}
	case err == nil:
		now := v.Generation()
		if werr := l.Append(append(more, guesses.right(), store.Entry{Kind: ledgerGeneration, Subject: subject, Value: now})...); werr != nil {
			return fmt.Errorf("noting the unlock: %w", werr)
		}
		a.generation.Store(now)
	}
	return err
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
