package audit

import (
	"math/bits"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// tree is the Merkle tree (RFC 6962) over the lines of a log, of which only the roots of
// its complete subtrees are kept, the largest first: as many as size has binary ones.
// More cannot be needed to go on, or to compute its root.
type tree struct {
	size  uint64
	peaks []tlog.Hash
}

// add appends a line, its newline included.
func (t *tree) add(line []byte) {
	h := tlog.RecordHash(line)
	for n := t.size; n&1 == 1; n >>= 1 {
		last := len(t.peaks) - 1
		h = tlog.NodeHash(t.peaks[last], h)
		t.peaks = t.peaks[:last]
	}
	t.peaks = append(t.peaks, h)
	t.size++
}

// root returns the hash of the whole tree, which is not empty.
func (t *tree) root() tlog.Hash {
	last := len(t.peaks) - 1
	h := t.peaks[last]
	for i := last - 1; i >= 0; i-- {
		h = tlog.NodeHash(t.peaks[i], h)
	}
	return h
}

// valid reports whether the tree is not empty and has as many peaks as its size asks for.
func (t *tree) valid() bool {
	return t.size > 0 && len(t.peaks) == bits.OnesCount64(t.size)
}

func (t *tree) clone() tree { return tree{t.size, slices.Clone(t.peaks)} }
