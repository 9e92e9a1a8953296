package client

import (
	"context"
	"sync"
	"time"

	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

const (
	// manyCalls is how many calls of Sign are in flight when a stream is opened for
	// them. Fewer gain little, and a program that signs now and then needs none.
	manyCalls = 8
	// someCalls is how many keep the stream. It lies well below manyCalls, so that a
	// load about the limit does not open and close streams all the time.
	someCalls = 3
	// quiet is how long the stream stays after the last time there were someCalls,
	// and how long no other is opened after one has failed.
	quiet = time.Second
)

// bulk lends a stream to Sign while many callers sign at once.
//
// A call never waits for the stream to be opened, and never fails since it ended:
// then, as before and afterwards, it is made as a call of its own.
type bulk struct {
	open func(context.Context) (*Stream, error)
	life context.Context // ends with the client
	end  context.CancelFunc

	mu      sync.Mutex // guards what follows, and the fields of lent
	calls   int        // of Sign in flight, either way
	now     *lent      // for who comes next, or nil
	opening bool
	not     time.Time // no stream is opened before
}

// lent is a stream with its users.
type lent struct {
	*Stream
	users int
	busy  bool // there were someCalls since the last look
	over  bool // nobody new gets it
}

func newBulk(open func(context.Context) (*Stream, error)) *bulk {
	b := &bulk{open: open}
	b.life, b.end = context.WithCancel(context.Background())
	return b
}

// close ends the stream, if there is one, and that none is opened again.
func (b *bulk) close() { b.end() }

// enter counts one call of Sign and returns the stream that it goes over, or nil.
// The caller must leave with it.
func (b *bulk) enter() *lent {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls++
	if b.now != nil && b.now.isOver() {
		b.now.over, b.now, b.not = true, nil, time.Now().Add(quiet)
	}
	if b.now == nil {
		if b.calls >= manyCalls && !b.opening && time.Now().After(b.not) {
			b.opening = true
			go b.begin()
		}
		return nil
	}
	if b.calls >= someCalls {
		b.now.busy = true
	}
	b.now.users++
	return b.now
}

func (b *bulk) leave(l *lent) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls--
	if l == nil {
		return
	}
	l.users--
	l.closeUnusedLocked()
}

// closeUnusedLocked closes a stream that nobody uses or will use.
func (l *lent) closeUnusedLocked() {
	if l.over && l.users == 0 {
		l.cancel()
	}
}

// begin opens a stream for those who come next.
func (b *bulk) begin() {
	s, err := b.open(b.life)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.opening = false
	if err != nil {
		b.not = time.Now().Add(quiet)
		return
	}
	b.now = &lent{Stream: s, busy: true}
	go b.look(b.now)
}

// look takes the stream back once it was quiet for long enough.
func (b *bulk) look(l *lent) {
	tick := time.NewTicker(quiet)
	defer tick.Stop()
	for {
		select {
		case <-l.done:
			return
		case <-tick.C:
		}
		if b.retire(l) {
			return
		}
	}
}

// retire takes l back, where it was not busy, and reports whether it has.
func (b *bulk) retire(l *lent) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if l.busy {
		l.busy = false
		return false
	}
	l.over = true
	if b.now == l {
		b.now = nil
	}
	l.closeUnusedLocked()
	return true
}

// sign makes one signature: over the stream where there is one, else, or where that
// ended before the answer came, by call.
func (b *bulk) sign(ctx context.Context, m *pb.SignRequest, call func() (*pb.SignResponse, error)) (*pb.SignResponse, error) {
	l := b.enter()
	defer b.leave(l)
	if l == nil {
		return call()
	}
	answer, err := l.ask(ctx, m)
	switch {
	case err == nil:
		return outcome(answer)
	case ctx.Err() != nil || b.life.Err() != nil:
		return nil, err
	default:
		return call()
	}
}
