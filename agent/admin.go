package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nsagent/nsagent/internal/secret"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
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
	r, err := s.sealKey(ctx, s.seals, q)
	return r, s.reply(err)
}

// sealKey issues keys of one socket.
func (a *Agent) sealKey(ctx context.Context, from *sealKeys, q *pb.SealKeyRequest) (*pb.SealKeyResponse, error) {
	const most = 4
	n := max(q.GetCount(), 1)
	if n > most {
		return nil, refuse(ErrRequest, pb.CodeRequest, "too many seal keys at once", fmt.Sprintf("at most %d", most), "")
	}
	if a.bundled != nil && from == a.seals {
		return nil, noVaultInBundle(ErrNoVault) // which the secrets of managers are for
	}
	id, err := a.vaultID(ctx)
	if err != nil {
		return nil, err
	}
	out := &pb.SealKeyResponse{VaultId: id, Instance: a.instance[:], ExpiresIn: int64(sealKeyLife / time.Second)}
	for range n {
		key, public, err := from.issue(callerOf(ctx).peer)
		if err != nil {
			return nil, err
		}
		out.Keys = append(out.Keys, &pb.SealKey{Id: key, PublicKey: public})
	}
	return out, nil
}

// vaultID returns the id of the vault, which needs no key. It is that of the last
// time the file was read: a box is bound to what SealKey said, and a large vault
// takes a while to read. Where a bundle is served, it is that of the vault that it is of.
func (a *Agent) vaultID(ctx context.Context) ([]byte, error) {
	if a.bundled != nil {
		return a.bundled.Vault[:], nil
	}
	a.mu.RLock()
	id := a.lastID
	a.mu.RUnlock()
	if id != nil {
		return id, nil
	}
	v, err := a.openVault(ctx)
	if errors.Is(err, store.ErrNotFound) {
		return nil, NoVault(a.cfg.Paths, ErrNoVault)
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
	return a.openBy(ctx, r, m, method, profile, limit)
}

// openBy is open by a key that was taken already.
func (a *Agent) openBy(ctx context.Context, r *secret.Receiver, m *pb.Sealed, method, profile string, limit int) (secret.Bytes, error) {
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
	m, fields := q.GetPassphrase(), []string{fieldPassphrase}
	if m == nil {
		m, fields = q.GetKey(), []string{fieldKeyFile, fieldRecovery}
	}
	proof, err := s.openProof(ctx, m, pb.Admin_Unlock_FullMethodName, "", fields...)
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
		Warnings: append(s.status().GetWarnings(), s.warningsOfProfiles()...), Missing: s.missingSecrets(),
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
