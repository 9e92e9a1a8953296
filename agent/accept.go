package agent

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/internal/peercred"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

const (
	// handshakeTime is how long a connection may stay silent after accept, and a
	// request between its headers and its body.
	handshakeTime = 5 * time.Second
	// exeTime bounds the question which program the peer runs.
	exeTime = 3 * time.Second
	// maxConnections counts both sockets; the last few are for admin.sock only, so
	// that somebody who floods agent.sock cannot keep the owner from locking.
	maxConnections      = 256
	reservedConnections = 8
	// smallestBuffer is that of net/http, largestBuffer that of grpc-go. Reads for less
	// ask for the rest of a frame.
	smallestBuffer, largestBuffer = 4 << 10, 32 << 10
)

// http2Preface opens every gRPC connection (RFC 9113 section 3.4).
var http2Preface = []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

// connectionLimit returns how many connections there may be: maxConnections, or what
// RLIMIT_NOFILE has room for. A connection takes two descriptors, with its pidfd; there may
// be as many sockets of grants, which take one.
func connectionLimit() int32 {
	const own = 32
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil || files.Cur > 2*maxConnections+maxGrantSockets+own {
		return maxConnections
	}
	return max(int32((int64(files.Cur)-own)/3), 2*reservedConnections) // #nosec G115 -- at most maxConnections
}

// acceptor hands the connections of one socket to the right server, after it
// knows who is there.
type acceptor struct {
	agent *Agent
	// limit is how many connections there may be when one is taken here.
	limit int32
	// grpc and http take what speaks their protocol; http is nil on admin.sock.
	grpc, http *handoff
	// right is that of all who connect here.
	right right
	// socket is the one of a grant that connections are taken on; nil: agent.sock or
	// admin.sock.
	socket *grantSocket
}

// run accepts until ctx ends. Each connection gets its own goroutine at once, so
// that a silent one keeps nobody waiting.
func (c *acceptor) run(ctx context.Context, l *net.UnixListener) error {
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	pace := newConnectionPace()
	for {
		conn, err := l.AcceptUnix()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			if errors.Is(err, net.ErrClosed) {
				return err
			}
			// Out of descriptors: wait for some to close rather than spin.
			time.Sleep(10 * time.Millisecond)
			continue
		}
		pace.spend(costOfConnection())
		if c.agent.connections.Add(1) > c.limit {
			c.agent.connections.Add(-1)
			_ = conn.Close()
			continue
		}
		go c.handle(conn)
	}
}

// handle identifies the peer before a byte is read, looks at the first bytes and
// hands the connection on.
func (c *acceptor) handle(conn *net.UnixConn) {
	peer, err := peercred.Identify(conn)
	if err == nil && c.agent.cfg.Exe != nil {
		peer.Lookup = func() (string, error) {
			ctx, cancel := context.WithTimeout(context.Background(), exeTime)
			defer cancel()
			return c.agent.cfg.Exe(ctx, peer.PID)
		}
	}
	if err == nil && c.socket == nil && peer.UID != c.agent.owner {
		c.agent.auditRefusedPeer(peer)
		err = errors.Join(peercred.ErrPeerGone, peer.Close())
	}
	if err != nil {
		c.agent.connections.Add(-1)
		_ = conn.Close()
		return
	}
	counted := &countedConn{Conn: peercred.NewConn(conn, peer), r: bufio.NewReaderSize(conn, len(http2Preface)), flood: &c.agent.flood, socket: c.socket, evidence: new(evidence)}
	counted.onClose = func() {
		c.agent.leave(counted)
		c.socket.forget(counted)
		c.agent.seals.forget(peer)
		c.agent.tokenSeals.forget(peer)
		c.agent.uploads.forget(peer)
		c.agent.connections.Add(-1)
	}
	if !c.socket.take(counted) {
		_ = counted.Close()
		return
	}
	c.agent.welcome(counted, c.right)
	_ = conn.SetReadDeadline(time.Now().Add(handshakeTime))
	http2, err := isHTTP2(counted.r)
	_ = conn.SetReadDeadline(time.Time{})
	to := c.http
	if http2 {
		to = c.grpc
	}
	if err != nil || to == nil || !to.give(counted) {
		_ = counted.Close()
	}
}

