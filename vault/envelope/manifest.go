package envelope

import (
	"crypto/sha256"
	"fmt"
)

// Manifest is the signed statement of what the vault holds at one generation.
type Manifest struct {
	Vault      ID
	Generation uint64   // from 1 on
	Tree       [32]byte // Merkle tree hash over header, slots and records
	Previous   [32]byte // hash of the manifest one generation before; zeros at 1
}

type wireManifest struct {
	_          struct{} `cbor:",toarray"`
	Label      string
	Vault      ID
	Generation uint64
	Tree       [32]byte
	Previous   [32]byte
}

// maxManifest is more bytes than a manifest can have.
const maxManifest = 256

// Encode returns the bytes that are signed and hashed.
func (m Manifest) Encode() []byte {
	w := wireManifest{Label: labelManifest, Vault: m.Vault, Generation: m.Generation, Tree: m.Tree, Previous: m.Previous}
	return w.encode()
}

func (w *wireManifest) encode() []byte {
	e := encoder{b: make([]byte, 0, maxManifest)}
	return e.array(5).text(w.Label).bytes(w.Vault[:]).uint(w.Generation).bytes(w.Tree[:]).bytes(w.Previous[:]).b
}

// Hash returns what the next manifest and the rollback pin hold.
func (m Manifest) Hash() [32]byte { return sha256.Sum256(m.Encode()) }

// DecodeManifest is the inverse of Encode and accepts nothing else. It verifies no
// signature. The error wraps ErrFormat.
func DecodeManifest(b []byte) (Manifest, error) {
	var w wireManifest
	if err := decode("manifest", b, maxManifest, &w, w.encode); err != nil {
		return Manifest{}, err
	}
	if w.Label != labelManifest || w.Generation == 0 {
		return Manifest{}, fmt.Errorf("%w: manifest", ErrFormat)
	}
	return Manifest{Vault: w.Vault, Generation: w.Generation, Tree: w.Tree, Previous: w.Previous}, nil
}

// HistoryLimit is how many manifests before the present one can be shown to lead
// to it. A machine that has not seen the vault for longer cannot tell a newer vault
// from a forked one, and refuses it.
const HistoryLimit = 1024

// history holds what is needed to compute the earlier manifests again: all of
// their fields follow from the vault id, the generation and the hash before,
// except the tree. So 32 bytes a generation suffice, and nobody can put others in
// their place: the chain ends in the signed manifest.
type history struct {
	base  [32]byte   // hash of the manifest before the first link; zeros if that is generation 1
	links [][32]byte // tree hashes, the oldest first
}

// historyLen returns how many links a root of that generation has: never fewer, so
// that history cannot be cut.
func historyLen(generation uint64) int { return int(min(generation-1, HistoryLimit)) }

// walk computes the hashes of the manifests before m from the oldest to the newest
// and calls f with each, the base included unless it stands for no manifest. It
// returns the last.
func (h history) walk(m Manifest, f func(generation uint64, hash [32]byte)) [32]byte {
	generation := m.Generation - 1 - uint64(len(h.links))
	hash := h.base
	if generation > 0 {
		f(generation, hash)
	}
	for _, tree := range h.links {
		generation++
		hash = Manifest{Vault: m.Vault, Generation: generation, Tree: tree, Previous: hash}.Hash()
		f(generation, hash)
	}
	return hash
}

// after returns the history of the manifest that follows m, whose own is h.
func (h history) after(m Manifest) history {
	next := history{base: h.base, links: make([][32]byte, 0, len(h.links)+1)}
	next.links = append(append(next.links, h.links...), m.Tree)
	if len(next.links) > HistoryLimit {
		oldest := m.Generation - uint64(len(h.links))
		next.base = Manifest{Vault: m.Vault, Generation: oldest, Tree: next.links[0], Previous: h.base}.Hash()
		next.links = next.links[1:]
	}
	return next
}
