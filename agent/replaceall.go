package agent

import (
	"context"
	"fmt"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/vault"
)

// replacement is one profile that takes the place of another, and what changes in the
// vault besides name and metadata.
type replacement struct {
	old, next *live
	change    vault.Edit
}

// keeps reports whether the two have the same key.
func (r replacement) keeps() bool { return r.next.mac == r.old.mac && r.next.key == r.old.key }

// replaceAll records and commits that profiles take the place of others, all or none, and
// makes them what the agent signs with. Each keeps its name, and what was staged is staged.
// It owns the keys of every next.
func (a *Agent) replaceAll(ctx context.Context, s *session, event, detail string, all []replacement) error {
	if len(all) == 0 {
		return nil
	}
	entries := make([]audit.Event, 0, len(all))
	by := make(map[string]*replacement, len(all))
	var names []string
	for i := range all {
		r := &all[i]
		entries = append(entries, changeOf(event, r.old.public(), detail))
		by[r.old.Name] = r
		names = append(names, r.old.Name)
	}
	err := a.carryOutAll(callerOf(ctx), entries, func() error { return a.commitAll(ctx, s, names, by) })
	var orphans []*live
	for _, r := range all {
		if r.keeps() { // whoever locks meanwhile wipes a key that is kept
			orphans = append(orphans, &live{tokens: r.next.tokens})
		} else {
			orphans = append(orphans, r.next)
		}
	}
	if err != nil {
		destroyAll(orphans)
		return err
	}
	a.publish(s, func(profiles map[string]*live) {
		for _, r := range all {
			if !newSecret(r.change) {
				r.next.tokens.inherit(r.old.tokens)
			}
			r.next.take(r.old)
			if r.next.For != "" {
				s.staged[r.next.For] = r.next
			} else {
				profiles[r.next.Name] = r.next
			}
			if !r.keeps() {
				r.old.destroy()
			}
		}
	}, orphans...)
	return nil
}

// commitAll writes the replacements of the profiles named.
func (a *Agent) commitAll(ctx context.Context, s *session, names []string, by map[string]*replacement) error {
	records, err := s.vault.EditAll(ctx, names, func(r vault.Record) (vault.Edit, error) {
		to := by[r.Name]
		// What was checked is what stands there, and not what another process made of it.
		if err := a.codec.sameAs(to.old, r); err != nil {
			return vault.Edit{}, err
		}
		meta, err := a.codec.encode(to.next.profile)
		if err != nil {
			return vault.Edit{}, fmt.Errorf("encoding the metadata record: %w", err)
		}
		change := to.change
		change.Meta = meta
		return change, nil
	})
	for i, r := range records {
		by[names[i]].next.keptIn(r)
	}
	return err
}
