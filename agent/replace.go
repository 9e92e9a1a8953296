package agent

import (
	"context"
	"errors"
	"fmt"

	"github.com/nsagent/nsagent/vault"
)

// replaceProfile records and commits that next takes the place of old, and makes it
// what the agent signs with. change is what changes besides name and metadata. It owns
// the key of next. What is staged for old goes along with it to another name.
func (a *Agent) replaceProfile(ctx context.Context, s *session, old, next *live, event, detail string, change vault.Edit) (*profile, error) {
	names := []string{old.Name}
	st, moved := a.stagedFor(s, old.Name), (*live)(nil)
	if st != nil && next.Name != old.Name {
		q := *st.profile
		q.Name, q.For = stagedName(next.Name), next.Name
		var err error
		if moved, err = st.with(&q); err != nil {
			return nil, err
		}
		names = append(names, st.Name)
	}
	err := a.commit(callerOf(ctx), event, old.profile, detail, func() error {
		records, err := s.vault.EditAll(ctx, names, func(r vault.Record) (vault.Edit, error) {
			was, becomes, e := old, next, change
			if r.Name != old.Name {
				was, becomes, e = st, moved, vault.Edit{}
			}
			// What was checked is what stands there, and not what another process made of it.
			if err := a.codec.sameAs(was, r); err != nil {
				return vault.Edit{}, err
			}
			meta, err := a.codec.encode(becomes.profile)
			if err != nil {
				return vault.Edit{}, fmt.Errorf("encoding the metadata record: %w", err)
			}
			e.Name, e.Meta = becomes.Name, meta
			return e, nil
		})
		if errors.Is(err, vault.ErrExists) {
			return nameTaken(next.Name)
		}
		if err != nil {
			return err
		}
		next.keptIn(records[0])
		return nil
	})
	keeps := next.mac == old.mac && next.key == old.key
	if err != nil {
		if !keeps {
			next.destroy()
		}
		return nil, err
	}
	orphan := next
	if keeps {
		orphan = &live{tokens: next.tokens} // whoever locked has wiped the key already
	}
	a.publish(s, func(profiles map[string]*live) {
		if !newSecret(change) {
			next.tokens.inherit(old.tokens)
		}
		next.take(old)
		delete(profiles, old.Name)
		profiles[next.Name] = next
		if !keeps {
			old.destroy()
		}
		if moved != nil {
			delete(s.staged, old.Name)
			s.staged[moved.For] = moved
			st.supersede()
		}
	}, orphan)
	return next.profile, nil
}

// newSecret reports whether an edit changes what a record keeps, and not only what is
// said of it.
func newSecret(e vault.Edit) bool {
	return !e.SignOnly.IsZero() || !e.Raw.IsZero() || !e.Long.IsZero() || e.UsePrevious || e.Take != ""
}

func versionNumbers(all []vault.Version) []uint64 {
	var l []uint64
	for _, v := range all {
		l = append(l, v.Number)
	}
	return l
}
