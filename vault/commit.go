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
	rekey  bool              // what put holds is under new keys, which no grant has
	grants []*envelope.Grant // added
	policy *envelope.Policy  // put in the place of the one that is there
	slots  []*envelope.Slot  // nil keeps them
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
		v.Release()
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
	objects, err := e.objects(s)
	if err != nil {
		return classify(err)
	}
	leaves, ix, err := e.apply(s, objects)
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
	change := store.Change{Root: root.Encode(), Put: objects, Delete: e.remove, Named: make(map[store.BlobHash]bool)}
	for _, p := range e.put {
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

// objects returns what e writes, encoded.
func (e *edit) objects(s *session) (map[store.ID][]byte, error) {
	objects := make(map[store.ID][]byte, len(e.put)+1)
	gone := make(map[envelope.ID]bool)
	for _, p := range e.put {
		objects[store.ID(p.record.ID)] = p.record.Encode()
		if e.rekey {
			gone[p.record.ID] = true
		}
	}
	for _, id := range e.remove {
		gone[envelope.ID(id)] = true
	}
	grants, err := s.grantsWithout(gone)
	if err != nil {
		return nil, err
	}
	for _, g := range append(grants, e.grants...) {
		if !gone[g.ID] {
			objects[store.ID(g.ID)] = g.Encode()
		}
	}
	if e.policy != nil {
		objects[store.ID(e.policy.ID)] = e.policy.Encode()
	}
	return objects, nil
}

// apply returns the leaves and the index after e, which writes these objects.
func (e *edit) apply(s *session, objects map[store.ID][]byte) (map[store.ID]envelope.Leaf, *index, error) {
	leaves := maps.Clone(s.leaves)
	entries := maps.Clone(s.index.byID)
	for _, id := range e.remove {
		delete(leaves, id)
		delete(entries, id)
	}
	for id, encoded := range objects {
		leaves[id] = envelope.ObjectLeaf(envelope.ID(id), encoded)
	}
	for _, p := range e.put {
		id := store.ID(p.record.ID)
		entries[id] = newEntry(p.record, p.meta, leaves[id])
	}
	ix := newIndex(len(entries))
	for _, entry := range entries {
		if err := ix.add(entry); err != nil {
			return nil, nil, err
		}
	}
	return leaves, ix, nil
}
