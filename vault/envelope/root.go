package envelope

import (
	"crypto/ed25519"
	"fmt"
	"slices"
)

// Root is what the store keeps beside the records: who the vault is, what opens
// it, and the signed manifest. All of it is public.
type Root struct {
	Vault     ID
	PublicKey [32]byte // Ed25519; whether it is the VRK's own shows at unlock
	Created   uint64   // Unix seconds
	Slots     []*Slot  // in ascending order of id, at least one

	manifest  Manifest
	signature [64]byte
	history   history
}

// NewRoot returns a root without a manifest, of generation 0. Next gives the one
// to store.
func NewRoot(vault ID, publicKey [32]byte, created uint64) *Root {
	return &Root{Vault: vault, PublicKey: publicKey, Created: created}
}

// Next returns the signed root that follows r, with other slots and records.
func (r *Root) Next(k *Keys, slots []*Slot, records []Leaf) (*Root, error) {
	if len(slots) < 1 || len(slots) > MaxSlots {
		return nil, fmt.Errorf("%w: %d key slots, from 1 to %d allowed", ErrInput, len(slots), MaxSlots)
	}
	next := &Root{Vault: r.Vault, PublicKey: r.PublicKey, Created: r.Created, Slots: slices.Clone(slots)}
	slices.SortFunc(next.Slots, func(a, b *Slot) int { return slices.Compare(a.ID[:], b.ID[:]) })
	next.manifest = Manifest{Vault: r.Vault, Generation: r.Generation() + 1, Tree: next.tree(records), Previous: r.Hash()}
	if r.Generation() > 0 {
		next.history = r.history.after(r.manifest)
	}
	var err error
	if next.signature, err = k.sign(labelManifestKey, next.manifest.Encode()); err != nil {
		return nil, fmt.Errorf("signing the manifest: %w", err)
	}
	return next, nil
}

// Generation returns the generation of the manifest, 0 without one.
func (r *Root) Generation() uint64 { return r.manifest.Generation }

// Hash returns the hash of the manifest, zeros without one.
func (r *Root) Hash() [32]byte {
	if r.Generation() == 0 {
		return [32]byte{}
	}
	return r.manifest.Hash()
}

// HashAt returns the manifest hash of an earlier generation, or of this one. It
// reports false for a generation that lies ahead or too far back.
func (r *Root) HashAt(generation uint64) (hash [32]byte, ok bool) {
	if generation == r.Generation() {
		return r.Hash(), true
	}
	r.history.walk(r.manifest, func(g uint64, h [32]byte) {
		if g == generation {
			hash, ok = h, true
		}
	})
	return hash, ok
}

// Covers returns nil if the manifest is of that generation and describes exactly
// these records beside the slots and the header of r. The error wraps ErrManifest.
func (r *Root) Covers(generation uint64, records []Leaf) error {
	if r.Generation() != generation {
		return fmt.Errorf("%w: it is of generation %d, the store of %d", ErrManifest, r.Generation(), generation)
	}
	if r.tree(records) != r.manifest.Tree {
		return fmt.Errorf("%w: records or key slots were changed", ErrManifest)
	}
	return nil
}

func (r *Root) tree(records []Leaf) [32]byte {
	leaves := make([]Leaf, 0, 1+len(r.Slots)+len(records))
	leaves = append(leaves, newLeaf(headerType, r.Vault, r.header().encode()))
	for _, s := range r.Slots {
		leaves = append(leaves, newLeaf(slotType, s.ID, s.Encode()))
	}
	return treeHash(append(leaves, records...))
}

// verify checks what a root says about itself, in this order: signature, vault id,
// hashes of the earlier manifests.
func (r *Root) verify(manifest []byte) error {
	if !ed25519.Verify(r.PublicKey[:], manifest, r.signature[:]) {
		return ErrSignature
	}
	if r.manifest.Vault != r.Vault {
		return fmt.Errorf("%w: it is of another vault", ErrManifest)
	}
	if r.history.walk(r.manifest, func(uint64, [32]byte) {}) != r.manifest.Previous {
		return fmt.Errorf("%w: earlier manifests do not lead to it", ErrManifest)
	}
	return nil
}
