package vault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/vault/envelope"
	"github.com/nsagent/nsagent/vault/store"
)

// Grant is what the vault tells about a grant.
type Grant struct {
	ID      [16]byte
	Issuer  [32]byte   // Ed25519 public key: GrantKey
	Meta    []byte     // opaque; nil while locked
	Records [][16]byte // that it opens, by Record.ID, in ascending order
}

// NewGrant is a grant to be added.
type NewGrant struct {
	ID    [16]byte  // random
	Meta  []byte    // opaque, at most 64 KiB
	Wraps []NewWrap // at most 64

	// Over are grants that go in the same commit; what is gone already is no error.
	Over [][16]byte
}

// NewWrap lets a wrap key open the sign-only part of a record, whatever becomes of that
// later, unless Rekey.
type NewWrap struct {
	Record string       // name
	Key    secret.Bytes // 32 bytes, borrowed; used for this grant and record alone
}

// GrantKey returns the Ed25519 public key that verifies what SignGrant signs. It never
// changes. Errors: ErrLocked, those of the arena.
func (v *Vault) GrantKey() (public [32]byte, err error) {
	err = v.withKeys(func(k *envelope.Keys) error {
		public, err = k.GrantKey()
		return err
	})
	return public, err
}

// SignGrant signs message with the key of this vault that signs grants. Errors as of
// GrantKey.
func (v *Vault) SignGrant(message []byte) ([]byte, error) {
	var signature [64]byte
	err := v.withKeys(func(k *envelope.Keys) (err error) {
		signature, err = k.SignGrant(message)
		return err
	})
	return signature[:], err
}

// withKeys calls f with the keys of the unlocked vault.
func (v *Vault) withKeys(f func(*envelope.Keys) error) error {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if v.keys == nil {
		return ErrLocked
	}
	return classify(f(v.keys))
}

// AddGrant adds a grant, which is durable when AddGrant returns. Errors: ErrExists,
// ErrNotFound if there is no such record, ErrGrant, and as of Add.
func (v *Vault) AddGrant(ctx context.Context, n NewGrant) error {
	err := v.commit(ctx, func(s *session) (*edit, error) {
		if _, taken := s.leaves[n.ID]; taken {
			return nil, fmt.Errorf("%w: of that id", ErrExists)
		}
		g, err := s.sealGrant(n)
		if err != nil {
			return nil, err
		}
		out := &edit{grants: []*envelope.Grant{g}}
		for _, id := range n.Over {
			if s.grants[id] != nil {
				out.remove = append(out.remove, id)
			}
		}
		return out, nil
	})
	if err != nil {
		return fmt.Errorf("adding a grant: %w", err)
	}
	return nil
}

// sealGrant returns a grant with the wraps of n. Errors: ErrGrant, ErrNotFound, those of
// the arena.
func (s *session) sealGrant(n NewGrant) (*envelope.Grant, error) {
	g, err := s.keys.SealGrant(n.ID, n.Meta)
	if err != nil {
		return nil, badGrant(err)
	}
	for _, w := range n.Wraps {
		e := s.index.byName[w.Record]
		if e == nil {
			return nil, fmt.Errorf("%w: record %q", ErrNotFound, w.Record)
		}
		r, err := s.parse(e.ID)
		if err != nil {
			return nil, err
		}
		if err := s.keys.AddWrap(g, r, w.Key); err != nil {
			return nil, badGrant(err)
		}
	}
	return g, nil
}

// badGrant has an error say that it is the grant's fault, if it is.
func badGrant(err error) error {
	if errors.Is(err, envelope.ErrInput) || errors.Is(err, envelope.ErrTooLarge) {
		return fmt.Errorf("%w: %w", ErrGrant, err)
	}
	return err
}

// RemoveGrant removes a grant. Copies of the vault made before still hold it. Errors:
// ErrNotFound, and as of Remove.
func (v *Vault) RemoveGrant(ctx context.Context, id [16]byte) error {
	err := v.commit(ctx, func(s *session) (*edit, error) {
		if s.grants[id] == nil {
			return nil, fmt.Errorf("%w: grant", ErrNotFound)
		}
		return &edit{remove: []store.ID{id}}, nil
	})
	if err != nil {
		return fmt.Errorf("removing a grant: %w", err)
	}
	return nil
}

// EndedGrant is a grant that is to open nothing any more.
type EndedGrant struct {
	ID   [16]byte
	Meta []byte // in the place of what it had
}

// EndGrants takes what grants open from them, in one commit; they stay, with new metadata.
// One that is gone is no error. Copies of the vault made before still open. Errors:
// ErrGrant, and as of Edit.
func (v *Vault) EndGrants(ctx context.Context, all []EndedGrant) error {
	err := v.commit(ctx, func(s *session) (*edit, error) {
		out := &edit{}
		for _, e := range all {
			if s.grants[e.ID] == nil {
				continue
			}
			g, err := s.sealGrant(NewGrant{ID: e.ID, Meta: e.Meta})
			if err != nil {
				return nil, err
			}
			out.grants = append(out.grants, g)
		}
		return out, nil
	})
	if err != nil {
		return fmt.Errorf("ending grants: %w", err)
	}
	return nil
}

// Rekey seals records under keys that nobody had before, in one commit: what a grant
// wrapped of them opens nothing any more, and leaves the grants. Errors: ErrNotFound,
// and as of Edit.
func (v *Vault) Rekey(ctx context.Context, names []string) error {
	err := v.commit(ctx, func(s *session) (*edit, error) {
		out := &edit{rekey: true}
		for _, name := range slices.Compact(slices.Sorted(slices.Values(names))) {
			e := s.index.byName[name]
			if e == nil {
				return nil, fmt.Errorf("%w: record %q", ErrNotFound, name)
			}
			r, err := s.parse(e.ID)
			if err != nil {
				return nil, err
			}
			next, m, err := s.keys.Rekey(r)
			if err != nil {
				return nil, err
			}
			out.put = append(out.put, sealed{record: next, meta: m})
		}
		return out, nil
	})
	if err != nil {
		return fmt.Errorf("giving records new keys: %w", err)
	}
	return nil
}

