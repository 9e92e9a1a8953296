//go:build unix

package socketpath_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/nsagent/nsagent/internal/needs"
	"github.com/nsagent/nsagent/internal/socketpath"
)

// TestModeOfNothingElse: who may write in the directory, as a container that it is mounted
// into, can put a link or a file in the place of a socket that was just bound. Neither that
// nor what it leads to gets the mode that was meant for the socket.
func TestModeOfNothingElse(t *testing.T) {
	dir := shortDir(t)
	at := func(name string) string { return filepath.Join(dir, name) }
	must(t, os.WriteFile(at("key"), nil, 0o600))
	dead(t, at("admin"))
	must(t, os.Chmod(at("admin"), 0o600))
	must(t, os.Symlink("key", at("to a file")))
	must(t, os.Symlink("admin", at("to a socket")))
	for name, want := range map[string]error{
		"key": socketpath.ErrUnsafe, "to a file": socketpath.ErrUnsafe, "to a socket": socketpath.ErrUnsafe, "nothing": fs.ErrNotExist,
	} {
		if err := socketpath.Prepare(at(name), 0o666); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", name, err, want)
		}
	}
	for _, name := range []string{"key", "admin"} {
		wantMode(t, at(name), 0o600)
	}
}

// TestModeOfOthersSocket: root gives none to a socket of somebody else.
func TestModeOfOthersSocket(t *testing.T) {
	needs.Root(t, "makes a socket of another user")
	path := filepath.Join(shortDir(t), "s")
	dead(t, path)
	must(t, os.Chmod(path, 0o600))
	must(t, os.Lchown(path, 65534, 65534))
	if err := socketpath.Prepare(path, 0o666); !errors.Is(err, socketpath.ErrUnsafe) {
		t.Errorf("got %v, want %v", err, socketpath.ErrUnsafe)
	}
	wantMode(t, path, 0o600)
}

// wantMode checks which permissions the file at path has.
func wantMode(t *testing.T, path string, want fs.FileMode) {
	t.Helper()
	fi, err := os.Lstat(path)
	must(t, err)
	if got := fi.Mode().Perm(); got != want {
		t.Errorf("%s: got mode %04o, want %04o", path, got, want)
	}
}
