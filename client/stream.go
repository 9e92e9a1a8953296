package client

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"

	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// inFlight is how many requests a Stream takes before the agent has taken them.
const inFlight = 64

// Stream signs in bulk over one call: many goroutines may have requests in flight
// at once, at a multiple of the throughput of Sign. It is safe for concurrent use.
//
// It lives on one connection. Where that breaks, everybody who waits gets
// ErrAgent, and a new Stream has to be opened.
type Stream struct {
	client *Client
	rpc    pb.Signer_SignStreamClient
	outer  context.Context // what Client.Stream was called with
	cancel context.CancelFunc
	send   chan *pb.SignStreamRequest

	mu      sync.Mutex // guards what follows
	next    uint64
	waiting map[uint64]chan<- *pb.SignStreamResponse
	closed  bool  // Close was called
	err     error // why the stream is over; set before done is closed

	done chan struct{}
}

// Stream opens a stream that lives until Close or until ctx ends. The caller must
// do one of the two.
func (c *Client) Stream(ctx context.Context) (*Stream, error) {
	inner, cancel := context.WithCancel(ctx)
	rpc, err := c.rpc.SignStream(inner)
	if err != nil {
		cancel()
		return nil, err
	}
	s := &Stream{
		client: c, rpc: rpc, outer: ctx, cancel: cancel, send: make(chan *pb.SignStreamRequest, inFlight),
		waiting: make(map[uint64]chan<- *pb.SignStreamResponse), done: make(chan struct{}),
	}
	go s.transmit()
	go s.receive()
	return s, nil
}

// Sign is Client.Sign over the stream. A refusal ends this request only; a broken
// stream ends all of them. After Close the error is ErrClosed.
func (s *Stream) Sign(ctx context.Context, r Request) (*pb.SignResponse, error) {
	m, err := s.client.message(r)
	if err != nil {
		return nil, err
	}
	answer, err := s.ask(ctx, m)
	if err != nil {
		return nil, err
	}
	return outcome(answer)
}

// ask sends m and waits for its answer. The error is that of ctx, or says why the
// stream is over.
func (s *Stream) ask(ctx context.Context, m *pb.SignRequest) (*pb.SignStreamResponse, error) {
	if err := ctx.Err(); err != nil {
		return nil, ended("asking the agent", err)
	}
	m.Body = bytes.Clone(m.GetBody()) // it may leave after ask has returned
	answer := make(chan *pb.SignStreamResponse, 1)
	id, err := s.enter(answer)
	if err != nil {
		return nil, err
	}
	select {
	case s.send <- &pb.SignStreamRequest{Id: id, Request: m}:
	case <-s.done:
		return nil, s.err
	case <-ctx.Done():
		s.forget(id)
		return nil, ended("asking the agent", ctx.Err())
	}
	select {
	case a := <-answer:
		return a, nil
	case <-s.done:
		select {
		case a := <-answer: // it came before the end
			return a, nil
		default:
			return nil, s.err
		}
	case <-ctx.Done():
		s.forget(id)
		return nil, ended("asking the agent", ctx.Err())
	}
}

func outcome(m *pb.SignStreamResponse) (*pb.SignResponse, error) {
	if e := m.GetError(); e != nil {
		return nil, fromMessage(e)
	}
	return signed(m.GetResponse())
}

// enter puts answer among those who wait, under a number of its own.
func (s *Stream) enter(answer chan<- *pb.SignStreamResponse) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, ErrClosed
	}
	if s.err != nil {
		return 0, s.err
	}
	s.next++
	s.waiting[s.next] = answer
	return s.next, nil
}

func (s *Stream) forget(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.waiting, id)
}

// transmit sends what Sign hands over. It is the only sender, since an agent that
// takes nothing blocks it, and Sign must be able to give up then.
func (s *Stream) transmit() {
	for {
		select {
		case m := <-s.send:
			switch err := s.rpc.Send(m); err {
			case nil:
			case io.EOF: // the stream is over; receive learns why
				return
			default:
				s.cancel()
				return
			}
		case <-s.done:
			return
		}
	}
}

// receive hands answers to those who wait, until the stream ends.
func (s *Stream) receive() {
	for {
		m, err := s.rpc.Recv()
		if err != nil {
			s.finish(err)
			return
		}
		s.mu.Lock()
		answer, ok := s.waiting[m.GetId()]
		delete(s.waiting, m.GetId())
		s.mu.Unlock()
		if ok {
			answer <- m // has room for its only answer
		}
	}
}

// isOver reports whether the stream has ended.
func (s *Stream) isOver() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// finish ends the stream for everybody, with what Recv returned.
func (s *Stream) finish(err error) {
	if errors.Is(err, io.EOF) {
		err = noAgent(nil, "it ended the stream")
	}
	err = s.client.conn.wrap(s.outer, err)
	s.mu.Lock()
	if s.closed {
		err = ErrClosed
	}
	s.err = err
	clear(s.waiting)
	s.mu.Unlock()
	close(s.done)
	s.cancel()
}

// Close ends the stream; requests in flight and later ones fail with ErrClosed. It
// returns nil, also when it is called again.
func (s *Stream) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	<-s.done
	return nil
}
