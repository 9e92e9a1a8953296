package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/needs"
)

// load signs from many goroutines until it is told to stop. It keeps account: each
// call has one answer, that to its own request, and no two have the same.
type load struct {
	ok     atomic.Int64
	turns  []atomic.Int64 // calls that ended, by caller
	failed sync.Map       // error text -> error
	stop   func()
}

func putLoad(t *testing.T, c *client.Client, callers int) *load {
	t.Helper()
	l := &load{turns: make([]atomic.Int64, callers)}
	done := make(chan struct{})
	var nonces sync.Map
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				default:
				}
				url := fmt.Sprintf("%s?caller=%d&n=%d", customer, i, n)
				r, err := c.Sign(t.Context(), client.Request{URL: url})
				l.turns[i].Add(1)
				if err != nil {
					l.failed.Store(err.Error(), err)
					time.Sleep(time.Millisecond) // or an agent that is down gives us all the time
					continue
				}
				if r.GetUrl() != url {
					t.Errorf("got an answer for %s to %s", r.GetUrl(), url)
				}
				if _, again := nonces.LoadOrStore(r.GetNonce(), true); again {
					t.Errorf("the nonce %s came twice", r.GetNonce())
				}
				l.ok.Add(1)
			}
		})
	}
	l.stop = sync.OnceFunc(func() {
		close(done)
		wg.Wait()
	})
	t.Cleanup(l.stop)
	return l
}

// awaitTurn waits until no call is left of those under way.
func (l *load) awaitTurn(t *testing.T) {
	t.Helper()
	before := make([]int64, len(l.turns))
	for i := range l.turns {
		before[i] = l.turns[i].Load()
	}
	eventually(t, 30*time.Second, func() string {
		for i := range l.turns {
			if l.turns[i].Load() == before[i] {
				return fmt.Sprintf("caller %d waits", i)
			}
		}
		return ""
	})
}

// streaming waits until Sign goes over a stream.
func streaming(t *testing.T, c *client.Client, want bool) {
	t.Helper()
	eventually(t, 30*time.Second, func() string {
		if got := c.Streams(); got != want {
			return fmt.Sprintf("Sign goes over a stream: %v, want %v", got, want)
		}
		return ""
	})
}

// wantOnly fails where a call had an error that is none of these.
func (l *load) wantOnly(t *testing.T, allowed ...error) {
	t.Helper()
	l.failed.Range(func(_, v any) bool {
		err := v.(error)
		for _, a := range allowed {
			if errors.Is(err, a) {
				return true
			}
		}
		t.Errorf("got %v, want one of %v", err, allowed)
		return true
	})
}

// TestSignStreamsUnderLoad: one caller is served call by call, many over a stream,
// and the stream goes once they have gone.
func TestSignStreamsUnderLoad(t *testing.T) {
	t.Parallel()
	c := shared(t).agent.dial(t)
	for range 200 {
		if _, err := c.Sign(t.Context(), client.Request{URL: customer}); err != nil {
			t.Fatal(err)
		}
		if c.Streams() {
			t.Fatal("a stream for a single caller")
		}
	}
	for range 2 {
		l := putLoad(t, c, 32)
		streaming(t, c, true)
		before := l.ok.Load()
		eventually(t, 30*time.Second, func() string {
			if n := l.ok.Load() - before; n < 1000 {
				return fmt.Sprintf("%d signatures over the stream", n)
			}
			return ""
		})
		l.stop()
		l.wantOnly(t)
		streaming(t, c, false)
	}
}

// TestSignFewerCallers goes from many callers to one without a pause: the stream
// is taken back under calls in flight, and none of them notices.
func TestSignFewerCallers(t *testing.T) {
	t.Parallel()
	c := shared(t).agent.dial(t)
	one := putLoad(t, c, 1)
	many := putLoad(t, c, 31)
	streaming(t, c, true)
	many.stop()
	streaming(t, c, false)
	one.stop()
	one.wantOnly(t)
	many.wantOnly(t)
}

// TestSignStreamAgentDies kills the agent under the stream and starts it again, on
// a socket that was removed and made anew. Calls fail while it is down or locked;
// then they go on, over a stream again.
func TestSignStreamAgentDies(t *testing.T) {
	t.Parallel()
	d := startDaemon(t)
	c := d.dial(t)
	l := putLoad(t, c, 32)
	for range 2 {
		streaming(t, c, true)
		d.kill(t)
		if err := os.Remove(d.socket()); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		d.mustStart(t)
		d.mustUnlock(t)
		before := l.ok.Load()
		eventually(t, 30*time.Second, func() string {
			if l.ok.Load() < before+500 {
				return "no signatures after the restart"
			}
			return ""
		})
		streaming(t, c, true)
	}
	l.stop()
	l.wantOnly(t, client.ErrAgent, client.ErrLocked)
}

