package secret

import (
	"fmt"
	"sync"
)

// Mode says what kind of memory an Arena lies in.
type Mode string

// The memory modes.
const (
	// ModeAuto prefers ModeMemfdSecret and falls back to ModeMlock where the
	// kernel refuses it or where it would stop a configured hibernation.
	ModeAuto Mode = "auto"
	// ModeMemfdSecret is memfd_secret(2), Linux 5.14 and later: locked pages that
	// the kernel itself no longer maps, so that root reading /proc/PID/mem gets an
	// error. While it is in use the machine cannot hibernate.
	ModeMemfdSecret Mode = "memfd_secret"
	// ModeMlock is one memguard buffer: pages that are never swapped and left out
	// of core files, with guard pages around them. Hibernation writes them out.
	ModeMlock Mode = "mlock"
)

const (
	// maxDefaultSize is the size of an arena where the limit allows it: 131,072
	// granules, so 10,000 profiles of two midstates take 16 % of it.
	maxDefaultSize = 4 << 20
	// minSize is the least that is of use: the workers and some hundred keys.
	minSize = 16 << 10
)

// ArenaConfig says how to make an Arena. The zero value is ModeAuto and a size
// taken from RLIMIT_MEMLOCK.
type ArenaConfig struct {
	Mode Mode // "" means ModeAuto
	// Size in bytes, rounded up to whole pages and at least 16 KiB. 0 means what
	// RLIMIT_MEMLOCK leaves after a margin, at most 4 MiB.
	Size int
}

// ArenaInfo describes an Arena for status output.
type ArenaInfo struct {
	Mode          Mode   // ModeMemfdSecret or ModeMlock
	Why           string // why this mode, a clause without a final dot
	Size          int    // bytes locked
	Used          int    // bytes taken, in whole allocation units
	Grade         string // "A memfd_secret + runtime/secret" down to "D mlock"
	RuntimeSecret bool   // whether Do erases registers, stack and freed heap
	DigestInArena bool   // whether SHA-256 runs on an object inside the arena
}

// Arena is one fixed range of locked memory, made at start, from which all
// secret bytes are taken. It is safe for concurrent use.
type Arena struct {
	region  *region
	mode    Mode
	why     string
	workers chan *worker
	inPlace bool // the workers' digests lie in the arena

	releases releaser

	mu     sync.Mutex // guards what follows
	space  *bitmap
	live   buf // head of the ring of live ranges
	closed bool
	gone   bool // the region was released
}

// NewArena makes an arena. The error wraps ErrMemlock, and says the limit and
// what to do, if too little memory may be locked; ErrMode if cfg.Mode is unknown
// or refused by this system.
func NewArena(cfg ArenaConfig) (*Arena, error) { return newArenaOn(cfg, thisHost()) }

func newArenaOn(cfg ArenaConfig, h host) (*Arena, error) {
	r, err := newRegion(cfg, h)
	if err != nil {
		return nil, err
	}
	a := &Arena{region: r, mode: r.mode, why: r.why, space: newBitmap(r.size / granule)}
	a.live.prev, a.live.next = &a.live, &a.live
	if err := a.startWorkers(); err != nil {
		_ = a.Close()
		return nil, fmt.Errorf("preparing HMAC workers: %w", err)
	}
	return a, nil
}

// Info describes the arena as it is now.
func (a *Arena) Info() ArenaInfo {
	a.mu.Lock()
	defer a.mu.Unlock()
	return ArenaInfo{
		Mode: a.mode, Why: a.why, Size: a.region.size, Used: a.space.used * granule,
		Grade: grade(a.mode), RuntimeSecret: runtimeSecret, DigestInArena: a.inPlace,
	}
}

func grade(m Mode) string {
	switch {
	case m == ModeMemfdSecret && runtimeSecret:
		return "A memfd_secret + runtime/secret"
	case runtimeSecret:
		return "B mlock + runtime/secret"
	case m == ModeMemfdSecret:
		return "C memfd_secret"
	default:
		return "D mlock"
	}
}

// Alloc returns n zero bytes, aligned to 32. n may be 0. The error is ErrFull,
// ErrClosed or wraps ErrLength.
func (a *Arena) Alloc(n int) (Bytes, error) {
	b, err := a.alloc(n)
	return Bytes{b: b}, err
}

func (a *Arena) alloc(n int) (*buf, error) {
	if n < 0 {
		return nil, fmt.Errorf("%w: %d", ErrLength, n)
	}
	if n > a.region.size {
		return nil, ErrFull
	}
	k := granules(n)
	b := &buf{arena: a, n: n, size: k * granule}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return nil, ErrClosed
	}
	if k > 0 {
		i := a.space.take(k)
		if i < 0 {
			return nil, ErrFull
		}
		b.off = i * granule
	}
	b.prev, b.next = a.live.prev, &a.live
	b.prev.next, a.live.prev = b, b
	return b, nil
}

// Close destroys everything taken from the arena, wipes it all and gives the
// memory back to the system. Where a Use is running, the memory goes when the
// last one returns. Closing twice does nothing.
func (a *Arena) Close() error {
	a.mu.Lock()
	a.closed = true
	var all []*buf
	for b := a.live.next; b != &a.live; b = b.next {
		all = append(all, b)
	}
	a.mu.Unlock()
	for _, b := range all {
		b.destroy()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.finishLocked()
}

// free wipes a dead range that nobody uses and takes it back.
func (a *Arena) free(b *buf) {
	Wipe(a.region.bytes(b.off, b.size))
	a.mu.Lock()
	defer a.mu.Unlock()
	if b.size > 0 {
		a.space.give(b.off/granule, b.size/granule)
	}
	b.prev.next, b.next.prev = b.next, b.prev
	_ = a.finishLocked()
}

// shrink takes back the wiped end of a live range.
func (a *Arena) shrink(off, size int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.space.give(off/granule, size/granule)
}

// finishLocked releases the region once the arena is closed and empty.
func (a *Arena) finishLocked() error {
	if !a.closed || a.gone || a.live.next != &a.live {
		return nil
	}
	a.gone = true
	if err := a.region.release(); err != nil {
		return fmt.Errorf("releasing the arena: %w", err)
	}
	return nil
}
