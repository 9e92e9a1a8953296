package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nsagent/nsagent/internal/socketpath"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

const (
	// maxGrantSockets is how many sockets of grants there may be at once. Of those that
	// were asked for on another such socket there may be half as many, so that a container
	// leaves its owner some.
	maxGrantSockets = 256
	// maxSocketConnections is how many connections one of them may have.
	maxSocketConnections = 64
	// keptForAgent is how many connections the sockets of grants together leave to
	// agent.sock.
	keptForAgent = 64
	// grantDir is the directory for them beside agent.sock. In it there is no admin.sock,
	// which a program would look for beside the socket that it was given.
	grantDir = "g"
	// unlistenTime bounds how long the end of a socket waits for its path to be removed.
	unlistenTime = 5 * time.Second
)

// grantSockets are the sockets of grants that are open.
type grantSockets struct {
	mu   sync.Mutex // guards what follows
	open map[*grantSocket]struct{}
	// begin accepts on a listener until stop is called; nil where the agent does not serve.
	begin func(s *grantSocket, l *net.UnixListener) (stop func())
	most  int
}

// serve lets sockets be opened until ctx ends, most at once, whose connections go to grpc
// and http.
func (g *grantSockets) serve(ctx context.Context, a *Agent, most int32, grpc, http *handoff) {
	limit := max(most-reservedConnections-keptForAgent, 1)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open, g.most = make(map[*grantSocket]struct{}), min(int(most), maxGrantSockets)
	g.begin = func(s *grantSocket, l *net.UnixListener) func() {
		ctx, stop := context.WithCancel(ctx)
		c := &acceptor{agent: a, limit: limit, grpc: grpc, http: http, right: s.right, socket: s}
		go func() { _ = c.run(ctx, l) }() // it ends with the socket, and has nobody to tell
		return stop
	}
}

// room returns an error where there is none for s.
func (g *grantSockets) room(s *grantSocket) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.roomLocked(s)
}

func (g *grantSockets) roomLocked(s *grantSocket) error {
	n := 0
	for other := range g.open {
		if s.through == nil || other.through != nil {
			n++
		}
	}
	most := g.most
	if s.through != nil {
		most /= 2
	}
	if n >= most || g.begin == nil {
		return fmt.Errorf("opening a socket: %w", ErrBusy)
	}
	return nil
}

// start accepts on l for s, which it owns from here on.
func (g *grantSockets) start(s *grantSocket, l *net.UnixListener) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.roomLocked(s); err != nil { // somebody was faster, or the agent is about to end
		_ = l.Close()
		return err
	}
	s.stop = g.begin(s, l)
	g.open[s] = struct{}{}
	return nil
}

// close lets no more be opened, and calls end for each that is open, all at once.
func (g *grantSockets) close(end func(*grantSocket)) {
	g.mu.Lock()
	g.begin = nil
	all := slices.Collect(maps.Keys(g.open))
	g.mu.Unlock()
	var ending sync.WaitGroup
	for _, s := range all {
		ending.Go(func() { end(s) })
	}
	ending.Wait()
}

// ofGrants returns the standing sockets of grants that fit.
func (g *grantSockets) ofGrants(fits func(*granted) bool) (all []*grantSocket) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for s := range g.open {
		if s.standing && fits(s.right.grant) {
			all = append(all, s)
		}
	}
	return all
}

// report tells of the sockets that are open, in the order of their paths; boot and clock
// are the same instant.
func (g *grantSockets) report(boot time.Duration, clock time.Time) (all []*pb.GrantSocketStatus) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for s := range g.open {
		m := &pb.GrantSocketStatus{Path: s.path, Profile: s.profile, Standing: s.standing}
		if s.ends != 0 {
			m.ExpiresAt = clock.Add(s.ends - boot).Unix()
		}
		if g := s.right.grant; g != nil {
			m.Grant = g.name
			if end := g.NotAfter(); m.ExpiresAt == 0 || end < m.ExpiresAt {
				m.ExpiresAt = end
			}
		}
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b *pb.GrantSocketStatus) int { return strings.Compare(a.GetPath(), b.GetPath()) })
	return all
}

func (g *grantSockets) forget(s *grantSocket) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.open, s)
}

// placeFor chooses a path beside agent.sock for s.
func (a *Agent) placeFor(s *grantSocket) error {
	dir := filepath.Join(filepath.Dir(a.cfg.Paths.Agent), grantDir)
	if err := socketpath.EnsureDir(dir); err != nil {
		return fmt.Errorf("preparing the directory of sockets: %w", err)
	}
	// The path is no longer than that of agent.sock, and is not guessed by mistake.
	s.name = strings.ToLower(rand.Text()[:8])
	s.path = filepath.Join(dir, s.name)
	return nil
}

// listenFor opens s at its path.
func (a *Agent) listenFor(ctx context.Context, s *grantSocket) error {
	if a.cfg.Listen == nil {
		return refuse(ErrSocket, pb.CodeSocket, "this agent can open no socket", "it has no parent that would", "start it:  nsagent agent start")
	}
	f, err := a.cfg.Listen(ctx, s.path)
	if err != nil {
		why, fix, fixable := strings.Cut(err.Error(), "; run: ")
		next := "run:  " + fix
		if !fixable {
			next = "name another place, in a directory of your own:  mkdir -p -m 700 ~/.local/state/acme"
		}
		return refuse(errors.Join(ErrSocket, err), pb.CodeSocket, "the socket cannot be made", why, next)
	}
	s.conns, s.looks = make(map[*countedConn]struct{}), newLooks()
	l, err := listenerOf(f)
	if err == nil {
		err = a.sockets.start(s, l)
	}
	if err != nil {
		a.unlisten(s)
	}
	return err
}

// unlisten removes the path of s.
func (a *Agent) unlisten(s *grantSocket) {
	ctx, cancel := context.WithTimeout(context.Background(), unlistenTime)
	defer cancel()
	if err := a.cfg.Unlisten(ctx, s.path); err != nil {
		a.log.Warn("a socket was not removed", "path", s.path, "error", err)
	}
}

// clearGrantSockets removes the sockets that an agent left which was killed with its
// parent.
func (a *Agent) clearGrantSockets() {
	dir := filepath.Join(filepath.Dir(a.cfg.Paths.Agent), grantDir)
	if socketpath.CheckDir(dir) != nil {
		return // there is none, or opening a socket says what is the matter
	}
	if err := socketpath.ClearSockets(dir); err != nil {
		a.log.Warn("old sockets are left", "error", err)
	}
}
