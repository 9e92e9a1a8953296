package callback

import (
	"crypto/tls"
	"net"
	"net/http"
	"slices"
	"sync"
)

// maxConns is how many connections are open at once. A browser needs two or three.
const maxConns = 32

// crowd keeps connections that nobody needs from keeping the browser out: beyond
// maxConns the oldest one goes, except that of the callback. One that only sits there
// is gone after readTime anyway.
type crowd struct {
	mu    sync.Mutex // guards what follows
	conns []net.Conn // oldest first
	held  map[net.Conn]bool
}

// changed is the server's ConnState.
func (c *crowd) changed(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch state {
	case http.StateNew:
		c.conns = append(c.conns, conn)
		if len(c.conns) > maxConns {
			c.dropLocked()
		}
	case http.StateClosed, http.StateHijacked:
		c.conns = slices.DeleteFunc(c.conns, func(o net.Conn) bool { return o == conn })
		delete(c.held, conn)
	}
}

// hold keeps a connection whatever comes.
func (c *crowd) hold(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held[conn] = true
}

func (c *crowd) dropLocked() {
	for i, conn := range c.conns {
		if c.held[conn] {
			continue
		}
		c.conns = slices.Delete(c.conns, i, i+1)
		if t, ok := conn.(*tls.Conn); ok {
			conn = t.NetConn() // without a farewell, which could wait for the other side
		}
		_ = conn.Close()
		return
	}
}
