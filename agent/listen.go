package agent

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/nsagent/nsagent/internal/socketpath"
)

// listeners are the two bound sockets and the lock that makes them ours.
type listeners struct {
	agent, admin *net.UnixListener
	lock         *os.File
}

// listen binds both sockets, or takes over those that are bound already. The directory is
// 0700 and ours, the sockets are 0600 before anybody can connect, a living agent is never
// pushed aside and the path of a dead one is cleared, whatever it is a link to.
func (a *Agent) listen() (*listeners, error) {
	p := a.cfg.Paths
	for _, path := range []string{p.Agent, p.Admin} {
		if err := socketpath.CheckLength(path); err != nil {
			return nil, err
		}
		if err := socketpath.EnsureDir(filepath.Dir(path)); err != nil {
			return nil, fmt.Errorf("preparing the socket directory: %w", err)
		}
	}
	if len(a.cfg.Sockets) == 0 && socketpath.Answers(p.Agent) {
		// Before the lock: systemd may listen there, and start an agent for this very
		// question, which needs the lock.
		return nil, running(p.PIDFile)
	}
	lock, err := lockFile(p.PIDFile)
	if err != nil {
		return nil, err
	}
	a.clearGrantSockets()
	ls := &listeners{lock: lock}
	take := bind
	if len(a.cfg.Sockets) > 0 {
		take = a.adopt
	}
	if ls.agent, err = take(p.Agent); err == nil {
		ls.admin, err = take(p.Admin)
	}
	if err != nil {
		ls.close()
		return nil, err
	}
	return ls, nil
}

// close removes the sockets and gives up the lock, in this order.
func (ls *listeners) close() {
	for _, l := range []*net.UnixListener{ls.agent, ls.admin} {
		if l != nil {
			_ = l.Close() // removes the path too, where bind made it
		}
	}
	_ = ls.lock.Close()
}

// bind listens on path, where a killed agent may have left its socket. Binding happens
// before anything else runs in the process.
func bind(path string) (*net.UnixListener, error) {
	b, err := socketpath.Listen(path, 0o600, backlog)
	if errors.Is(err, socketpath.ErrTaken) {
		return nil, running(path)
	}
	if err != nil {
		return nil, err
	}
	b.SetUnlinkOnClose(true)
	return b.UnixListener, nil
}

// listenerOf takes over a socket that listens; f is closed. Its path stays when the
// listener is closed.
func listenerOf(f *os.File) (*net.UnixListener, error) {
	defer func() { _ = f.Close() }()
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("taking over %s: %w", f.Name(), err)
	}
	u, ok := l.(*net.UnixListener)
	if !ok {
		_ = l.Close()
		return nil, fmt.Errorf("taking over %s: %w", f.Name(), socketpath.ErrNotSocket)
	}
	return u, nil
}
