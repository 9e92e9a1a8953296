package secret

import (
	"runtime"
	"runtime/debug"
	"sync"
	"time"
)

const (
	// quiet is how long no further request may come before a pass starts, and
	// patience how long the first one waits at most.
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
		fresh := r.again
		r.again = false
		if !fresh && waited == 0 {
			r.running = false
		}
		r.mu.Unlock()
		if !fresh || waited >= patience {
			return waited > 0
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
