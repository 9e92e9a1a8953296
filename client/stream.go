package client

import (
	"context"
	"errors"
	"io"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// Stream signs in bulk over one call: many goroutines may have requests in flight
// at once, at a multiple of the throughput of Sign.
type Stream struct {
	client *Client
	rpc    pb.Signer_SignStreamClient
	cancel context.CancelFunc

	send sync.Mutex // serialises rpc.Send

	mu      sync.Mutex // guards what follows
	next    uint64
	waiting map[uint64]chan *pb.SignStreamResponse
	err     error // set once the stream is over

	done chan struct{} // closed with err set
}

// Stream opens a stream that lives until Close or until ctx ends.
func (c *Client) Stream(ctx context.Context) (*Stream, error) {
	ctx, cancel := context.WithCancel(ctx)
	rpc, err := c.rpc.SignStream(ctx)
	if err != nil {
		cancel()
		return nil, c.conn.wrap(err)
	}
	s := &Stream{client: c, rpc: rpc, cancel: cancel, waiting: make(map[uint64]chan *pb.SignStreamResponse), done: make(chan struct{})}
	go s.receive()
	return s, nil
}

// Sign is Client.Sign over the stream. A refusal ends this request only; a broken
// stream ends all of them.
func (s *Stream) Sign(ctx context.Context, r Request) (*pb.SignResponse, error) {
	answer := make(chan *pb.SignStreamResponse, 1)
	s.mu.Lock()
	if s.err != nil {
		defer s.mu.Unlock()
		return nil, s.err
	}
	s.next++
	id := s.next
	s.waiting[id] = answer
	s.mu.Unlock()

	s.send.Lock()
	err := s.rpc.Send(&pb.SignStreamRequest{Id: id, Request: s.client.message(r)})
	s.send.Unlock()
	if err != nil {
		s.forget(id)
		// Send says only that the stream is over; receive learns why.
		<-s.done
		return nil, s.err
	}
	select {
	case m := <-answer:
		if e := m.GetError(); e != nil {
			return nil, fromMessage(e)
		}
		return m.GetResponse(), nil
	case <-s.done:
		return nil, s.err
	case <-ctx.Done():
		s.forget(id)
		return nil, ctx.Err()
	}
}

func (s *Stream) forget(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.waiting, id)
}

// receive hands answers to those who wait, until the stream ends.
func (s *Stream) receive() {
	for {
		m, err := s.rpc.Recv()
		if err != nil {
			if errors.Is(err, io.EOF) || status.Code(err) == codes.Canceled {
				err = errStreamClosed
			}
			s.mu.Lock()
			s.err = s.client.conn.wrap(err)
			s.mu.Unlock()
			close(s.done)
			return
		}
		s.mu.Lock()
		answer, ok := s.waiting[m.GetId()]
		delete(s.waiting, m.GetId())
		s.mu.Unlock()
		if ok {
			answer <- m
		}
	}
}

var errStreamClosed = errors.New("client: stream closed")

// Close ends the stream; requests in flight fail.
func (s *Stream) Close() error {
	s.cancel()
	<-s.done
	return nil
}
