package memscan

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
)

// Scanner looks for a set of needles. It is safe for concurrent use.
type Scanner struct {
	needles []Needle
	heads   map[uint64][]int32 // by the first 8 bytes, indices of needles
	filter  []uint64           // bits that are set for the hash of each head
	shift   uint
	longest int
}

// New prepares a Scanner. Of needles with the same bytes the first counts. The
// error is ErrNoNeedles or wraps ErrNeedle.
func New(needles []Needle) (*Scanner, error) {
	if len(needles) == 0 {
		return nil, ErrNoNeedles
	}
	// 64 bits of filter to a needle keep false alarms under 2 %; 32 KiB at least,
	// which is what a first-level cache holds, and 2 MiB at most.
	logBits := min(max(18, bits.Len(uint(64*len(needles)))), 24)
	s := &Scanner{
		heads:  make(map[uint64][]int32, len(needles)),
		filter: make([]uint64, 1<<(logBits-6)),
		shift:  uint(64 - logBits),
	}
	seen := make(map[string]bool, len(needles))
	for _, n := range needles {
		if len(n.Bytes) < MinNeedle {
			return nil, fmt.Errorf("%w: %s %s has %d bytes", ErrNeedle, n.Name, n.Form, len(n.Bytes))
		}
		if seen[string(n.Bytes)] {
			continue
		}
		seen[string(n.Bytes)] = true
		head := binary.LittleEndian.Uint64(n.Bytes)
		s.heads[head] = append(s.heads[head], int32(len(s.needles)))
		s.needles = append(s.needles, n)
		h := s.hash(head)
		s.filter[h/64] |= 1 << (h % 64)
		s.longest = max(s.longest, len(n.Bytes))
	}
	return s, nil
}

func (s *Scanner) hash(head uint64) uint64 { return head * 0x9e3779b97f4a7c15 >> s.shift }

// find calls emit for each needle in p that starts before limit, with its
// position.
//
// The race detector is kept out of this loop, where it would cost a factor of
// 100: p is the caller's own buffer and s does not change.
//
//go:norace
func (s *Scanner) find(p []byte, limit int, emit func(needle, at int)) {
	limit = min(limit, len(p)-MinNeedle+1)
	for i := 0; i < limit; i++ {
		head := binary.LittleEndian.Uint64(p[i:])
		if head == 0 {
			i = s.skipZeros(p, i, limit)
			if i >= limit {
				return
			}
			head = binary.LittleEndian.Uint64(p[i:])
		}
		h := s.hash(head)
		if s.filter[h/64]&(1<<(h%64)) == 0 {
			continue
		}
		for _, n := range s.heads[head] {
			if bytes.HasPrefix(p[i:], s.needles[n].Bytes) {
				emit(int(n), i)
			}
		}
	}
}

// skipZeros returns a position at or after i, where 8 zeros start, up to which
// no needle starts: none if a needle itself starts with 8 zeros.
//
//go:norace
func (s *Scanner) skipZeros(p []byte, i, limit int) int {
	if len(s.heads[0]) > 0 {
		return i
	}
	for i+16 <= limit && binary.LittleEndian.Uint64(p[i+8:]) == 0 {
		i += 8
	}
	return i + 1
}

// stream finds needles in pieces that follow one another, each in the piece in
// which it ends.
type stream struct {
	s     *Scanner
	buf   []byte
	carry int    // bytes at the start of buf kept from the piece before
	base  uint64 // address of buf[0]
}

func (s *Scanner) newStream(piece int) *stream {
	return &stream{s: s, buf: make([]byte, s.longest-1+piece)}
}

// start begins anew at an address.
func (t *stream) start(at uint64) { t.carry, t.base = 0, at }

// room is where the next piece is to be read to.
func (t *stream) room() []byte { return t.buf[t.carry:] }

// push takes the n bytes that were read into room.
func (t *stream) push(n int, emit func(needle int, at uint64)) {
	p := t.buf[:t.carry+n]
	t.s.find(p, len(p), func(needle, at int) {
		if at+len(t.s.needles[needle].Bytes) > t.carry {
			emit(needle, t.base+uint64(at))
		}
	})
	keep := min(len(p), t.s.longest-1)
	copy(t.buf, p[len(p)-keep:])
	t.base += uint64(len(p) - keep)
	t.carry = keep
}
