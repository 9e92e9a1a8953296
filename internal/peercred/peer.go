package peercred

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// Peer is the process that opened a connection. It must be closed; closing the
// Conn that holds it does so.
type Peer struct {
	// UID and GID are the effective ids that the process had when it connected, or
	// called listen.
	UID, GID uint32
	// PID is its number in our PID namespace; 0 where it has none there.
	PID int32
	// Start is when the process started, in clock ticks since boot. It is set where
	// Weaker is, and 0 otherwise.
	Start uint64
	// Weaker is true where the kernel (before Linux 6.5) did not give the pidfd
	// with the connection, and it was opened by number instead: had the process
	// ended and its number been given away between connect and accept, the peer
	// would be the later process.
	Weaker bool
	// Lookup reads the path of the executable of process PID, for a server that may not
	// do so itself: Landlock hides the executables of processes outside the sandbox. It
	// may take its time: Alive and Close do not wait for it. nil means that Exe reads it
	// from /proc. Set it before the first Exe.
	Lookup func() (string, error)

	exe atomic.Pointer[string] // nil: not known

	exeMu  sync.Mutex    // guards asking
	asking chan struct{} // closed once it has been asked for; nil: nobody asks

	mu    sync.RWMutex // guards open and pidfd
	open  bool         // whether there is a pidfd
	pidfd int
}

// Alive returns nil while the process runs, and ErrPeerGone once it has exited,
// also while it is a zombie and whoever still holds the connection. It is one
// system call and safe for concurrent use.
func (p *Peer) Alive() error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if !p.open {
		return ErrPeerGone
	}
	return alive(p.pidfd)
}

// Exe returns the path of the executable that the process ran at the first call that
// found it, or "" where it cannot be read: the process is another user's, or not
// dumpable, or gone, or Lookup had no answer. The next call asks again then. For a script
// it is the interpreter. Unknown must never count as allowed.
func (p *Peer) Exe() string {
	if path := p.KnownExe(); path != "" {
		return path
	}
	p.exeMu.Lock()
	asked := p.asking
	if asked == nil {
		p.asking = make(chan struct{})
	}
	p.exeMu.Unlock()
	if asked == nil {
		p.findExe()
	} else {
		<-asked
	}
	return p.KnownExe()
}

// KnownExe returns what Exe has found so far, and asks nobody.
func (p *Peer) KnownExe() string {
	if path := p.exe.Load(); path != nil {
		return *path
	}
	return ""
}

// findExe asks for the executable, and wakes those who wait for that.
func (p *Peer) findExe() {
	path, err := p.lookUp()
	if err == nil && p.Alive() == nil { // else it is gone, and the number may be another's already
		p.exe.CompareAndSwap(nil, &path)
	}
	p.exeMu.Lock()
	defer p.exeMu.Unlock()
	close(p.asking)
	p.asking = nil
}

// lookUp reads the path of the executable, here or through Lookup.
func (p *Peer) lookUp() (string, error) {
	if p.Lookup == nil {
		return exeOf(p.PID)
	}
	if err := p.Alive(); err != nil {
		return "", err
	}
	return p.Lookup()
}

// Close gives the pidfd back; Alive returns ErrPeerGone from then on. It may be
// called more than once.
func (p *Peer) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.open {
		return nil
	}
	p.open = false
	if err := closePidfd(p.pidfd); err != nil {
		return fmt.Errorf("closing the pidfd of %d: %w", p.PID, err)
	}
	return nil
}

// String returns the ids, for messages.
func (p *Peer) String() string { return fmt.Sprintf("uid %d, pid %d", p.UID, p.PID) }
