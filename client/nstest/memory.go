package nstest

import (
	"crypto/sha256"
	"strings"
	"sync"
	"time"
)

// memory remembers what may be used once only (nonce with timestamp, jti, token
// password) until the moment after which it would be refused as too old anyway.
// It is bounded: when full it refuses what is new, it never forgets early.
type memory struct {
	mu      sync.Mutex                      // guards all below
	buckets map[int64]map[[16]byte]struct{} // by the second in which they end
	count   int
	max     int
	swept   int64
}

// remembered is the answer of memory.use.
type remembered int

const (
	isNew remembered = iota
	isUsed
	isFull
)

func newMemory(max int) *memory {
	return &memory{buckets: map[int64]map[[16]byte]struct{}{}, max: max}
}

// use records the parts, which together must not come again before ends.
func (m *memory) use(now, ends time.Time, parts ...string) remembered {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	key := [16]byte(sum[:16])
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sweepLocked(now.Unix())
	bucket := m.buckets[ends.Unix()]
	if _, found := bucket[key]; found {
		return isUsed
	}
	if m.count >= m.max {
		return isFull
	}
	if bucket == nil {
		bucket = map[[16]byte]struct{}{}
		m.buckets[ends.Unix()] = bucket
	}
	bucket[key] = struct{}{}
	m.count++
	return isNew
}

func (m *memory) size() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.count
}

// sweepLocked drops what ended before now, at most once a second.
func (m *memory) sweepLocked(now int64) {
	if now == m.swept {
		return
	}
	m.swept = now
	for end, bucket := range m.buckets {
		if end < now {
			m.count -= len(bucket)
			delete(m.buckets, end)
		}
	}
}
