//go:build linux

package peercred_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/nsagent/nsagent/internal/peercred"
)

// health answers with what it sees of the caller.
type health struct {
	grpc_health_v1.UnimplementedHealthServer
}

func (health) Check(ctx context.Context, _ *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	p, ok := peercred.FromContext(ctx)
	if !ok {
		return nil, status.Error(codes.Internal, "no peer")
	}
	if err := p.Alive(); err != nil {
		return nil, status.Error(codes.Unauthenticated, err.Error())
	}
	return &grpc_health_v1.HealthCheckResponse{Status: grpc_health_v1.HealthCheckResponse_SERVING}, nil
}

// identifying is a listener that identifies peers, as the agent's does, and wraps
// each connection once more, as its preface reader does.
type identifying struct{ *net.UnixListener }

// wrapped stands for a connection type of the agent's own.
type wrapped struct{ *peercred.Conn }

func (l identifying) Accept() (net.Conn, error) {
	conn, err := l.AcceptUnix()
	if err != nil {
		return nil, err
	}
	p, err := peercred.Identify(conn)
	if err != nil {
		return nil, err
	}
	return wrapped{peercred.NewConn(conn, p)}, nil
}

// socket returns a listener in a directory of its own.
func socket(t *testing.T) *net.UnixListener {
	t.Helper()
	dir, err := os.MkdirTemp("", "pc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "s"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// own allows our own uid.
func own(uid uint32) bool { return uid == uint32(os.Geteuid()) }

// call sends one request over grpc.
func call(t *testing.T, path string, opt grpc.DialOption) error {
	t.Helper()
	cc, err := grpc.NewClient("unix:"+path, opt)
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err = grpc_health_v1.NewHealthClient(cc).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
	return err
}

func TestGRPC(t *testing.T) {
	l := socket(t)
	srv := grpc.NewServer(grpc.Creds(peercred.NewServerCredentials()))
	grpc_health_v1.RegisterHealthServer(srv, health{})
	go srv.Serve(identifying{l})
	defer srv.Stop()

	if err := call(t, l.Addr().String(), grpc.WithTransportCredentials(peercred.NewClientCredentials(own))); err != nil {
		t.Error(err)
	}
}

func TestUnidentifiedConnectionRefused(t *testing.T) {
	l := socket(t)
	srv := grpc.NewServer(grpc.Creds(peercred.NewServerCredentials()))
	grpc_health_v1.RegisterHealthServer(srv, health{})
	go srv.Serve(l) // not identifying
	defer srv.Stop()

	if err := call(t, l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials())); status.Code(err) != codes.Unavailable {
		t.Errorf("got %v, want %v", err, codes.Unavailable)
	}
	_, _, err := peercred.NewServerCredentials().ServerHandshake(&net.UnixConn{})
	if !errors.Is(err, peercred.ErrUnidentified) {
		t.Errorf("got %v, want %v", err, peercred.ErrUnidentified)
	}
}

// A server of a user that is not allowed gets not a byte.
func TestWrongServerReceivesNothing(t *testing.T) {
	l := socket(t)
	got := make(chan int, 1)
	go func() {
		n := 0
		defer func() { got <- n }()
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		data, _ := io.ReadAll(conn)
		n = len(data)
	}()

	nobody := func(uint32) bool { return false }
	err := call(t, l.Addr().String(), grpc.WithTransportCredentials(peercred.NewClientCredentials(nobody)))
	if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), peercred.ErrWrongServer.Error()) {
		t.Errorf("got %v, want %v", err, peercred.ErrWrongServer)
	}
	if n := <-got; n != 0 {
		t.Errorf("the wrong server received %d bytes, want 0", n)
	}
}

func TestCheckServer(t *testing.T) {
	l := socket(t)
	conn, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := peercred.CheckServer(conn, own); err != nil {
		t.Error(err)
	}
	if err := peercred.CheckServer(conn, nil); !errors.Is(err, peercred.ErrWrongServer) {
		t.Errorf("got %v, want %v", err, peercred.ErrWrongServer)
	}
	other, _ := net.Pipe()
	if err := peercred.CheckServer(other, own); !errors.Is(err, peercred.ErrNotUnix) {
		t.Errorf("got %v, want %v", err, peercred.ErrNotUnix)
	}
}

func TestFromContext(t *testing.T) {
	if p, ok := peercred.FromContext(t.Context()); ok {
		t.Errorf("got %v, want no peer", p)
	}
	want := new(peercred.Peer)
	if got, ok := peercred.FromContext(peercred.NewContext(t.Context(), want)); !ok || got != want {
		t.Errorf("got %v, %v, want %v", got, ok, want)
	}
}
