package vault

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/nsagent/nsagent/vault/envelope"
	"github.com/nsagent/nsagent/vault/store"
)

// maxAttempts bounds how often a commit is tried again after another process was
// first. Each time somebody got on.
const maxAttempts = 1000

// edit is what a commit changes.
type edit struct {
	put    []sealed
	remove []store.ID
	slots  []*envelope.Slot // nil keeps them
}

// sealed is a record together with what was sealed as its metadata.
type sealed struct {
	record *envelope.Record
	meta   *envelope.Metadata
	long   Value // that comes with it; zero: none
}

// commit makes the change that build decides on from the newest state. build is
// called again if another process commits first. When commit returns nil the change
// is durable. Errors: build's, those of refresh and of the store.
func (v *Vault) commit(ctx context.Context, build func(*session) (*edit, error)) error {
	v.work.Lock()
	defer v.work.Unlock()
	return v.commitLocked(ctx, build)
}

func (v *Vault) commitLocked(ctx context.Context, build func(*session) (*edit, error)) error {
	defer v.cfg.Arena.ReleaseMemory()
	for attempt := 1; ; attempt++ {
		s, err := v.refresh(ctx)
		if err != nil {
			return err
		}
		e, err := build(s)
		if err != nil {
			return classify(err)
		}
		err = v.try(ctx, s, e)
		if !errors.Is(err, store.ErrConflict) || attempt == maxAttempts {
			return err
		}
	}
}

// try commits e on top of s.
func (v *Vault) try(ctx context.Context, s *session, e *edit) error {
	leaves, ix, err := e.apply(s)
	if err != nil {
		return err
	}
	slots := e.slots
	if slots == nil {
		slots = s.root.Slots
	}
	root, err := s.root.Next(s.keys, slots, values(leaves))
	if err != nil {
		return classify(err)
	}
	change := store.Change{Root: root.Encode(), Put: make(map[store.ID][]byte, len(e.put)), Delete: e.remove, Named: make(map[store.BlobHash]bool)}
	for _, p := range e.put {
		change.Put[store.ID(p.record.ID)] = p.record.Encode()
		p.long.addTo(&change)
	}
	s.index.nameBlobs(change.Named)
	ix.nameBlobs(change.Named)
	generation, err := v.cfg.Store.Commit(ctx, s.root.Generation(), change)
	if err != nil {
		return classify(err)
	}
	if generation != root.Generation() {
		return fmt.Errorf("%w: the store counts generation %d, the manifest %d", ErrDamaged, generation, root.Generation())
	}
	v.publish(s.keys, root, ix)
	v.movePin(ctx, root)
	return nil
}

// apply returns the leaves and the index after e.
func (e *edit) apply(s *session) (map[store.ID]envelope.Leaf, *index, error) {
	leaves := maps.Clone(s.leaves)
	for _, id := range e.remove {
		delete(leaves, id)
	}
	changed := make(map[store.ID]*entry, len(e.put))
	for _, p := range e.put {
		id := store.ID(p.record.ID)
		leaves[id] = envelope.RecordLeaf(p.record.ID, p.record.Encode())
		changed[id] = newEntry(p.record, p.meta, leaves[id])
	}
	ix := newIndex(len(leaves))
	for id := range leaves {
		entry := changed[id]
		if entry == nil {
			entry = s.index.byID[id]
		}
		if err := ix.add(entry); err != nil {
			return nil, nil, err
		}
	}
	return leaves, ix, nil
}
