package agent

import (
	"context"
	"fmt"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	"github.com/nsagent/nsagent/vault"
	"github.com/nsagent/nsagent/vault/store"
)

// endAtOnce revokes the grant that is called name before v has been asked for it in a way
// that waits: another call may have v, or the turn, for long. It returns the id of the grant;
// zero, which no grant has, where the name fits none, or several, or nobody can tell, which
// is for v to say.
func (a *Agent) endAtOnce(ctx context.Context, v *vault.Vault, name string) (id unlocktoken.ID, err error) {
	all, _ := v.GrantsUnpinned(ctx) // those that can be read
	g, err := called(all, name)
	if err != nil {
		return id, nil
	}
	return g.ID, a.revokeGrant(ctx, callerOf(ctx), v, g.ID)
}

// revokeGrant ends a grant for good: nothing is done for it from now on, the ledger of v,
// which may be locked, says so to other agents and to whoever comes later, and its
// connections and sockets are closed. It needs no turn, and is durable when it returns nil;
// where it does not, the grant is revoked for as long as this agent runs.
func (a *Agent) revokeGrant(ctx context.Context, c *caller, v *vault.Vault, id unlocktoken.ID) error {
	a.presented.flag(id).Store(true)
	of := func(g *granted) bool { return g.Authority.Grant == id }
	a.endAll(a.presented.which(of))
	defer a.closeListeners(of) // at the end: it waits for their paths to be removed
	entry := store.Entry{Kind: ledgerGrantRevoked, Subject: id[:], Value: unixSeconds(a.clock())}
	if err := a.useLedger(ctx, v, func(l *ledger) error { return l.Append(entry) }); err != nil {
		return fmt.Errorf("revoking a grant: %w", err)
	}
	e := audit.Event{Event: audit.EventGrantRevoke, Outcome: audit.OutcomeOK, Grant: unlocktoken.GrantName(id)}
	if err := a.recordDurably(c, e); err != nil { // like a lock, it does not depend on the log
		a.log.Error("audit log not written at a revocation", "error", err)
	}
	wake(a.tend) // their bundles may have certificates
	return nil
}

// unixSeconds returns a time as the ledger has it.
func unixSeconds(t time.Time) uint64 { return uint64(max(t.Unix(), 0)) } // #nosec G115 -- not negative

// watchGrants closes the connections of grants that end, when they do: by the clock, which
// is looked at often enough to notice that it was set.
func (a *Agent) watchGrants(ctx context.Context) error {
	return keepLooking(ctx, a.ends, a.endGrants)
}

// watchFor has a right looked after that can be used from now on.
func (a *Agent) watchFor() {
	wake(a.ends)
	wake(a.hear)
}

// endGrants closes the connections of grants that have ended, and returns when to look
// again, at the latest after most.
func (a *Agent) endGrants(most time.Duration) time.Duration {
	now, next, over := a.clock(), most, false
	vaults := make(map[unlocktoken.ID]*vault.Vault)
	ended := func(g *granted) bool {
		its := a.timeOf(g, now)
		end := min(g.NotAfter(), its.Unix()+int64(most/time.Second)) // beyond that it may be further off than time.Time reaches
		left := time.Unix(end+1, 0).Sub(its)
		if g.vault != nil {
			vaults[g.Vault] = g.vault
		}
		if left > 0 {
			next = min(next, left)
			return false
		}
		over = true
		return true
	}
	a.endAll(a.presented.which(ended))
	a.closeListeners(ended)
	if a.bundled != nil {
		_, _ = a.goodAt(a.bundled.granted, now) // takes note of the time, whoever is there
		vaults[a.bundled.Vault] = nil
	}
	for _, v := range vaults {
		if err := a.noteGrantTime(v, over); err != nil {
			a.log.Warn("the time is not noted for grants", "error", err)
		}
	}
	return max(next, time.Millisecond)
}
