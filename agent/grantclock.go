package agent

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
	"github.com/nsagent/nsagent/vault/store"
)

const (
	// clockStep is how far the clock goes before its highest time is written down anew,
	// while tokens are used. An end that somebody met is written at once.
	clockStep = time.Minute
	// clockSlack is how far clocks may be apart: less than that behind the highest time, none
	// is taken for one that was ahead before.
	clockSlack = 5 * time.Minute
)

// grantClocks are the clocks by which grants end, each by the id of its vault: another vault
// may come to lie at the path of one while an agent runs.
type grantClocks struct {
	mu sync.Mutex
	by map[unlocktoken.ID]*grantClock
}

// of returns the clock of the vault of an id.
func (c *grantClocks) of(id []byte) *grantClock {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.by[unlocktoken.ID(id)]
	if k == nil {
		k = new(grantClock)
		if c.by == nil {
			c.by = make(map[unlocktoken.ID]*grantClock)
		}
		c.by[unlocktoken.ID(id)] = k
	}
	return k
}

// grantClock is the clock by which the grants of a vault end. It never goes back, so that a grant that was
// seen to have ended stays so, whatever the clock of the machine is set to; the ledger
// keeps it across a restart.
//
// A clock that was far ahead once would end every grant for ever. So when the owner makes a
// new grant, with fresh proof, while the clock lies behind, grants from then on go by a
// clock that starts anew; those from before stay as they were.
//
// Whoever writes it down has the ledger, which one has at a time. mu is not held meanwhile:
// every decision on a grant waits for it, and a disk that hangs must not keep anybody from
// locking.
type grantClock struct {
	mu sync.Mutex // guards what follows, all in Unix seconds
	// seen is the highest time since the clock was started anew, at epoch; before is the
	// highest until then, behind which grants issued before epoch never go.
	seen, epoch, before int64
	noted               int64 // of seen, in the ledger
}

// at returns the time by which a grant that was issued at a time is judged, and takes note
// of it.
func (k *grantClock) at(issued int64, now time.Time) time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.seen = max(k.seen, now.Unix())
	return k.atLocked(issued, now)
}

// would returns what at would, and takes note of nothing.
func (k *grantClock) would(issued int64, now time.Time) time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.atLocked(issued, now)
}

func (k *grantClock) atLocked(issued int64, now time.Time) time.Time {
	least := k.seen
	if issued < k.epoch {
		least = max(least, k.before)
	}
	if now.Unix() >= least {
		return now
	}
	return time.Unix(least, 0)
}

// load takes over what the ledger knows.
func (k *grantClock) load(l *ledger, id []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	epoch := ledgerTimeOf(l, ledgerClockEpoch, id)
	noted := ledgerTimeOf(l, ledgerClock, id)
	if epoch > k.epoch {
		k.epoch, k.seen = epoch, noted
	}
	k.noted, k.seen = noted, max(k.seen, noted)
	k.before = max(k.before, ledgerTimeOf(l, ledgerClockBefore, id))
}

func ledgerTimeOf(l *ledger, kind store.Kind, id []byte) int64 {
	v, _ := l.Get(kind, id)
	return int64(v) // #nosec G115 -- written from times
}

