package client

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"

	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// SocketRequest is what OpenSocket needs.
type SocketRequest struct {
	// Profile that may be used on the socket; empty means that of WithProfile.
	Profile string
	// TTL is how long it is good for, in whole seconds; zero means 15 minutes.
	TTL time.Duration
}

// Socket is a socket of its own, on which the right of the client that opened it applies,
// whoever connects: what a program gets that is to use one profile for some time, a
// container, or another machine by ssh -R. It does what agent.sock does.
type Socket struct {
	// Opened says where it is and what it is for.
	Opened *pb.SocketOpened

	stream pb.Signer_OpenSocketClient
	cancel context.CancelFunc
	ended  chan struct{}

	mu     sync.Mutex // guards what follows
	closed *pb.SocketClosed
	err    error
}

// OpenSocket opens a socket. It is there until it is closed, the connection of the client
// breaks, or the process ends, however that ends; and good for its time.
//
// The error matches those of Sign; ErrLimited where there are too many.
func (c *Client) OpenSocket(ctx context.Context, r SocketRequest) (*Socket, error) {
	lasting, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, cancel) // ctx is for opening
	q := &pb.OpenSocketRequest{Profile: text(c.or(r.Profile)), Ttl: int64(r.TTL / time.Second)}
	var s *Socket
	// It may be asked for twice: a socket ends with the stream that asked for it, so that none
	// is left where the connection broke before its path came.
	err := c.conn.call(ctx, func(cc *grpc.ClientConn) (err error) {
		s, err = openSocket(lasting, pb.NewSignerClient(cc), q)
		return err
	})
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		cancel()
		return nil, err
	}
	s.cancel = cancel
	go s.await()
	return s, nil
}

func openSocket(ctx context.Context, rpc pb.SignerClient, q *pb.OpenSocketRequest) (*Socket, error) {
	stream, err := rpc.OpenSocket(ctx)
	if err != nil {
		return nil, err
	}
	_ = stream.Send(q) // where it cannot be sent, receiving says why
	m, err := stream.Recv()
	if err != nil {
		return nil, err
	}
	if m.GetOpened().GetPath() == "" {
		return nil, &Error{Code: pb.CodeInternal, Message: "the agent answered without a socket"}
	}
	return &Socket{Opened: m.GetOpened(), stream: stream, ended: make(chan struct{})}, nil
}

// await waits for the end of the stream.
func (s *Socket) await() {
	defer close(s.ended)
	m, err := s.stream.Recv()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case m.GetClosed() != nil:
		s.closed = m.GetClosed()
	case err == nil || errors.Is(err, io.EOF):
		s.err = noAgent(nil, "it closed the socket")
	default:
		s.err = noAgent(err, "the connection broke")
	}
}

// Ended is closed when the socket has ended, by Close or because the agent has gone.
func (s *Socket) Ended() <-chan struct{} { return s.ended }

// Close ends the socket and says how it was used. The error matches ErrAgent where it had
// ended before, or where the agent does not answer in time.
func (s *Socket) Close() (*pb.SocketClosed, error) {
	_ = s.stream.CloseSend()
	defer s.cancel()
	select {
	case <-s.ended:
	case <-time.After(aliveTime):
		return nil, noAgent(nil, "it does not answer")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed, s.err
}