// TestSignStreamBreaks breaks the connection under the stream, while the agent
// lives: nobody learns of it.
func TestSignStreamBreaks(t *testing.T) {
	t.Parallel()
	p := newProxy(t, shared(t).agent.socket())
	c, err := client.Dial(t.Context(), client.WithSocket(p.path), client.WithProfile("acme-sb1"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	l := putLoad(t, c, 32)
	for range 3 {
		streaming(t, c, true)
		l.awaitTurn(t) // a call that loses two connections is told
		opened := p.opened.Load()
		p.breaks.Store(1)
		eventually(t, 30*time.Second, func() string {
			if p.opened.Load() == opened {
				return "no new connection"
			}
			return ""
		})
	}
	streaming(t, c, true)
	l.stop()
	l.wantOnly(t)
}

// TestSignStreamContexts stops the agent under the stream: each call ends with its
// own context, and who has none goes on with the agent.
func TestSignStreamContexts(t *testing.T) {
	t.Parallel()
	d := startDaemon(t)
	c := d.dial(t)
	l := putLoad(t, c, 32)
	streaming(t, c, true)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Sign(gone, client.Request{URL: customer}); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that is over: got %v, want Canceled", err)
	}
	goOn := d.hang(t)
	form := client.Request{Method: "POST", URL: customer, ContentType: "application/x-www-form-urlencoded", Body: make([]byte, 100<<10)}
	begin := time.Now()
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			ctx, cancel, want := t.Context(), context.CancelFunc(nil), context.DeadlineExceeded
			if i%2 == 0 {
				ctx, cancel = context.WithTimeout(ctx, 100*time.Millisecond)
			} else {
				ctx, cancel = context.WithCancel(ctx)
				time.AfterFunc(100*time.Millisecond, cancel)
				want = context.Canceled
			}
			defer cancel()
			if _, err := c.Sign(ctx, form); !errors.Is(err, want) {
				t.Errorf("got %v, want %v", err, want)
			}
		})
	}
	wg.Wait()
	if took := time.Since(begin); took > inTime {
		t.Errorf("what ends after 100ms took %s", took)
	}
	goOn()
	l.stop()
	l.wantOnly(t)
}

// TestSignStreamClosed closes the client under the stream.
func TestSignStreamClosed(t *testing.T) {
	t.Parallel()
	c := shared(t).agent.dial(t)
	l := putLoad(t, c, 32)
	streaming(t, c, true)
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := c.Sign(t.Context(), client.Request{URL: customer}); !errors.Is(err, client.ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
	l.stop()
	l.wantOnly(t, client.ErrClosed)
	streaming(t, c, false)
}

// TestSignStreamRefusals: a refusal over the stream has the same code and the same
// words as one by a call of its own.
func TestSignStreamRefusals(t *testing.T) {
	t.Parallel()
	agent := shared(t).agent
	alone, c := agent.dial(t), agent.dial(t)
	l := putLoad(t, c, 16)
	streaming(t, c, true)
	for _, r := range []client.Request{
		{URL: "https://example.com/"},
		{Profile: "nope", URL: customer},
		{Profile: "\xff", URL: customer},
		{URL: "http://1234567-sb1.suitetalk.api.netsuite.com/"},
		{URL: customer + "?" + strings.Repeat("x", 300_000)},
		{Method: "POST", URL: customer, ContentType: "application/x-www-form-urlencoded", Body: []byte("%")},
		{Method: "POST", URL: customer, ContentType: "application/x-www-form-urlencoded", Body: make([]byte, 300_000)},
		{Profile: "acme-prod", Method: "PUT", URL: "https://1234567.suitetalk.api.netsuite.com/"},
		{Profile: "acme-sb1-m2m", URL: customer},
	} {
		_, want := alone.Sign(t.Context(), r)
		_, got := c.Sign(t.Context(), r)
		var w, g *client.Error
		if !errors.As(want, &w) || !errors.As(got, &g) || w.Code != g.Code || w.Message != g.Message || w.Why != g.Why || w.Next != g.Next {
			t.Errorf("%.80v: got %v, want %v", r, got, want)
		}
	}
	if !c.Streams() {
		t.Error("the refusals ended the stream")
	}
	l.stop()
	l.wantOnly(t)
}

// TestReconnectChecksAnew puts a socket of another user in the place of an agent
// that is gone: it is not even connected to. Once the agent is back, on a socket
// made anew, the same client goes on.
func TestReconnectChecksAnew(t *testing.T) {
	needs.Root(t, "gives a socket to another user")
	t.Parallel()
	d := startDaemon(t)
	c := d.dial(t)
	sign := func() error {
		_, err := c.Sign(t.Context(), client.Request{URL: customer})
		return err
	}
	if err := sign(); err != nil {
		t.Fatal(err)
	}
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	_ = os.Remove(d.socket())
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: d.socket(), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	var bytes atomic.Int64
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			n, _ := io.Copy(io.Discard, conn)
			bytes.Add(n)
			_ = conn.Close()
		}
	}()
	const other = 65534
	if err := os.Chown(d.socket(), other, other); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := sign(); !errors.Is(err, client.ErrAgent) || !strings.Contains(err.Error(), "uid 65534") {
			t.Errorf("got %v, want ErrAgent with the uid", err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if n := bytes.Load(); n != 0 {
		t.Errorf("it was sent %d bytes", n)
	}
	d.mustStart(t)
	d.mustUnlock(t)
	if err := sign(); err != nil {
		t.Errorf("when the agent is back: %v", err)
	}
}
