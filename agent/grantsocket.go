package agent

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
)

// grantSocket is a socket on which one right applies, whoever connects, in place of what
// agent.sock gives to the owner: that of a grant, or the owner's own, narrowed to a
// profile and to a time. It is what a child of exec gets, a container or a machine that
// it is forwarded to.
//
// Everybody may connect who gets at its path. On it there is what is on agent.sock, and
// nothing to manage with.
type grantSocket struct {
	path string
	// name is what the log calls it: the last part of a path that the agent chose, and one
	// word for all those of grants in the vault.
	name  string
	right right
	// profile is the only one that may be used; empty means all that the right leaves.
	profile string
	// ends is the boot-clock time from which nothing is done for it; zero means as long as
	// the right is good.
	ends time.Duration
	// through is the socket that it was asked for on; nil means agent.sock.
	through *grantSocket
	// standing is set where it belongs to a grant in the vault, and not to a stream.
	standing bool

	made, refused atomic.Uint64 // uses

	// looks are those at processes behind the socket, and behind those that were asked for
	// on it.
	looks *looks

	stop func()    // ends listening
	once sync.Once // closes it

	mu     sync.Mutex // guards what follows
	conns  map[*countedConn]struct{}
	closed bool
}

// good returns an error where the time of the socket is over, or it was closed. A nil
// socket is agent.sock.
func (s *grantSocket) good(boot time.Duration) error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if closed || s.ends != 0 && boot >= s.ends {
		return refuse(ErrExpired, pb.CodeExpired, "the time of this socket is over", "it was opened for a limited time, or for a program that has ended", "open another, for longer:  nsagent exec --ttl 1h -- …")
	}
	return s.through.good(boot)
}

// outermost returns the socket that s was asked for on, and that one, up to one of agent.sock.
func (s *grantSocket) outermost() *grantSocket {
	for s.through != nil {
		s = s.through
	}
	return s
}

// only returns the profile that a caller may use who asks for name on this socket; the
// error says that it is another. Without a profile of its own, name is what counts.
func (s *grantSocket) only(name string) (string, error) {
	if s == nil || s.profile == "" || name == s.profile {
		return name, nil
	}
	if name == "" {
		return s.profile, nil
	}
	return "", refuse(ErrGrantScope, pb.CodeGrantScope, "this socket does not allow it", "it is for another profile", "see which:  nsagent profile ls")
}

// may reports whether the profile of that name is one that the socket leaves.
func (s *grantSocket) may(name string) bool {
	return s == nil || s.profile == "" || s.profile == name
}

// lockedFor returns err as it is told on the socket: from there nobody unlocks anything.
func (s *grantSocket) lockedFor(err error) error {
	if s == nil || !errors.Is(err, vault.ErrLocked) {
		return err
	}
	r := refusalOf(err)
	return refuse(err, r.Code, r.Message, r.Why, "have its owner "+r.Next)
}

// count counts a use that was made, or refused.
func (s *grantSocket) count(err error) {
	switch {
	case s == nil:
	case err == nil:
		s.made.Add(1)
	default:
		s.refused.Add(1)
	}
}

// take registers a connection, unless the socket has as many as it may, or is closed.
func (s *grantSocket) take(c *countedConn) bool {
	if s == nil {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.conns) >= maxSocketConnections {
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

// forget gives up a connection that was closed.
func (s *grantSocket) forget(c *countedConn) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// end closes the socket and every connection. A call that is under way is refused, or its
// answer reaches nobody.
func (s *grantSocket) end() {
	s.mu.Lock()
	s.closed = true
	conns := s.conns
	s.conns = nil
	s.mu.Unlock()
	s.stop()
	for c := range conns {
		_ = c.Close()
	}
}
