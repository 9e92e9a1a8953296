package vault

import (
	"fmt"

	"github.com/nsagent/nsagent/vault/envelope"
)

// ErrSealed is the one answer to everything that a Sealer did not seal.
var ErrSealed = envelope.ErrOpen

// Sealer seals secrets that are kept beside the vault under a key of it. It outlives
// Lock; its holder destroys it.
type Sealer = envelope.Sealer

// NewSealer returns a Sealer for one use, which names what it seals. The error is
// ErrLocked, or one of the arena.
func (v *Vault) NewSealer(use string) (*Sealer, error) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if v.keys == nil {
		return nil, ErrLocked
	}
	s, err := v.keys.NewSealer(use)
	if err != nil {
		return nil, fmt.Errorf("deriving the key for %s: %w", use, err)
	}
	return s, nil
}
