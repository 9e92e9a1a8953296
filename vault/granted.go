package vault

import (
	"context"
	"errors"
	"fmt"

	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/vault/envelope"
	"github.com/nsagent/nsagent/vault/store"
)

// Opened is what a grant opens of one record. The caller owns SignOnly.
type Opened struct {
	Record
	SignOnly secret.Bytes // of the current version
}

// OpenGranted opens the sign-only part of the records of a grant, by the wrap keys of
// whoever presents it. It needs no unlocked vault, and opens nothing else.
//
// key is called with the Record.ID of each record that the grant has a wrap of, and gives
// its wrap key, which OpenGranted destroys; the zero Bytes leaves the record out. An error
// of key ends it. What was opened by then is destroyed after any error.
//
// Errors: ErrNotFound if there is no such grant, ErrGrant for a wrap key that opens
// nothing, ErrRollback, ErrKeyring if there is a keyring that does not give the pin,
// ErrDamaged, those of the arena and the store.
func (v *Vault) OpenGranted(ctx context.Context, grant [16]byte, key func(record [16]byte) (secret.Bytes, error)) ([]Opened, error) {
	s, err := v.usable(ctx)
	if err != nil {
		return nil, fmt.Errorf("opening a grant: %w", err)
	}
	if s.grants[grant] == nil {
		return nil, fmt.Errorf("opening a grant: %w", ErrNotFound)
	}
	defer v.cfg.Arena.ReleaseMemory()
	all, err := s.openGranted(v.cfg.Arena, grant, key)
	if err != nil {
		for _, o := range all {
			o.SignOnly.Destroy()
		}
		return nil, fmt.Errorf("opening a grant: %w", err)
	}
	if len(all) > 0 {
		v.proved(s.root)
	}
	return all, nil
}

// proved takes note of a state whose signature something that opened has proved to be the
// vault's own: nothing older is taken any more.
func (v *Vault) proved(root *envelope.Root) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.cfg.Memory.remember(v.id, root)
	if v.keys == nil && root.Generation() > v.root.Generation() { // unlocked, v.root is that of v.index
		v.root = root
	}
}

// openGranted returns what it opened before an error as well.
func (s *snapshot) openGranted(a *secret.Arena, grant store.ID, key func([16]byte) (secret.Bytes, error)) ([]Opened, error) {
	g, err := s.parseGrant(grant)
	if err != nil {
		return nil, err
	}
	var all []Opened
	for _, id := range g.Records() {
		k, err := key(id)
		if err != nil {
			return all, err
		}
		if k.IsZero() {
			continue
		}
		o, err := s.openWrapped(a, g, store.ID(id), k)
		k.Destroy()
		if err != nil {
			return all, err
		}
		all = append(all, o)
	}
	return all, nil
}

// openWrapped opens one record of g.
func (s *snapshot) openWrapped(a *secret.Arena, g *envelope.Grant, id store.ID, key secret.Bytes) (Opened, error) {
	r, err := s.parse(id)
	if err != nil {
		return Opened{}, err
	}
	o, err := g.NewOpener(a, s.root, key)
	if err != nil {
		return Opened{}, err
	}
	defer o.Close()
	m, err := o.Metadata(r)
	if errors.Is(err, envelope.ErrOpen) {
		return Opened{}, fmt.Errorf("%w: record %s: %w", ErrGrant, id, err)
	}
	if err != nil {
		return Opened{}, classify(err)
	}
	signOnly, err := o.Content(r, envelope.PartSignOnly, m.Current())
	if err != nil {
		return Opened{}, classify(err)
	}
	return Opened{newEntry(r, m, s.leaves[id]).Record, signOnly}, nil
}