// Grants returns the grants in the order of their ids, as the store has them now. It
// works while the vault is locked, without Meta. Errors: ErrRollback, ErrDamaged, those of
// the store.
func (v *Vault) Grants() ([]Grant, error) {
	all, err := v.grants(context.Background())
	if err != nil {
		return nil, fmt.Errorf("reading the grants: %w", err)
	}
	return all, nil
}

func (v *Vault) grants(ctx context.Context) ([]Grant, error) {
	s, keys, _, err := v.public(ctx)
	if err != nil {
		return nil, err
	}
	return s.describeGrants(keys)
}

// describeGrants returns the grants in the order of their ids, without Meta if keys is nil.
func (s *snapshot) describeGrants(keys *envelope.Keys) ([]Grant, error) {
	grants, err := s.allGrants()
	if err != nil {
		return nil, err
	}
	all := make([]Grant, len(grants))
	for i, g := range grants {
		all[i] = Grant{ID: g.ID, Issuer: g.Issuer}
		for _, id := range g.Records() {
			all[i].Records = append(all[i].Records, id)
		}
		if keys == nil {
			continue
		}
		if all[i].Meta, err = keys.GrantMeta(g); err != nil {
			return nil, classify(fmt.Errorf("grant %s: %w", store.ID(g.ID), err))
		}
	}
	return all, nil
}

// GrantsUnpinned returns the grants that the store has, without Meta. It asks no keyring and
// waits for nobody, and may tell of an older vault, or of one that somebody else has
// signed. It is for what does no harm then: to revoke, or to look whether a closer look is
// worth it. Errors: ErrDamaged, those of the store.
func (v *Vault) GrantsUnpinned(ctx context.Context) ([]Grant, error) {
	s, err := v.load(ctx)
	if err == nil && s.root.Vault != v.id {
		err = fmt.Errorf("%w: another vault is in its place", ErrDamaged)
	}
	var all []Grant
	if err == nil {
		all, err = s.describeGrants(nil)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the grants: %w", err)
	}
	return all, nil
}

// public returns the newest state of the store, with the keys of the vault if it is
// unlocked. Locked, it takes nothing for that vault's which another key than at Open
// has signed, or which is older than what this process or, with a keyring, this machine
// has seen, and says what comparing with the pin gave. Whether that key was the vault's own
// is for what is opened to prove.
func (v *Vault) public(ctx context.Context) (*snapshot, *envelope.Keys, pinCheck, error) {
	v.work.Lock()
	defer v.work.Unlock()
	s, err := v.refresh(ctx)
	if err == nil {
		return s.snapshot, s.keys, pinCheck{}, nil
	}
	if !errors.Is(err, ErrLocked) {
		return nil, nil, pinCheck{}, err
	}
	locked, pinned, err := v.lockedState(ctx)
	return locked, nil, pinned, err
}

// usable is public for what is acted on: while the vault is locked, a keyring that does not
// give the pin refuses. An unlock goes on without, since its owner is told; who shows a
// token is not to decide. Errors: ErrKeyring, those of public.
func (v *Vault) usable(ctx context.Context) (*snapshot, error) {
	s, _, pinned, err := v.public(ctx)
	if err == nil && pinned.keyring != nil && !noKeyring(pinned.keyring) {
		return nil, fmt.Errorf("%w: the rollback pin cannot be read: %w", ErrKeyring, pinned.keyring)
	}
	return s, err
}

// lockedState is public while the vault is locked. The caller holds v.work.
func (v *Vault) lockedState(ctx context.Context) (*snapshot, pinCheck, error) {
	v.mu.RLock()
	root := v.root
	v.mu.RUnlock()
	s, pinned, err := v.loadPinned(ctx)
	if err == nil && s.root.PublicKey != root.PublicKey {
		return nil, pinned, fmt.Errorf("%w: another vault is in its place", ErrDamaged)
	}
	return s, pinned, err
}

// allGrants returns the grants in the order of their ids.
func (s *snapshot) allGrants() ([]*envelope.Grant, error) {
	all := make([]*envelope.Grant, 0, len(s.grants))
	for id := range s.grants {
		g, err := s.parseGrant(id)
		if err != nil {
			return nil, err
		}
		all = append(all, g)
	}
	slices.SortFunc(all, func(a, b *envelope.Grant) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return all, nil
}

// parseGrant returns one grant, which must be filed under its own id.
func (s *snapshot) parseGrant(id store.ID) (*envelope.Grant, error) {
	g, err := envelope.DecodeGrant(s.grants[id])
	if err != nil {
		return nil, classify(fmt.Errorf("grant %s: %w", id, err))
	}
	if g.ID != envelope.ID(id) {
		return nil, fmt.Errorf("%w: grant %s is filed under another id", ErrDamaged, id)
	}
	return g, nil
}

// grantsWithout returns the grants that wrap one of these records, without that.
func (s *snapshot) grantsWithout(gone map[envelope.ID]bool) ([]*envelope.Grant, error) {
	if len(s.grants) == 0 || len(gone) == 0 {
		return nil, nil
	}
	all, err := s.allGrants()
	if err != nil {
		return nil, err
	}
	var changed []*envelope.Grant
	for _, g := range all {
		if next, had := g.Without(func(id envelope.ID) bool { return gone[id] }); had {
			changed = append(changed, next)
		}
	}
	return changed, nil
}
