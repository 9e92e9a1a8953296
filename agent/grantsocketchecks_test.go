package agent

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// opens returns the outcomes of the sockets that were asked for, as the log has them.
func (f *fixture) opens() string {
	f.t.Helper()
	var all []string
	for _, e := range f.entries() {
		if e.Event == audit.EventSocketOpen {
			all = append(all, e.Outcome)
		}
	}
	return strings.Join(all, " ")
}

// A stream asks for one socket: who asks for nothing gets none, and who says anything more
// ends it, with an error.
func TestOpenSocketIsAskedOnce(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	begin := func() pb.Signer_OpenSocketClient {
		t.Helper()
		stream, err := pb.NewSignerClient(rawGRPC(t, f.paths.Agent)).OpenSocket(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return stream
	}
	nothing := begin()
	if err := nothing.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if m, err := nothing.Recv(); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("nothing was asked for: got %v, %v", m, err)
	}
	if got := f.opens(); got != "" {
		t.Errorf("nothing was asked for, and the log has %q", got)
	}
	for name, c := range map[string]struct {
		more *pb.OpenSocketRequest
		want func(error) bool
	}{
		"a second one": {&pb.OpenSocketRequest{}, func(err error) bool { return codeOf(err) == string(pb.CodeRequest) }},
		"too much": {&pb.OpenSocketRequest{Profile: strings.Repeat("x", maxAgentMessage)}, func(err error) bool {
			return status.Code(err) == codes.ResourceExhausted
		}},
	} {
		stream := begin()
		if err := stream.Send(&pb.OpenSocketRequest{}); err != nil {
			t.Fatal(err)
		}
		m, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Send(c.more); err != nil {
			t.Fatal(err)
		}
		if m, err := stream.Recv(); !c.want(err) || m != nil {
			t.Errorf("%s: got %v, %v", name, m, err)
		}
		f.wantGone(m.GetOpened().GetPath())
	}
}

// The owner's socket is for one profile, which is named where there are several. One with
// the right of a token may be for all of its profiles, and for none that it has no more.
func TestOpenSocketForWhichProfile(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	f.addTBA("other")
	if _, err := f.signer.OpenSocket(t.Context(), client.SocketRequest{}); !errors.Is(err, client.ErrNoProfile) {
		t.Errorf("none is named: got %v, want %v", err, client.ErrNoProfile)
	}
	gone := &caller{peer: livePeer(t, f), has: of(f.grantOn(unlocktoken.Caveats{}, "other"))}
	if err := f.admin.RemoveProfile(t.Context(), "other"); err != nil {
		t.Fatal(err)
	}
	if s, _, err := f.agent.openSocket(t.Context(), gone, &pb.OpenSocketRequest{}); refusedWith(err) != pb.CodeGrantScope {
		t.Errorf("the only one is gone: got %v, %v", s, err)
	}
}

// slowRequest is a stream of OpenSocket on which something happens before the request comes.
type slowRequest struct {
	pb.Signer_OpenSocketServer
	ctx     context.Context
	before  func()
	request *pb.OpenSocketRequest
	opened  *pb.SocketOpened
}

func (s *slowRequest) Context() context.Context { return s.ctx }

func (s *slowRequest) Recv() (*pb.OpenSocketRequest, error) {
	if s.before == nil {
		return nil, io.EOF
	}
	s.before()
	s.before = nil
	return s.request, nil
}

func (s *slowRequest) Send(m *pb.OpenSocketResponse) error {
	if m.GetOpened() != nil {
		s.opened = m.GetOpened()
	}
	return nil
}

// TestOpenSocketBegunBeforeTheToken: a socket has the right that its connection has as the
// request comes. A stream that was begun before the connection showed a token keeps nothing
// of the owner's right.
func TestOpenSocketBegunBeforeTheToken(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	f.addTBA("other")
	token := f.mint(unlocktoken.Caveats{}, "acme")
	for profile, want := range map[string]string{"other": string(pb.CodeGrantScope), "acme": "ok"} {
		d, p := f.direct(t)
		redeem := func() {
			if _, err := d.service.Redeem(d.ctx, p.request(token)); err != nil {
				t.Errorf("showing the token: %v", err)
			}
		}
		stream := &slowRequest{ctx: d.ctx, before: redeem, request: &pb.OpenSocketRequest{Profile: profile}}
		if got := codeOf(d.service.OpenSocket(stream)); got != want || (stream.opened != nil) != (want == "ok") {
			t.Errorf("for %s: got %s and %v, want %s", profile, got, stream.opened, want)
		}
	}
}

// An agent that nobody makes sockets for says so.
func TestGrantSocketWithoutAParent(t *testing.T) {
	f := start(t, func(c *Config) { c.Listen = nil })
	f.unlock()
	f.addTBA("acme")
	if _, err := f.signer.OpenSocket(t.Context(), client.SocketRequest{}); errorCode(err) != string(pb.CodeSocket) {
		t.Errorf("got %v, want %s", err, pb.CodeSocket)
	}
}

// Sockets that were asked for on another such socket take up half of the places, and none
// are left where the agent does not serve.
func TestRoomForGrantSockets(t *testing.T) {
	for _, c := range []struct {
		own, inner           int
		forOwner, forAnother bool
	}{{0, 0, true, true}, {3, 0, true, true}, {4, 0, false, true}, {0, 1, true, true}, {0, 2, true, false}, {2, 2, false, false}, {3, 1, false, true}} {
		g := &grantSockets{most: 4, open: make(map[*grantSocket]struct{}), begin: func(*grantSocket, *net.UnixListener) func() { return func() {} }}
		outer := &grantSocket{}
		for range c.own {
			g.open[&grantSocket{}] = struct{}{}
		}
		for range c.inner {
			g.open[&grantSocket{through: outer}] = struct{}{}
		}
		check := func(s *grantSocket, free bool) {
			t.Helper()
			if err := g.room(s); (err == nil) != free || err != nil && !errors.Is(err, ErrBusy) {
				t.Errorf("beside %d and %d: got %v, want room %v", c.own, c.inner, err, free)
			}
		}
		check(&grantSocket{}, c.forOwner)
		check(&grantSocket{through: outer}, c.forAnother)
		g.begin = nil
		check(&grantSocket{}, false)
	}
}

