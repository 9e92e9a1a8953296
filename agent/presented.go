package agent

import (
	"sync"
	"sync/atomic"

	"github.com/nsagent/nsagent/internal/unlocktoken"
)

// presented are the connections that have the right of a grant.
type presented struct {
	mu    sync.Mutex // guards what follows, and countedConn.gone
	conns map[*countedConn]*granted
	// revoked has the flag of each grant that somebody had to do with.
	revoked map[unlocktoken.ID]*atomic.Bool
}

func newPresented() *presented {
	return &presented{conns: make(map[*countedConn]*granted), revoked: make(map[unlocktoken.ID]*atomic.Bool)}
}

// flag returns what says of a grant whether it was revoked.
func (p *presented) flag(id unlocktoken.ID) *atomic.Bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.revoked[id]
	if f == nil {
		f = new(atomic.Bool)
		p.revoked[id] = f
	}
	return f
}

// revoke sets the flags of those of ids that somebody had to do with, and returns whose were
// not set before.
func (p *presented) revoke(ids []unlocktoken.ID) (news []unlocktoken.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range ids {
		if f := p.revoked[id]; f != nil && !f.Swap(true) {
			news = append(news, id)
		}
	}
	return news
}

// exchange gives a connection the right of g in the place of old, unless it has another or
// is gone.
func (p *presented) exchange(c *countedConn, old right, g *granted) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.gone || c.now() != old {
		return false
	}
	r := of(g)
	c.right.Store(&r)
	p.conns[c] = g
	return true
}

// register takes note of a connection that has the right of g, unless it is gone.
func (p *presented) register(c *countedConn, g *granted) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !c.gone {
		p.conns[c] = g
	}
}

// leave forgets a connection that closes, and returns the right that it had.
func (p *presented) leave(c *countedConn) *granted {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.gone = true
	g := p.conns[c]
	delete(p.conns, c)
	return g
}

// has reports whether a connection is there still.
func (p *presented) has(c *countedConn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !c.gone
}

// all returns every connection that has the right of a grant.
func (p *presented) all() []*countedConn { return p.which(func(*granted) bool { return true }) }

// which returns the connections whose grant fits.
func (p *presented) which(fits func(*granted) bool) []*countedConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []*countedConn
	for c, g := range p.conns {
		if fits(g) {
			all = append(all, c)
		}
	}
	return all
}

// leave drops what a token opened, when the connection closes that showed it.
func (a *Agent) leave(c *countedConn) {
	if g := a.presented.leave(c); g != nil && g.presenter == c {
		a.dropOwn(g)
	}
}

// welcome gives a connection that comes by a socket the right of everybody there. One whose
// grant is over is not closed for that: it can do nothing, and is told why.
func (a *Agent) welcome(c *countedConn, r right) {
	c.right.Store(&r)
	if r.grant == nil {
		return
	}
	if _, err := a.goodAt(r.grant, a.clock()); err == nil {
		a.presented.register(c, r.grant)
	}
}

// endAll drops what tokens opened for these connections, whose grants are over, and closes
// them. Those on which sockets were opened stay, as do these sockets: a program that asks
// there is told that its grant is over, and whoever runs it how often it asked.
func (a *Agent) endAll(conns []*countedConn) {
	for _, c := range conns {
		if c.opens.Load() == 0 {
			a.closeAll([]*countedConn{c})
			continue
		}
		a.dropOwn(c.now().grant)
		a.presented.leave(c)
	}
}

// closeAll drops what tokens opened for these connections, and closes them.
func (a *Agent) closeAll(conns []*countedConn) {
	for _, c := range conns {
		a.dropOwn(c.now().grant)
		_ = c.Close()
	}
}
