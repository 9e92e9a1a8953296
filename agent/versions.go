package agent

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/vault"
)

// kept names a previous version: the profile, and what its metadata say of its end.
type kept struct {
	name  string
	until int64
}

func (p *profile) kept() kept { return kept{p.Name, p.Previous.Until} }

// keepUntil notes that the previous version of p is kept until then, by the clock
// that nobody can set. The time in the metadata is for when this agent is gone.
func (a *Agent) keepUntil(p *profile, then time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	maps.DeleteFunc(a.keep, func(k kept, _ time.Duration) bool { return k.name == p.Name })
	a.keep[p.kept()] = then
}

// keptUntil returns what keepUntil noted.
func (a *Agent) keptUntil(p *profile) (then time.Duration, known bool) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	if p.Previous == nil {
		return 0, false
	}
	then, known = a.keep[p.kept()]
	return then, known
}

// dueLocked returns the profiles whose previous version has had its time.
func (a *Agent) dueLocked(s *session, now time.Time) []string {
	var due []string
	boot := a.boottime()
	for name, p := range s.profiles {
		if p.Previous == nil {
			continue
		}
		until, known := a.keep[p.kept()]
		if known && boot >= until || !known && now.Unix() >= p.Previous.Until {
			due = append(due, name)
		}
	}
	slices.Sort(due)
	return due
}

// eraseVersions erases previous versions whose time is over: when the vault is
// unlocked, and from then on once a minute.
func (a *Agent) eraseVersions(ctx context.Context) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-a.erase:
		}
		if err := a.eraseDue(ctx); err != nil && ctx.Err() == nil {
			a.log.Error("previous versions not erased; the next try is in a minute", "error", err)
		}
	}
}

// eraseDue erases the previous versions that are due, in one commit, and then
// commits once more, so that the copy of the vault beside it has them no more.
func (a *Agent) eraseDue(ctx context.Context) error {
	a.mu.RLock()
	s, err := a.currentLocked()
	var due []string
	if err == nil {
		due = a.dueLocked(s, a.clock())
	}
	a.mu.RUnlock()
	if len(due) == 0 {
		return nil
	}
	end, err := a.beginAdmin(ctx)
	if err != nil {
		return err
	}
	defer end()
	defer a.arena.ReleaseMemory()
	defer a.noteGeneration(s.vault)
	was, next := make(map[string]*live), make(map[string]*live)
	a.mu.RLock()
	if a.session == s {
		for _, name := range a.dueLocked(s, a.clock()) { // somebody may have edited one
			was[name] = s.profiles[name]
			p := *was[name].profile
			p.Previous = nil
			if next[name], err = was[name].with(&p); err != nil {
				break
			}
		}
	}
	a.mu.RUnlock()
	if err != nil || len(next) == 0 {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(next)) {
		p := next[name]
		e := audit.Event{Event: audit.EventSecretErase, Outcome: audit.OutcomeOK, Profile: name, Account: p.Account, Kind: p.Auth, Detail: "the previous version; its time is over"}
		if err := a.recordDurably(nil, e); err != nil {
			return fmt.Errorf("recording the erasure: %w", err)
		}
	}
	elsewhere := make(map[string]bool) // changed by another process, which sees to it
	records, err := s.vault.EditAll(ctx, slices.Sorted(maps.Keys(next)), func(r vault.Record) (vault.Edit, error) {
		if elsewhere[r.Name] = a.codec.sameAs(was[r.Name], r) != nil; elsewhere[r.Name] {
			return vault.Edit{}, nil
		}
		meta, err := a.codec.encode(next[r.Name].profile)
		return vault.Edit{Meta: meta, DropPrevious: true}, err
	})
	if err != nil {
		return err
	}
	a.publish(s, func(profiles map[string]*live) {
		for _, r := range records {
			p, old := next[r.Name], profiles[r.Name]
			if elsewhere[r.Name] {
				continue
			}
			p.keptIn(r)
			p.tokens.inherit(old.tokens)
			p.take(old)
			profiles[r.Name] = p
			delete(a.keep, old.kept())
		}
	}, nil)
	return s.vault.Supersede(ctx)
}
