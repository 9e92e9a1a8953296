package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"

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
	a.mu.RLock()
	_, taken := s.profiles[to]
	a.mu.RUnlock()
	if taken {
		return nil, exists(to)
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
// the key of next.
func (a *Agent) replaceProfile(ctx context.Context, s *session, old, next *live, event, detail string, change vault.Edit) (*profile, error) {
	err := a.commit(callerOf(ctx), event, old.profile, detail, func() error {
		meta, err := a.codec.encode(next.profile)
		if err != nil {
			return fmt.Errorf("encoding the metadata record: %w", err)
		}
		r, err := s.vault.Edit(ctx, old.Name, func(r vault.Record) (vault.Edit, error) {
			// What was checked is what stands there, and not what another process made of it.
			if !slices.Equal(versionNumbers(r.Versions), versionNumbers(old.versions)) {
				return vault.Edit{}, refuse(ErrBusy, pb.CodeLimited, fmt.Sprintf("profile %q was changed by another process", old.Name), "", "lock, unlock, and try again")
			}
			change.Name, change.Meta = next.Name, meta
			return change, nil
		})
		if errors.Is(err, vault.ErrExists) {
			return exists(next.Name)
		}
		next.versions = r.Versions
		return err
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
		orphan = nil // whoever locked has wiped the key already
	}
	a.publish(s, func(profiles map[string]*live) {
		next.lastUsed.Store(old.lastUsed.Load())
		delete(profiles, old.Name)
		profiles[next.Name] = next
		old.supersede()
		if !keeps {
			old.destroy()
		}
	}, orphan)
	return next.profile, nil
}

func versionNumbers(all []vault.Version) []uint64 {
	var l []uint64
	for _, v := range all {
		l = append(l, v.Number)
	}
	return l
}
