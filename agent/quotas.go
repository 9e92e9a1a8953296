package agent

import (
	"errors"
	"fmt"
	"time"

	"github.com/nsagent/nsagent/agent/policy"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
	"github.com/nsagent/nsagent/vault/store"
)

const (
	// largestBlock is how many uses are taken from the ledger at once, at most.
	largestBlock = 64
	// blocksOfLimit is how many blocks a limit has at least, so that an agent that is killed
	// costs a grant no large part of its uses.
	blocksOfLimit = 16
	// maxSubjects is how many limits on uses the tokens of one grant may add to the ledger:
	// whoever holds a token can narrow it without end.
	maxSubjects = 1024
)

// quotasOf returns what has to be counted for a grant.
func quotasOf(g *unlocktoken.Grant) []quota {
	var all []quota
	for _, c := range g.Counters() {
		all = append(all, quota{subject: c.Subject, grant: g.Authority.Grant, uses: c.Uses, rate: c.Rate})
	}
	return all
}

// count counts one use against quotas; v is the vault whose ledger it is, locked or not; a bundle has its own. A
// use that is decided on twice, since its profile was replaced in between, counts twice:
// that is never more than there may be. The error wraps ErrLimited, or is that of the
// ledger.
func (a *Agent) count(v *vault.Vault, quotas []quota, now time.Duration) error {
	if len(quotas) == 0 {
		return nil
	}
	return a.counters.take(quotas, now, func(short []quota) ([]uint64, error) { return a.reserveUses(v, short) })
}

// usedUp is the refusal of a use beyond all that there may be. No waiting helps, so that it
// is no limit for a while but the end of a right.
func usedUp(q quota) error {
	if q.grant == (unlocktoken.ID{}) {
		return refuse(errors.Join(ErrLimited, policy.ErrDenied), pb.CodeDenied, "policy does not allow this any more",
			fmt.Sprintf("rule %q of the policy has max_uses = %d, and all were made", q.rule, q.uses), "have its owner raise it:  nsagent policy edit")
	}
	why := fmt.Sprintf("there may be %d uses, and all were made", q.uses)
	if q.uses == 1 {
		why = "there may be 1 use, and it was made"
	}
	return refuse(errors.Join(ErrLimited, ErrGrantScope), pb.CodeGrantScope, "grant "+unlocktoken.GrantName(q.grant)+" does not allow this any more",
		why, "have another token made:  nsagent grant new")
}

// reserveUses takes a block of uses from the ledger for each quota, durably.
func (a *Agent) reserveUses(v *vault.Vault, quotas []quota) (blocks []uint64, err error) {
	err = a.onLedger(v, func(l *ledger) error {
		blocks, err = reserve(l, quotas)
		return err
	})
	if err != nil {
		return nil, err
	}
	a.reservedIn.Store(v)
	return blocks, nil
}

// reserve is reserveUses on an open ledger. What a quota gives back is durable first, and
// stays so where there is nothing to reserve.
func reserve(l tally, quotas []quota) ([]uint64, error) {
	back := make(map[[32]byte]uint64)
	for _, q := range quotas {
		if q.back > 0 {
			back[q.subject] = q.back
		}
	}
	if err := giveBack(l, back); err != nil {
		return nil, err
	}
	blocks := make([]uint64, len(quotas))
	var entries []store.Entry
	fresh := make(map[unlocktoken.ID]uint64)
	for i, q := range quotas {
		used, known := l.Get(ledgerUses, q.subject[:])
		if used >= q.uses {
			return nil, usedUp(q)
		}
		blocks[i] = min(largestBlock, max(q.uses/blocksOfLimit, 1), q.uses-used)
		entries = append(entries, store.Entry{Kind: ledgerUses, Subject: q.subject[:], Value: used + blocks[i]})
		if !known && q.grant != (unlocktoken.ID{}) {
			fresh[q.grant]++
		}
	}
	for id, n := range fresh {
		have, _ := l.Get(ledgerSubjects, id[:])
		if have+n > maxSubjects {
			return nil, limited(fmt.Sprintf("at most %d limits on uses are counted for the tokens of one grant", maxSubjects), "narrow less often, or have another grant made")
		}
		entries = append(entries, store.Entry{Kind: ledgerSubjects, Subject: id[:], Value: have + n})
	}
	if err := l.Append(entries...); err != nil {
		return nil, fmt.Errorf("reserving uses: %w", err)
	}
	return blocks, nil
}

// usesMade returns how many uses were made of those that g allows in all, those included
// that an agent which was killed had reserved. The caller holds the counters.
func (a *Agent) usesMade(l *ledger, g *unlocktoken.Grant) uint64 {
	for _, q := range quotasOf(g) {
		if q.uses != 0 {
			used, _ := l.Get(ledgerUses, q.subject[:])
			return used - min(a.counters.unused(q.subject), used)
		}
	}
	return 0
}

// returnUses gives the ledger back what was reserved and not used, at the end of the agent.
// Nothing is counted any more.
func (a *Agent) returnUses() error {
	rest := a.counters.finish()
	if len(rest) == 0 {
		return nil
	}
	return a.onLedger(a.reservedIn.Load(), func(l *ledger) error { return giveBack(l, rest) })
}

// giveBack has the ledger count no more what was reserved and not used, by subject.
func giveBack(l tally, rest map[[32]byte]uint64) error {
	var entries []store.Entry
	for subject, n := range rest {
		used, _ := l.Get(ledgerUses, subject[:])
		entries = append(entries, store.Entry{Kind: ledgerUses, Subject: subject[:], Value: used - min(n, used)})
	}
	if err := l.Append(entries...); err != nil {
		return fmt.Errorf("giving uses back: %w", err)
	}
	return nil
}
