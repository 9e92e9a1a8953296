package client_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nsagent/nsagent/client"
)

func openStream(t *testing.T, c *client.Client) *client.Stream {
	t.Helper()
	s, err := c.Stream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// TestStreamRefusals mixes good requests with all kinds of bad ones: each gets its
// own answer, and the stream goes on.
func TestStreamRefusals(t *testing.T) {
	t.Parallel()
	s := openStream(t, shared(t).agent.dial(t))
	bad := []struct {
		request client.Request
		want    error
	}{
		{client.Request{URL: "https://7654321.suitetalk.api.netsuite.com/"}, client.ErrHost},
		{client.Request{Profile: "nope", URL: customer}, client.ErrNoProfile},
		{client.Request{URL: "\xff"}, client.ErrURL},
		{client.Request{Profile: "\xff", URL: customer}, client.ErrNoProfile},
		{client.Request{URL: customer + "?" + strings.Repeat("x", 300_000)}, client.ErrRequest},
		{client.Request{Method: "POST", URL: customer, ContentType: "application/x-www-form-urlencoded", Body: make([]byte, 300_000)}, client.ErrRequest},
		{client.Request{Method: "POST", URL: customer, ContentType: "application/x-www-form-urlencoded", Body: []byte("%")}, client.ErrRequest},
		{client.Request{Profile: "acme-prod", Method: "PUT", URL: "https://1234567.suitetalk.api.netsuite.com/"}, client.ErrReadOnly},
	}
	var nonces sync.Map
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			for n := range 20 {
				b := bad[(i+n)%len(bad)]
				if _, err := s.Sign(t.Context(), b.request); !errors.Is(err, b.want) {
					t.Errorf("%.80v: got %v, want %v", b.request, err, b.want)
				}
				url := fmt.Sprintf("%s?goroutine=%d&n=%d", customer, i, n)
				r, err := s.Sign(t.Context(), client.Request{URL: url})
				if err != nil || r.GetUrl() != url {
					t.Errorf("got %v, %v for %s", r, err, url)
					return
				}
				if _, again := nonces.LoadOrStore(r.GetNonce(), true); again {
					t.Errorf("the nonce %s came twice", r.GetNonce())
				}
			}
		})
	}
	wg.Wait()
}

