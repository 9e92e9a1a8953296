package agent

import (
	"context"
	"fmt"

	"github.com/nsagent/nsagent/agent/audit"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
)

// RenameProfile gives a profile another name.
func (s adminService) RenameProfile(ctx context.Context, q *pb.RenameProfileRequest) (*pb.RenameProfileResponse, error) {
	defer s.seals.drop(callerOf(ctx).peer, boxes(q.GetProof())...)
	p, err := s.renameProfile(ctx, q)
	if err != nil {
		return nil, s.reply(s.denied(callerOf(ctx), audit.EventProfileRename, q.GetName(), err))
	}
	return &pb.RenameProfileResponse{Profile: s.changed(p)}, nil
}

func (a *Agent) renameProfile(ctx context.Context, q *pb.RenameProfileRequest) (*profile, error) {
	name, to := q.GetName(), q.GetNewName()
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
	detail, err := a.proveRename(ctx, s, q)
	if err != nil {
		return nil, err
	}
	p := *old.profile
	p.Name = to
	next, err := old.with(&p)
	if err != nil {
		return nil, err
	}
	then, known := a.keptUntil(old.profile)
	if _, err := a.replaceProfile(ctx, s, old, next, audit.EventProfileRename, detail, vault.Edit{}); err != nil {
		return nil, err
	}
	a.approvals.DropProfiles(name, to)
	if known {
		a.keepUntil(&p, then)
	}
	return next.profile, nil
}

// proveRename asks for a fresh proof where a policy is in force, whose rules select profiles
// by name: with another name a profile has other rules. It returns what the log says of the
// change.
func (a *Agent) proveRename(ctx context.Context, s *session, q *pb.RenameProfileRequest) (detail string, err error) {
	if err := a.catchUp(s); err != nil {
		return "", err
	}
	detail = "to=" + q.GetNewName()
	if r := s.policy(); r.policy == nil && r.fault == nil {
		return detail, nil
	}
	by, err := a.prove(ctx, s, q.GetProof(), pb.Admin_RenameProfile_FullMethodName, q.GetName(), "renaming a profile under a policy", (*session).stepUp)
	return detail + " proof=" + by, err
}
