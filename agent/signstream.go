package agent

import (
	"context"
	"io"
	"runtime"
	"sync"

	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// maxBulkSigners is how many requests of one stream are signed at once, at most: one
// stream must not take all of a large machine from the others.
const maxBulkSigners = 4

// SignStream signs in bulk: one request, one answer, in the order in which they are
// ready. A refusal is an answer; only a broken stream ends it.
//
// The goroutine of the call receives, a few others sign and answer, so that reading one
// request, signing another and writing an answer go on at the same time.
func (s signerService) SignStream(stream pb.Signer_SignStreamServer) error {
	requests := make(chan *pb.SignStreamRequest)
	out := bulkAnswers{stream: stream}
	var signers sync.WaitGroup
	var sign func()
	sign = func() {
		for m := range requests {
			if out.broken() {
				continue
			}
			waits := false
			// While one waits for an approval, another one signs in its place.
			ctx := context.WithValue(stream.Context(), noticeKey{}, func() {
				if !waits {
					waits = true
					signers.Go(sign)
				}
			})
			out.send(s.answer(ctx, m))
			if waits {
				return
			}
		}
	}
	// A signer is started when a request finds all others busy: a stream that asks for
	// one thing after the other has one.
	running, most := 0, min(runtime.GOMAXPROCS(0), maxBulkSigners)
	err := s.receiveAll(stream, func(m *pb.SignStreamRequest) {
		select {
		case requests <- m:
			return
		default:
		}
		if running < most {
			running++
			signers.Go(sign)
		}
		requests <- m
	})
	close(requests)
	signers.Wait()
	if err == nil {
		err = out.err
	}
	return err
}

// receiveAll gives take what comes until the stream ends. It also ends when answers
// cannot be sent, since then the stream is over in both directions.
func (s signerService) receiveAll(stream pb.Signer_SignStreamServer, take func(*pb.SignStreamRequest)) error {
	for first := true; ; first = false {
		m, err := stream.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if first {
			s.received(stream.Context())
		}
		take(m)
	}
}

// answer signs one request of a stream.
func (s signerService) answer(ctx context.Context, m *pb.SignStreamRequest) *pb.SignStreamResponse {
	a := &pb.SignStreamResponse{Id: m.GetId()}
	if r, err := s.sign(ctx, callerOf(ctx), m.GetRequest()); err != nil {
		a.Outcome = &pb.SignStreamResponse_Error{Error: s.refuse(err).message()}
	} else {
		a.Outcome = &pb.SignStreamResponse_Response{Response: r}
	}
	return a
}

// bulkAnswers sends the answers of several signers over one stream, which takes one
// after the other.
type bulkAnswers struct {
	stream pb.Signer_SignStreamServer

	mu  sync.Mutex // guards sending, and err
	err error      // the first failure
}

func (b *bulkAnswers) send(a *pb.SignStreamResponse) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = b.stream.Send(a)
	}
}

func (b *bulkAnswers) broken() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err != nil
}
