//go:build !race

// These tests compute much, in one goroutine: one run without the race detector is enough.

package bundle

import (
	"bytes"
	"testing"

	"github.com/nsagent/nsagent/internal/unlocktoken"
)

// Every flipped bit and every cut, but of the line end behind it, is refused before anything is
// opened.
func TestEveryChangeIsRefused(t *testing.T) {
	w := newWorld(t)
	issuer := unlocktoken.IssuerHash(w.issuer)
	for i := range w.text {
		for bit := range 8 {
			changed := bytes.Clone(w.text)
			changed[i] ^= 1 << bit
			if _, err := Parse(changed, issuer); err == nil {
				t.Fatalf("bit %d of byte %d changed, and it is taken", bit, i)
			}
		}
		if _, err := Parse(w.text[:i], issuer); err == nil && i < len(w.text)-1 {
			t.Fatalf("cut at %d, and it is taken", i)
		}
		if _, err := Parse(w.text[i+1:], issuer); err == nil {
			t.Fatalf("the first %d bytes gone, and it is taken", i+1)
		}
	}
	all, err := unarmour(w.text)
	if err != nil {
		t.Fatal(err)
	}
	for i := range all {
		changed := bytes.Clone(all)
		changed[i] ^= 0x10
		if _, err := Parse(armour(changed), issuer); err == nil {
			t.Fatalf("byte %d changed, and it is taken", i)
		}
		if _, err := Parse(armour(all[:i]), issuer); err == nil {
			t.Fatalf("cut at byte %d, and it is taken", i)
		}
	}
}
