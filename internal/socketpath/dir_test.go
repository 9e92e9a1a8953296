//go:build unix

package socketpath_test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nsagent/nsagent/internal/needs"
	"github.com/nsagent/nsagent/internal/socketpath"
)

// must fails the test where a step of its set-up fails.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// mkdir makes a directory with exactly this mode, whatever the umask is.
func mkdir(t *testing.T, path string, mode fs.FileMode) {
	t.Helper()
	must(t, os.Mkdir(path, 0o700))
	must(t, os.Chmod(path, mode))
}

// tempDir is t.TempDir closed to others, whatever the umask is.
func tempDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o755))
	must(t, os.Chmod(filepath.Dir(dir), 0o755))
	return dir
}

func TestEnsureDirMakesAll(t *testing.T) {
	home := filepath.Join(tempDir(t), "no", "home", "yet")
	dir := filepath.Join(home, "nsagent")
	old := unix.Umask(0)
	defer unix.Umask(old)
	for range 2 { // the second time they are there
		if err := socketpath.EnsureDir(dir); err != nil {
			t.Fatal(err)
		}
	}
	for d := dir; d != filepath.Dir(filepath.Dir(filepath.Dir(home))); d = filepath.Dir(d) {
		fi, err := os.Stat(d)
		must(t, err)
		if got := fi.Mode().Perm(); got != 0o700 {
			t.Errorf("%s: got mode %04o, want 0700", d, got)
		}
	}
}

func TestEnsureDirRefuses(t *testing.T) {
	tests := []struct {
		name  string
		setUp func(t *testing.T, root string) (dir string)
		says  string
	}{
		{"group can read", func(t *testing.T, root string) string {
			mkdir(t, filepath.Join(root, "d"), 0o750)
			return "d"
		}, "chmod 700"},
		{"all can write", func(t *testing.T, root string) string {
			mkdir(t, filepath.Join(root, "d"), 0o777)
			return "d"
		}, "chmod go-w"},
		{"sticky and open is still not private", func(t *testing.T, root string) string {
			mkdir(t, filepath.Join(root, "d"), 0o777|fs.ModeSticky)
			return "d"
		}, "others may write in"},
		{"parent that all can write", func(t *testing.T, root string) string {
			mkdir(t, filepath.Join(root, "p"), 0o777)
			mkdir(t, filepath.Join(root, "p/d"), 0o700)
			return "p/d"
		}, "chmod go-w"},
		{"a symbolic link", func(t *testing.T, root string) string {
			mkdir(t, filepath.Join(root, "real"), 0o700)
			must(t, os.Symlink("real", filepath.Join(root, "d")))
			return "d"
		}, "symbolic link"},
		{"a file", func(t *testing.T, root string) string {
			must(t, os.WriteFile(filepath.Join(root, "d"), nil, 0o600))
			return "d"
		}, "not a directory"},
		{"a file on the way", func(t *testing.T, root string) string {
			must(t, os.WriteFile(filepath.Join(root, "f"), nil, 0o600))
			return "f/d"
		}, "not a directory"},
		{"a link into an open directory", func(t *testing.T, root string) string {
			mkdir(t, filepath.Join(root, "open"), 0o777)
			mkdir(t, filepath.Join(root, "open/in"), 0o700)
			must(t, os.Symlink("open/in", filepath.Join(root, "l")))
			return "l/d"
		}, "chmod go-w"},
		{"links in a circle", func(t *testing.T, root string) string {
			must(t, os.Symlink("b", filepath.Join(root, "a")))
			must(t, os.Symlink("a", filepath.Join(root, "b")))
			return "a/d"
		}, "too many"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			root := tempDir(t)
			dir := filepath.Join(root, test.setUp(t, root))
			err := socketpath.EnsureDir(dir)
			if !errors.Is(err, socketpath.ErrUnsafe) {
				t.Fatalf("got %v, want %v", err, socketpath.ErrUnsafe)
			}
			if !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %q, want it to say %q", err, test.says)
			}
			if looked := socketpath.CheckDir(dir); looked == nil || looked.Error() != err.Error() {
				t.Errorf("looking only: got %v, want %v", looked, err)
			}
		})
	}
}

