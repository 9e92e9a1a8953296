package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsagent/nsagent/internal/socketpath"
)

// listeners are the two bound sockets and the lock that makes them ours.
type listeners struct {
	agent, admin *net.UnixListener
	lock         *os.File
}

// listen binds both sockets, or takes over those that are bound already. The directory is 0700 and ours, the sockets are 0600
// from the moment they exist, a living agent is never pushed aside and the path
// of a dead one is cleared, whatever it is a link to.
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
	if len(a.cfg.Sockets) == 0 && answers(p.Agent) {
		// Before the lock: systemd may listen there, and start an agent for this very
		// question, which needs the lock.
		return nil, running(p.PIDFile)
	}
	lock, err := lockFile(p.PIDFile)
	if err != nil {
		return nil, err
	}
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

// answers reports whether somebody takes connections at path.
func answers(path string) bool {
	c, err := net.DialTimeout("unix", path, time.Second)
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

// bind listens on path. A path that answers belongs to somebody; one that does
// not is what a killed agent left.
func bind(path string) (*net.UnixListener, error) {
	if answers(path) {
		return nil, running(path)
	}
	switch fi, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("looking at %s: %w", path, err)
	case fi.Mode().Type() != fs.ModeSocket:
		return nil, fmt.Errorf("binding %s: %w: not a socket", path, socketpath.ErrUnsafe)
	default:
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("clearing %s: %w", path, err)
		}
	}
	// The umask belongs to the whole process; binding happens before anything
	// else runs in it.
	old := unix.Umask(0o177)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	unix.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("binding %s: %w", path, err)
	}
	// Go asks for as long a queue as the kernel has, and whoever fills it would be
	// served for seconds before anybody else.
	raw, err := l.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { _ = unix.Listen(int(fd), backlog) }) // #nosec G115 -- a descriptor fits
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("binding %s: %w", path, err), l.Close())
	}
	return l, nil
}
