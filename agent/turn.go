package agent

import (
	"context"
	"errors"
	"fmt"

	"github.com/nsagent/nsagent/vault"
	"github.com/nsagent/nsagent/vault/store"
)

// maxManagers is how many calls may wait to change the vault or to unlock it.
const maxManagers = 64

// beginAdmin waits for its turn to change the vault or to unlock it, which end gives
// up.
func (a *Agent) beginAdmin(ctx context.Context) (end func(), err error) {
	if a.managers.Add(1) > maxManagers {
		a.managers.Add(-1)
		return nil, fmt.Errorf("waiting for a turn: %w", ErrBusy)
	}
	select {
	case a.admin <- struct{}{}:
		return func() {
			<-a.admin
			a.managers.Add(-1)
		}, nil
	case <-ctx.Done():
		a.managers.Add(-1)
		return nil, fmt.Errorf("waiting for a turn: %w", errors.Join(ErrBusy, ctx.Err()))
	}
}

// beginChange waits for its turn to change the vault, which has to be unlocked. end gives
// the turn up, and what locked memory is no longer needed.
func (a *Agent) beginChange(ctx context.Context) (s *session, end func(), err error) {
	endTurn, err := a.beginAdmin(ctx)
	if err != nil {
		return nil, nil, err
	}
	if s, err = a.unlocked(); err != nil {
		endTurn()
		return nil, nil, err
	}
	return s, func() {
		a.noteGeneration(s.vault)
		a.arena.ReleaseMemory()
		endTurn()
	}, nil
}

// noteGeneration has the ledger remember how far v has come, at the end of a turn in which
// it may have changed: a locked agent takes nothing older. The change stands where that
// fails, and the next change or unlock makes up for it.
func (a *Agent) noteGeneration(v *vault.Vault) {
	if a.generation.Load() == v.Generation() {
		return
	}
	if err := a.onLedger(v, func(l *ledger) error { return a.noteGenerationIn(l, v) }); err != nil {
		a.log.Warn("the ledger does not have the newest generation of the vault", "error", err)
	}
}

// noteGenerationIn is noteGeneration on an open ledger.
func (a *Agent) noteGenerationIn(l *ledger, v *vault.Vault) error {
	now := v.Generation()
	if seen, _ := l.Get(ledgerGeneration, v.ID()); seen < now {
		if err := l.Append(store.Entry{Kind: ledgerGeneration, Subject: v.ID(), Value: now}); err != nil {
			return fmt.Errorf("noting the generation of the vault: %w", err)
		}
	}
	a.generation.Store(now)
	return nil
}

// beginUnlock waits for its turn to unlock. Where the vault is unlocked already, refreshes
// that are under way are waited for: what comes of them is stored by the session that began
// them.
func (a *Agent) beginUnlock(ctx context.Context) (end func(), err error) {
	for {
		if end, err = a.beginAdmin(ctx); err != nil {
			return nil, err
		}
		busy := a.anyRefresh()
		if busy == nil {
			return end, nil
		}
		end()
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for a refresh: %w", errors.Join(ErrBusy, ctx.Err()))
		}
	}
}

// anyRefresh returns what is closed at the end of a refresh that is under way; nil: none is.
func (a *Agent) anyRefresh() <-chan struct{} {
	a.mu.RLock()
	defer a.mu.RUnlock()
	if a.session == nil {
		return nil
	}
	for _, p := range a.session.profiles {
		if busy := p.tokens.refreshing(); busy != nil {
			return busy
		}
	}
	return nil
}

// beginChangeOf is beginChange for a change of one profile. Nothing else changes it
// before end. A refresh of its that is under way is waited for, since what comes of it is
// stored; and what another process made of it by a refresh is taken over.
func (a *Agent) beginChangeOf(ctx context.Context, name string) (s *session, p *live, end func(), err error) {
	for {
		s, end, err = a.beginChange(ctx)
		if err != nil {
			return nil, nil, nil, err
		}
		a.mu.RLock()
		p, ok := s.profiles[name]
		a.mu.RUnlock()
		if !ok {
			err = s.noProfile(name)
			end()
			return nil, nil, nil, err
		}
		busy := p.tokens.refreshing()
		if busy == nil {
			return s, a.upToDate(s, p), end, nil
		}
		end()
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, nil, nil, fmt.Errorf("waiting for a refresh of profile %q: %w", name, errors.Join(ErrBusy, ctx.Err()))
		}
	}
}

// unlocked returns the session for a change of the vault.
func (a *Agent) unlocked() (*session, error) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.currentLocked()
}
