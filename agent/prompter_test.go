package agent

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// prompters are processes that would ask somebody.
type prompters struct {
	started chan *net.UnixConn // their ends
	fails   bool

	mu  sync.Mutex // guards log
	log bytes.Buffer
}

func (p *prompters) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.Write(b)
}

func (p *prompters) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

func (p *prompters) start(context.Context) (*net.UnixConn, error) {
	ends, err := socketpair()
	if err != nil {
		return nil, err
	}
	p.started <- ends[1]
	if p.fails {
		_ = ends[0].Close()
		return nil, errors.New("no such program")
	}
	return ends[0], nil
}

func startPrompted(t *testing.T, fails bool) (*fixture, *prompters) {
	p := &prompters{started: make(chan *net.UnixConn, 16), fails: fails}
	f := startAsking(t, func(c *Config) { c.Prompter, c.Log = p.start, slog.New(slog.NewTextHandler(p, nil)) })
	return f, p
}

// none fails if another process is started within a moment.
func (p *prompters) none(t *testing.T) {
	t.Helper()
	select {
	case <-p.started:
		t.Error("another one is started")
	case <-time.After(200 * time.Millisecond):
	}
}

// TestPrompter: while somebody waits there is one process that asks, for all of them, and
// what it says is in the log of the agent; it is told by the end of its connection to end.
func TestPrompter(t *testing.T) {
	f, p := startPrompted(t, false)
	p.none(t)
	first, second := f.signs(answered(t), writing(1)), f.signs(answered(t), writing(2))
	conn := <-p.started
	all := f.waiting(2, 2)
	p.none(t)
	_, _ = io.WriteString(conn, "no screen\n"+strings.Repeat("x", 1<<20))
	for _, r := range all {
		if err := f.approve(r.GetId(), "once"); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(<-first, <-second); err != nil {
		t.Fatal(err)
	}
	_ = conn.Close() // it has nothing more to ask
	third := f.signs(answered(t), writing(3))
	conn = <-p.started // at once
	if said := p.said(); !strings.Contains(said, `error="no screen"`) || len(said) > 8<<10 {
		t.Errorf("%d bytes were logged: %.300q", len(said), said)
	}
	if err := f.admin.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-third
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("a process of an agent that ended: got %v", err)
	}
}

// TestPrompterFails: one that cannot be started, or ends while somebody waits, is not
// started again and again, and the request is approved as if there were none.
func TestPrompterFails(t *testing.T) {
	for _, fails := range []bool{true, false} {
		f, p := startPrompted(t, fails)
		done := f.signs(answered(t), writing(1))
		_ = (<-p.started).Close()
		r := f.waiting(1, 1)[0]
		p.none(t)
		if err := f.approve(r.GetId(), "once"); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
