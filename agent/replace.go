package agent

import (
	"context"
	"errors"
	"fmt"

	"github.com/nsagent/nsagent/agent/audit"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
)

// RenameProfile gives a profile another name.
func (s adminService) RenameProfile(ctx context.Context, q *pb.RenameProfileRequest) (*pb.RenameProfileResponse, error) {
	p, err := s.renameProfile(ctx, q.GetName(), q.GetNewName())
	if err != nil {
		return nil, s.reply(s.denied(callerOf(ctx), audit.EventProfileRename, q.GetName(), err))
	}
	return &pb.RenameProfileResponse{Profile: s.changed(p)}, nil
}

func (a *Agent) renameProfile(ctx context.Context, name, to string) (*profile, error) {
	s, old, end, err := a.beginChangeOf(ctx, name)
	if err != nil {
		return nil, err
	}
	defer end()
	if err := checkName(to); err != nil {
		return nil, err
	}
	if to == name {
		return nil, refuse(vault.ErrExists, pb.CodeExists, fmt.Sprintf("profile %q has that name already", name), "nothing was changed", "give another name:  nsagent profile rename "+name+" NEW")
	}
	a.mu.RLock()
	_, taken := s.profiles[to]
	a.mu.RUnlock()
	if taken {
		return nil, nameTaken(to)
	}
	p := *old.profile
	p.Name = to
	next, err := old.with(&p)
	if err != nil {
		return nil, err
	}
	then, known := a.keptUntil(old.profile)
	if _, err := a.replaceProfile(ctx, s, old, next, audit.EventProfileRename, "to="+to, vault.Edit{}); err != nil {
		return nil, err
	}
	if known {
		a.keepUntil(&p, then)
	}
	return next.profile, nil
}

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
		next.versions = records[0].Versions
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
