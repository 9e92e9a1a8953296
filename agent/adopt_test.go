package agent

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/needs"
	"github.com/nsagent/nsagent/internal/socketpath"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// passed is what a service manager has at a path and passes: a socket of a kind, with
// a mode, which listens or not.
type passed struct {
	network string
	mode    os.FileMode
	silent  bool
}

// bind makes the socket and returns its descriptor, as it would be passed.
func (p passed) bind(t *testing.T, path string) *os.File {
	t.Helper()
	domain, kind := unix.AF_UNIX, unix.SOCK_STREAM
	if p.network == "unixgram" {
		kind = unix.SOCK_DGRAM
	}
	if p.network == "unixpacket" {
		kind = unix.SOCK_SEQPACKET
	}
	fd, err := unix.Socket(domain, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "passed") // #nosec G115 -- a descriptor fits
	t.Cleanup(func() { _ = f.Close() })
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	if kind != unix.SOCK_DGRAM && !p.silent {
		if err := unix.Listen(fd, 16); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(path, p.mode); err != nil {
		t.Fatal(err)
	}
	return f
}

// private is what bind of the agent itself makes.
func private() passed { return passed{network: "unix", mode: 0o600} }

// runWith runs an agent on sockets that are passed until it is ready, and calls then;
// it returns why it did not come up.
func (p place) runWith(sockets []*os.File, then func()) error {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 20*time.Second)
	defer cancel()
	ready := make(chan struct{})
	a, err := New(ctx, Config{Paths: p.paths, Version: "test", Sockets: sockets, Ready: func() { close(ready) }})
	if err != nil {
		return err
	}
	go func() {
		select {
		case <-ready:
			then()
		case <-ctx.Done():
		}
		cancel()
	}()
	return a.Run(ctx)
}

// TestSocketsPassed shows that an agent serves the sockets that it was given, and that
// their paths are there when it has ended: others listen at them too.
func TestSocketsPassed(t *testing.T) {
	p := newPlace(t)
	if err := os.Mkdir(filepath.Dir(p.paths.Agent), 0o700); err != nil {
		t.Fatal(err)
	}
	sockets := []*os.File{private().bind(t, p.paths.Agent), private().bind(t, p.paths.Admin)}
	manager, err := net.FileListener(sockets[0])
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	served := false
	err = p.runWith(sockets, func() {
		c, err := client.Dial(t.Context(), client.WithSocket(p.paths.Agent))
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		st, err := c.Status(t.Context())
		served = err == nil && int(st.GetPid()) == os.Getpid()
	})
	if err != nil || !served {
		t.Errorf("served: %v, ended with %v", served, err)
	}
	for _, path := range []string{p.paths.Agent, p.paths.Admin} {
		if fi, err := os.Lstat(path); err != nil || fi.Mode() != os.ModeSocket|0o600 {
			t.Errorf("%s: got %v, %v; want it untouched", path, fi, err)
		}
	}
	if c, err := net.Dial("unix", p.paths.Agent); err != nil {
		t.Errorf("nobody listens any more: %v", err)
	} else {
		_ = c.Close()
	}
}

