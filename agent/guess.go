package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
	"github.com/nsagent/nsagent/vault/store"
)

// A passphrase takes a second to look at, or longer, and others have the ledger meanwhile:
// tokens that are shown, revocations, limits. So a try counts as a wrong one before the
// passphrase is looked at, and what came of it is written down afterwards. Who kills the
// agent in between has used up a try.
//
// Two tries do not count as one, nor does one slip past the wait that the other brings
// about: to read the count, to look whether it has to wait, and to raise it is one use of
// the ledger, which one part of one process has at a time. In one agent there is one try at
// a time anyway, by the turn to change the vault or to unlock it (beginAdmin); agents beside
// it on the same vault have turns of their own. So what comes of a try changes nothing that
// was counted after it.

// guess is a try to open a key slot that has begun.
type guess struct {
	counts    bool   // as a wrong one, until more is known
	before    uint64 // how many wrong ones in a row came before
	last, now uint64 // when the last of them was, and when this one is, in Unix milliseconds
}

// counted calls try with proof unless too many wrong passphrases came before, and v is no
// older than what was seen. Where the passphrase is wrong, it counts, and the pause begins:
// how long looking took shortens none. Where it is right, more is noted. All that is durable
// before counted returns.
func (a *Agent) counted(ctx context.Context, v *vault.Vault, k *ledgerKey, seen sightings, proof vault.Proof, try func(context.Context, vault.Proof) error, more ...store.Entry) error {
	if err := v.AtLeast(ctx, seen.generation); err != nil {
		return fmt.Errorf("opening the vault: %w", err)
	}
	t, err := a.begin(ctx, k, proof)
	if err != nil {
		return err
	}
	err = try(ctx, proof)
	ctx, cancel := finishing(ctx)
	defer cancel()
	switch {
	case errors.Is(err, vault.ErrPassphrase):
		now := unixMilliseconds(a.clock())
		werr := k.use(ctx, func(l *ledger) error {
			return l.Append(store.Entry{Kind: ledgerLastFailure, Subject: k.vault, Value: now})
		})
		if werr != nil {
			a.log.Warn("the pause after a wrong passphrase counts from when it was typed", "error", werr)
		}
		if !slices.ContainsFunc(v.Slots(), func(i vault.SlotInfo) bool { return i.Kind == vault.SlotKeyringPassphrase }) {
			return refuse(err, pb.CodePassphrase, "the vault did not open", "the passphrase is wrong", "try again:  nsagent unlock")
		}
	case err != nil && t.counts:
		if werr := k.use(ctx, func(l *ledger) error { return t.takeBack(l, k.vault) }); werr != nil {
			a.log.Warn("an unlock that was broken off counts as a wrong passphrase", "error", werr)
		}
	case err == nil:
		now := v.Generation()
		if werr := k.use(ctx, func(l *ledger) error { return t.right(l, k.vault, now, more) }); werr != nil {
			return fmt.Errorf("noting the unlock: %w", werr)
		}
		a.generation.Store(now)
	}
	return err
}

// begin counts a try with a passphrase as a wrong one, unless it has to wait.
func (a *Agent) begin(ctx context.Context, k *ledgerKey, proof vault.Proof) (t guess, err error) {
	now := a.clock()
	err = k.use(ctx, func(l *ledger) (err error) {
		t, err = beginIn(l, k.vault, proof, now)
		return err
	})
	return t, err
}

// beginIn is begin in the ledger of the vault with that ID.
func beginIn(l tally, id []byte, proof vault.Proof, now time.Time) (guess, error) {
	guesses := tries{l, id, ledgerUnlockFailures, ledgerLastFailure}
	before, wait, err := guesses.pause(now)
	if err != nil {
		return guess{}, err
	}
	guessable := proof.Recovery.IsZero() && proof.KeyFile.IsZero()
	if wait > 0 && guessable {
		return guess{}, refuse(ErrBackoff, pb.CodeBackoff, "unlocking is paused",
			fmt.Sprintf("%d wrong passphrases in a row; the next try is open in %s", before, wait.Round(time.Second)), "wait, then:  nsagent unlock")
	}
	t := guess{counts: proof.Passphrase.Len() > 0, before: before, now: unixMilliseconds(now)}
	t.last, _ = l.Get(guesses.last, guesses.subject)
	if !t.counts {
		return t, nil
	}
	return t, guesses.wrong(before, now)
}

// right has the count begin anew, this try included, and notes more, and the generation of
// the vault where the ledger has no newer one.
func (t guess) right(l *ledger, id []byte, generation uint64, more []store.Entry) error {
	mine := t.before
	if t.counts {
		mine++
	}
	count, _ := l.Get(ledgerUnlockFailures, id)
	entries := append(slices.Clone(more), store.Entry{Kind: ledgerUnlockFailures, Subject: id, Value: count - min(count, mine)})
	if seen, _ := l.Get(ledgerGeneration, id); seen < generation {
		entries = append(entries, store.Entry{Kind: ledgerGeneration, Subject: id, Value: generation})
	}
	return l.Append(entries...)
}

// takeBack has a try not count whose passphrase was not looked at to the end. Where the
// ledger has another since, it stays counted: which of the two the count is of, nobody says.
func (t guess) takeBack(l *ledger, id []byte) error {
	count, _ := l.Get(ledgerUnlockFailures, id)
	last, _ := l.Get(ledgerLastFailure, id)
	if count != t.before+1 || last != t.now {
		return nil
	}
	return l.Append(
		store.Entry{Kind: ledgerLastFailure, Subject: id, Value: t.last},
		store.Entry{Kind: ledgerUnlockFailures, Subject: id, Value: t.before},
	)
}
