package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nsagent/nsagent/internal/secret"
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

// ledger is an open ledger. One part of the agent has it at a time, and one process: whatever
// takes long is done before it is opened, or after it is closed.
type ledger struct {
	*store.Ledger
	key  *secret.HMACKey // destroyed with it; nil: it is somebody else's
	turn <-chan struct{} // holds a value while it is open
}

// tally is what of a ledger counting needs.
type tally interface {
	Get(kind store.Kind, subject []byte) (value uint64, known bool)
	// Append is durable when it returns nil.
	Append(entries ...store.Entry) error
}

// Close closes the ledger, drops the key, and lets the next have it.
func (l *ledger) Close() error {
	if l.key != nil {
		l.key.Destroy()
	}
	err := l.Ledger.Close()
	<-l.turn
	return err
}

const (
	// ledgerTime bounds the question for the machine key, and what is written down at the end
	// of a call.
	ledgerTime = 10 * time.Second
	// otherProcesses bounds how long another process is waited for that has the ledger: it
	// has it for a moment, in which it writes to the disk twice.
	otherProcesses = 3 * time.Second
)

// onLedger is useLedger for work that nobody waits for in particular.
func (a *Agent) onLedger(v *vault.Vault, use func(*ledger) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), ledgerTime)
	defer cancel()
	return a.useLedger(ctx, v, use)
}

// useLedger calls use with the ledger of v, or of the bundle that is served.
func (a *Agent) useLedger(ctx context.Context, v *vault.Vault, use func(*ledger) error) error {
	l, err := a.openLedger(ctx, v)
	if err != nil {
		return err
	}
	return errors.Join(use(l), l.Close())
}

// openLedger opens the ledger of v, or of the bundle that is served. The caller closes it.
func (a *Agent) openLedger(ctx context.Context, v *vault.Vault) (*ledger, error) {
	if a.bundled != nil {
		return a.bundleLedger(ctx, a.bundled.Grant)
	}
	k, _, err := a.ledgerKeyOf(ctx, v)
	if err != nil {
		return nil, err
	}
	return a.ledgerUnder(ctx, k.key, v.ID())
}

// ledgerUnder opens the ledger of a vault under key, which it takes.
func (a *Agent) ledgerUnder(ctx context.Context, key *secret.HMACKey, id []byte) (*ledger, error) {
	l, err := a.lendLedger(ctx, key, id)
	if err != nil {
		key.Destroy()
		return nil, err
	}
	l.key = key
	return l, nil
}

// lendLedger is ledgerUnder for a key that is borrowed. Others in this process are waited
// for until ctx ends.
func (a *Agent) lendLedger(ctx context.Context, key *secret.HMACKey, id []byte) (*ledger, error) {
	select {
	case a.ledgers <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for the ledger: %w", errors.Join(ErrBusy, ctx.Err()))
	}
	ctx, cancel := context.WithTimeout(ctx, otherProcesses)
	defer cancel()
	l, err := store.OpenLedger(ctx, a.cfg.Paths.Ledger, id, key.HMACSHA256)
	if err != nil {
		<-a.ledgers
		return nil, fmt.Errorf("opening the ledger: %w", err)
	}
	return &ledger{Ledger: l, turn: a.ledgers}, nil
}

// ledgerKey opens the ledger of a vault for moments, between which others have it: the
// question for the machine key is asked once.
type ledgerKey struct {
	agent *Agent
	key   *secret.HMACKey
	vault []byte // its ID
}

// ledgerKeyOf returns the key to the ledger of v, which the caller destroys. weak is set
// where the machine key is only a file.
func (a *Agent) ledgerKeyOf(ctx context.Context, v *vault.Vault) (k *ledgerKey, weak bool, err error) {
	key, weak, err := v.MachineKey(ctx)
	if err != nil {
		return nil, weak, fmt.Errorf("reading the machine key: %w", err)
	}
	return &ledgerKey{a, key, v.ID()}, weak, nil
}

// Destroy drops the machine key.
func (k *ledgerKey) Destroy() { k.key.Destroy() }

// use calls f with the ledger.
func (k *ledgerKey) use(ctx context.Context, f func(*ledger) error) error {
	l, err := k.agent.lendLedger(ctx, k.key, k.vault)
	if err != nil {
		return err
	}
	return errors.Join(f(l), l.Close())
}

// finishing is for what is written down at the end of a call, though whoever called may be
// gone.
func finishing(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), ledgerTime)
}

// lostLedger reports whether err of openLedger means that the machine key or the ledger
// is gone or is that of another machine, as after a move or the loss of the keyring.
func lostLedger(err error) bool {
	return errors.Is(err, vault.ErrMachineKey) || errors.Is(err, vault.ErrKeyring) || errors.Is(err, store.ErrMAC) || errors.Is(err, store.ErrDamaged)
}
