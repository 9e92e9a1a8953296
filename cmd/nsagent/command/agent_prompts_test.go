package command

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// prompted is a prompter whose world a test plays.
type prompted struct {
	states chan []*pb.ApprovalRequest
	ended  chan error
	answer chan error // what the one who is asked says

	mu    sync.Mutex // guards what follows
	open  string
	asked []string
	fault int
}

func request(id string, attended ...bool) *pb.ApprovalRequest {
	r := &pb.ApprovalRequest{Id: id}
	for _, a := range attended {
		r.Callers = append(r.Callers, &pb.WaitingCaller{Attended: a})
	}
	return r
}

func startPrompter(ctx context.Context) *prompted {
	w := &prompted{states: make(chan []*pb.ApprovalRequest), ended: make(chan error, 1), answer: make(chan error)}
	p := prompter{
		look: func(ctx context.Context, _ uint64) (*pb.ListRequestsResponse, error) {
			select {
			case all := <-w.states:
				return &pb.ListRequestsResponse{Requests: all}, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		},
		ask: func(ctx context.Context, r *pb.ApprovalRequest) error {
			w.note(func() {
				if w.open != "" {
					w.asked = append(w.asked, "two at once")
				}
				w.open, w.asked = r.GetId(), append(w.asked, r.GetId())
			})
			defer w.note(func() { w.open = "" })
			select {
			case err := <-w.answer:
				return err
			case <-ctx.Done():
				return fmt.Errorf("%w: %w", errNotAsked, ctx.Err())
			}
		},
		fault: func(error) { w.note(func() { w.fault++ }) },
	}
	go func() { w.ended <- p.run(ctx) }()
	return w
}

func (w *prompted) note(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

// expect lets time pass, and compares who is asked for and who was.
func (w *prompted) expect(t *testing.T, after time.Duration, open string, asked ...string) {
	t.Helper()
	time.Sleep(after)
	synctest.Wait()
	w.note(func() {
		if w.open != open || !slices.Equal(w.asked, asked) {
			t.Errorf("asked for %q, so far %q; want %q, %q", w.open, w.asked, open, asked)
		}
	})
}

// One question at a time, each once, the oldest first; it goes away with its request, and
// the process with the last.
func TestPrompterAsksEachOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startPrompter(t.Context())
		w.states <- []*pb.ApprovalRequest{request("a", false), request("b", false)}
		w.expect(t, settleTime/2, "")
		w.states <- []*pb.ApprovalRequest{request("a", false, false), request("b", false)} // one more caller
		w.expect(t, settleTime, "a", "a")
		w.states <- []*pb.ApprovalRequest{request("a", false), request("b", false)}
		w.expect(t, time.Hour, "a", "a")
		w.answer <- nil
		w.expect(t, 0, "b", "a", "b")
		w.states <- []*pb.ApprovalRequest{request("b", false)}
		w.states <- []*pb.ApprovalRequest{request("c", false)} // b is answered elsewhere
		w.expect(t, settleTime, "c", "a", "b", "c")
		w.answer <- errors.New("three wrong ones")
		w.expect(t, time.Hour, "", "a", "b", "c") // c waits, and is asked about no more
		w.states <- nil
		if err := <-w.ended; err != nil || w.fault != 0 {
			t.Errorf("got %v, %d faults", err, w.fault)
		}
	})
}

// What a terminal asks for is left to it, as long as it does.
func TestPrompterLeavesTerminalsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startPrompter(t.Context())
		w.states <- []*pb.ApprovalRequest{request("a", false, false)}
		w.states <- []*pb.ApprovalRequest{request("a", false, true), request("b")}
		w.expect(t, time.Hour, "b", "b")
		w.answer <- nil
		w.states <- []*pb.ApprovalRequest{request("a", false, true)}
		w.expect(t, time.Hour, "", "b")
		w.states <- []*pb.ApprovalRequest{request("a", false, false)}
		w.expect(t, 0, "a", "b", "a")
		w.states <- nil
		if err := <-w.ended; err != nil || w.open != "" {
			t.Errorf("got %v, and %q is left open", err, w.open)
		}
	})
}

// A program that fails is not started again and again.
func TestPrompterPausesAfterAFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startPrompter(t.Context())
		w.states <- []*pb.ApprovalRequest{request("a"), request("b"), request("c")}
		w.expect(t, settleTime, "a", "a")
		w.answer <- errNotAsked
		w.expect(t, faultPause-time.Second, "", "a")
		w.expect(t, time.Second, "b", "a", "b")
		w.answer <- errNotAsked
		w.expect(t, faultPause-time.Second, "", "a", "b")
		w.states <- nil
		if err := <-w.ended; err != nil || w.fault != 2 {
			t.Errorf("got %v, %d faults", err, w.fault)
		}
	})
}

// Where the agent is gone, or wants no more, no question is left behind.
func TestPrompterEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		w := startPrompter(ctx)
		w.states <- []*pb.ApprovalRequest{request("a")}
		w.expect(t, settleTime, "a", "a")
		cancel()
		if err := <-w.ended; !errors.Is(err, context.Canceled) || w.open != "" || w.fault != 0 {
			t.Errorf("got %v, %q is left open, %d faults", err, w.open, w.fault)
		}
	})
}
