package atomicfile

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsagent/nsagent/internal/needs"
)

// unsafeFiles makes, each at path, what must be neither read nor replaced.
var unsafeFiles = []struct {
	name   string
	make   func(t *testing.T, path string)
	reason string
	root   bool
}{
	{name: "symlink", reason: "symbolic link", make: func(t *testing.T, path string) {
		mustDo(t, os.WriteFile(path+"-target", []byte("x"), 0o600))
		mustDo(t, os.Symlink(path+"-target", path))
	}},
	{name: "dangling symlink", reason: "symbolic link", make: func(t *testing.T, path string) {
		mustDo(t, os.Symlink("nowhere", path))
	}},
	{name: "directory", reason: "a directory", make: func(t *testing.T, path string) {
		mustDo(t, os.Mkdir(path, 0o700))
	}},
	{name: "pipe", reason: "a pipe", make: func(t *testing.T, path string) {
		mustDo(t, unix.Mkfifo(path, 0o600))
	}},
	{name: "socket", reason: "a socket", make: func(t *testing.T, path string) {
		// Bound through a short path: the address holds 107 bytes.
		t.Chdir(filepath.Dir(path))
		l, err := net.Listen("unix", filepath.Base(path))
		mustDo(t, err)
		t.Cleanup(func() { l.Close() })
	}},
	{name: "group may read", reason: "mode 0640", make: withMode(0o640)},
	{name: "group may execute", reason: "mode 0610", make: withMode(0o610)},
	{name: "others may write", reason: "mode 0602", make: withMode(0o602)},
	{name: "others may read", reason: "mode 0644", make: withMode(0o644)},
	{name: "device", reason: "a device", root: true, make: func(t *testing.T, path string) {
		mustDo(t, unix.Mknod(path, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))))
	}},
	{name: "foreign owner", reason: "belongs to uid 12345", root: true, make: func(t *testing.T, path string) {
		withMode(0o600)(t, path)
		mustDo(t, os.Chown(path, 12345, 12345))
	}},
}

func withMode(mode os.FileMode) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		mustDo(t, os.WriteFile(path, []byte("x"), 0o600))
		mustDo(t, os.Chmod(path, mode))
	}
}

func mustDo(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantUnsafe(t *testing.T, err error, path, reason string) {
	t.Helper()
	var unsafe *UnsafeError
	if !errors.As(err, &unsafe) || !errors.Is(err, ErrUnsafe) {
		t.Fatalf("got error %v, want *UnsafeError", err)
	}
	if unsafe.Path != path || !strings.Contains(unsafe.Reason, reason) || unsafe.Fix == "" {
		t.Fatalf("got %#v, want path %s, reason %q, some fix", unsafe, path, reason)
	}
}

func TestUnsafeFilesAreRefused(t *testing.T) {
	for _, c := range unsafeFiles {
		t.Run(c.name, func(t *testing.T) {
			if c.root {
				needs.Root(t, "makes a file of another owner or kind")
			}
			dir := privateDir(t)
			path := filepath.Join(dir, "f")
			c.make(t, path)
			before, err := os.Lstat(path)
			mustDo(t, err)
			within(t, func() {
				_, err := ReadRegular(path, 100)
				wantUnsafe(t, err, path, c.reason)
				wantUnsafe(t, Write(path, []byte("y"), Options{}), path, c.reason)
			})
			after, err := os.Lstat(path)
			if err != nil || !os.SameFile(before, after) {
				t.Errorf("the file was touched: %v", err)
			}
		})
	}
}

func TestUnsafeLockFilesAreRefused(t *testing.T) {
	for _, c := range unsafeFiles {
		t.Run(c.name, func(t *testing.T) {
			if c.root {
				needs.Root(t, "makes a file of another owner or kind")
			}
			path := filepath.Join(privateDir(t), "f")
			c.make(t, path+LockSuffix)
			within(t, func() {
				_, err := tryLock(path)
				wantUnsafe(t, err, path+LockSuffix, c.reason)
			})
		})
	}
}

// within fails the test if f blocks, as opening a pipe would.
func within(t *testing.T, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("blocked")
	}
}

