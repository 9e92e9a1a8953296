// Package grantkey derives the keys that wrap credentials for a grant.
//
// # Guarantee
//
// The key comes out right for whoever has the share of the token, is (for an attached
// grant) on the machine that issued it, and has changed nothing of what the grant says.
// Everyone else gets another key, which opens nothing.
//
// # What the user must still do
//
// Destroy the keys, and verify the chain that the grant was read from: a key says nothing
// about caveats that were added later.
//
// The derivation is in docs/unlock-tokens.md.
package grantkey

import (
	"crypto/sha256"
	"fmt"

	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/unlocktoken"
)

// ShareSize is the size of a share, in bytes.
const ShareSize = 32

// labelAgentShare keeps the agent share from being taken for what else is made of the
// machine key.
const labelAgentShare = "nsagent/v1 agent share"

// Derive returns the key, 32 bytes, that wraps a credential for a grant: HKDF-SHA256 of the
// token's share and the agent's, with the grant as salt and unlocktoken.Grant.WrapInfo as
// info. The agent's share is HMAC-SHA256 under the machine key of a label, the vault and
// the grant; a detached grant has none, and needs no machine key: nil.
//
// issuer is the SHA-256 of the issuer's public key. share is borrowed, the caller destroys
// the key. The errors are those of the arena, or wrap secret.ErrLength.
func Derive(arena *secret.Arena, machine *secret.HMACKey, g *unlocktoken.Grant, issuer [32]byte, credential unlocktoken.ID, share secret.Bytes) (secret.Bytes, error) {
	if share.Len() != ShareSize {
		return secret.Bytes{}, fmt.Errorf("deriving the key of a grant: %w", secret.ErrLength)
	}
	size := ShareSize
	if g.Mode == unlocktoken.Attached {
		size += sha256.Size
	}
	both, err := arena.Alloc(size)
	if err != nil {
		return secret.Bytes{}, err
	}
	defer both.Destroy()
	err = both.Use(func(p []byte) error {
		err := share.Use(func(s []byte) error { copy(p, s); return nil })
		if err != nil || g.Mode != unlocktoken.Attached {
			return err
		}
		return machine.HMACSHA256((*[sha256.Size]byte)(p[ShareSize:]), agentShareMessage(g))
	})
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("deriving the key of a grant: %w", err)
	}
	id := g.Authority.Grant
	return arena.DeriveKey(both, id[:], g.WrapInfo(credential, issuer))
}

func agentShareMessage(g *unlocktoken.Grant) []byte {
	id := g.Authority.Grant
	return append(append([]byte(labelAgentShare), g.Vault[:]...), id[:]...)
}