// A socket for which the room is gone since, or the agent about to end, is closed.
func TestGrantSocketThatComesLate(t *testing.T) {
	g := &grantSockets{open: make(map[*grantSocket]struct{})}
	begun := 0
	begin := func(*grantSocket, *net.UnixListener) func() { begun++; return func() {} }
	for name, c := range map[string]struct {
		most  int
		begin func(*grantSocket, *net.UnixListener) func()
		want  error
	}{"full": {0, begin, ErrBusy}, "ending": {1, nil, ErrBusy}, "in time": {1, begin, nil}} {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(shortDir(t), "s"), Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		g.most, g.begin, begun = c.most, c.begin, 0
		s := &grantSocket{}
		if err := g.start(s, l); !errors.Is(err, c.want) || (begun == 1) != (c.want == nil) {
			t.Errorf("%s: got %v, %d begun", name, err, begun)
		}
		if err := l.Close(); errors.Is(err, net.ErrClosed) != (c.want != nil) {
			t.Errorf("%s: closing it once more: %v", name, err)
		}
		g.forget(s)
	}
}

// TestOneGrantSocketTooMany: where there is no room nothing is made first.
func TestOneGrantSocketTooMany(t *testing.T) {
	made := 0
	f := start(t, func(c *Config) {
		listen := c.Listen
		c.Listen = func(ctx context.Context, path string) (*os.File, error) {
			made++
			return listen(ctx, path)
		}
	})
	f.unlock()
	f.addTBA("acme")
	f.agent.sockets.mu.Lock()
	f.agent.sockets.most = 1
	f.agent.sockets.mu.Unlock()
	f.openSocket("acme")
	if _, err := f.signer.OpenSocket(t.Context(), client.SocketRequest{}); !errors.Is(err, client.ErrLimited) {
		t.Errorf("got %v, want %v", err, client.ErrLimited)
	}
	if got := f.opens(); made != 1 || got != "ok denied" {
		t.Errorf("%d sockets were made; the log says %q", made, got)
	}
}

// A socket gives nothing from its end on, nor where the one that it was asked for on does
// not; one that was closed takes no connection, and another so many.
func TestGrantSocketThatIsOver(t *testing.T) {
	over := &grantSocket{closed: true}
	for name, c := range map[string]struct {
		socket *grantSocket
		good   bool
	}{
		"agent.sock":         {nil, true},
		"without an end":     {&grantSocket{}, true},
		"before its end":     {&grantSocket{ends: time.Hour + 1}, true},
		"at its end":         {&grantSocket{ends: time.Hour}, false},
		"closed":             {over, false},
		"on one that is":     {&grantSocket{through: over}, false},
		"on one that is not": {&grantSocket{through: &grantSocket{ends: 2 * time.Hour}}, true},
	} {
		if err := c.socket.good(time.Hour); (err == nil) != c.good || err != nil && !errors.Is(err, ErrExpired) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if over.take(&countedConn{}) {
		t.Error("a connection was taken on a socket that was closed")
	}
	open := &grantSocket{conns: make(map[*countedConn]struct{})}
	for i := range maxSocketConnections {
		if !open.take(&countedConn{}) {
			t.Fatalf("connection %d was not taken", i+1)
		}
	}
	if open.take(&countedConn{}) {
		t.Error("one connection too many was taken")
	}
}

// TestOldSocketsElsewhere: what an agent clears away before it begins are its own sockets, in
// a directory of its own.
func TestOldSocketsElsewhere(t *testing.T) {
	f := start(t)
	if err := f.admin.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.waitEnd()
	elsewhere := shortDir(t)
	deadSocket(t, filepath.Join(elsewhere, "s"))
	if err := os.Symlink(elsewhere, filepath.Join(filepath.Dir(f.paths.Agent), grantDir)); err != nil {
		t.Fatal(err)
	}
	f.run()
	if _, err := os.Lstat(filepath.Join(elsewhere, "s")); err != nil {
		t.Errorf("behind a link: %v", err)
	}
}

// An agent that ends waits for the record of a socket that its own stream closes at that
// moment, as when the program of exec is killed. It guards against uses that nobody counted.
func TestGrantSocketEndsOnRecord(t *testing.T) {
	called, over := make(chan struct{}), make(chan struct{})
	removing := make(chan struct{}, 1)
	f := start(t, func(c *Config) {
		c.Unlisten = func(_ context.Context, path string) error {
			removing <- struct{}{}
			select {
			case <-called:
			case <-over: // it does not wait
			}
			return os.Remove(path)
		}
	})
	f.unlock()
	f.addTBA("acme")
	s, _, err := f.agent.openSocket(t.Context(), &caller{peer: livePeer(t, f), has: ofOwner()}, &pb.OpenSocketRequest{Profile: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	go f.agent.recordClosed(nil, s)
	<-removing
	f.agent.sockets.close(func(s *grantSocket) {
		close(called)
		f.agent.recordClosed(nil, s)
	})
	if got := f.events("socket.close"); !slices.Equal(got, []string{"socket.close ok"}) {
		t.Errorf("when the sockets were closed, the log says %q", got)
	}
	close(over)
}
