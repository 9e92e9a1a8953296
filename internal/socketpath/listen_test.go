package socketpath_test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/internal/socketpath"
)

// shortDir is a directory whose path leaves room for the name of a socket.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sl")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// dead leaves a socket at path that nobody serves.
func dead(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	must(t, err)
	l.SetUnlinkOnClose(false)
	must(t, l.Close())
}

func TestListen(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	for _, mode := range []fs.FileMode{0o600, 0o666} {
		dead(t, path) // what is left of one is replaced
		b, err := socketpath.Listen(path, mode, 4)
		must(t, err)
		if fi, err := os.Lstat(path); err != nil || fi.Mode() != fs.ModeSocket|mode {
			t.Errorf("got %v, %v, want mode %v", fi.Mode(), err, mode)
		}
		if !socketpath.Answers(path) {
			t.Error("it does not answer")
		}
		if _, err := socketpath.Listen(path, mode, 4); !errors.Is(err, socketpath.ErrTaken) {
			t.Errorf("a path that answers: got %v, want %v", err, socketpath.ErrTaken)
		}
		must(t, b.Close())
		if _, err := os.Lstat(path); err != nil {
			t.Errorf("closing it removed the path: %v", err)
		}
		must(t, b.Remove())
		must(t, b.Remove()) // it is gone
	}
}

func TestListenRefuses(t *testing.T) {
	dir := shortDir(t)
	at := func(name string) string { return filepath.Join(dir, name) }
	must(t, os.WriteFile(at("file"), []byte("kept"), 0o600))
	mkdir(t, at("dir"), 0o700)
	dead(t, at("dead"))
	must(t, os.Symlink("dead", at("link")))
	must(t, os.Symlink("nowhere", at("dangling")))
	for path, want := range map[string]error{
		at("file"): socketpath.ErrUnsafe, at("dir"): socketpath.ErrUnsafe, at("link"): socketpath.ErrUnsafe, at("dangling"): socketpath.ErrUnsafe,
		at(strings.Repeat("x", 108)): socketpath.ErrTooLong, at("none/s"): fs.ErrNotExist,
	} {
		if b, err := socketpath.Listen(path, 0o666, 4); !errors.Is(err, want) {
			t.Errorf("%s: got %v, %v, want %v", path, b, err, want)
		}
	}
	if b, err := os.ReadFile(at("file")); string(b) != "kept" || err != nil {
		t.Errorf("the file: got %q, %v", b, err)
	}
	if _, err := os.Lstat(at("nowhere")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a link was followed")
	}
}

// What took the place of a socket stays when that is removed.
func TestRemoveOwnOnly(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	b, err := socketpath.Listen(path, 0o600, 4)
	must(t, err)
	defer func() { _ = b.Close() }()
	must(t, os.Remove(path))
	other, err := socketpath.Listen(path, 0o600, 4)
	must(t, err)
	defer func() { _ = other.Close() }()
	must(t, b.Remove())
	if !socketpath.Answers(path) {
		t.Error("the other one is gone")
	}
}

func TestCheckShared(t *testing.T) {
	root := tempDir(t)
	for name, mode := range map[string]fs.FileMode{"private": 0o700, "readable": 0o755, "group": 0o775, "open": 0o777, "sticky": 0o777 | fs.ModeSticky} {
		mkdir(t, filepath.Join(root, name), mode)
	}
	must(t, os.Symlink("private", filepath.Join(root, "link")))
	mkdir(t, filepath.Join(root, "open", "in"), 0o700)
	for name, want := range map[string]error{
		"private": nil, "readable": nil, "group": socketpath.ErrUnsafe, "open": socketpath.ErrUnsafe, "sticky": socketpath.ErrUnsafe,
		"link": socketpath.ErrUnsafe, "open/in": socketpath.ErrUnsafe, "none": fs.ErrNotExist,
	} {
		if err := socketpath.CheckShared(filepath.Join(root, name)); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", name, err, want)
		}
	}
	if os.Geteuid() == 0 {
		must(t, os.Lchown(filepath.Join(root, "private"), 65534, 65534))
		if err := socketpath.CheckShared(filepath.Join(root, "private")); !errors.Is(err, socketpath.ErrUnsafe) {
			t.Errorf("of another user: got %v, want %v", err, socketpath.ErrUnsafe)
		}
	}
}

func TestClearSockets(t *testing.T) {
	dir := shortDir(t)
	dead(t, filepath.Join(dir, "dead"))
	must(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
	b, err := socketpath.Listen(filepath.Join(dir, "live"), 0o600, 4)
	must(t, err)
	defer func() { _ = b.Close() }()
	must(t, socketpath.ClearSockets(dir))
	entries, err := os.ReadDir(dir)
	must(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if got := strings.Join(names, " "); got != "file live" {
		t.Errorf("left: got %q, want \"file live\"", got)
	}
	if err := socketpath.ClearSockets(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want %v", err, fs.ErrNotExist)
	}
}

// TestNoChmodForWhatIsShared guards against the advice to close /tmp, or a directory of root, to
// all others: chmod is for one of one's own that nobody else is meant to write in.
func TestNoChmodForWhatIsShared(t *testing.T) {
	root := tempDir(t)
	open, sticky := filepath.Join(root, "open"), filepath.Join(root, "sticky")
	mkdir(t, open, 0o777)
	mkdir(t, sticky, 0o777|fs.ModeSticky)
	me := os.Geteuid()
	for name, c := range map[string]struct {
		err   error
		chmod bool
	}{
		"one's own":             {socketpath.CheckShared(open), true},
		"one's own, on the way": {first(socketpath.CheckAs(me, open)), true},
		"sticky":                {socketpath.CheckShared(sticky), false},
		"sticky, to be private": {socketpath.CheckDir(sticky), false},
		"/tmp":                  {socketpath.CheckShared("/tmp"), false},
	} {
		if !errors.Is(c.err, socketpath.ErrUnsafe) || strings.Contains(c.err.Error(), "chmod") != c.chmod {
			t.Errorf("%s: got %v, and chmod is to be in it: %v", name, c.err, c.chmod)
		}
	}
	if me != 0 {
		return
	}
	if below, _ := socketpath.CheckAs(1000, open); below == nil || strings.Contains(below.Error(), "chmod") {
		t.Errorf("root's, to another user: got %v", below)
	}
}

func first(err, _ error) error { return err }
