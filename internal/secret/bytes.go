package secret

import (
	"crypto/subtle"
	"fmt"
	"sync"
)

// Bytes is a handle to secret bytes in an Arena. Copies of a Bytes are the same
// bytes; the zero value holds none. It prints as [redacted], refuses every
// marshaller, and == between two of them does not compile: use Equal.
//
// The bytes lie behind a pointer because fmt calls no method on an unexported
// field of a larger struct; there it shows the pointer and nothing else.
type Bytes struct {
	_ [0]func() // makes == a compile error
	b *buf
}

// buf is one range of an arena.
type buf struct {
	arena *Arena

	mu    sync.Mutex // guards what follows
	off   int        // of the range in the arena
	n     int        // length in use
	size  int        // reserved, a multiple of granule
	users int        // Use calls running
	dead  bool       // Destroy was called; freed once users is 0

	prev, next *buf // list of live ranges, guarded by arena.mu
}

// IsZero reports whether b is the zero Bytes, which holds nothing.
func (b Bytes) IsZero() bool { return b.b == nil }

// Len returns the number of bytes, 0 after Destroy.
func (b Bytes) Len() int {
	if b.b == nil {
		return 0
	}
	b.b.mu.Lock()
	defer b.b.mu.Unlock()
	if b.b.dead {
		return 0
	}
	return b.b.n
}

// Use calls f with the bytes themselves, for reading or writing. The slice dies
// with the call: f must not keep it, nor copy from it to memory outside an
// arena. While f runs the memory stays mapped; a Destroy or Close meanwhile
// takes effect when f returns. Two calls may run at once, so writers need a lock
// of their own.
//
// The error is f's, or ErrDestroyed.
func (b Bytes) Use(f func(p []byte) error) error {
	p, ok := b.b.acquire()
	if !ok {
		return ErrDestroyed
	}
	defer b.b.release()
	return f(p)
}

// Destroy wipes the bytes and gives their memory back. If a Use is running, that
// happens when it returns. Destroying twice, or the zero Bytes, does nothing.
func (b Bytes) Destroy() {
	if b.b != nil {
		b.b.destroy()
	}
}

// Equal reports whether both hold the same bytes, in time that depends on the
// lengths alone. A zero or destroyed Bytes equals nothing, not even itself.
func (b Bytes) Equal(other Bytes) bool {
	p, ok := b.b.acquire()
	if !ok {
		return false
	}
	defer b.b.release()
	q, ok := other.b.acquire()
	if !ok {
		return false
	}
	defer other.b.release()
	return subtle.ConstantTimeCompare(p, q) == 1
}

// Truncate shortens the bytes to their first n and wipes the rest, which goes
// back to the arena unless a Use is running. The error is ErrDestroyed, or wraps
// ErrLength if n is negative or more than Len.
func (b Bytes) Truncate(n int) error {
	if b.b == nil {
		return ErrDestroyed
	}
	return b.b.truncate(n)
}

// acquire pins the range so that it is neither wiped nor unmapped, and returns
// its bytes. It reports false if the range is gone.
func (b *buf) acquire() ([]byte, bool) {
	if b == nil {
		return nil, false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dead {
		return nil, false
	}
	b.users++
	return b.arena.region.bytes(b.off, b.n), true
}

// claim is acquire and destroy in one step: exactly one caller gets the bytes,
// and they are wiped when it releases them.
func (b *buf) claim() ([]byte, bool) {
	if b == nil {
		return nil, false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dead {
		return nil, false
	}
	b.users++
	b.dead = true
	return b.arena.region.bytes(b.off, b.n), true
}

// release undoes one acquire.
func (b *buf) release() {
	b.mu.Lock()
	b.users--
	last := b.dead && b.users == 0
	b.mu.Unlock()
	if last {
		b.arena.free(b)
	}
}

func (b *buf) destroy() {
	b.mu.Lock()
	first := !b.dead
	b.dead = true
	unused := b.users == 0
	b.mu.Unlock()
	if first && unused {
		b.arena.free(b)
	}
}

func (b *buf) truncate(n int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dead {
		return ErrDestroyed
	}
	if n < 0 || n > b.n {
		return fmt.Errorf("%w: truncating %d bytes to %d", ErrLength, b.n, n)
	}
	Wipe(b.arena.region.bytes(b.off+n, b.n-n))
	b.n = n
	if keep := granules(n) * granule; b.users == 0 && keep < b.size {
		b.arena.shrink(b.off+keep, b.size-keep)
		b.size = keep
	}
	return nil
}
