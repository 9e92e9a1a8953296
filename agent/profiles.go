package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
)

// AddProfile stores a profile.
func (s adminService) AddProfile(ctx context.Context, q *pb.AddProfileRequest) (*pb.AddProfileResponse, error) {
	defer s.seals.drop(callerOf(ctx).peer, q.GetSecrets()...)
	p, err := s.addProfile(ctx, q)
	if err != nil {
		return nil, s.reply(s.denied(callerOf(ctx), audit.EventProfileAdd, q.GetProfile().GetName(), err))
	}
	return &pb.AddProfileResponse{Profile: p.message()}, nil
}

func (a *Agent) addProfile(ctx context.Context, q *pb.AddProfileRequest) (*profile, error) {
	s, end, err := a.beginChange(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	now := a.clock()
	p, err := newProfile(q.GetProfile(), now)
	if err != nil {
		return nil, err
	}
	a.mu.RLock()
	_, taken := s.profiles[p.Name]
	a.mu.RUnlock()
	if taken {
		return nil, exists(p.Name)
	}
	m, err := a.material(ctx, q, p, now)
	if err != nil {
		return nil, err
	}
	defer m.destroy()
	return p, a.storeNew(ctx, s, p, m, audit.EventProfileAdd, "access="+p.Access, func(*live) {})
}

// storeNew records and commits a new profile, and makes it visible. prepare is called with
// the live profile before anybody can use it.
func (a *Agent) storeNew(ctx context.Context, s *session, p *profile, m material, event, detail string, prepare func(*live)) error {
	signOnly, err := a.arena.Clone(m.signOnly)
	if err != nil {
		return err
	}
	l, err := newLive(a.arena, p, signOnly)
	if err != nil {
		return err
	}
	prepare(l)
	if err := a.commit(callerOf(ctx), event, p, detail, func() error { return a.addRecord(ctx, s, p, m) }); err != nil {
		l.destroy()
		if errors.Is(err, vault.ErrExists) {
			return exists(p.Name)
		}
		return err
	}
	a.publish(s, func(profiles map[string]*live) { profiles[p.Name] = l }, l)
	return nil
}

// addRecord adds the record of p to the vault.
func (a *Agent) addRecord(ctx context.Context, s *session, p *profile, m material) error {
	meta, err := a.codec.encode(p)
	if err != nil {
		return fmt.Errorf("encoding the metadata record: %w", err)
	}
	p.record, err = s.vault.Add(ctx, vault.NewRecord{Name: p.Name, Kind: p.Auth, Meta: meta, SignOnly: m.signOnly, Raw: m.raw, Long: m.long})
	p.versions = []vault.Version{{Number: 1, Created: a.clock()}}
	return err
}

// material opens the sealed secrets of a new profile and makes its stored forms.
func (a *Agent) material(ctx context.Context, q *pb.AddProfileRequest, p *profile, now time.Time) (material, error) {
	got, err := a.openSecrets(ctx, q.GetSecrets(), p, pb.Admin_AddProfile_FullMethodName)
	defer got.destroy()
	if err != nil {
		return material{}, err
	}
	return a.newMaterial(p, got, now)
}

// ShowProfile gives the public part of one profile.
func (s adminService) ShowProfile(ctx context.Context, q *pb.ShowProfileRequest) (*pb.ShowProfileResponse, error) {
	m, err := s.showProfile(q.GetName())
	if err != nil {
		return nil, s.reply(s.denied(callerOf(ctx), audit.EventProfileShow, q.GetName(), err))
	}
	e := audit.Event{Event: audit.EventProfileShow, Outcome: audit.OutcomeOK, Profile: m.GetName(), Account: m.GetAccount(), Kind: m.GetAuth()}
	if err := s.record(callerOf(ctx), e); err != nil {
		return nil, s.reply(fmt.Errorf("recording that a profile is shown: %w", err))
	}
	return &pb.ShowProfileResponse{Profile: m}, nil
}

func (a *Agent) showProfile(name string) (*pb.Profile, error) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	s, err := a.currentLocked()
	if err != nil {
		return nil, err
	}
	l, err := s.find(name)
	if err != nil {
		return nil, err
	}
	m := l.message()
	m.LastUsed = l.lastUsed.Load()
	if st := s.staged[name]; st != nil && st.Auth == authM2M {
		m.NextCertificate = st.certificateMessage()
	}
	return m, nil
}

// changed returns the public part of a profile after a change, as it is shown; where
// somebody locked meanwhile, as it was stored.
func (a *Agent) changed(p *profile) *pb.Profile {
	if m, err := a.showProfile(p.Name); err == nil {
		return m
	}
	return p.message()
}

// RemoveProfile removes a profile and its credential.
func (s adminService) RemoveProfile(ctx context.Context, q *pb.RemoveProfileRequest) (*pb.RemoveProfileResponse, error) {
	if err := s.removeProfile(ctx, q.GetName(), q.GetRevokeAtNetsuite()); err != nil {
		return nil, s.reply(s.denied(callerOf(ctx), audit.EventProfileRemove, q.GetName(), err))
	}
	return &pb.RemoveProfileResponse{}, nil
}

func (a *Agent) removeProfile(ctx context.Context, name string, revoke bool) error {
	var revoked *live
	if revoke {
		var err error
		if revoked, err = a.revokeProfile(ctx, name); err != nil {
			return err
		}
	}
	s, l, end, err := a.beginChangeOf(ctx, name)
	if err != nil {
		return err
	}
	defer end()
	if revoke && !a.codec.same(l, revoked) {
		return changedElsewhere(name) // and what took its place is alive
	}
	names := []string{name}
	st := a.stagedFor(s, name)
	if st != nil {
		names = append(names, st.Name)
	}
	if err := a.commit(callerOf(ctx), audit.EventProfileRemove, l.profile, "access="+l.Access, func() error {
		_, err := s.vault.EditAll(ctx, names, func(vault.Record) (vault.Edit, error) { return vault.Edit{Remove: true}, nil })
		return err
	}); err != nil {
		return err
	}
	a.publish(s, func(profiles map[string]*live) {
		delete(profiles, name)
		l.supersede()
		l.destroy()
		s.dropStaged(st)
	}, nil)
	a.approvals.DropProfiles(name)
	return nil
}

// publish makes a durable change visible to signers, unless the agent was locked
// meanwhile; then the orphans, if any, are wiped.
func (a *Agent) publish(s *session, change func(map[string]*live), orphans ...*live) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.session == s {
		change(s.profiles)
		a.lookAtAges()
		return
	}
	destroyAll(orphans)
}

func destroyAll(all []*live) {
	for _, l := range all {
		if l != nil {
			l.destroy()
		}
	}
}

// exists refuses to add a profile that is there.
func exists(name string) error {
	return refuse(vault.ErrExists, pb.CodeExists, fmt.Sprintf("profile %q exists already", name), "a profile is never replaced by adding it again",
		"change it:  nsagent profile edit "+name)
}

// nameTaken refuses to give a profile the name of another.
func nameTaken(name string) error {
	return refuse(vault.ErrExists, pb.CodeExists, fmt.Sprintf("profile %q exists already", name), "renaming never replaces a profile",
		"take another name, or remove that one first:  nsagent profile rm "+name)
}
