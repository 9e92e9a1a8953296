package agent

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"sync"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/vault"
)

// checkpointKeys are the one-time keys of the audit log's checkpoints: 32 bytes each, in
// the arena, sealed under the vault where they wait on the disk for the next unlock. They
// outlive the lock of the vault by the checkpoint of that lock.
type checkpointKeys struct {
	arena  *secret.Arena
	sealer *vault.Sealer

	mu            sync.Mutex // guards what follows
	current, next secret.Bytes
}

var errNoKey = errors.New("agent: no signing key")

// CheckpointKeys returns the keys of an audit log that belongs to v, which is unlocked.
func CheckpointKeys(a *secret.Arena, v *vault.Vault) (audit.Keys, error) {
	sealer, err := v.NewSealer("audit checkpoint key")
	if err != nil {
		return nil, err
	}
	return &checkpointKeys{arena: a, sealer: sealer}, nil
}

// startCheckpoints lets the audit log be signed while s lives.
func (a *Agent) startCheckpoints(s *session) error {
	keys, err := CheckpointKeys(a.arena, s.vault)
	if err != nil {
		return fmt.Errorf("preparing the checkpoints of the audit log: %w", err)
	}
	s.checkpoints = a.audit.StartCheckpoints(keys)
	return nil
}

// Restore opens a sealed key, or draws one.
func (k *checkpointKeys) Restore(sealed []byte) error {
	var seed secret.Bytes
	var err error
	if sealed == nil {
		seed, err = k.arena.Random(ed25519.SeedSize)
	} else {
		seed, err = k.sealer.Open(sealed)
	}
	switch {
	case errors.Is(err, vault.ErrSealed):
		return fmt.Errorf("%w: the key was sealed under another vault", audit.ErrCheckpoint)
	case err != nil:
		return err
	case seed.Len() != ed25519.SeedSize:
		seed.Destroy()
		return fmt.Errorf("%w: the key has another length", audit.ErrCheckpoint)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.current.Destroy()
	k.next.Destroy()
	k.current, k.next = seed, secret.Bytes{}
	return nil
}

// Public returns the public half of the key that signs next.
func (k *checkpointKeys) Public() (ed25519.PublicKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return publicOf(k.current)
}

// Next draws the key after that.
func (k *checkpointKeys) Next() (ed25519.PublicKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	next, err := k.arena.Random(ed25519.SeedSize)
	if err != nil {
		return nil, err
	}
	k.next.Destroy()
	k.next = next
	return publicOf(next)
}

// Sign signs msg and erases the key that did.
func (k *checkpointKeys) Sign(msg []byte) (signature []byte, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.next.IsZero() {
		return nil, errNoKey
	}
	err = withKey(k.current, func(key ed25519.PrivateKey) { signature = ed25519.Sign(key, msg) })
	if err != nil {
		return nil, err
	}
	k.current.Destroy()
	k.current, k.next = k.next, secret.Bytes{}
	return signature, nil
}

// Seal returns the key that signs next for the disk.
func (k *checkpointKeys) Seal() ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.sealer.Seal(k.current)
}

// Destroy erases all.
func (k *checkpointKeys) Destroy() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.current.Destroy()
	k.next.Destroy()
	k.sealer.Destroy()
}

func publicOf(seed secret.Bytes) (public ed25519.PublicKey, err error) {
	err = withKey(seed, func(key ed25519.PrivateKey) {
		public = append(ed25519.PublicKey(nil), key[ed25519.SeedSize:]...)
	})
	return public, err
}

// withKey calls f with the key of a seed, which is gone afterwards.
func withKey(seed secret.Bytes, f func(ed25519.PrivateKey)) error {
	if seed.IsZero() {
		return errNoKey
	}
	return seed.Use(func(p []byte) error {
		secret.Do(func() {
			key := ed25519.NewKeyFromSeed(p)
			f(key)
			secret.Wipe(key)
		})
		return nil
	})
}
