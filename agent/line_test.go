package agent

import (
	"context"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/nsagent/nsagent/agent/gateway"
	"github.com/nsagent/nsagent/vault"
)

// lineWorld is an unlocked agent before a server that holds each request until it is let go.
type lineWorld struct {
	*fixture
	gateways gateways
	job      gateway.Job
	arrived  chan string   // bodies
	letGo    chan struct{} // closed at the end of the test
}

func startLine(t *testing.T, change func(*Config)) *lineWorld {
	t.Helper()
	w := &lineWorld{arrived: make(chan string, 64), letGo: make(chan struct{})}
	s := httptest.NewTLSServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.arrived <- string(body)
		<-w.letGo
		_, _ = io.WriteString(out, `{"error":"`+string(body)+`"}`)
	}))
	t.Cleanup(s.Close)
	w.job = gateway.Job{
		Method: http.MethodPost, URL: s.URL, CA: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})),
		Milliseconds: 20_000, ContentType: gateway.Form, Read: gateway.ReadObject, Keep: []string{"error"},
	}
	w.fixture = start(t, func(c *Config) {
		c.Gateway, c.Exchanger = w.gateways.start, exchanger
		change(c)
	})
	w.unlock()
	return w
}

// came is an answer, or why there is none.
type came struct {
	answer gateway.Answer
	err    error
}

type way func(context.Context, *session, gateway.Job, gateway.Payload) (gateway.Answer, error)

// ask has a request made in the background.
func (w *lineWorld) ask(ctx context.Context, by way, body string) <-chan came {
	s, out := w.agent.session, make(chan came, 1)
	go func() {
		a, err := by(ctx, s, w.job, gateway.Payload{Body: gateway.Plain(body)})
		out <- came{a, err}
	}()
	return out
}

func (w *lineWorld) lock() {
	w.t.Helper()
	if err := w.admin.Lock(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// TestLockEndsWhatIsUnderWay guards E-02: a lock ends requests that hang at NetSuite, by the
// gateway and by exchangers, and those that wait for an exchanger; and the processes with
// them. What comes after the next unlock goes on.
func TestLockEndsWhatIsUnderWay(t *testing.T) {
	w := startLine(t, func(*Config) {})
	defer close(w.letGo)
	n := &w.agent.network
	all := []<-chan came{w.ask(t.Context(), n.doFor, "gateway")}
	for range maxExchangers {
		all = append(all, w.ask(t.Context(), n.exchange, "exchanger"))
	}
	for range all {
		<-w.arrived
	}
	n.mu.Lock()
	gone := n.conn.Done()
	n.mu.Unlock()
	all = append(all, w.ask(t.Context(), n.exchange, "waits"))
	w.lock()
	for _, o := range all {
		if got := <-o; !errors.Is(got.err, vault.ErrLocked) {
			t.Errorf("got %+v, %v", got.answer, got.err)
		}
	}
	<-gone
	w.unlock()
	after := w.ask(t.Context(), n.exchange, "after")
	if body := <-w.arrived; body != "after" {
		t.Errorf("sent in between: %s", body)
	}
	w.lock()
	<-after
}

// TestNothingIsSentAfterLock guards M-03: what was decided on before a lock, and whose
// process is there only after it, is not sent, not even once the vault is open again.
func TestNothingIsSentAfterLock(t *testing.T) {
	var slow atomic.Bool // the next start waits for proceed
	var starting, proceed chan struct{}
	late := func(start launch) launch {
		return func(ctx context.Context) (*net.UnixConn, error) {
			if slow.CompareAndSwap(true, false) {
				close(starting)
				<-proceed
			}
			return start(context.WithoutCancel(ctx))
		}
	}
	w := startLine(t, func(c *Config) { c.Gateway, c.Exchanger = late(c.Gateway), late(c.Exchanger) })
	close(w.letGo)
	n := &w.agent.network
	for _, by := range []way{n.doFor, n.exchange} {
		starting, proceed = make(chan struct{}), make(chan struct{})
		slow.Store(true)
		before := w.agent.session
		o := w.ask(t.Context(), by, "before the lock")
		<-starting
		w.lock()
		w.unlock()
		close(proceed)
		if got := <-o; !errors.Is(got.err, vault.ErrLocked) {
			t.Errorf("got %+v, %v", got.answer, got.err)
		}
		if _, err := by(t.Context(), before, w.job, gateway.Payload{Body: gateway.Plain("of the session before")}); !errors.Is(err, vault.ErrLocked) {
			t.Errorf("of the session before: got %v", err)
		}
		if got := <-w.ask(t.Context(), by, "control"); got.err != nil || got.answer.Kept["error"] != "control" {
			t.Errorf("control: got %+v, %v", got.answer, got.err)
		}
		if body := <-w.arrived; body != "control" {
			t.Errorf("sent: %s", body)
		}
	}
}

// TestAnswerOutlivesItsCaller: whoever waits for an exchanger may give up, and nothing is
// sent then; what was sent is good once, and its answer comes whoever has given up.
func TestAnswerOutlivesItsCaller(t *testing.T) {
	w := startLine(t, func(*Config) {})
	n := &w.agent.network
	ctx, giveUp := context.WithCancel(t.Context())
	var sent []<-chan came
	for range maxExchangers {
		sent = append(sent, w.ask(ctx, n.exchange, "sent"))
	}
	for range sent {
		<-w.arrived
	}
	waiting := w.ask(ctx, n.exchange, "waits")
	giveUp()
	if got := <-waiting; !errors.Is(got.err, ErrBusy) || !errors.Is(got.err, context.Canceled) {
		t.Errorf("one that waits: got %+v, %v", got.answer, got.err)
	}
	close(w.letGo)
	for _, o := range sent {
		if got := <-o; got.err != nil || got.answer.Kept["error"] != "sent" {
			t.Errorf("one that was sent: got %+v, %v", got.answer, got.err)
		}
	}
	select {
	case body := <-w.arrived:
		t.Errorf("sent too: %s", body)
	default:
	}
}
