package agent

import (
	"context"
	"encoding/hex"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
)

// ListProfiles lists the profiles that the caller may use.
func (s signerService) ListProfiles(ctx context.Context, _ *pb.ListProfilesRequest) (*pb.ListProfilesResponse, error) {
	r, err := s.listProfiles(callerOf(ctx))
	return r, s.reply(err)
}

// Status tells the state of the agent.
func (s signerService) Status(ctx context.Context, _ *pb.StatusRequest) (*pb.StatusResponse, error) {
	r, err := s.statusFor(callerOf(ctx))
	return r, s.reply(err)
}

func (a *Agent) listProfiles(c *caller) (*pb.ListProfilesResponse, error) {
	if err := a.admit(c); err != nil {
		return nil, err
	}
	out, err := a.profilesFor(c)
	a.haveShownAgain(c, err)
	return out, err
}

func (a *Agent) profilesFor(c *caller) (*pb.ListProfilesResponse, error) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	s, err := a.sessionForLocked(c, a.boottime())
	if err != nil {
		return nil, err
	}
	now := a.clock().Unix()
	out := &pb.ListProfilesResponse{Profiles: make([]*pb.ProfileSummary, 0, len(s.profiles))}
	for _, p := range s.profiles {
		if !c.may(p) {
			continue
		}
		state := "ready"
		switch {
		case p.Stale != 0:
			state = "stale"
		case p.Expires != 0 && now >= p.Expires:
			state = "expired"
		case p.Consent != "":
			state = "consent"
		}
		out.Profiles = append(out.Profiles, &pb.ProfileSummary{
			Name: p.Name, Account: p.Account, Environment: p.identity.Account.Environment(), Auth: p.Auth, Access: p.Access,
			State: state, ExpiresAt: p.ends(), LastUsed: p.lastUsed.Load(),
		})
	}
	slices.SortFunc(out.Profiles, func(a, b *pb.ProfileSummary) int { return strings.Compare(a.GetName(), b.GetName()) })
	return out, nil
}

func (a *Agent) statusFor(c *caller) (*pb.StatusResponse, error) {
	if err := a.admit(c); err != nil {
		return nil, err
	}
	out := a.status()
	if c.right() != ofOwner() || c.by() != nil {
		a.narrowStatus(out, c)
	} else {
		out.Warnings = append(out.Warnings, a.warningsOfProfiles()...)
		out.GrantSockets = a.sockets.report(a.boottime(), a.clock())
	}
	return out, nil
}

// narrowStatus takes from a status the profiles that are not for c, and from one for the
// socket of a grant what says where the owner's own are.
func (a *Agent) narrowStatus(out *pb.StatusResponse, c *caller) {
	own := make(map[string]bool)
	a.mu.RLock()
	if s, err := a.sessionForLocked(c, a.boottime()); err == nil {
		for name, p := range s.profiles {
			if c.may(p) {
				own[name] = true
			}
		}
		out.Profiles = int32(len(own)) // #nosec G115 -- at most 100,000
		if a.bundled != nil {
			out.Policy = s.policy().status()
		}
	}
	a.mu.RUnlock()
	if a.bundled != nil {
		out.Locked = out.Profiles < 0
		out.Bundle = &pb.BundleStatus{Grant: a.bundled.name, NotAfter: c.granted().NotAfter(), Profiles: slices.Sorted(maps.Keys(own))}
	}
	out.Expiring = slices.DeleteFunc(out.Expiring, func(e *pb.Expiry) bool { return !own[e.GetProfile()] })
	if by := c.by(); by != nil {
		out.Sockets, out.Audit.Path = []*pb.SocketStatus{{Name: "agent", Path: by.path}}, ""
	}
}

// warningsOfProfiles are those that name profiles, which are for the owner alone.
func (a *Agent) warningsOfProfiles() []string {
	out := a.missingSecrets()
	a.mu.RLock()
	defer a.mu.RUnlock()
	if s, err := a.currentLocked(); err == nil {
		out = append(out, a.tending.warnings(s.profiles)...)
	}
	return out
}

