package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

const (
	// socketTTL is for how long a socket is good where nothing is said, and longestTTL at
	// most: its stream ends with its connection, which has an end of its own.
	socketTTL  = 15 * time.Minute
	longestTTL = 8 * time.Hour
)

// OpenSocket opens a socket with the right of the caller, for as long as the stream
// stands.
func (s signerService) OpenSocket(stream pb.Signer_OpenSocketServer) error {
	q, err := stream.Recv()
	if err != nil {
		return err
	}
	s.received(stream.Context())
	c := callerOf(stream.Context()) // only now: the connection may have shown a token since the stream began
	if conn, _ := connectionOf(stream.Context()); conn != nil {
		if counted, ok := conn.(*countedConn); ok {
			counted.opens.Add(1)
			defer counted.opens.Add(-1)
		}
	}
	socket, opened, err := s.openSocket(stream.Context(), c, q)
	if err != nil {
		return s.reply(s.denied(c, audit.EventSocketOpen, q.GetProfile(), err))
	}
	defer s.recordClosed(c, socket)
	err = stream.Send(&pb.OpenSocketResponse{News: &pb.OpenSocketResponse_Opened{Opened: opened}})
	if err == nil {
		_, err = stream.Recv()
	}
	switch {
	case err == nil:
		return s.reply(refuse(ErrRequest, pb.CodeRequest, "the socket is open already", "a stream opens one", ""))
	case !errors.Is(err, io.EOF):
		return err // whoever asked for it is gone
	}
	s.recordClosed(c, socket)
	return stream.Send(&pb.OpenSocketResponse{News: &pb.OpenSocketResponse_Closed{Closed: socket.usage()}})
}

// openSocket makes the socket that q asks for.
func (a *Agent) openSocket(ctx context.Context, c *caller, q *pb.OpenSocketRequest) (*grantSocket, *pb.SocketOpened, error) {
	if err := a.admit(c); err != nil {
		return nil, nil, err
	}
	ttl := time.Duration(q.GetTtl()) * time.Second
	switch {
	case q.GetTtl() < 0 || q.GetTtl() > int64(longestTTL/time.Second):
		return nil, nil, refuse(ErrRequest, pb.CodeRequest, "a socket cannot be open for so long", fmt.Sprintf("it is for %s at most", longestTTL), "")
	case ttl == 0:
		ttl = socketTTL
	}
	s := &grantSocket{right: c.right(), through: c.by(), ends: a.boottime() + ttl}
	opened := &pb.SocketOpened{ExpiresAt: a.clock().Add(ttl).Unix()}
	if g := s.right.grant; g != nil {
		opened.ExpiresAt = min(opened.ExpiresAt, g.NotAfter())
	}
	if err := a.narrowTo(c, s, q.GetProfile(), opened); err != nil {
		a.haveShownAgain(c, err) // nothing was opened, and its client asks again
		return nil, nil, err
	}
	if err := a.sockets.room(s); err != nil {
		return nil, nil, err
	}
	if err := a.placeFor(s); err != nil {
		return nil, nil, err
	}
	opened.Path = s.path
	e := audit.Event{
		Event: audit.EventSocketOpen, Outcome: audit.OutcomeOK, Profile: opened.GetProfile(), Account: opened.GetAccount(),
		Detail: fmt.Sprintf("socket=%s ttl=%d", s.name, ttl/time.Second),
	}
	return s, opened, a.carryOut(c, e, func() error { return a.listenFor(ctx, s) })
}

// narrowTo narrows s to the profile of that name among those of c, and describes it in to.
// Who has an unlock token for several profiles may leave them all.
func (a *Agent) narrowTo(c *caller, s *grantSocket, name string, to *pb.SocketOpened) error {
	a.mu.RLock()
	defer a.mu.RUnlock()
	session, err := a.sessionForLocked(c, a.boottime())
	if err != nil {
		return err
	}
	p, err := session.findFor(c, name)
	switch {
	case err == nil:
		s.profile = p.Name
		to.Profile, to.Account, to.Environment = p.Name, p.Account, p.identity.Account.Environment()
		return nil
	case name == "" && c.granted() != nil && errors.Is(err, ErrNoProfile):
		return nil
	default:
		return err
	}
}

// recordClosed closes a socket, once, and records how it was used. Whoever else closes it
// meanwhile waits until that is on record.
func (a *Agent) recordClosed(c *caller, s *grantSocket) {
	s.once.Do(func() {
		s.end()
		a.unlisten(s)
		a.recordUsage(c, s)
		a.sockets.forget(s) // not before: an agent that ends waits for the sockets that it knows
	})
}

// recordUsage records how a socket was used that is closed.
func (a *Agent) recordUsage(c *caller, s *grantSocket) {
	use := s.usage()
	e := audit.Event{
		Event: audit.EventSocketClose, Outcome: audit.OutcomeOK, Profile: s.profile,
		Detail: fmt.Sprintf("socket=%s made=%d refused=%d", s.name, use.GetMade(), use.GetRefused()),
	}
	if g := s.right.grant; g != nil {
		e.Grant = g.name
	}
	if err := a.record(c, e); err != nil {
		a.log.Error("audit log not written", "error", err)
	}
}

// usage says how the socket was used.
func (s *grantSocket) usage() *pb.SocketClosed {
	return &pb.SocketClosed{Made: s.made.Load(), Refused: s.refused.Load()}
}
