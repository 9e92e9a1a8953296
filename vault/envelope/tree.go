package envelope

import (
	"bytes"
	"crypto/sha256"
	"slices"
)

// Leaf is one thing that the manifest covers. Type and ID order the leaves, so a
// vault has one tree.
type Leaf struct {
	typ  byte
	id   ID
	hash [32]byte
}

// ObjectLeaf returns the leaf of an encoded object: a record, a grant or the policy.
// They share one type of leaf, so that a reader who knows records alone can still
// check the tree, and then says of the object that it is newer. What it is stands in
// its content, which the leaf covers.
func ObjectLeaf(id ID, encoded []byte) Leaf { return newLeaf(objectType, id, encoded) }

// newLeaf hashes 0x00 ‖ type ‖ id ‖ content. The first byte keeps leaves apart
// from inner nodes, as in RFC 6962 section 2.1, so that no node can be passed off
// as a record; the next 17 keep a record from standing for a slot, or for another
// record.
func newLeaf(typ byte, id ID, content []byte) Leaf {
	h := sha256.New()
	h.Write([]byte{0, typ})
	h.Write(id[:])
	h.Write(content)
	l := Leaf{typ: typ, id: id}
	h.Sum(l.hash[:0])
	return l
}

func compareLeaves(a, b Leaf) int {
	if a.typ != b.typ {
		return int(a.typ) - int(b.typ)
	}
	return bytes.Compare(a.id[:], b.id[:])
}

// treeHash returns the Merkle tree hash of RFC 6962 section 2.1 over the leaves,
// which it puts in order. There is at least one.
func treeHash(leaves []Leaf) [32]byte {
	slices.SortFunc(leaves, compareLeaves)
	level := make([][32]byte, len(leaves))
	for i, l := range leaves {
		level[i] = l.hash
	}
	// Pairing neighbours and carrying the odd one up gives the same tree as
	// splitting at the largest power of two below the count.
	for len(level) > 1 {
		n := 0
		for i := 0; i+1 < len(level); i += 2 {
			level[n] = nodeHash(level[i], level[i+1])
			n++
		}
		if len(level)%2 == 1 {
			level[n] = level[len(level)-1]
			n++
		}
		level = level[:n]
	}
	return level[0]
}

func nodeHash(left, right [32]byte) [32]byte {
	var b [65]byte
	b[0] = 1
	copy(b[1:], left[:])
	copy(b[33:], right[:])
	return sha256.Sum256(b[:])
}
