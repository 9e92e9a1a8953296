//go:build !race

// These tests compute much, in one goroutine: one run without the race detector is enough.

package envelope

import (
	"bytes"
	"errors"
	"testing"
)

// TestHistory follows the chain past its limit: every kept generation is shown
// with its true hash, none before or after is, and the root stays within bounds.
func TestHistory(t *testing.T) {
	const n = HistoryLimit + 6
	roots := chain(t, newKeys(t), n)
	for _, i := range []int{0, 1, 2, 100, HistoryLimit, HistoryLimit + 1, HistoryLimit + 2, n - 1} {
		r, err := DecodeRoot(roots[i].Encode())
		if err != nil {
			t.Fatalf("generation %d: %v", i+1, err)
		}
		if err := r.Covers(uint64(i+1), []Leaf{ObjectLeaf(ID{byte(i), byte(i >> 8)}, []byte{1})}); err != nil {
			t.Errorf("generation %d: %v", i+1, err)
		}
		oldest := max(1, i+1-HistoryLimit-1)
		for g := 1; g <= n; g++ {
			hash, ok := r.HashAt(uint64(g))
			if want := g >= oldest && g <= i+1; ok != want {
				t.Fatalf("generation %d knows %d: %v, want %v", i+1, g, ok, want)
			}
			if ok && hash != roots[g-1].Hash() {
				t.Fatalf("generation %d has a wrong hash for %d", i+1, g)
			}
		}
	}
	if _, ok := roots[3].HashAt(0); ok {
		t.Error("a hash for generation 0")
	}
}

// TestRootFlips: every flip of a bit and every truncation of a root is an error.
func TestRootFlips(t *testing.T) {
	roots := chain(t, newKeys(t), 4)
	encoded := roots[3].Encode()
	leaf := []Leaf{ObjectLeaf(ID{3}, []byte{1})}
	check := func(b []byte) error {
		r, err := DecodeRoot(b)
		if err != nil {
			return err
		}
		return r.Covers(4, leaf)
	}
	if err := check(encoded); err != nil {
		t.Fatal(err)
	}
	for i := range encoded {
		for bit := range 8 {
			if check(flip(encoded, i, bit)) == nil {
				t.Fatalf("byte %d, bit %d: accepted", i, bit)
			}
		}
		if check(encoded[:i]) == nil {
			t.Fatalf("cut to %d bytes: accepted", i)
		}
	}
	if check(append(bytes.Clone(encoded), 0)) == nil {
		t.Error("a trailing byte: accepted")
	}
}

// TestGrantFlips looks at a grant after every possible flip of a bit in it, without a
// manifest: it does not decode, or what was flipped does not open.
func TestGrantFlips(t *testing.T) {
	k := newKeys(t)
	r, _ := sealed(t, k, "a")
	g := grantOf(t, k, ID{9}, r)
	root := rootOf(t, k)
	encoded := g.Encode()
	for i := range encoded {
		for bit := range 8 {
			h, err := DecodeGrant(flip(encoded, i, bit))
			if err != nil {
				continue
			}
			_, metaErr := k.GrantMeta(h)
			key := wrapKey(t, k.arena, "0")
			o, err := h.NewOpener(k.arena, root, key)
			if err != nil {
				t.Fatal(err)
			}
			_, wrapErr := o.Metadata(r)
			o.Close()
			key.Destroy()
			if metaErr == nil && wrapErr == nil {
				t.Fatalf("byte %d, bit %d: all of it opens", i, bit)
			}
		}
	}
}

// TestRecordFlips opens a record after every possible flip of a bit in it, again
// without a manifest.
func TestRecordFlips(t *testing.T) {
	k := newKeys(t)
	o := opener(t, k)
	r, _ := sealed(t, k, "a")
	encoded := r.Encode()
	for i := range encoded {
		for bit := range 8 {
			r, err := DecodeRecord(flip(encoded, i, bit))
			if err != nil {
				continue
			}
			if _, err := o.Check(r); !errors.Is(err, ErrOpen) {
				t.Fatalf("byte %d, bit %d: %v", i, bit, err)
			}
		}
	}
}
