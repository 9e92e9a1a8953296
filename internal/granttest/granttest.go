// Package granttest puts grants into vaults for tests, past the agent, and gives the tokens
// of them.
package granttest

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"os"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/nsagent/nsagent/internal/grantkey"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/socketpath"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	"github.com/nsagent/nsagent/vault"
	"github.com/nsagent/nsagent/vault/store"
)

// Mint adds a grant for these profiles, within limits, to the vault of paths, which this
// passphrase opens and which has its machine key in a file. It returns a token of it, which
// is good for an hour unless limits says otherwise.
func Mint(ctx context.Context, paths socketpath.Paths, passphrase string, limits unlocktoken.Caveats, profiles ...string) (*unlocktoken.Token, error) {
	arena, err := secret.NewArena(secret.ArenaConfig{Mode: secret.ModeAuto, Size: 64 << 10})
	if err != nil {
		return nil, err
	}
	defer func() { _ = arena.Close() }()
	v, err := vault.Open(ctx, vault.Config{Store: store.NewFile(paths.Vault), Arena: arena, MachineKeyFile: paths.MachineKey})
	if err != nil {
		return nil, err
	}
	defer v.Lock()
	opener, err := arena.Take([]byte(passphrase))
	if err != nil {
		return nil, err
	}
	if err := v.UnlockBy(ctx, vault.Proof{Passphrase: opener}); err != nil {
		return nil, err
	}
	m := &mint{arena: arena, vault: v}
	return m.token(ctx, limits, profiles)
}

// mint is a vault and what is made of it.
type mint struct {
	arena  *secret.Arena
	vault  *vault.Vault
	shares []unlocktoken.Share
}

func (m *mint) token(ctx context.Context, limits unlocktoken.Caveats, profiles []string) (*unlocktoken.Token, error) {
	now := time.Now().Unix()
	if limits.NotAfter == 0 {
		limits.NotAfter = now + 3600
	}
	a := unlocktoken.Authority{Vault: unlocktoken.ID(m.vault.ID()), Grant: unlocktoken.ID(random(16)), Mode: unlocktoken.Attached, IssuedAt: min(now, limits.NotAfter), Caveats: limits}
	for _, name := range profiles {
		id, ok := m.vault.RecordID(name)
		if !ok {
			return nil, fmt.Errorf("granttest: no record %q", name)
		}
		a.Caveats.Credentials = append(a.Caveats.Credentials, unlocktoken.ID(id))
		m.shares = append(m.shares, unlocktoken.Share{Credential: unlocktoken.ID(id), Key: [32]byte(random(grantkey.ShareSize))})
	}
	seed := [32]byte(random(ed25519.SeedSize))
	next := ed25519.NewKeyFromSeed(seed[:])
	chain, err := unlocktoken.NewChain(a, ed25519.PublicKey(next[ed25519.SeedSize:]), m.vault.SignGrant)
	if err != nil {
		return nil, err
	}
	issuer, err := m.vault.GrantKey()
	if err != nil {
		return nil, err
	}
	hash := unlocktoken.IssuerHash(issuer[:])
	if err := m.add(ctx, chain, hash, profiles); err != nil {
		return nil, err
	}
	return unlocktoken.New(hash, m.shares, chain, seed)
}

// add puts the grant into the vault, with the credentials wrapped for it.
func (m *mint) add(ctx context.Context, chain unlocktoken.Chain, issuer [32]byte, profiles []string) error {
	g, err := chain.Read()
	if err != nil {
		return err
	}
	machine, _, err := m.vault.MachineKey(ctx)
	if err != nil {
		return err
	}
	defer machine.Destroy()
	meta, err := encodeMeta(chain, profiles)
	if err != nil {
		return err
	}
	n := vault.NewGrant{ID: g.Authority.Grant, Meta: meta}
	for i, s := range m.shares {
		share, err := m.arena.Take(s.Key[:]) // of the loop's own copy
		if err != nil {
			return err
		}
		key, err := grantkey.Derive(m.arena, machine, g, issuer, s.Credential, share)
		if err != nil {
			return err
		}
		n.Wraps = append(n.Wraps, vault.NewWrap{Record: profiles[i], Key: key})
	}
	return m.vault.AddGrant(ctx, n)
}

// encodeMeta returns what nsagent keeps of a grant: docs/vault-format.md, section 15.
func encodeMeta(chain unlocktoken.Chain, profiles []string) ([]byte, error) {
	mode, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		return nil, err
	}
	return mode.Marshal(map[int]any{1: chain.Encode(), 2: profiles, 3: os.Getuid(), 5: "test"})
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // it never fails
	return b
}
