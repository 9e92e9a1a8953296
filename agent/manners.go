package agent

import (
	"context"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/peer"

	"github.com/nsagent/nsagent/internal/peercred"
)

// What one connection may cost the others. No client that waits for its answers
// meets any of this; without it a flood kept an honest client waiting for 0.2 to
// 1.4 s, or refused.
const (
	// fairAwaited is how many calls without their message a connection may have
	// where all together have too many.
	fairAwaited = 8
	// maxAbandoned is how many calls of a connection may be given up before their
	// message came, less one for each that was made properly. From a quarter of that
	// on each call has to wait.
	maxAbandoned = 64
	// A buffer that a read filled costs bufferCost, for somebody sends faster than we
	// read, and each call that began in it callCost. A call of somebody who abandons
	// them costs abandonedCost.
	bufferCost    = 4 * time.Millisecond
	callCost      = 100 * time.Microsecond
	abandonedCost = 500 * time.Microsecond
	// freeFlood is what all connections may cost at once before one has to wait: 2 MiB,
	// eight of the largest messages.
	freeFlood = 256 * time.Millisecond
	// connectionCost is what it costs to take a connection, on one processor, and
	// freeConnections how many a socket takes at once.
	connectionCost  = time.Millisecond
	freeConnections = 256
	// backlog is how many connections may wait to be taken.
	backlog = 1024
)

// manners is how a connection behaves.
type manners struct {
	awaited   atomic.Int32 // calls whose message is not there yet
	abandoned atomic.Int32 // see maxAbandoned
	calls     atomic.Int32 // begun since the last full buffer
}

// abandon notes that a call was given up before its message came, and says whether
// that was one too many.
func (m *manners) abandon() (tooMany bool) { return m.abandoned.Add(1) > maxAbandoned }

// proper notes that a call was made as calls are.
func (m *manners) proper() {
	if m.abandoned.Load() > 0 {
		m.abandoned.Add(-1)
	}
}

// pace makes those wait who cost too much. Time is what is spent and what is waited:
// all who share a pace together cost no more than a second per second.
type pace struct {
	free time.Duration // what may be spent at once

	mu    sync.Mutex // guards spent
	spent time.Time  // until when all that was spent is paid for
}

// spend waits until a cost is paid for.
func (p *pace) spend(cost time.Duration) {
	p.mu.Lock()
	now := time.Now()
	if rested := now.Add(-p.free); p.spent.Before(rested) {
		p.spent = rested
	}
	p.spent = p.spent.Add(cost)
	wait := p.spent.Sub(now)
	p.mu.Unlock()
	if wait > 0 {
		time.Sleep(wait)
	}
}

// newConnectionPace is for the connections of a socket; more processors take more.
func newConnectionPace() *pace { return &pace{free: freeConnections * costOfConnection()} }

func costOfConnection() time.Duration { return connectionCost / time.Duration(runtime.NumCPU()) }

// connectionOf returns the connection of a gRPC call, and how it behaved so far.
func connectionOf(ctx context.Context) (io.Closer, *manners) {
	if p, ok := peer.FromContext(ctx); ok {
		if info, ok := p.AuthInfo.(peercred.AuthInfo); ok {
			if c, ok := info.Conn.(*countedConn); ok {
				return c, &c.manners
			}
			return info.Conn, new(manners) // not an acceptor's, as in some tests
		}
	}
	return io.NopCloser(nil), new(manners)
}
