package secret

import "math/bits"

// granule is the unit of allocation in bytes: a 32-byte key takes one, a pair
// of midstates two.
const granule = 32

// bitmap says which granules of the arena are taken, one bit each: first fit,
// and neighbours join by themselves. A search reads 64 granules at a time, so
// that a full scan of a 4 MiB arena reads 2,048 words; where small gaps are left
// among many secrets, lows has it begin behind them.
type bitmap struct {
	words []uint64
	n     int // granules
	used  int // granules taken
	// lows says where a search begins: no gap of 1<<c granules or more begins before lows[c].
	lows [64]int
}

func newBitmap(n int) *bitmap {
	return &bitmap{words: make([]uint64, (n+63)/64), n: n}
}

// take reserves k granules in a row and returns the first, or -1 if no gap is
// that long. k must be positive.
func (m *bitmap) take(k int) int {
	i := m.fit(k)
	// What was passed over is shorter than k.
	low := &m.lows[bits.Len(uint(k-1))] // #nosec G115 -- not negative
	*low = max(*low, i+k)
	if i == m.n {
		return -1
	}
	m.set(i, k, true)
	m.used += k
	return i
}

// fit returns where the first gap of k granules begins, or n if there is none.
func (m *bitmap) fit(k int) int {
	for i := m.next(m.lows[bits.Len(uint(k))-1], m.n, 0); i+k <= m.n; { // #nosec G115 -- not negative
		end := m.next(i, i+k, 1)
		if end == i+k {
			return i
		}
		i = m.next(end, m.n, 0)
	}
	return m.n
}

// give returns k granules from i on. A gap before them that begins where no search does is
// shorter than what is searched for, and may be joined to them.
func (m *bitmap) give(i, k int) {
	m.set(i, k, false)
	m.used -= k
	for c := range m.lows[:bits.Len(uint(m.n))] { // #nosec G115 -- not negative
		m.lows[c] = min(m.lows[c], max(0, i-(1<<c-1)))
	}
}

// next returns the first granule from i on whose bit is want, or end.
func (m *bitmap) next(i, end int, want uint) int {
	for i < end {
		w := m.words[i/64]
		if want == 0 {
			w = ^w
		}
		w >>= i % 64
		if w != 0 {
			return min(i+bits.TrailingZeros64(w), end)
		}
		i += 64 - i%64
	}
	return end
}

func (m *bitmap) set(i, k int, taken bool) {
	for k > 0 {
		n := min(64-i%64, k)
		mask := (^uint64(0) >> (64 - n)) << (i % 64)
		if taken {
			m.words[i/64] |= mask
		} else {
			m.words[i/64] &^= mask
		}
		i += n
		k -= n
	}
}

// granules returns how many granules hold n bytes.
func granules(n int) int { return (n + granule - 1) / granule }
