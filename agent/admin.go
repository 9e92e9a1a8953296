package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/internal/secret"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/signer"
	"github.com/nsagent/nsagent/vault"
	"github.com/nsagent/nsagent/vault/store"
)

// maxPassphrase and maxKeyText bound what may come in sealed, in bytes.
const (
	maxPassphrase = 1 << 10
	maxKeyText    = 16 << 10
)

// adminService serves nsagent.v1.Admin.
type adminService struct {
	pb.UnimplementedAdminServer
	*Agent
}

// SealKey gives one-time keys for the secrets of the next call.
func (s adminService) SealKey(ctx context.Context, q *pb.SealKeyRequest) (*pb.SealKeyResponse, error) {
	const most = 4
	n := max(q.GetCount(), 1)
	if n > most {
		return nil, s.reply(refuse(ErrRequest, pb.CodeRequest, "too many seal keys at once", fmt.Sprintf("at most %d", most), ""))
	}
	id, err := s.vaultID(ctx)
	if err != nil {
		return nil, s.reply(err)
	}
	out := &pb.SealKeyResponse{VaultId: id, Instance: s.instance[:], ExpiresIn: int64(sealKeyLife / time.Second)}
	for range n {
		key, public, err := s.seals.issue(callerOf(ctx).peer)
		if err != nil {
			return nil, s.reply(err)
		}
		out.Keys = append(out.Keys, &pb.SealKey{Id: key, PublicKey: public})
	}
	return out, nil
}

// vaultID returns the id of the vault, which needs no key. It is that of the last
// time the file was read: a box is bound to what SealKey said, and a large vault
// takes a while to read.
func (a *Agent) vaultID(ctx context.Context) ([]byte, error) {
	a.mu.RLock()
	id := a.lastID
	a.mu.RUnlock()
	if id != nil {
		return id, nil
	}
	v, err := a.openVault(ctx)
	if errors.Is(err, store.ErrNotFound) {
		return nil, noVault()
	}
	if err != nil {
		return nil, err
	}
	return v.ID(), nil
}

// open opens a sealed field straight into the arena. The key is gone afterwards,
// whether it worked or not.
func (a *Agent) open(ctx context.Context, m *pb.Sealed, method, profile string, limit int) (secret.Bytes, error) {
	r, err := a.seals.take(m.GetKeyId(), callerOf(ctx).peer)
	if err != nil {
		return secret.Bytes{}, err
	}
	defer r.Destroy()
	if len(m.GetBox()) > limit+256 {
		return secret.Bytes{}, credential(fmt.Sprintf("%.40s is too long", m.GetField()), fmt.Sprintf("at most %d bytes", limit))
	}
	id, err := a.vaultID(ctx)
	if err != nil {
		return secret.Bytes{}, err
	}
	b, err := r.Open(m.GetBox(), secret.SealContext{VaultID: id, Instance: a.instance[:], Method: method, Profile: profile, Field: m.GetField()})
	if errors.Is(err, secret.ErrFull) {
		return secret.Bytes{}, fmt.Errorf("opening a sealed field: %w", err)
	}
	if err != nil {
		return secret.Bytes{}, refuse(errors.Join(ErrRequest, err), pb.CodeRequest, fmt.Sprintf("the sealed %.40s cannot be opened", m.GetField()),
			"it was sealed for another call, or changed on its way", "")
	}
	return b, nil
}

// Unlock opens the vault.
func (s adminService) Unlock(ctx context.Context, q *pb.UnlockRequest) (*pb.UnlockResponse, error) {
	m := q.GetPassphrase()
	if m == nil {
		m = q.GetKey()
	}
	proof, err := s.openProof(ctx, m, pb.Admin_Unlock_FullMethodName, "")
	if err != nil {
		return nil, s.reply(err)
	}
	defer destroyProof(proof)
	if q.GetForSeconds() < 0 || q.GetForSeconds() > int64((365*24*time.Hour)/time.Second) {
		return nil, s.reply(refuse(ErrRequest, pb.CodeRequest, "the unlock time is out of range", "", ""))
	}
	open, err := s.unlock(ctx, callerOf(ctx), proof, time.Duration(q.GetForSeconds())*time.Second)
	if err != nil {
		return nil, s.reply(err)
	}
	s.mu.RLock()
	n := len(open.profiles)
	s.mu.RUnlock()
	return &pb.UnlockResponse{
		Profiles:    int32(n), // #nosec G115 -- the vault has at most 100,000
		IdleSeconds: int64(open.idle / time.Second), HardSeconds: int64(open.hard / time.Second),
		Warnings: s.status().GetWarnings(),
	}, nil
}

// Lock drops every key.
func (s adminService) Lock(ctx context.Context, _ *pb.LockRequest) (*pb.LockResponse, error) {
	s.lock("asked", callerOf(ctx))
	return &pb.LockResponse{}, nil
}

