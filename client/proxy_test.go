package client_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nsagent/nsagent/client"
)

// proxy stands between a client and an agent, and can break connections at a
// moment that no real agent could be made to hit.
type proxy struct {
	path string
	// breaks is how many connections are to be broken as soon as the client says
	// something on them that the agent has not seen.
	breaks atomic.Int32
	// loses is what the agent says on a connection that is to be broken before the client
	// has heard it, once; nil: nothing.
	loses  atomic.Pointer[string]
	opened atomic.Int32

	mu    sync.Mutex // guards conns
	conns []net.Conn
}

func newProxy(t *testing.T, agent string) *proxy {
	t.Helper()
	dir, err := os.MkdirTemp("", "nsc")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{path: filepath.Join(dir, "s")}
	serve(t, p.path, func(near net.Conn) {
		far, err := net.Dial("unix", agent)
		if err != nil {
			t.Error(err)
			return
		}
		p.opened.Add(1)
		p.mu.Lock()
		p.conns = append(p.conns, near, far)
		p.mu.Unlock()
		go p.forward(near, far, false)
		p.forward(far, near, true)
	})
	t.Cleanup(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, c := range p.conns {
			_ = c.Close()
		}
		_ = os.RemoveAll(dir)
	})
	return p
}

// forward copies from one end to the other until either closes, or the connection
// is one to break.
func (p *proxy) forward(to, from net.Conn, requests bool) {
	defer func() { _, _ = to.Close(), from.Close() }()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if err != nil || requests && p.breaks.Load() > 0 && p.breaks.Add(-1) >= 0 {
			return
		}
		if said := p.loses.Load(); !requests && said != nil && bytes.Contains(buf[:n], []byte(*said)) && p.loses.CompareAndSwap(said, nil) {
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// TestBrokenConnection loses the connection under a request. A signature that got
// lost is asked for again, once; what changes the vault is not, since it may have
// been done.
func TestBrokenConnection(t *testing.T) {
	t.Parallel()
	agent := shared(t).agent
	p, q := newProxy(t, agent.socket()), newProxy(t, agent.adminSocket())
	c, err := client.Dial(t.Context(), client.WithSocket(p.path), client.WithProfile("acme-sb1"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	for range 20 {
		if _, err := c.Sign(t.Context(), client.Request{URL: customer}); err != nil {
			t.Fatal(err)
		}
		p.breaks.Store(1)
		if _, err := c.Sign(t.Context(), client.Request{URL: customer}); err != nil {
			t.Errorf("a connection that broke once: %v", err)
		}
	}
	if got := p.opened.Load(); got != 21 {
		t.Errorf("%d connections were opened, want 21", got)
	}
	p.breaks.Store(100)
	if _, err := c.Sign(t.Context(), client.Request{URL: customer}); !errors.Is(err, client.ErrAgent) {
		t.Errorf("connections that all break: got %v, want ErrAgent", err)
	}
	p.breaks.Store(0)
	eventually(t, inTime, func() string { // grpc may not know yet of the last ones that broke
		if _, err := c.Sign(t.Context(), client.Request{URL: customer}); err != nil {
			return fmt.Sprintf("afterwards: %v", err)
		}
		return ""
	})

	a, err := client.DialAdmin(t.Context(), client.WithSocket(q.path))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Close() }()
	eventually(t, inTime, func() string {
		q.breaks.Store(1) // which a late frame of grpc's may use up before the call
		if err := a.RemoveProfile(t.Context(), "nobody"); !errors.Is(err, client.ErrAgent) {
			return fmt.Sprintf("RemoveProfile: got %v, want ErrAgent", err)
		}
		return ""
	})
	q.breaks.Store(0)
	if err := a.RemoveProfile(t.Context(), "nobody"); !errors.Is(err, client.ErrNoProfile) {
		t.Errorf("RemoveProfile on a new connection: got %v, want ErrNoProfile", err)
	}
}

// TestSocketIsAskedForAgain loses the connection on which a socket was opened, before the
// client has heard of it. It asks again, once, and the socket that it did not hear of is gone.
func TestSocketIsAskedForAgain(t *testing.T) {
	t.Parallel()
	d := startDaemon(t)
	p := newProxy(t, d.socket())
	c, err := client.Dial(t.Context(), client.WithSocket(p.path), client.WithProfile("acme-sb1"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	path := "/g/"
	p.loses.Store(&path)
	s, err := c.OpenSocket(t.Context(), client.SocketRequest{})
	if err != nil || p.loses.Load() != nil || p.opened.Load() != 2 {
		t.Fatalf("got %v after %d connections", err, p.opened.Load())
	}
	eventually(t, inTime, func() string {
		st, err := c.Status(t.Context())
		if all := st.GetGrantSockets(); err != nil || len(all) != 1 || all[0].GetPath() != s.Opened.GetPath() {
			return fmt.Sprintf("got %v, %v, want the second alone", all, err)
		}
		return ""
	})
	if _, err := s.Close(); err != nil {
		t.Error(err)
	}
	p.breaks.Store(100)
	if _, err := c.OpenSocket(t.Context(), client.SocketRequest{}); !errors.Is(err, client.ErrAgent) {
		t.Errorf("connections that all break: got %v, want ErrAgent", err)
	}
}

// TestStreamBreaks breaks the connection of a stream: whoever waits is told, and
// nothing is asked for again.
func TestStreamBreaks(t *testing.T) {
	t.Parallel()
	p := newProxy(t, shared(t).agent.socket())
	c, err := client.Dial(t.Context(), client.WithSocket(p.path), client.WithProfile("acme-sb1"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	s := openStream(t, c)
	if _, err := s.Sign(t.Context(), client.Request{URL: customer}); err != nil {
		t.Fatal(err)
	}
	p.breaks.Store(1)
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			if _, err := s.Sign(t.Context(), client.Request{URL: customer}); !errors.Is(err, client.ErrAgent) {
				t.Errorf("got %v, want ErrAgent", err)
			}
		})
	}
	wg.Wait()
	again := openStream(t, c)
	if _, err := again.Sign(t.Context(), client.Request{URL: customer}); err != nil {
		t.Errorf("a new stream: %v", err)
	}
}
