package agent

import (
	"context"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsagent/nsagent/agent/gateway"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// gateways starts gateways in the test's own process.
type gateways struct {
	started atomic.Int32
	mu      sync.Mutex // guards last
	last    net.Conn
}

// start is a Config.Gateway.
func (g *gateways) start(context.Context) (*net.UnixConn, error) {
	ends, err := socketpair()
	if err != nil {
		return nil, err
	}
	g.started.Add(1)
	g.mu.Lock()
	g.last = ends[1]
	g.mu.Unlock()
	go func() { _ = gateway.Serve(context.Background(), ends[1], nil) }()
	return ends[0], nil
}

// exchanger is a Config.Exchanger.
func exchanger(context.Context) (*net.UnixConn, error) {
	ends, err := socketpair()
	if err != nil {
		return nil, err
	}
	go func() {
		_ = gateway.ServeOnce(context.Background(), ends[1], nil)
		_ = ends[1].Close()
	}()
	return ends[0], nil
}

func socketpair() (ends [2]*net.UnixConn, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return ends, err
	}
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "socketpair")
		c, err := net.FileConn(f)
		_ = f.Close()
		if err != nil {
			return ends, err
		}
		ends[i] = c.(*net.UnixConn)
	}
	return ends, nil
}

// kill ends the gateway from its own side.
func (g *gateways) kill() {
	g.mu.Lock()
	defer g.mu.Unlock()
	_ = g.last.Close()
}

// TestExchangers: each request has a process of its own, so many run at once and no more,
// and one that dies is a failure of that request alone.
func TestExchangers(t *testing.T) {
	const all = 3 * maxExchangers
	var running, most, started atomic.Int32
	release := make(chan struct{})
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for n := running.Add(1); n > most.Load(); {
			most.Store(n)
		}
		defer running.Add(-1)
		<-release
		body, _ := io.ReadAll(r.Body)
		_, _ = io.WriteString(w, `{"error":"`+string(body)+`"}`)
	}))
	defer s.Close()
	f := start(t, func(c *Config) {
		c.Gateway = (&gateways{}).start
		c.Exchanger = func(ctx context.Context) (*net.UnixConn, error) {
			started.Add(1)
			return exchanger(ctx)
		}
	})
	f.unlock()
	open := f.agent.session
	job := gateway.Job{
		Method: http.MethodPost, URL: s.URL, CA: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})),
		Milliseconds: 20_000, ContentType: gateway.Form, Read: gateway.ReadObject, Keep: []string{"error"},
	}
	answers := make(chan error, all)
	for range all {
		go func() {
			a, err := f.agent.network.exchange(t.Context(), open, job, gateway.Payload{Body: gateway.Plain("a")})
			if err == nil && a.Kept["error"] != "a" {
				err = errors.New("another answer: " + string(a.Failure))
			}
			answers <- err
		}()
	}
	for started.Load() < maxExchangers {
		continue
	}
	close(release)
	for range all {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
	if n := most.Load(); n > maxExchangers || started.Load() != all {
		t.Errorf("%d exchangers in all, %d at once", started.Load(), n)
	}
	f.agent.network.exchanger = func(context.Context) (*net.UnixConn, error) {
		ends, err := socketpair()
		_ = ends[1].Close()
		return ends[0], err
	}
	if a, err := f.agent.network.exchange(t.Context(), open, job, gateway.Payload{}); err != nil || a.Failure != gateway.FailedGateway {
		t.Errorf("an exchanger that dies: got %+v, %v", a, err)
	}
	f.agent.network.exchanger = nil
	if _, err := f.agent.network.exchange(t.Context(), open, job, gateway.Payload{}); !errors.Is(err, ErrNetwork) {
		t.Errorf("without exchangers: got %v", err)
	}
}

// TestGatewayThatDoesNotAnswer: who waits for a process that hangs is told that there was no
// answer in time, and is no fault of the agent's; so is one that went away.
func TestGatewayThatDoesNotAnswer(t *testing.T) {
	g := &takenOver{answer: func(net.Conn, uint32, gateway.Job) {}}
	f := start(t, func(c *Config) { c.Gateway = g.start })
	job := gateway.Job{Method: http.MethodGet, URL: "https://127.0.0.1", Milliseconds: 20_000, Read: gateway.ReadText}
	ctx, cancel := context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	if a, err := f.agent.network.do(ctx, job, gateway.Payload{}); err != nil || a.Failure != gateway.FailedTime {
		t.Errorf("with its time over: got %+v, %v", a, err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	if _, err := f.agent.network.do(ctx, job, gateway.Payload{}); refusalOf(err).Code != pb.CodeNetwork {
		t.Errorf("one that went away: got %v", err)
	}
}
