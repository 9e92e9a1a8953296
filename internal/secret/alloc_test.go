package secret

import (
	"errors"
	"math"
	mrand "math/rand/v2"
	"testing"
	"time"
)

// The bitmap agrees with a list of ranges over random takes and gives, and
// coalesces to one gap in the end.
func TestBitmap(t *testing.T) {
	r := mrand.New(mrand.NewPCG(3, 4))
	const n = 1000
	m := newBitmap(n)
	var taken [n]bool
	type span struct{ at, n int }
	var spans []span
	for range 20_000 {
		if len(spans) > 0 && r.IntN(2) == 0 {
			i := r.IntN(len(spans))
			s := spans[i]
			spans[i] = spans[len(spans)-1]
			spans = spans[:len(spans)-1]
			m.give(s.at, s.n)
			for j := range s.n {
				taken[s.at+j] = false
			}
			continue
		}
		k := 1 + r.IntN(1<<r.IntN(8))
		first, run := -1, 0
		for i := 0; i < n && first < 0; i++ {
			run++
			if taken[i] {
				run = 0
			}
			if run == k {
				first = i - k + 1
			}
		}
		at := m.take(k)
		if at != first {
			t.Fatalf("take(%d) = %d, want %d", k, at, first)
		}
		if at >= 0 {
			for j := range k {
				taken[at+j] = true
			}
			spans = append(spans, span{at, k})
		}
	}
	for _, s := range spans {
		m.give(s.at, s.n)
	}
	if m.used != 0 || m.take(n) != 0 {
		t.Errorf("%d granules in use after all were given back", m.used)
	}
	if m.take(1) != -1 {
		t.Error("a full bitmap gave something")
	}
}

// 10,000 pairs of midstates fit the default arena with no overhead in locked
// memory, quickly, and the space can be used again.
func TestTenThousandKeys(t *testing.T) {
	a := newArena(t, ArenaConfig{Mode: ModeMlock, Size: maxDefaultSize})
	before := a.Info().Used
	for range 3 {
		began := time.Now()
		keys := make([]Bytes, 10_000)
		for i := range keys {
			b, err := a.Alloc(64)
			if err != nil {
				t.Fatal(err)
			}
			keys[i] = b
		}
		if got := a.Info().Used - before; got != 64*len(keys) {
			t.Errorf("%d keys take %d bytes", len(keys), got)
		}
		for i := range keys { // every second one first, so that gaps must join
			if i%2 == 0 {
				keys[i].Destroy()
			}
		}
		for i := range keys {
			keys[i].Destroy()
		}
		t.Logf("%d keys in %v", len(keys), time.Since(began))
		if got := a.Info().Used; got != before {
			t.Fatalf("%d bytes are lost", got-before)
		}
	}
	whole, err := a.Alloc(3 << 20)
	if err != nil {
		t.Fatalf("gaps did not join: %v", err)
	}
	whole.Destroy()
}

func TestArenaFull(t *testing.T) {
	a := newArena(t, ArenaConfig{Size: minSize})
	var all []Bytes
	for {
		b, err := a.Alloc(100)
		if errors.Is(err, ErrFull) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	if _, err := a.Alloc(math.MaxInt); !errors.Is(err, ErrFull) {
		t.Errorf("huge: %v", err)
	}
	if len(all) < 50 {
		t.Errorf("only %d fitted", len(all))
	}
	src := make([]byte, 300)
	src[0] = 1
	if _, err := a.Take(src); !errors.Is(err, ErrFull) || !allZero(src) {
		t.Errorf("Take into a full arena: %v, source %v", err, src[0])
	}
	// MACs need nothing more from a full arena.
	for _, b := range all[:2] {
		b.Destroy()
	}
	k := newKey(t, a, []byte("k"))
	var mac [32]byte
	if err := k.HMACSHA256(&mac, []byte("m")); err != nil {
		t.Error(err)
	}
}

func BenchmarkAlloc(b *testing.B) {
	a, err := NewArena(ArenaConfig{})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = a.Close() }()
	b.ReportAllocs()
	for b.Loop() {
		x, _ := a.Alloc(64)
		x.Destroy()
	}
}
