package agent

import (
	"fmt"
	"os"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/internal/peercred"
)

// caller is who asks: the process at the other end of a socket. A nil caller is
// the agent itself.
type caller struct {
	peer *peercred.Peer
	// has is the right of the socket, or of the unlock token that the connection showed.
	has right
	// socket is the one that was made for a grant, if the caller came by such a one; nil is
	// agent.sock or admin.sock.
	socket *grantSocket
	// evidence is what is known about the process; nil: nothing, nor is it looked at.
	evidence *evidence
}

// right returns what the caller may do. What the agent does itself is done by no right.
func (c *caller) right() right {
	if c == nil {
		return right{}
	}
	return c.has
}

// granted returns the grant of the caller, or nil.
func (c *caller) granted() *granted { return c.right().grant }

// by returns the socket of a grant that the caller came by, or nil.
func (c *caller) by() *grantSocket {
	if c == nil {
		return nil
	}
	return c.socket
}

// goodFor returns an error where the right of c is over, and the time of the grants' clock
// for now.
func (a *Agent) goodFor(c *caller, now time.Time, boot time.Duration) (time.Time, error) {
	grantNow, err := a.good(c.right(), now)
	if err != nil {
		return grantNow, err
	}
	return grantNow, c.by().good(boot)
}

// may reports whether the profile p is one that the caller may use.
func (c *caller) may(p *live) bool { return c.by().may(p.Name) && c.right().may(p) }

// alive returns an error where the process that opened the connection is gone: a
// descriptor that it left to another process must not sign in its name.
func (c *caller) alive() error {
	if c == nil {
		return nil
	}
	if err := c.peer.Alive(); err != nil {
		return fmt.Errorf("checking the peer: %w", err)
	}
	return nil
}

// fill writes who the caller is into an audit event.
func (c *caller) fill(e *audit.Event) {
	if c == nil {
		e.UID, e.PID = os.Getuid(), os.Getpid()
		return
	}
	e.UID, e.PID, e.Exe = int(c.peer.UID), int(c.peer.PID), c.peer.Exe()
	if g := c.granted(); g != nil {
		e.Grant = g.name
	}
	if c.socket != nil && e.Detail == "" {
		e.Detail = "socket=" + c.socket.name
	}
}

// uid returns the caller's user ID.
func (c *caller) uid() uint32 { return c.peer.UID }