func TestCheckDirMakesNothing(t *testing.T) {
	home := filepath.Join(tempDir(t), "home")
	dir := filepath.Join(home, "nsagent")
	if err := socketpath.CheckDir(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want %v", err, fs.ErrNotExist)
	}
	if _, err := os.Lstat(home); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s: got %v, want nothing there", home, err)
	}
	must(t, socketpath.EnsureDir(dir))
	if err := socketpath.CheckDir(dir); err != nil {
		t.Error(err)
	}
}

func TestEnsureDirFollowsOwnLinks(t *testing.T) {
	root := tempDir(t)
	mkdir(t, filepath.Join(root, "real"), 0o755)
	must(t, os.Symlink("real/../real", filepath.Join(root, "l")))
	if err := socketpath.EnsureDir(filepath.Join(root, "l", "d")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "real", "d")); err != nil {
		t.Error(err)
	}
}

func TestEnsureDirOwners(t *testing.T) {
	needs.Root(t, "makes directories of another user")
	const other = 65534
	chown := func(path string) { must(t, os.Lchown(path, other, other)) }

	root := tempDir(t)
	mkdir(t, filepath.Join(root, "theirs"), 0o700)
	chown(filepath.Join(root, "theirs"))
	mkdir(t, filepath.Join(root, "ours"), 0o700)
	must(t, os.Symlink("ours", filepath.Join(root, "l")))
	chown(filepath.Join(root, "l"))
	for _, dir := range []string{"theirs", "theirs/d", "l/d"} {
		if err := socketpath.EnsureDir(filepath.Join(root, dir)); !errors.Is(err, socketpath.ErrUnsafe) {
			t.Errorf("%s: got %v, want %v", dir, err, socketpath.ErrUnsafe)
		}
	}
}

func TestEnsureDirUnwritable(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("not as root: permissions do not stop it")
	}
	root := filepath.Join(tempDir(t), "p")
	mkdir(t, root, 0o500)
	if err := socketpath.EnsureDir(filepath.Join(root, "d")); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("got %v, want %v", err, fs.ErrPermission)
	}
}

func TestEnsureDirRelative(t *testing.T) {
	if err := socketpath.EnsureDir("d"); !errors.Is(err, socketpath.ErrRelative) {
		t.Errorf("got %v, want %v", err, socketpath.ErrRelative)
	}
}

func TestCheckSocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "sp")
	must(t, err)
	defer os.RemoveAll(dir)
	at := func(name string) string { return filepath.Join(dir, name) }
	l, err := net.Listen("unix", at("s"))
	must(t, err)
	defer l.Close()
	must(t, os.Symlink("s", at("link")))
	must(t, os.WriteFile(at("file"), nil, 0o600))

	for name, mode := range map[string]fs.FileMode{"open": 0o777, "sticky": 0o777 | fs.ModeSticky} {
		mkdir(t, at(name), mode)
		l, err := net.Listen("unix", at(name)+"/s")
		must(t, err)
		defer l.Close()
	}

	me := uint32(os.Geteuid())
	tests := []struct {
		name string
		uids []uint32
		want error
	}{
		{"s", []uint32{me}, nil},
		{"s", []uint32{me + 1, me}, nil},
		{"s", []uint32{me + 1}, socketpath.ErrUnsafe},
		{"s", nil, socketpath.ErrUnsafe},
		{"link", []uint32{me}, socketpath.ErrUnsafe},
		{"file", []uint32{me}, socketpath.ErrNotSocket},
		{"open/s", []uint32{me}, socketpath.ErrUnsafe},
		{"sticky/s", []uint32{me}, nil},
		{"none", []uint32{me}, fs.ErrNotExist},
		{strings.Repeat("x", 108), []uint32{me}, socketpath.ErrTooLong},
	}
	for _, test := range tests {
		if err := socketpath.CheckSocket(at(test.name), test.uids...); !errors.Is(err, test.want) {
			t.Errorf("%s for %v: got %v, want %v", test.name, test.uids, err, test.want)
		}
	}
}