// TestStreamAgentDies kills the agent under a stream: everybody who waits is told
// at once, and so is who comes later. A new stream works when the agent is back.
func TestStreamAgentDies(t *testing.T) {
	t.Parallel()
	d := startDaemon(t)
	c := d.dial(t)
	s := openStream(t, c)
	if _, err := s.Sign(t.Context(), client.Request{URL: customer}); err != nil {
		t.Fatal(err)
	}
	waiting := hold(t, d, s, 64)
	d.kill(t)
	for range cap(waiting) {
		select {
		case err := <-waiting:
			if !errors.Is(err, client.ErrAgent) {
				t.Errorf("got %v, want ErrAgent", err)
			}
		case <-time.After(inTime):
			t.Fatal("somebody still waits")
		}
	}
	if _, err := s.Sign(t.Context(), client.Request{URL: customer}); !errors.Is(err, client.ErrAgent) {
		t.Errorf("afterwards: got %v, want ErrAgent", err)
	}
	if _, err := c.Stream(t.Context()); !errors.Is(err, client.ErrAgent) {
		t.Errorf("a new stream while it is down: got %v, want ErrAgent", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := s.Sign(t.Context(), client.Request{URL: customer}); !errors.Is(err, client.ErrClosed) {
		t.Errorf("after Close: got %v, want ErrClosed", err)
	}
	d.mustStart(t)
	d.mustUnlock(t)
	again := openStream(t, c)
	if _, err := again.Sign(t.Context(), client.Request{URL: customer}); err != nil {
		t.Errorf("a new stream: %v", err)
	}
}

// hold makes n goroutines wait for an answer that does not come, since the agent
// is stopped. Their errors come through the channel.
func hold(t *testing.T, d *daemon, s *client.Stream, n int) <-chan error {
	t.Helper()
	d.hang(t)
	out := make(chan error, n)
	var begun sync.WaitGroup
	for range n {
		begun.Add(1)
		go func() {
			begun.Done()
			_, err := s.Sign(t.Context(), client.Request{URL: customer})
			out <- err
		}()
	}
	begun.Wait()
	return out
}

// TestStreamClose closes a stream under requests in flight.
func TestStreamClose(t *testing.T) {
	t.Parallel()
	d := startDaemon(t)
	s := openStream(t, d.dial(t))
	waiting := hold(t, d, s, 64)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for range cap(waiting) {
		if err := <-waiting; !errors.Is(err, client.ErrClosed) {
			t.Errorf("got %v, want ErrClosed", err)
		}
	}
}

// TestStreamContexts ends what a stream was opened with, and what one request was
// made with: the first ends all, the second only its own.
func TestStreamContexts(t *testing.T) {
	t.Parallel()
	d := startDaemon(t)
	c := d.dial(t)
	s := openStream(t, c)

	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Sign(gone, client.Request{URL: customer}); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that is over: got %v, want Canceled", err)
	}
	if _, err := c.Stream(gone); !errors.Is(err, context.Canceled) {
		t.Errorf("a stream with a context that is over: got %v, want Canceled", err)
	}
	goOn := d.hang(t)
	// More than flow control lets through: some wait to send, others for an answer.
	form := client.Request{Method: "POST", URL: customer, ContentType: "application/x-www-form-urlencoded", Body: make([]byte, 100<<10)}
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	var wg sync.WaitGroup
	begin := time.Now()
	for range 256 {
		wg.Go(func() {
			if _, err := s.Sign(short, form); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v, want DeadlineExceeded", err)
			}
		})
	}
	wg.Wait()
	if took := time.Since(begin); took > inTime {
		t.Errorf("a deadline of 100ms took %s", took)
	}
	goOn()
	if _, err := s.Sign(t.Context(), client.Request{URL: customer}); err != nil {
		t.Errorf("once the agent goes on: %v", err)
	}

	ends := func(ctx context.Context, end func(), want error) {
		s, err := c.Stream(ctx)
		if err != nil {
			t.Fatal(err)
		}
		end()
		eventually(t, inTime, func() string {
			_, err := s.Sign(t.Context(), client.Request{URL: customer})
			if errors.Is(err, want) && !errors.Is(err, client.ErrClosed) {
				return ""
			}
			return fmt.Sprintf("got %v, want %v", err, want)
		})
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	ends(ctx, cancel, context.Canceled)
	ctx, cancel = context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	ends(ctx, func() {}, context.DeadlineExceeded)
}

// TestStreamSharesNothing changes bodies after Sign gave up on them, while the
// stream may still have to send them: the race detector sees it if it reads them.
func TestStreamSharesNothing(t *testing.T) {
	t.Parallel()
	d := startDaemon(t)
	s := openStream(t, d.dial(t))
	goOn := d.hang(t)
	bodies := make([][]byte, 16)
	var wg sync.WaitGroup
	for i := range bodies {
		bodies[i] = make([]byte, 100<<10)
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			_, _ = s.Sign(ctx, client.Request{Method: "POST", URL: customer, ContentType: "application/x-www-form-urlencoded", Body: bodies[i]})
		})
	}
	wg.Wait()
	goOn()
	// Without a lock or a channel, which would put things in order.
	for begin := time.Now(); time.Since(begin) < 200*time.Millisecond; {
		for _, b := range bodies {
			for i := range b { // the race detector does not see what clear writes
				b[i] = 'x'
			}
		}
	}
	// Once this is answered, all that was queued has left.
	if _, err := s.Sign(t.Context(), client.Request{URL: customer}); err != nil {
		t.Error(err)
	}
}

func BenchmarkSign(b *testing.B) {
	c := shared(b).agent.dial(b)
	benchmark(b, c.Sign)
}

func BenchmarkStream(b *testing.B) {
	c := shared(b).agent.dial(b)
	s, err := c.Stream(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	benchmark(b, s.Sign)
}

// benchmark signs with 64 in flight.
func benchmark[R any](b *testing.B, sign func(context.Context, client.Request) (R, error)) {
	b.ReportAllocs()
	b.SetParallelism(32)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if _, err := sign(b.Context(), client.Request{URL: customer}); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
