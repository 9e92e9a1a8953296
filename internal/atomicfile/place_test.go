package atomicfile

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// openForTest opens the directory of path, with a hook.
func openForTest(t *testing.T, path string, hook func(step) error) (*dir, string) {
	t.Helper()
	d, base, err := openDir(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.close)
	d.hook = hook
	return d, base
}

// TestPlaceStepsMayFail lets each step fail in turn: there is nothing under the name,
// or the whole; nothing is fsynced twice; and the next try succeeds.
func TestPlaceStepsMayFail(t *testing.T) {
	for k := 0; ; k++ {
		dir := privateDir(t)
		path := filepath.Join(dir, "f")
		n, failed := 0, ""
		d, base := openForTest(t, path, func(s step) error {
			if n++; n-1 == k {
				failed = s.op
				return unix.EIO
			}
			return nil
		})
		err := d.place(base, []byte("new"))
		if failed == "" {
			if err != nil || k < 5 {
				t.Fatalf("without a failure: %v, %d steps", err, k)
			}
			break
		}
		if !errors.Is(err, unix.EIO) {
			t.Errorf("step %d (%s): got %v", k, failed, err)
		}
		if b, err := os.ReadFile(path); err == nil && string(b) != "new" || err == nil && failed != "fsyncdir" {
			t.Errorf("step %d (%s): %q is there", k, failed, b)
		}
		if err := Place(path, []byte("new")); err != nil {
			t.Errorf("step %d (%s): again: %v", k, failed, err)
		}
		wantContent(t, path, "new")
	}
}

// TestPlaceSurvivesPowerCut takes the power away before and after each step: what
// has the name is whole, and after the last step it is there.
func TestPlaceSurvivesPowerCut(t *testing.T) {
	model := newDiskModel(nil)
	check := func(done bool) {
		model.afterPowerCut(func(files map[string]string) {
			if got, ok := files["f"]; ok && got != "new" || done && !ok {
				t.Errorf("done %v: found %q", done, files)
			}
		})
	}
	d, base := openForTest(t, filepath.Join(privateDir(t), "f"), func(s step) error {
		check(false)
		model.take(s)
		check(false)
		return nil
	})
	if err := d.place(base, []byte("new")); err != nil {
		t.Fatal(err)
	}
	check(true)
}

func TestPlaceRefuses(t *testing.T) {
	dir := privateDir(t)
	path := filepath.Join(dir, "f")
	if err := os.Symlink("elsewhere", path); err != nil {
		t.Fatal(err)
	}
	if err := Place(path, []byte("x")); !errors.Is(err, ErrUnsafe) {
		t.Errorf("over a link: %v", err)
	}
	wantNames(t, dir, "f")
	if err := os.Chmod(dir, 0o777); err != nil { // #nosec G302 -- what is to be refused
		t.Fatal(err)
	}
	if err := Place(filepath.Join(dir, "g"), nil); !errors.Is(err, ErrUnsafe) {
		t.Errorf("in a directory that others may write: %v", err)
	}
}

func TestEnsureDir(t *testing.T) {
	dir := privateDir(t)
	path := filepath.Join(dir, "d")
	for range 2 {
		if err := EnsureDir(path); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(path); err != nil || !info.IsDir() || info.Mode().Perm() != 0o700 {
		t.Errorf("got %v, %v", info, err)
	}
	if err := EnsureDir(filepath.Join(dir, "missing", "d")); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("without a parent: %v", err)
	}
}
