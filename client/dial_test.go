package client_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/needs"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// TestDialPaths dials what is no agent: each has its own sentence, none hangs, and
// nothing that is not trusted gets a byte.
func TestDialPaths(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "nsc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := os.WriteFile(at("file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	live := shared(t).agent.socket()
	if err := os.Symlink(live, at("link")); err != nil {
		t.Fatal(err)
	}
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: at("dead"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	_ = dead.Close()
	serve(t, at("closes"), func(c net.Conn) {})
	serve(t, at("talks"), func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n") })
	serve(t, at("silent"), func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })

	for _, test := range []struct {
		path string
		want error
		says string
	}{
		{at("none"), client.ErrAgent, "there is no socket at"},
		{at("file"), client.ErrAgent, "not a socket"},
		{at("link"), client.ErrAgent, "symbolic link"},
		{at("dead"), client.ErrAgent, "nobody listens at"},
		{at("closes"), client.ErrAgent, "does not answer"},
		{at("talks"), client.ErrAgent, "does not answer"},
		{at("silent"), client.ErrAgent, "does not answer"},
		{at(strings.Repeat("x", 120)), &client.Error{Code: pb.CodeSocket}, "too long"},
	} {
		t.Run(filepath.Base(test.path)[:4], func(t *testing.T) {
			t.Parallel()
			begin := time.Now()
			c, err := client.Dial(t.Context(), client.WithSocket(test.path))
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, %v, want %v that says %q", c, err, test.want, test.says)
			}
			if took := time.Since(begin); took > client.AnswerTime+inTime {
				t.Errorf("it took %s", took)
			}
		})
	}
}

// serve answers every connection on a socket with f.
func serve(t *testing.T, path string, f func(net.Conn)) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				f(c)
				_ = c.Close()
			}()
		}
	}()
}

// TestDialForeignSocket gives the path to another user: it is not even connected
// to, unless that user is trusted.
func TestDialForeignSocket(t *testing.T) {
	needs.Root(t, "gives a socket to another user")
	t.Parallel()
	dir, err := os.MkdirTemp("", "nsc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	connected := make(chan struct{}, 16)
	serve(t, path, func(net.Conn) { connected <- struct{}{} })
	const other = 65534
	if err := os.Chown(path, other, other); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Dial(t.Context(), client.WithSocket(path)); !errors.Is(err, client.ErrAgent) || !strings.Contains(err.Error(), "uid 65534") {
		t.Errorf("got %v, want ErrAgent with the uid", err)
	}
	select {
	case <-connected:
		t.Error("it was connected to")
	default:
	}
	if _, err := client.Dial(t.Context(), client.WithSocket(path), client.WithServerUID(other)); !errors.Is(err, client.ErrAgent) || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("trusted: got %v, want ErrAgent of one that does not answer", err)
	}
}

