package secret

import (
	"runtime"
	"runtime/debug"
	"sync"
	"time"
)

const (
	// quiet is how long no further request may come before a pass starts, and
	// patience how long the first one waits at most, also for what DelayRelease is for.
	quiet    = 50 * time.Millisecond
	patience = 500 * time.Millisecond
	// passes garbage collections with a gap between them make one pass. One is not
	// enough: crypto/ecdsa keeps a weak cache of keys whose values become garbage
	// only after a collection and the cleanup that follows it.
	passes = 4
	gap    = 10 * time.Millisecond
)

// releaser runs ReleaseMemory passes, one at a time.
type releaser struct {
	mu      sync.Mutex // guards what follows
	running bool
	again   bool // a request came while running
	delays  int  // calls of DelayRelease that go on
}

// ReleaseMemory asks for freed heap memory to be erased and given back to the
// system: soon, once for many requests, in the background. Sign, NewPrivateKey
// and Receiver.Open ask by themselves; callers ask after work of their own
// inside Do, such as unlock, add and lock.
func (a *Arena) ReleaseMemory() {
	r := &a.releases
	r.mu.Lock()
	defer r.mu.Unlock()
	r.again = true
	if !r.running {
		r.running = true
		go r.run()
	}
}

// DelayRelease has what ReleaseMemory asks for wait until end is called, but no longer than
// a steady stream of requests would have it wait: half a second. It is for work that asks
// many times and fills the heap meanwhile, which four collections would only slow down.
func (a *Arena) DelayRelease() (end func()) {
	a.releases.delay(1)
	return func() { a.releases.delay(-1) }
}

func (r *releaser) delay(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.delays += n
}

// ReleaseMemoryNow does at once what ReleaseMemory does soon, and returns when
// it is done, after some 50 ms.
func (a *Arena) ReleaseMemoryNow() { collect() }

// run makes passes until no request is left.
func (r *releaser) run() {
	for r.settle() {
		collect()
	}
}

// settle waits for a quiet moment after the last request. It reports false, and
// the runner ends, if there is no request.
func (r *releaser) settle() bool {
	for waited := time.Duration(0); ; waited += quiet {
		r.mu.Lock()
		fresh, delayed := r.again, r.delays > 0
		r.again = false
		if waited == 0 && !fresh {
			r.running = false
		}
		r.mu.Unlock()
		switch {
		case waited == 0 && !fresh:
			return false
		case !fresh && !delayed, waited >= patience:
			return true
		}
		time.Sleep(quiet)
	}
}

// collect erases what Do left on the heap.
func collect() {
	for range passes {
		runtime.GC()
		time.Sleep(gap)
	}
	debug.FreeOSMemory()
}
