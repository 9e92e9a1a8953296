package agent

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/needs"
	"github.com/nsagent/nsagent/internal/socketpath"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// place is a home in which an agent may be tried out.
type place struct {
	t     *testing.T
	paths socketpath.Paths
}

func newPlace(t *testing.T) place {
	t.Helper()
	dir, err := os.MkdirTemp("", "nsa")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	env := map[string]string{"HOME": dir, "XDG_RUNTIME_DIR": filepath.Join(dir, "r")}
	if err := os.Mkdir(env["XDG_RUNTIME_DIR"], 0o700); err != nil {
		t.Fatal(err)
	}
	paths, err := socketpath.Find(socketpath.Options{Getenv: func(k string) string { return env[k] }})
	if err != nil {
		t.Fatal(err)
	}
	return place{t, paths}
}

// try runs an agent until it has come up, and returns why it did not.
func (p place) try() error {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 20*time.Second)
	defer cancel()
	a, err := New(ctx, Config{Paths: p.paths, Version: "test", Ready: cancel})
	if err != nil {
		return err
	}
	return a.Run(ctx)
}

// refused checks that no agent comes up, with this code, and that nothing of what
// is at path changes.
func (p place) refused(code pb.Code, path string) {
	p.t.Helper()
	before, _ := os.Lstat(path)
	err := p.try()
	if err == nil {
		p.t.Errorf("an agent came up, want %s", code)
		return
	}
	if got, message, why, _ := Explain(err); got != code {
		p.t.Errorf("got %s (%s: %s), want %s", got, message, why, code)
	}
	if after, err := os.Lstat(path); err != nil || after.Mode() != before.Mode() || !os.SameFile(before, after) {
		p.t.Errorf("%s changed: %v, %v", path, after, err)
	}
}

// TestSocketModes guards S-01: the directory is 0700, the sockets and the lock are
// 0600, and both sockets are gone once the agent has ended.
func TestSocketModes(t *testing.T) {
	f := start(t)
	want := map[string]fs.FileMode{
		filepath.Dir(f.paths.Agent): fs.ModeDir | 0o700, f.paths.PIDFile: 0o600,
		f.paths.Agent: fs.ModeSocket | 0o600, f.paths.Admin: fs.ModeSocket | 0o600,
	}
	for path, mode := range want {
		if fi, err := os.Lstat(path); err != nil || fi.Mode() != mode {
			t.Errorf("%s: got %v, %v, want %v", path, fi, err, mode)
		}
	}
	if err := f.admin.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.waitEnd()
	for _, path := range []string{f.paths.Agent, f.paths.Admin} {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is left behind: %v", path, err)
		}
	}
}

// TestReadyBeforeAnyAnswer: whoever is answered finds what Ready does done, such as a line in
// the log of an agent that was started.
func TestReadyBeforeAnyAnswer(t *testing.T) {
	p := newPlace(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var dialed error
	a, err := New(ctx, Config{Paths: p.paths, Version: "test", Ready: func() {
		soon, over := context.WithTimeout(ctx, 200*time.Millisecond)
		defer over()
		_, dialed = client.Dial(soon, client.WithSocket(p.paths.Agent))
		cancel()
	}})
	if err == nil {
		err = a.Run(ctx)
	}
	if err != nil || !errors.Is(dialed, context.DeadlineExceeded) {
		t.Errorf("got %v; a client in Ready got %v, want no answer", err, dialed)
	}
}

// TestUnsafeSocketDirectory guards S-01: a directory that others may use, or that
// is a link, is refused and not repaired.
func TestUnsafeSocketDirectory(t *testing.T) {
	for _, mode := range []fs.FileMode{0o777, 0o770, 0o701, 0o750, 0o704} {
		t.Run(mode.String(), func(t *testing.T) {
			p := newPlace(t)
			dir := filepath.Dir(p.paths.Agent)
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(dir, mode); err != nil {
				t.Fatal(err)
			}
			p.refused(pb.CodeUnsafe, dir)
		})
	}
	t.Run("link", func(t *testing.T) {
		p := newPlace(t)
		dir := filepath.Dir(p.paths.Agent)
		if err := os.Symlink(t.TempDir(), dir); err != nil {
			t.Fatal(err)
		}
		p.refused(pb.CodeUnsafe, dir)
	})
	t.Run("parent open to all", func(t *testing.T) {
		p := newPlace(t)
		parent := filepath.Dir(filepath.Dir(p.paths.Agent))
		if err := os.Chmod(parent, 0o777); err != nil {
			t.Fatal(err)
		}
		p.refused(pb.CodeUnsafe, parent)
	})
	t.Run("of another user", func(t *testing.T) {
		needs.Root(t, "gives a directory away")
		p := newPlace(t)
		dir := filepath.Dir(p.paths.Agent)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(dir, nobody, nobody); err != nil {
			t.Fatal(err)
		}
		p.refused(pb.CodeUnsafe, dir)
	})
}

// TestSocketPathTaken guards S-07: what is no socket is neither followed nor
// removed.
func TestSocketPathTaken(t *testing.T) {
	for _, which := range []string{"agent", "admin"} {
		at := func(p place) string {
			if which == "admin" {
				return p.paths.Admin
			}
			return p.paths.Agent
		}
		prepare := func(t *testing.T) (place, string) {
			p := newPlace(t)
			if err := socketpath.EnsureDir(filepath.Dir(p.paths.Agent)); err != nil {
				t.Fatal(err)
			}
			return p, at(p)
		}
		t.Run(which+" is a file", func(t *testing.T) {
			p, path := prepare(t)
			if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
				t.Fatal(err)
			}
			p.refused(pb.CodeUnsafe, path)
			if b, err := os.ReadFile(path); string(b) != "precious" { // #nosec G304 -- of the test
				t.Errorf("the file has %q, %v", b, err)
			}
		})
		t.Run(which+" is a link to a dead socket", func(t *testing.T) {
			p, path := prepare(t)
			target := filepath.Join(filepath.Dir(path), "other")
			deadSocket(t, target)
			if err := os.Symlink(target, path); err != nil {
				t.Fatal(err)
			}
			p.refused(pb.CodeUnsafe, path)
			if _, err := os.Lstat(target); err != nil {
				t.Errorf("what the link leads to: %v", err)
			}
		})
		t.Run(which+" is a link to nowhere", func(t *testing.T) {
			p, path := prepare(t)
			if err := os.Symlink("/nonexistent/x", path); err != nil {
				t.Fatal(err)
			}
			p.refused(pb.CodeUnsafe, path)
		})
		t.Run(which+" is a directory", func(t *testing.T) {
			p, path := prepare(t)
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
			p.refused(pb.CodeUnsafe, path)
		})
		t.Run(which+" is served by somebody", func(t *testing.T) {
			p, path := prepare(t)
			l, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = l.Close() }()
			p.refused(pb.CodeRunning, path)
		})
		t.Run(which+" is stale", func(t *testing.T) {
			p, path := prepare(t)
			deadSocket(t, path)
			if err := p.try(); err != nil {
				t.Errorf("beside a dead socket: %v", err)
			}
		})
	}
}