// Stop ends the agent after the answer has left.
func (s adminService) Stop(context.Context, *pb.StopRequest) (*pb.StopResponse, error) {
	s.stop()
	return &pb.StopResponse{}, nil
}

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
	end, err := a.beginAdmin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	defer a.arena.ReleaseMemory()
	s, err := a.unlocked()
	if err != nil {
		return nil, err
	}
	now := time.Now()
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
	defer m.raw.Destroy()
	defer m.long.Destroy()
	signOnly, err := a.arena.Clone(m.signOnly)
	if err != nil {
		m.signOnly.Destroy()
		return nil, err
	}
	defer m.signOnly.Destroy()
	l, err := newLive(a.arena, p, signOnly)
	if err != nil {
		return nil, err
	}
	if err := a.commit(callerOf(ctx), audit.EventProfileAdd, p, "access="+p.Access, func() error {
		meta, err := a.codec.encode(p)
		if err != nil {
			return fmt.Errorf("encoding the metadata record: %w", err)
		}
		return s.vault.Add(ctx, vault.NewRecord{Name: p.Name, Kind: p.Auth, Meta: meta, SignOnly: m.signOnly, Raw: m.raw, Long: m.long})
	}); err != nil {
		l.destroy()
		if errors.Is(err, vault.ErrExists) {
			return nil, exists(p.Name)
		}
		return nil, err
	}
	p.versions = []vault.Version{{Number: 1, Created: now}}
	a.publish(s, func(profiles map[string]*live) { profiles[p.Name] = l }, l)
	return p, nil
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
	callerOf(ctx).fill(&e)
	if _, err := s.audit.Append(e); err != nil {
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
	if err := s.removeProfile(ctx, q.GetName()); err != nil {
		return nil, s.reply(s.denied(callerOf(ctx), audit.EventProfileRemove, q.GetName(), err))
	}
	return &pb.RemoveProfileResponse{}, nil
}

func (a *Agent) removeProfile(ctx context.Context, name string) error {
	end, err := a.beginAdmin(ctx)
	if err != nil {
		return err
	}
	defer end()
	s, err := a.unlocked()
	if err != nil {
		return err
	}
	a.mu.RLock()
	l, ok := s.profiles[name]
	a.mu.RUnlock()
	if !ok {
		return s.noProfile(name)
	}
	if err := a.commit(callerOf(ctx), audit.EventProfileRemove, l.profile, "access="+l.Access, func() error { return s.vault.Remove(ctx, name) }); err != nil {
		return err
	}
	a.publish(s, func(profiles map[string]*live) {
		delete(profiles, name)
		l.supersede()
		l.destroy()
	}, nil)
	return nil
}

// unlocked returns the session for a change of the vault.
func (a *Agent) unlocked() (*session, error) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.currentLocked()
}

// commit records an administrative change, durably, and then makes it. A change
// that fails after it was recorded is recorded as failed.
func (a *Agent) commit(c *caller, event string, p *profile, detail string, change func() error) error {
	e := audit.Event{Event: event, Outcome: audit.OutcomeOK, Profile: p.Name, Account: p.Account, Kind: p.Auth, Detail: detail}
	if t, err := signer.ParseEndpoint(p.Endpoint); err == nil {
		e.Host = t.Host()
	}
	return a.carryOut(c, e, change)
}

// carryOut is commit for a change that is described by e.
func (a *Agent) carryOut(c *caller, e audit.Event, change func() error) error {
	c.fill(&e)
	if _, err := a.audit.AppendSync(e); err != nil {
		return fmt.Errorf("recording the change: %w", err)
	}
	err := change()
	if err == nil {
		return nil
	}
	e.Outcome, e.Reason = audit.OutcomeFailed, string(refusalOf(err).Code)
	if _, werr := a.audit.AppendSync(e); werr != nil {
		a.log.Error("audit log not written after a failed change", "error", werr)
	}
	return &recorded{err}
}

// recorded is an error that has its entry in the audit log already.
type recorded struct{ error }

// Unwrap returns the error.
func (r *recorded) Unwrap() error { return r.error }

// denied records that a change was refused before it was tried, and returns why.
func (a *Agent) denied(c *caller, event, name string, err error) error {
	if r := (*recorded)(nil); errors.As(err, &r) {
		return err
	}
	e := audit.Event{Event: event, Outcome: audit.OutcomeDenied, Reason: string(refusalOf(err).Code), Profile: name}
	c.fill(&e)
	if _, werr := a.audit.Append(e); werr != nil {
		return fmt.Errorf("recording a refusal: %w", errors.Join(werr, err))
	}
	return err
}

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
		return nil, fmt.Errorf("waiting for a turn: %w", ctx.Err())
	}
}

// publish makes a durable change visible to signers, unless the agent was locked
// meanwhile; then orphan, if any, is wiped.
func (a *Agent) publish(s *session, change func(map[string]*live), orphan *live) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.session == s {
		change(s.profiles)
		return
	}
	if orphan != nil {
		orphan.destroy()
	}
}

func exists(name string) error {
	return refuse(vault.ErrExists, pb.CodeExists, fmt.Sprintf("profile %q exists already", name), "a profile is never replaced by adding it again",
		"change it:  nsagent profile edit "+name)
}