// TestSocketsPassedAreChecked: what is passed is held to the same as what the agent
// binds itself (S-01), and nothing else is served.
func TestSocketsPassedAreChecked(t *testing.T) {
	for name, c := range map[string]struct {
		admin passed
		fault string
	}{
		"open to the group": {passed{network: "unix", mode: 0o660}, "has mode 0660"},
		"open to others":    {passed{network: "unix", mode: 0o602}, "has mode 0602"},
		"datagrams":         {passed{network: "unixgram", mode: 0o600}, "is no stream socket"},
		"packets":           {passed{network: "unixpacket", mode: 0o600}, "is no stream socket"},
		"nobody listens":    {passed{network: "unix", mode: 0o600, silent: true}, "does not listen"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			mkdir(t, filepath.Dir(p.paths.Agent))
			p.refusedWith(c.fault, private().bind(t, p.paths.Agent), c.admin.bind(t, p.paths.Admin))
		})
	}
	t.Run("one for both", func(t *testing.T) {
		p := newPlace(t)
		mkdir(t, filepath.Dir(p.paths.Agent))
		p.refusedWith("is none", private().bind(t, p.paths.Agent))
	})
	t.Run("at neither path", func(t *testing.T) {
		p := newPlace(t)
		mkdir(t, filepath.Dir(p.paths.Agent))
		path := p.paths.Agent + "2"
		a := &Agent{cfg: Config{Paths: p.paths, Sockets: []*os.File{private().bind(t, path)}}}
		if _, err := a.adopt(path); !errors.Is(err, socketpath.ErrUnsafe) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a file", func(t *testing.T) {
		p := newPlace(t)
		mkdir(t, filepath.Dir(p.paths.Agent))
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		p.refusedWith("is no Unix socket", f, private().bind(t, p.paths.Admin))
	})
	t.Run("another path", func(t *testing.T) {
		p := newPlace(t)
		mkdir(t, filepath.Dir(p.paths.Agent))
		p.refusedWith("is bound to another path", private().bind(t, p.paths.Agent), private().bind(t, p.paths.Admin+"2"))
	})
	t.Run("exchanged", func(t *testing.T) {
		p := newPlace(t)
		mkdir(t, filepath.Dir(p.paths.Agent))
		admin := private().bind(t, p.paths.Admin)
		p.refusedWith("is bound to another path", admin, private().bind(t, p.paths.Agent))
	})
	t.Run("gone", func(t *testing.T) {
		p := newPlace(t)
		mkdir(t, filepath.Dir(p.paths.Agent))
		agent, admin := private().bind(t, p.paths.Agent), private().bind(t, p.paths.Admin)
		if err := os.Remove(p.paths.Admin); err != nil {
			t.Fatal(err)
		}
		p.refusedWith("is gone from there", agent, admin)
	})
	t.Run("a link in its place", func(t *testing.T) {
		p := newPlace(t)
		mkdir(t, filepath.Dir(p.paths.Agent))
		agent, admin := private().bind(t, p.paths.Agent), private().bind(t, p.paths.Admin)
		if err := os.Rename(p.paths.Admin, p.paths.Admin+"2"); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(p.paths.Admin+"2", p.paths.Admin); err != nil {
			t.Fatal(err)
		}
		p.refusedWith("was replaced there", agent, admin)
	})
	t.Run("of another user", func(t *testing.T) {
		needs.Root(t, "gives a socket away")
		p := newPlace(t)
		mkdir(t, filepath.Dir(p.paths.Agent))
		agent, admin := private().bind(t, p.paths.Agent), private().bind(t, p.paths.Admin)
		if err := os.Chown(p.paths.Admin, 65534, 65534); err != nil {
			t.Fatal(err)
		}
		p.refusedWith("belongs to uid 65534", agent, admin)
	})
	t.Run("the network", func(t *testing.T) {
		p := newPlace(t)
		mkdir(t, filepath.Dir(p.paths.Agent))
		l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		f, err := l.File()
		if err != nil {
			t.Fatal(err)
		}
		p.refusedWith("is no Unix socket", f, private().bind(t, p.paths.Admin))
	})
	t.Run("in a directory open to others", func(t *testing.T) {
		p := newPlace(t)
		mkdir(t, filepath.Dir(p.paths.Agent))
		agent, admin := private().bind(t, p.paths.Agent), private().bind(t, p.paths.Admin)
		if err := os.Chmod(filepath.Dir(p.paths.Agent), 0o755); err != nil {
			t.Fatal(err)
		}
		p.refusedWith("", agent, admin)
	})
}

// refusedWith checks that no agent serves these sockets, and says what is wrong with them.
func (p place) refusedWith(fault string, sockets ...*os.File) {
	p.t.Helper()
	served := false
	err := p.runWith(sockets, func() { served = true })
	if err == nil || served {
		p.t.Errorf("it was served: %v", err)
		return
	}
	if code, message, why, _ := Explain(err); code != pb.CodeUnsafe || !strings.Contains(why, fault) {
		p.t.Errorf("got %s (%s: %s), want %s: %s", code, message, why, pb.CodeUnsafe, fault)
	}
}

func mkdir(t *testing.T, dir string) {
	t.Helper()
	if err := socketpath.EnsureDir(dir); err != nil {
		t.Fatal(err)
	}
}
