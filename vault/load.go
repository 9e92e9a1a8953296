package vault

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/nsagent/nsagent/vault/envelope"
	"github.com/nsagent/nsagent/vault/store"
)

// snapshot is what the store holds at one generation, covered by its manifest.
type snapshot struct {
	root   *envelope.Root
	raw    map[store.ID][]byte // records
	grants map[store.ID][]byte
	policy map[store.ID][]byte        // at most one, see parsePolicy
	leaves map[store.ID]envelope.Leaf // of all of them

	// parsed are all records once parseAll was called, nil before.
	parsed map[store.ID]*envelope.Record
}

// load reads the store and checks, in this order: root (form, signature, earlier
// manifests), generation, and that the manifest covers exactly the records that are
// there. Errors: those of the store, ErrDamaged, ErrNewer.
func (v *Vault) load(ctx context.Context) (*snapshot, error) {
	loaded, err := v.cfg.Store.Load(ctx)
	if err != nil {
		return nil, classify(err)
	}
	return verified(loaded)
}

// loadPinned is load for a locked vault: what it returns is this vault, and no older than
// what this process or, by the pin or AtLeast, this machine has seen. Errors: those of
// load, ErrRollback.
func (v *Vault) loadPinned(ctx context.Context) (*snapshot, pinCheck, error) {
	for last := uint64(0); ; v.Release() { // what v holds may be what is too old
		seen := v.cfg.Memory.newest(v.id) // before the store is read: what comes after may be newer
		s, err := v.read(ctx, seen)
		if err != nil {
			return nil, pinCheck{}, err
		}
		if s.root.Vault != v.id {
			return nil, pinCheck{}, fmt.Errorf("%w: another vault is in its place", ErrDamaged)
		}
		if err := seen.leadsTo(s.root); err != nil {
			return nil, pinCheck{}, err
		}
		if err := v.notBeforeLeast(s.root); err != nil {
			return nil, pinCheck{}, err
		}
		c, err := v.checkPin(ctx, s.root)
		if err == nil || s.root.Generation() <= last {
			return s, c, err
		}
		last = s.root.Generation() // somebody may have committed, and moved the pin, since it was read
	}
}

// verified checks what a store gave; see load.
func verified(loaded store.Snapshot) (s *snapshot, err error) {
	s = &snapshot{leaves: make(map[store.ID]envelope.Leaf, len(loaded.Records))}
	if s.root, err = envelope.DecodeRoot(loaded.Root); err != nil {
		return nil, classify(err)
	}
	if n := len(loaded.Records); n > envelope.MaxRecords {
		return nil, fmt.Errorf("%w: %d records, at most %d", ErrDamaged, n, envelope.MaxRecords)
	}
	for id, encoded := range loaded.Records {
		s.leaves[id] = envelope.ObjectLeaf(envelope.ID(id), encoded)
	}
	if err := s.root.Covers(loaded.Generation, values(s.leaves)); err != nil {
		return nil, classify(err)
	}
	s.sort(loaded.Records)
	return s, nil
}

// sort tells apart what the store gave. What is of no known type is left among the
// records, where parse refuses it.
func (s *snapshot) sort(all map[store.ID][]byte) {
	s.raw, s.grants, s.policy = make(map[store.ID][]byte, len(all)), make(map[store.ID][]byte), make(map[store.ID][]byte)
	for id, encoded := range all {
		switch envelope.TypeOf(encoded) {
		case envelope.TypeGrant:
			s.grants[id] = encoded
		case envelope.TypePolicy:
			s.policy[id] = encoded
		default:
			s.raw[id] = encoded
		}
	}
}

// parse returns one record, which must be filed under its own id. It is shared, so not to
// be changed.
func (s *snapshot) parse(id store.ID) (*envelope.Record, error) {
	if r := s.parsed[id]; r != nil {
		return r, nil
	}
	r, err := envelope.DecodeRecord(s.raw[id])
	if err != nil {
		return nil, classify(fmt.Errorf("record %s: %w", id, err))
	}
	if r.ID != envelope.ID(id) {
		return nil, fmt.Errorf("%w: record %s is filed under another id", ErrDamaged, id)
	}
	return r, nil
}

// parseAll parses every object, and keeps the records.
func (s *snapshot) parseAll() error {
	ids := slices.Collect(maps.Keys(s.raw))
	records := make([]*envelope.Record, len(ids))
	err := parallel(len(ids), func(_, i int) (err error) {
		records[i], err = s.parse(ids[i])
		return err
	})
	if err != nil {
		return err
	}
	s.parsed = make(map[store.ID]*envelope.Record, len(ids))
	for i, id := range ids {
		s.parsed[id] = records[i]
	}
	if _, err := s.allGrants(); err != nil {
		return err
	}
	_, err = s.parsePolicy()
	return err
}

// session is a snapshot together with what the unlocked vault knows of it.
type session struct {
	*snapshot
	vault *Vault
	keys  *envelope.Keys
	index *index
}

// refresh reads the store and, where another process has committed since, takes
// over its state if that descends from ours. The caller holds v.work. Errors: those
// of load, ErrLocked, ErrRollback.
func (v *Vault) refresh(ctx context.Context) (*session, error) {
	v.mu.RLock()
	keys, ix, root := v.keys, v.index, v.root
	v.mu.RUnlock()
	seen := v.cfg.Memory.newest(v.id) // before the store is read: what comes after may be newer
	if keys == nil {
		return nil, ErrLocked
	}
	s, err := v.read(ctx, seen)
	if err != nil {
		return nil, err
	}
	if s.root.Vault != v.id || s.root.PublicKey != root.PublicKey {
		return nil, fmt.Errorf("%w: another vault is in its place", ErrDamaged)
	}
	if err := seen.leadsTo(s.root); err != nil {
		return nil, err
	}
	if s.root.Generation() != root.Generation() {
		if ix, err = openIndex(keys, s, ix); err != nil {
			return nil, err
		}
		v.publish(keys, s.root, ix)
	}
	return &session{snapshot: s, vault: v, keys: keys, index: ix}, nil
}

func values[K comparable, V any](m map[K]V) []V {
	l := make([]V, 0, len(m))
	for _, v := range m {
		l = append(l, v)
	}
	return l
}
