package unlocktoken

import (
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// longPaths are patterns that take many bytes: n of the longest, and one of so many.
func longPaths(n, last int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf("/%0*d", MaxString-1, i))
	}
	return append(all, "/"+strings.Repeat("a", last-1))
}

// fill returns such limits with which encoded gives MaxChain bytes.
func fill(t *testing.T, n int, encoded func(Caveats) []byte) Caveats {
	t.Helper()
	const some = 300 // from 256 on, each byte of a text takes one
	last := some + MaxChain - len(encoded(Caveats{Paths: longPaths(n, some)}))
	if last < 256 || last > MaxString {
		t.Fatalf("it takes a path of %d bytes", last)
	}
	return Caveats{Paths: longPaths(n, last)}
}

// longer returns c, whose last path has a byte more.
func longer(c Caveats) Caveats {
	c.Paths = slices.Clone(c.Paths)
	c.Paths[len(c.Paths)-1] += "a"
	return c
}

// A grant whose chain has as many bytes as one may have makes a token like any other; it
// has no room to be narrowed. One that takes a byte more is refused before it is signed.
func TestGrantThatFillsTheChain(t *testing.T) {
	c := fill(t, 31, func(c Caveats) []byte { return newWorld(t, c).token.Chain.Encode() })
	w := newWorld(t, c)
	if n := len(w.token.Chain.Encode()); n != MaxChain {
		t.Fatalf("%d bytes", n)
	}
	if g, err := w.present(t, w.token); err != nil || g.Check() != nil {
		t.Errorf("it cannot be shown: %v", err)
	}
	if got, err := w.token.Narrow(Caveats{}, nil, rand.Reader); !errors.Is(err, ErrFormat) || got != nil {
		t.Errorf("narrowed: got %v", err)
	}
	g, err := w.token.Chain.Read()
	if err != nil {
		t.Fatal(err)
	}
	a := g.Authority
	a.Caveats = longer(a.Caveats)
	if err := a.Check(); !errors.Is(err, ErrCaveats) || !strings.Contains(err.Error(), "they take 32769 bytes in all, and a token holds 32768") {
		t.Errorf("a byte more: got %v", err)
	}
	signed := false
	if chain, err := NewChain(a, w.public, func([]byte) ([]byte, error) { signed = true; return make([]byte, 64), nil }); !errors.Is(err, ErrCaveats) || chain != nil || signed {
		t.Errorf("a byte more: got %v, signed: %t", err, signed)
	}
}

// A token is narrowed as far as its chain has room, and what is narrowed can be shown: not
// one in which the grant and the holder each have limits that fit alone.
func TestNarrowedUntilTheChainIsFull(t *testing.T) {
	w := newWorld(t, Caveats{Paths: longPaths(15, MaxString)})
	narrowed := func(c Caveats) (*Token, error) { return w.token.Narrow(c, nil, rand.Reader) }
	c := fill(t, 15, func(c Caveats) []byte {
		token, err := narrowed(c)
		if err != nil {
			t.Fatal(err)
		}
		return token.Chain.Encode()
	})
	full, err := narrowed(c)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(full.Chain.Encode()); n != MaxChain {
		t.Errorf("%d bytes", n)
	}
	if _, err := w.present(t, full); err != nil {
		t.Errorf("it cannot be shown: %v", err)
	}
	for name, c := range map[string]Caveats{"a byte more": longer(c), "as much again": {Paths: longPaths(20, MaxString)}} {
		if got, err := narrowed(c); !errors.Is(err, ErrFormat) || got != nil {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := full.Narrow(Caveats{}, nil, rand.Reader); !errors.Is(err, ErrFormat) {
		t.Errorf("narrowed once more: got %v", err)
	}
}
