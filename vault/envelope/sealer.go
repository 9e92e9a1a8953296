package envelope

import (
	"io"

	"github.com/nsagent/nsagent/internal/secret"
)

// Sealer seals small secrets that are kept outside the vault and change too often for
// it. Its key is derived from the VRK; it needs the Keys no more once it is made, and is
// safe for concurrent use until Destroy.
type Sealer struct {
	arena *secret.Arena
	rand  io.Reader
	key   secret.Bytes
	aad   []byte
}

// NewSealer returns a Sealer for one use, which names what it seals. What one seals opens
// under no other use and in no other vault.
func (k *Keys) NewSealer(use string) (*Sealer, error) {
	key, err := k.arena.DeriveKey(k.vrk, k.vault[:], []byte(labelSealer+" "+use))
	if err != nil {
		return nil, err
	}
	return &Sealer{arena: k.arena, rand: k.rand, key: key, aad: sealerContext(k.vault, use)}, nil
}

// Seal seals a secret, which stays the caller's. Its length shows.
func (s *Sealer) Seal(b secret.Bytes) ([]byte, error) {
	return sealKey(s.rand, s.key, s.aad, b)
}

// Open returns what was sealed. The error is ErrOpen, or one of the arena.
func (s *Sealer) Open(sealed []byte) (secret.Bytes, error) {
	if len(sealed) < Overhead {
		return secret.Bytes{}, ErrOpen
	}
	b, err := s.arena.Alloc(len(sealed) - Overhead)
	if err != nil {
		return secret.Bytes{}, err
	}
	err = b.Use(func(p []byte) error {
		return s.key.Use(func(key []byte) error { return open(p, key, s.aad, sealed) })
	})
	if err != nil {
		b.Destroy()
		return secret.Bytes{}, err
	}
	return b, nil
}

// Destroy wipes the key.
func (s *Sealer) Destroy() { s.key.Destroy() }
