package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsagent/nsagent/internal/unlocktoken"
	"github.com/nsagent/nsagent/vault/store"
)

// A grant may be revoked by another agent on the same vault, whose ledger they share. So its
// file is looked at before a call of a grant is answered, and when it changes, so that
// connections on which nobody calls are closed as well. To look is one stat; only where the
// file has changed since are the revocations read. That takes no key, for which a keyring may
// have to be asked, and no lock: an entry that somebody made up takes something from the
// grants of this agent, and gives nothing.

// learnEvery is how often the ledger is looked at, while somebody is connected by a grant or
// could be, where the system does not tell when it changes. With what it takes to close
// connections, that is to be below a tenth of a second.
const learnEvery = 40 * time.Millisecond

// learnt is the file of the ledger whose revocations this agent has heard of.
type learnt struct {
	file    atomic.Pointer[unix.Stat_t]
	reading sync.Mutex // held by whoever reads it anew; guards failing
	failing bool       // the last reading failed, which the log says once
}

// is reports whether the file has not changed since it was read. It changes by appending, and
// by being replaced.
func (l *learnt) is(now *unix.Stat_t) bool {
	before := l.file.Load()
	return before != nil && before.Dev == now.Dev && before.Ino == now.Ino && before.Size == now.Size && before.Mtim == now.Mtim
}

// heed takes note of what other agents have revoked before something is done for g; nil is no
// grant, so that there is nothing to note. With an error nothing may be done for g. The caller
// holds no lock that others wait for.
func (a *Agent) heed(g *granted) error {
	if g == nil || a.bundled != nil { // the ledger of a bundle has no revocations
		return nil
	}
	return a.learn()
}

// learn has the revocations count that the ledger has by now. What those hold who are over is
// for endRevoked to close, which is woken.
func (a *Agent) learn() error {
	var now unix.Stat_t // os.Lstat takes three times as long
	if unix.Lstat(a.cfg.Paths.Ledger, &now) == nil && a.learnt.is(&now) {
		return nil
	}
	a.learnt.reading.Lock()
	defer a.learnt.reading.Unlock()
	err := a.readRevocations()
	if err != nil && !a.learnt.failing {
		a.log.Error("grants give nothing while it cannot be told what other agents have revoked", "error", err)
	}
	a.learnt.failing = err != nil
	return err
}

// readRevocations is learn for one at a time.
func (a *Agent) readRevocations() error {
	// Looked at before it is read: what is appended meanwhile is read, or seen the next time.
	now := new(unix.Stat_t)
	err := unix.Lstat(a.cfg.Paths.Ledger, now)
	if err == nil && a.learnt.is(now) {
		return nil // another was faster
	}
	var ids []unlocktoken.ID
	if err == nil {
		err = store.ReadLedger(a.cfg.Paths.Ledger, func(e store.Entry) {
			if e.Kind == ledgerGrantRevoked && len(e.Subject) == len(unlocktoken.ID{}) {
				ids = append(ids, unlocktoken.ID(e.Subject))
			}
		})
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil // what was revoked stays so
	}
	if err != nil {
		return fmt.Errorf("looking for revocations: %w", err)
	}
	for _, id := range a.presented.revoke(ids) {
		a.log.Info("a grant was revoked by another agent", "grant", unlocktoken.GrantName(id))
		wake(a.hear)
	}
	a.learnt.file.Store(now)
	return nil
}

// watchRevocations closes the connections of grants that other agents revoke.
func (a *Agent) watchRevocations(ctx context.Context) error {
	return keepLooking(ctx, a.hear, a.endRevoked)
}

// endRevoked closes the connections of grants that another agent has revoked, and returns when
// to look again, at the latest after most.
func (a *Agent) endRevoked(most time.Duration) time.Duration {
	if a.bundled != nil {
		return most
	}
	_ = a.learn() // it says itself what is the matter
	inUse := false
	revoked := func(g *granted) bool {
		inUse = true
		return g.revoked.Load()
	}
	a.endAll(a.presented.which(revoked))
	a.closeListeners(revoked)
	if inUse && !a.noticing.Load() {
		return learnEvery
	}
	return most
}