// note writes down the highest time where it is news: all of it if exact is set, else by
// steps.
func (k *grantClock) note(l *ledger, id []byte, exact bool) error {
	seen, is := k.news(exact)
	if !is {
		return nil
	}
	if err := l.Append(store.Entry{Kind: ledgerClock, Subject: id, Value: uint64(seen)}); err != nil { // #nosec G115 -- a time
		return fmt.Errorf("noting the time: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.noted = seen
	return nil
}

// news returns the highest time, and whether note would write it down.
func (k *grantClock) news(exact bool) (seen int64, is bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.seen, k.seen > k.noted && (exact || k.seen >= k.noted+int64(clockStep/time.Second))
}

// wasAhead returns the highest time of all, and whether the clock was ahead of now.
func (k *grantClock) wasAhead(now int64) (highest int64, ahead bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return max(k.before, k.seen), isAhead(k.seen, now)
}

// restart starts the clock anew, for grants issued from now on, where it was ahead of now.
func (k *grantClock) restart(l *ledger, id []byte, now int64) error {
	before, ahead := k.wasAhead(now)
	if !ahead {
		return nil
	}
	if err := l.Append(
		store.Entry{Kind: ledgerClockBefore, Subject: id, Value: uint64(before)}, // #nosec G115 -- a time
		store.Entry{Kind: ledgerClockEpoch, Subject: id, Value: unixSeconds(time.Unix(now, 0))},
		store.Entry{Kind: ledgerClock, Subject: id, Value: unixSeconds(time.Unix(now, 0))},
	); err != nil {
		return fmt.Errorf("starting the clock of grants anew: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.before, k.epoch, k.seen, k.noted = max(before, k.seen), now, now, now
	return nil
}

// isAhead reports whether a time lies further ahead of now than clocks may be apart.
func isAhead(t, now int64) bool { return t > now+int64(clockSlack/time.Second) }

// timeOf returns the time by which a grant is judged where the machine's clock says now.
func (a *Agent) timeOf(g *granted, now time.Time) time.Time {
	return g.ends.at(g.IssuedAt, g.clock.at(now))
}

// goodBy is goodAt by the clock that l keeps for the vault of g, which takes note of the
// time: all of it if exact is set or the grant is over, else by steps.
func (a *Agent) goodBy(l *ledger, g *granted, exact bool) (now time.Time, err error) {
	id := g.Vault[:]
	g.ends.load(l, id)
	now, over := a.goodAt(g, a.clock())
	err = g.ends.note(l, id, exact || over != nil)
	if over != nil {
		return now, over
	}
	return now, err
}

// idOf returns the id of v, or of the vault that the bundle is of.
func (a *Agent) idOf(v *vault.Vault) []byte {
	if a.bundled != nil {
		return a.bundled.Vault[:]
	}
	return v.ID()
}

// noteGrantTime writes down the highest time in the ledger of v, or of the bundle.
func (a *Agent) noteGrantTime(v *vault.Vault, exact bool) error {
	id := a.idOf(v)
	k := a.grantClocks.of(id)
	if _, is := k.news(exact); !is {
		return nil
	}
	return a.onLedger(v, func(l *ledger) error {
		k.load(l, id)
		return k.note(l, id, exact)
	})
}

// trustClock is for when the owner of v makes a grant, issued at a time of the machine's
// clock: where that was far ahead before, the clock of grants starts anew, for this grant
// and those to come.
//
// Grants that were made later than that would begin to live once more, so that there may be
// none but those that are revoked. It takes their owner to say whether they were made by a
// clock that was ahead, or this one by a clock that is behind.
func (a *Agent) trustClock(ctx context.Context, v *vault.Vault, issued int64) error {
	all, err := v.Grants()
	if err != nil {
		return err
	}
	return a.useLedger(ctx, v, func(l *ledger) error {
		k := a.grantClocks.of(v.ID())
		k.load(l, v.ID())
		_, ahead := k.wasAhead(issued)
		if later := a.madeAfter(l, all, issued, ahead); len(later) > 0 {
			return madeLater(later, issued)
		}
		return k.restart(l, v.ID(), issued)
	})
}

// madeAfter returns the names of those of all that were made at a later time than now, and
// are not revoked. Clocks may be a little apart, unless the grants' was ahead and starts anew:
// then one that cannot be read may be from later, too, and an agent that is locked, or newer,
// take its token.
func (a *Agent) madeAfter(l *ledger, all []vault.Grant, now int64, ahead bool) (later []string) {
	for _, g := range all {
		if _, revoked := a.isRevoked(l, g); revoked {
			continue
		}
		_, grant, err := a.codec.decodeGrant(g.Meta)
		if ahead && (err != nil || grant.IssuedAt > now) || err == nil && isAhead(grant.IssuedAt, now) {
			later = append(later, unlocktoken.GrantName(g.ID))
		}
	}
	return later
}

// madeLater is the refusal of a grant while there are later ones.
func madeLater(later []string, now int64) error {
	return refuse(ErrRequest, pb.CodeRequest, fmt.Sprintf("grants were made at a later time than now, %s", time.Unix(now, 0).UTC().Format(time.RFC3339)),
		"the clock is behind, or it was ahead when "+someOf(later)+" came to be, as it may have been where a grant cannot be read",
		"set the clock; if it is right, end each of them:  nsagent grant revoke "+later[0])
}