// TestDialForeignServer connects to a path that is ours, behind which a process of
// another user listens. It gets not a byte.
func TestDialForeignServer(t *testing.T) {
	needs.Root(t, "runs a server as another user")
	t.Parallel()
	dir, err := os.MkdirTemp("", "nsc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	const other = 65534
	server := exec.Command("/usr/bin/python3", "-c", `
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen()
print("ready", flush=True)
print("received", s.accept()[0].recv(100), flush=True)
`, path)
	server.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: other, Gid: other}, Pdeathsig: syscall.SIGKILL}
	stdout, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chown(dir, other, other), server.Start()); err != nil {
		t.Fatal(err)
	}
	said := bufio.NewReader(stdout)
	if line, err := said.ReadString('\n'); line != "ready\n" {
		t.Fatalf("the server said %q, %v", line, err)
	}
	if err := errors.Join(os.Chown(path, 0, 0), os.Chown(dir, 0, 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Dial(t.Context(), client.WithSocket(path)); !errors.Is(err, client.ErrAgent) || !strings.Contains(err.Error(), "not to be trusted") {
		t.Errorf("got %v, want ErrAgent of one that is not to be trusted", err)
	}
	if line, err := said.ReadString('\n'); line != "received b''\n" {
		t.Errorf("the server said %q, %v", line, err)
	}
	if err := server.Wait(); err != nil {
		t.Error(err)
	}
}

// TestDialEnvironment goes by the environment, as a program does that says nothing.
func TestDialEnvironment(t *testing.T) {
	agent := shared(t).agent
	for _, test := range []struct {
		name string
		env  map[string]string
		opts []client.Option
		want error
	}{
		{"NSAGENT_SOCK", map[string]string{"NSAGENT_SOCK": agent.socket()}, nil, nil},
		{"NSAGENT_SOCK without HOME", map[string]string{"NSAGENT_SOCK": agent.socket(), "HOME": ""}, nil, nil},
		{"XDG_RUNTIME_DIR", map[string]string{"XDG_RUNTIME_DIR": filepath.Join(agent.home, "run")}, nil, nil},
		{"XDG_RUNTIME_DIR without HOME", map[string]string{"XDG_RUNTIME_DIR": filepath.Join(agent.home, "run"), "HOME": ""}, nil, nil},
		{"option over environment", map[string]string{"NSAGENT_SOCK": "/nowhere/s", "HOME": ""}, []client.Option{client.WithSocket(agent.socket())}, nil},
		{"empty option", map[string]string{"NSAGENT_SOCK": agent.socket()}, []client.Option{client.WithSocket("")}, nil},
		{"a server that is trusted too", map[string]string{"NSAGENT_SOCK": agent.socket(), "NSAGENT_SOCK_UID": "12"}, nil, nil},
		{"nothing", map[string]string{"HOME": ""}, nil, &client.Error{Code: pb.CodeUsage}},
		{"relative NSAGENT_SOCK", map[string]string{"NSAGENT_SOCK": "agent.sock"}, nil, &client.Error{Code: pb.CodeSocket}},
		{"no user ID", map[string]string{"NSAGENT_SOCK": agent.socket(), "NSAGENT_SOCK_UID": "me"}, nil, &client.Error{Code: pb.CodeUsage}},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, name := range []string{"NSAGENT_SOCK", "XDG_RUNTIME_DIR", "NSAGENT_SOCK_UID"} {
				t.Setenv(name, test.env[name])
			}
			if home, ok := test.env["HOME"]; ok {
				t.Setenv("HOME", home)
			}
			t.Setenv("NSAGENT_PROFILE", "acme-prod")
			c, err := client.Dial(t.Context(), test.opts...)
			if !errors.Is(err, test.want) {
				t.Fatalf("got %v, want %v", err, test.want)
			}
			if err != nil {
				return
			}
			defer func() { _ = c.Close() }()
			r, err := c.Sign(t.Context(), client.Request{URL: "https://1234567.suitetalk.api.netsuite.com/"})
			if err != nil || r.GetProfile() != "acme-prod" {
				t.Errorf("got %v, %v, want the profile of NSAGENT_PROFILE", r, err)
			}
			a, err := client.DialAdmin(t.Context(), append(test.opts, client.WithSocket(agent.adminSocket()))...)
			if err != nil {
				t.Fatalf("DialAdmin: %v", err)
			}
			_ = a.Close()
		})
	}
	t.Run("relative path", func(t *testing.T) {
		t.Setenv("NSAGENT_SOCK", "")
		p := newProxy(t, agent.socket())
		t.Chdir(filepath.Dir(p.path))
		c, err := client.Dial(t.Context(), client.WithSocket(filepath.Base(p.path)), client.WithProfile("acme-sb1"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		t.Chdir("/")
		p.breaks.Store(1) // it has to connect again, from elsewhere
		if r, err := c.Sign(t.Context(), client.Request{URL: customer}); err != nil || r.GetProfile() != "acme-sb1" {
			t.Errorf("got %v, %v", r, err)
		}
	})
	t.Run("admin beside NSAGENT_SOCK", func(t *testing.T) {
		t.Setenv("NSAGENT_SOCK", agent.socket())
		a, err := client.DialAdmin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = a.Close() }()
		if p, err := a.ShowProfile(t.Context(), "acme-sb1"); err != nil || p.GetAccount() != "1234567_SB1" {
			t.Errorf("got %v, %v", p, err)
		}
	})
}

// TestNothingLeaks opens and closes all there is, and has it fail, and counts
// goroutines and descriptors. It does not run beside other tests.
func TestNothingLeaks(t *testing.T) {
	agent := shared(t).agent
	round := func() {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		c, err := client.Dial(ctx, client.WithSocket(agent.socket()), client.WithProfile("acme-sb1"))
		if err != nil {
			t.Fatal(err)
		}
		closed, err := c.Stream(ctx)
		if err != nil {
			t.Fatal(err)
		}
		left, err := c.Stream(ctx) // ends with ctx
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []*client.Stream{closed, left} {
			if _, err := s.Sign(ctx, client.Request{URL: customer}); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Sign(ctx, client.Request{URL: "https://example.com/"}); !errors.Is(err, client.ErrHost) {
				t.Fatal(err)
			}
		}
		_ = closed.Close()
		a, err := client.DialAdmin(ctx, client.WithSocket(agent.adminSocket()))
		if err != nil {
			t.Fatal(err)
		}
		_ = a.Close()
		if _, err := client.Dial(ctx, client.WithSocket("/nowhere/agent.sock")); !errors.Is(err, client.ErrAgent) {
			t.Fatal(err)
		}
		_ = c.Close()
	}
	round()
	goroutines, files := runtime.NumGoroutine(), openFiles(t)
	for range 10 {
		round()
	}
	eventually(t, inTime, func() string {
		if now := runtime.NumGoroutine(); now > goroutines+2 {
			buf := make([]byte, 1<<20)
			return "goroutines were left:\n" + string(buf[:runtime.Stack(buf, true)])
		}
		if now := openFiles(t); now > files+2 {
			return "descriptors were left"
		}
		return ""
	})
}

func openFiles(t *testing.T) int {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}
