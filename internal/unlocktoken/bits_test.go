//go:build !race

// These tests compute much, in one goroutine: one run without the race detector is enough.

package unlocktoken

import (
	"bytes"
	"slices"
	"testing"
)

// Requirement T-02: no bit of chain, proof or challenge can be changed.
func TestEveryBitCounts(t *testing.T) {
	w, token := fourBlocks(t)
	challenge := []byte("a challenge")
	chain, proof := token.Chain.Encode(), token.Prove(challenge)
	verifies := func(chain, challenge, proof []byte) bool {
		c, err := DecodeChain(chain)
		if err != nil {
			return false
		}
		g, err := c.Verify(w.public, challenge, proof)
		if err != nil && g != nil {
			t.Error("an error and a grant")
		}
		return err == nil
	}
	if !verifies(chain, challenge, proof) {
		t.Fatal("control: unchanged it is refused")
	}
	for i := range 8 * len(chain) {
		b := bytes.Clone(chain)
		b[i/8] ^= 1 << (i % 8)
		if verifies(b, challenge, proof) {
			t.Fatalf("bit %d of the chain changed: taken", i)
		}
	}
	for i := range 8 * len(proof) {
		b := bytes.Clone(proof)
		b[i/8] ^= 1 << (i % 8)
		if verifies(chain, challenge, b) {
			t.Fatalf("bit %d of the proof changed: taken", i)
		}
	}
	for i := range 8 * len(challenge) {
		b := bytes.Clone(challenge)
		b[i/8] ^= 1 << (i % 8)
		if verifies(chain, b, proof) {
			t.Fatalf("bit %d of the challenge changed: taken", i)
		}
	}
	for i := range 8 * len(w.public) {
		b := slices.Clone(w.public)
		b[i/8] ^= 1 << (i % 8)
		if g, err := token.Chain.Verify(b, challenge, proof); err == nil || g != nil {
			t.Fatalf("bit %d of the issuer's key changed: taken", i)
		}
	}
}