func TestDirectories(t *testing.T) {
	for _, c := range []struct {
		name   string
		mode   os.FileMode
		uid    int
		reason string // empty: accepted
	}{
		{"private", 0o700, -1, ""},
		{"readable by all", 0o755, -1, ""},
		{"sticky", 0o777 | os.ModeSticky, -1, ""},
		{"group may write", 0o770, -1, "mode 0770"},
		{"others may write", 0o707, -1, "mode 0707"},
		{"foreign owner", 0o700, 12345, "belongs to uid 12345"},
		{"foreign owner, sticky", 0o777 | os.ModeSticky, 12345, "belongs to uid 12345"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.uid >= 0 {
				needs.Root(t, "gives a directory to another owner")
			}
			dir := privateDir(t)
			path := filepath.Join(dir, "f")
			mustWrite(t, path, "x", Options{})
			mustDo(t, os.Chmod(dir, c.mode))
			if c.uid >= 0 {
				mustDo(t, os.Chown(dir, c.uid, -1))
			}
			_, readErr := ReadRegular(path, 100)
			writeErr := Write(path, []byte("y"), Options{})
			if c.reason == "" {
				mustDo(t, readErr)
				mustDo(t, writeErr)
				return
			}
			wantUnsafe(t, readErr, dir, c.reason)
			wantUnsafe(t, writeErr, dir, c.reason)
		})
	}
}

// TestRootOwnsTheDirectory checks, as another user, a directory of root's.
func TestRootOwnsTheDirectory(t *testing.T) {
	needs.Root(t, "runs a child as another user")
	dir, err := os.MkdirTemp("", "atomicfile") // t.TempDir is closed to other users
	mustDo(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	mustDo(t, os.Chmod(dir, 0o755))
	path := filepath.Join(dir, "f")
	mustDo(t, os.WriteFile(path, []byte("hello"), 0o600))
	out := runChild(t, "read", path, 12345)
	if !strings.Contains(out, "belongs to uid 0, not to uid 12345") {
		t.Errorf("a file of root's, read as uid 12345: %q", out)
	}
	mustDo(t, os.Chown(path, 12345, 12345))
	if out := runChild(t, "read", path, 12345); out != "hello" {
		t.Errorf("a file of one's own in a directory of root's: %q", out)
	}
}

func TestSizesAndNames(t *testing.T) {
	dir := privateDir(t)
	path := filepath.Join(dir, "f")
	mustWrite(t, path, "0123456789", Options{})
	if got, err := ReadRegular(path, 10); err != nil || len(got) != 10 {
		t.Errorf("at the limit: %q, %v", got, err)
	}
	if got, err := ReadRegular(path, 9); !errors.Is(err, ErrTooLarge) || got != nil {
		t.Errorf("above the limit: %q, %v", got, err)
	}
	// A file of many gigabytes costs nothing.
	mustDo(t, os.Truncate(path, 1<<40))
	if _, err := ReadRegular(path, 1<<20); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a terabyte: %v", err)
	}
	if _, err := ReadRegular(filepath.Join(dir, "none"), 10); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	if err := Write(filepath.Join(dir, "none", "f"), nil, Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory that is not there: %v", err)
	}
	for _, bad := range []string{"", ".", "..", "/", dir + "/..", "a\x00b"} {
		if _, err := ReadRegular(bad, 10); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%q: got %v, want fs.ErrInvalid", bad, err)
		}
	}
}

// TestNoChmodOfOthersDirectories: who cannot change the mode of a directory is not told to.
func TestNoChmodOfOthersDirectories(t *testing.T) {
	for uid, want := range map[uint32]string{euid(): "chmod go-w /d", 0: "use a directory of your own"} {
		if uid == 0 && euid() == 0 {
			continue // root can
		}
		var unsafe *UnsafeError
		if err := checkDir("/d", &fileInfo{mode: unix.S_IFDIR | 0o777, uid: uid}); !errors.As(err, &unsafe) || unsafe.Fix != want {
			t.Errorf("of uid %d: got %v, want %s", uid, err, want)
		}
	}
}

func TestFixesCanBePasted(t *testing.T) {
	for path, want := range map[string]string{
		"/home/a/v.nsv":   "/home/a/v.nsv",
		"/home/a b/v.nsv": `'/home/a b/v.nsv'`,
		"/x/$(id)'s":      `'/x/$(id)'\''s'`,
	} {
		if got := shellQuote(path); got != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
}
