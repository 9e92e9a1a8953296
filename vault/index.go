package vault

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/nsagent/nsagent/vault/envelope"
	"github.com/nsagent/nsagent/vault/store"
)

// Record is what an unlocked vault tells about a record.
type Record struct {
	ID      store.ID
	Name    string
	Kind    string
	Meta    []byte    // opaque; shared, so not to be changed
	Version uint64    // of the current secret, from 1 on
	Created time.Time // of the record, to the second
	Changed time.Time // of the current version, to the second
	HasRaw  bool      // whether OpenRaw gives anything

	// Versions are those of the secret that are kept, the current one first. Shared,
	// so not to be changed.
	Versions []Version
}

// Version is one secret of a record.
type Version struct {
	Number  uint64
	Created time.Time // to the second
}

// Previous returns the version before the current one, zero if none is kept.
func (r Record) Previous() Version {
	if len(r.Versions) < 2 {
		return Version{}
	}
	return r.Versions[1]
}

// entry is a record together with the leaf of the manifest under which it was
// opened: as long as that is the same, so is the record.
type entry struct {
	Record
	leaf    envelope.Leaf
	blobs   []envelope.BlobHash // that it names, nil mostly
	current []envelope.BlobHash // of those, what holds a version in use
}

// index is the open metadata of all records. It is not changed once made.
type index struct {
	byName map[string]*entry
	byID   map[store.ID]*entry
}

func newIndex(n int) *index {
	return &index{byName: make(map[string]*entry, n), byID: make(map[store.ID]*entry, n)}
}

// add refuses a second record of one name.
func (x *index) add(e *entry) error {
	if _, ok := x.byName[e.Name]; ok {
		return fmt.Errorf("%w: two records of one name", ErrDamaged)
	}
	x.byName[e.Name], x.byID[e.ID] = e, e
	return nil
}

// nameBlobs adds the blobs that the records name.
func (x *index) nameBlobs(to map[store.BlobHash]bool) {
	for _, e := range x.byID {
		for _, h := range e.blobs {
			to[store.BlobHash(h)] = true
		}
	}
}

// sorted returns the entries in the order of their names.
func (x *index) sorted() []*entry {
	l := values(x.byName)
	slices.SortFunc(l, func(a, b *entry) int { return cmp.Compare(a.Name, b.Name) })
	return l
}

// openIndex opens the metadata of the records in s. Those that are in old under the
// same leaf are taken from there.
func openIndex(keys *envelope.Keys, s *snapshot, old *index) (*index, error) {
	ids := make([]store.ID, 0, len(s.raw))
	for id := range s.raw {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b store.ID) int { return bytes.Compare(a[:], b[:]) })
	entries := make([]*entry, len(ids))
	err := withOpeners(keys, len(ids), func(o *envelope.Opener, i int) error {
		id := ids[i]
		if e := old.byID[id]; e != nil && e.leaf == s.leaves[id] {
			entries[i] = e
			return nil
		}
		r, err := s.parse(id)
		if err != nil {
			return err
		}
		m, err := o.Metadata(r)
		if err != nil {
			return classify(fmt.Errorf("record %s: %w", id, err))
		}
		entries[i] = newEntry(r, m, s.leaves[id])
		return nil
	})
	if err != nil {
		return nil, err
	}
	x := newIndex(len(entries))
	for _, e := range entries {
		if err := x.add(e); err != nil {
			return nil, err
		}
	}
	return x, nil
}

func newEntry(r *envelope.Record, m *envelope.Metadata, leaf envelope.Leaf) *entry {
	versions := make([]Version, len(m.Versions))
	for i, v := range m.Versions {
		versions[i] = Version{Number: v.Number, Created: time.Unix(int64(v.Created), 0).UTC()}
	}
	return &entry{leaf: leaf, blobs: r.Blobs(), current: r.CurrentBlobs(), Record: Record{
		ID: store.ID(r.ID), Name: m.Name, Kind: m.Kind, Meta: m.Meta, Version: m.Current(),
		Created: time.Unix(int64(m.Created), 0).UTC(), Changed: versions[0].Created,
		HasRaw: slices.Contains(m.Parts, envelope.PartRaw), Versions: versions,
	}}
}
