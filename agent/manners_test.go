package agent

import (
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/rawhttp2"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// openCalls sends the headers of calls number first, first+1, … and no message.
func (w wire) openCalls(t *testing.T, first, n uint32) {
	t.Helper()
	for i := first; i < first+n; i++ {
		w.send(t, rawhttp2.Frame(rawhttp2.FrameHeaders, rawhttp2.FlagEndHeaders, 2*i+1, rawhttp2.CallHeaders(pb.Signer_Sign_FullMethodName)))
	}
}

// TestOthersAreServedBesideHalfCalls guards P10: where callers that never send their
// message have used up what the agent keeps for such calls, everybody else is served
// as before, on connections old and new.
func TestOthersAreServedBesideHalfCalls(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	base := f.countGoroutines()
	var attackers []wire
	for range maxAwaited/maxStreams + 4 {
		w := http2Dial(t, f.paths.Agent)
		go func() { _, _ = io.Copy(io.Discard, w) }()
		w.openCalls(t, 0, maxStreams)
		attackers = append(attackers, w)
	}
	eventually(t, handshakeTime/2, func() string {
		if f.agent.awaited.Load() < maxAwaited {
			return "the limit is not reached"
		}
		return ""
	})
	for range 20 {
		f.sign("acme")
		c := f.dial()
		if _, err := c.Sign(t.Context(), client.Request{URL: sandboxURL}); err != nil {
			t.Errorf("a new connection: %v", err)
		}
		_ = c.Close()
	}
	if n := f.agent.awaited.Load(); n < maxAwaited/2 {
		t.Errorf("control: only %d calls are waiting", n)
	}
	for _, w := range attackers {
		_ = w.Close()
	}
	base.back()
	eventually(t, inTime, func() string {
		if f.agent.awaited.Load() != 0 {
			return "calls are still awaited"
		}
		return ""
	})
}

// TestWhoAbandonsCallsIsCutOff guards P10: a connection that opens calls and gives
// them up, again and again, is closed; one that does so among proper calls is not.
func TestWhoAbandonsCallsIsCutOff(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	base := f.countGoroutines()
	w := http2Dial(t, f.paths.Agent)
	closed := make(chan struct{})
	go func() { defer close(closed); _, _ = io.Copy(io.Discard, w) }()
	cancel := []byte{0, 0, 0, 8}
	for i := range uint32(4 * maxAbandoned) {
		b := rawhttp2.Frame(rawhttp2.FrameHeaders, rawhttp2.FlagEndHeaders, 2*i+1, rawhttp2.CallHeaders(pb.Signer_Sign_FullMethodName))
		if _, err := w.Write(append(b, rawhttp2.Frame(rawhttp2.FrameReset, 0, 2*i+1, cancel)...)); err != nil {
			break
		}
	}
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
		t.Error("the connection is still open")
	}
	_ = w.Close()
	base.back()

	var m manners
	for range 10 * maxAbandoned {
		if m.abandon() {
			t.Fatal("who makes a proper call for each that is given up is cut off")
		}
		m.proper()
	}
}

// TestPace: what is spent beyond the free part is waited for, by all who spend
// together, and rest gives no more than the free part back.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const cost = 10 * time.Millisecond
		p := &pace{free: 10 * cost}
		spend := func(n int) time.Duration {
			begin := time.Now()
			var group sync.WaitGroup
			for range n {
				group.Go(func() { p.spend(cost) })
			}
			group.Wait()
			return time.Since(begin)
		}
		for range 2 {
			if took := spend(10); took != 0 {
				t.Errorf("the free part: took %s, want nothing", took)
			}
			if took := spend(30); took != 30*cost {
				t.Errorf("beyond it: took %s, want %s", took, 30*cost)
			}
			time.Sleep(time.Hour)
		}
	})
}