// deadSocket leaves a socket behind on which nobody listens, as kill -9 does.
func deadSocket(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestLockFileLink guards S-07: the lock is not taken through a link.
func TestLockFileLink(t *testing.T) {
	p := newPlace(t)
	if err := socketpath.EnsureDir(filepath.Dir(p.paths.Agent)); err != nil {
		t.Fatal(err)
	}
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.Symlink(victim, p.paths.PIDFile); err != nil {
		t.Fatal(err)
	}
	if err := p.try(); err == nil {
		t.Error("an agent came up with its lock behind a link")
	}
	if _, err := os.Lstat(victim); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the link was followed: %v", err)
	}
}

// TestTwoAgents guards S-07: a second agent is told that one is running, whatever
// the two share, and the first goes on as if nothing had been.
func TestTwoAgents(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	try := func(name string, change func(*socketpath.Paths)) {
		t.Run(name, func(t *testing.T) {
			p := place{t, f.paths}
			change(&p.paths)
			p.refused(pb.CodeRunning, f.paths.Agent)
		})
	}
	elsewhere := newPlace(t).paths
	try("same everything", func(*socketpath.Paths) {})
	try("same sockets", func(p *socketpath.Paths) { p.AuditDir = elsewhere.AuditDir })
	try("same audit log", func(p *socketpath.Paths) {
		p.Agent, p.Admin, p.PIDFile = elsewhere.Agent, elsewhere.Admin, elsewhere.PIDFile
	})
	f.sign("acme")
	if _, err := client.Dial(t.Context(), client.WithSocket(f.paths.Agent)); err != nil {
		t.Errorf("after the others: %v", err)
	}
}

// TestKilledAgent guards S-07 and P9 with the product: after kill -9 the sockets are
// there, nobody answers, and the next agent takes their place.
func TestKilledAgent(t *testing.T) {
	d := startDaemon(t, "")
	d.kill()
	if _, err := os.Lstat(d.paths.Agent); err != nil {
		t.Fatalf("kill -9 removed the socket? %v", err)
	}
	if _, err := client.Dial(t.Context(), client.WithSocket(d.paths.Agent)); !errors.Is(err, client.ErrAgent) {
		t.Errorf("Dial: got %v, want ErrAgent", err)
	}
	d.start()
	second := d.command("agent", "run")
	var stderr output
	second.Stderr = &stderr
	if err := second.Run(); err == nil || !strings.Contains(stderr.String(), string(pb.CodeRunning)) {
		t.Errorf("a second agent: got %v, %q, want %s", err, stderr.String(), pb.CodeRunning)
	}
	if _, err := d.dial().Status(t.Context()); err != nil {
		t.Errorf("the first one after that: %v", err)
	}
}

// TestSocketPathTooLong: a path that does not fit into a socket address is told by
// agent and client alike, before anything is made.
func TestSocketPathTooLong(t *testing.T) {
	deep := filepath.Join(t.TempDir(), strings.Repeat("d", 120))
	env := map[string]string{"HOME": t.TempDir(), "XDG_RUNTIME_DIR": deep}
	_, err := socketpath.Find(socketpath.Options{Getenv: func(k string) string { return env[k] }})
	if !errors.Is(err, socketpath.ErrTooLong) {
		t.Errorf("Find: got %v, want ErrTooLong", err)
	}
	if code, _, _, _ := Explain(err); code != pb.CodeSocket {
		t.Errorf("Explain: got %s, want %s", code, pb.CodeSocket)
	}
	_, err = client.Dial(t.Context(), client.WithSocket(filepath.Join(deep, "agent.sock")))
	if e := (*client.Error)(nil); !errors.As(err, &e) || e.Code != pb.CodeSocket {
		t.Errorf("Dial: got %v, want %s", err, pb.CodeSocket)
	}
	if _, err := os.Lstat(deep); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something was made: %v", err)
	}
	p := newPlace(t)
	p.paths.Agent = filepath.Join(p.paths.StateDir, strings.Repeat("d", 120), "agent.sock")
	if err := p.try(); err == nil {
		t.Error("an agent came up on a path that is too long")
	} else if code, _, why, _ := Explain(err); code != pb.CodeSocket {
		t.Errorf("Run: got %s (%s), want %s", code, why, pb.CodeSocket)
	}
}