// status collects what the agent knows of itself. Nothing in it is secret, and no profile
// is named in its warnings.
func (a *Agent) status() *pb.StatusResponse {
	mem := a.arena.Info()
	p := a.cfg.Paths
	out := &pb.StatusResponse{
		Version: a.cfg.Version, Pid: int32(os.Getpid()), Locked: true, Profiles: -1, // #nosec G115 -- a pid fits
		Memory:  &pb.MemoryStatus{Mode: string(mem.Mode), Why: mem.Why, Grade: mem.Grade, Size: int64(mem.Size), Used: int64(mem.Used)},
		Audit:   a.auditStatus(),
		Sockets: []*pb.SocketStatus{{Name: "agent", Path: p.Agent}, {Name: "admin", Path: p.Admin}},
		Sandbox: &pb.SandboxStatus{Seccomp: a.sandbox.Seccomp, LandlockAbi: int32(a.sandbox.LandlockABI)}, // #nosec G115 -- a small number
	}
	closed := a.closedSlots()
	a.mu.RLock()
	defer a.mu.RUnlock()
	if s, err := a.currentLocked(); err != nil {
		out.Unlock = &pb.UnlockStatus{Slots: slotKinds(closed), Weakest: string(vault.Weakest(closed))}
	} else {
		now := a.boottime()
		idle, hard := s.left(now)
		out.Locked, out.Profiles = false, int32(len(s.profiles)) // #nosec G115 -- at most 100,000
		out.Unlock = &pb.UnlockStatus{
			Slots: slotKinds(s.vault.Slots()), Weakest: string(vault.Weakest(s.vault.Slots())), Rollback: s.vault.RollbackProtection(),
			Since:    a.clock().Add(s.since - now).Unix(),
			IdleLeft: int64(idle / time.Second), HardLeft: int64(hard / time.Second),
		}
		out.Expiring, out.Policy = s.expiring(a.clock()), s.policy().status()
		out.Warnings = append(out.Warnings, s.warnings()...)
	}
	if err := a.audit.Err(); err != nil {
		out.Warnings = append(out.Warnings, "the audit log cannot be written; nothing is signed")
	}
	switch err := a.audit.CheckpointStatus().Err; {
	case errors.Is(err, audit.ErrBroken):
		out.Warnings = append(out.Warnings, "the audit log does not fit to its checkpoints; no more are made: nsagent audit verify")
	case err != nil:
		out.Warnings = append(out.Warnings, "no checkpoint of the audit log can be made; it is tried again")
	}
	return out
}

func (a *Agent) auditStatus() *pb.AuditStatus {
	seq, head := a.audit.Head()
	last := a.audit.CheckpointStatus()
	s := &pb.AuditStatus{
		Ok: a.audit.Err() == nil, Seq: seq, Head: hex.EncodeToString(head[:]), Path: a.cfg.Paths.AuditDir, Durability: "normal",
		CheckpointSize: last.Size, Checkpoints: last.Active,
	}
	if a.cfg.Strict {
		s.Durability = "strict"
	}
	if last.Size > 0 {
		s.CheckpointTime = last.Time.Unix()
	}
	return s
}

func slotKinds(slots []vault.SlotInfo) []string {
	var kinds []string
	for _, s := range slots {
		kinds = append(kinds, string(s.Kind))
	}
	return kinds
}

// warnings says where protection is weaker than it could be.
func (s *session) warnings() []string {
	v := s.vault
	out := append([]string(nil), s.notes...)
	switch vault.Weakest(v.Slots()) {
	case vault.SlotKeyring:
		out = append(out, "the keyring alone opens the vault: any program that runs as you can read the key")
	case vault.SlotKeyFile:
		out = append(out, "the key file alone opens the vault: who can read both files can open it")
	}
	if strings.HasPrefix(v.RollbackProtection(), "weak") {
		out = append(out, "detection of an older copy of the vault is "+v.RollbackProtection())
	}
	if s.weakMachineKey {
		out = append(out, "the machine key is a file: who can copy it can forge the ledger")
	}
	return out
}