// isHTTP2 looks at the first bytes without taking them. It waits for no more of
// them than it takes to tell. The error is that of a connection that stayed silent.
func isHTTP2(r *bufio.Reader) (bool, error) {
	for n := 1; n <= len(http2Preface); n++ {
		b, err := r.Peek(n)
		if err != nil {
			return false, err
		}
		if !bytes.Equal(b, http2Preface[:n]) {
			return false, nil
		}
		if m := r.Buffered(); m > n {
			n = min(m, len(http2Preface)) - 1
		}
	}
	return true, nil
}

// admit refuses a caller whose process has ended since it connected, or whose grant is
// over, for calls that are not uses.
func (a *Agent) admit(c *caller) error {
	if err := c.alive(); err != nil {
		a.auditRefusedPeer(c.peer)
		return err
	}
	if err := a.heed(c.granted()); err != nil {
		return err
	}
	_, err := a.goodFor(c, a.clock(), a.boottime())
	return err
}

// auditRefusedPeer records that another user knocked, or somebody who was left a
// connection, at most once a second: modes and manners keep both away, so that
// this is rare or an attack.
func (a *Agent) auditRefusedPeer(p *peercred.Peer) {
	now := int64(a.boottime())
	last := a.refused.Load()
	if last != 0 && now-last < int64(time.Second) || !a.refused.CompareAndSwap(last, now) {
		return
	}
	e := audit.Event{Event: audit.EventPeerRefused, Outcome: audit.OutcomeDenied, Reason: string(pb.CodePeer)}
	if err := a.record(&caller{peer: p}, e); err != nil {
		a.log.Error("audit log not written", "error", err)
	}
}

// countedConn is a connection whose first bytes were looked at.
type countedConn struct {
	*peercred.Conn
	r       *bufio.Reader
	once    sync.Once
	onClose func()
	manners manners
	flood   *pace
	// right is that of every call that begins on the connection: that of its socket, until an
	// unlock token gives another, once.
	right atomic.Pointer[right]
	// opens is how many sockets were asked for on it that are open.
	opens atomic.Int32
	// gone is set once the connection has left presented, whose lock guards it.
	gone bool
	// socket is the one of a grant that it came by; nil: agent.sock or admin.sock.
	socket *grantSocket
	// evidence is what is known about the process that opened it.
	evidence *evidence
}

// caller returns who calls on the connection.
func (c *countedConn) caller() *caller {
	return &caller{peer: c.Conn.Identity(), has: c.now(), socket: c.socket, evidence: c.evidence}
}

// now returns the right that the connection has now.
func (c *countedConn) now() right {
	if r := c.right.Load(); r != nil {
		return *r
	}
	return right{}
}

// Read gives the bytes that were looked at first, and takes its time with a
// connection that floods.
func (c *countedConn) Read(p []byte) (int, error) {
	if c.r != nil {
		if c.r.Buffered() > 0 {
			return c.r.Read(p)
		}
		c.r = nil
	}
	n, err := c.Conn.Read(p)
	if n == len(p) && n >= smallestBuffer {
		calls := time.Duration(c.manners.calls.Swap(0))
		c.flood.spend(bufferCost*time.Duration(n)/largestBuffer + calls*callCost)
	}
	return n, err
}

// Close closes the connection and its pidfd, once.
func (c *countedConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(c.onClose)
	return err
}

// handoff is a net.Listener fed by an acceptor.
type handoff struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
	addr  net.Addr
}

func newHandoff(addr net.Addr) *handoff {
	return &handoff{conns: make(chan net.Conn), done: make(chan struct{}), addr: addr}
}

// give hands a connection to the server behind, or reports that it is closing.
func (h *handoff) give(c net.Conn) bool {
	select {
	case h.conns <- c:
		return true
	case <-h.done:
		return false
	}
}

// Accept returns the next connection.
func (h *handoff) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.done:
		return nil, net.ErrClosed
	}
}

// Close ends Accept.
func (h *handoff) Close() error {
	h.once.Do(func() { close(h.done) })
	return nil
}

// Addr returns the address of the socket.
func (h *handoff) Addr() net.Addr { return h.addr }
