package atomicfile

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		childMain()
		return
	}
	os.Exit(m.Run())
}

// privateDir returns a new directory of mode 0700. That of t.TempDir is 0755 on
// some systems and depends on the umask on others.
func privateDir(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "d")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func mustWrite(t testing.TB, path, data string, o Options) {
	t.Helper()
	if err := Write(path, []byte(data), o); err != nil {
		t.Fatal(err)
	}
}

func wantContent(t testing.TB, path, want string) {
	t.Helper()
	got, err := ReadRegular(path, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Fatalf("%s: got %q, want %q", filepath.Base(path), got, want)
	}
}

func wantNames(t testing.TB, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Fatalf("directory: got %q, want %q", got, want)
	}
}

func TestWriteKeepsThePreviousContent(t *testing.T) {
	dir := privateDir(t)
	path := filepath.Join(dir, "f")
	for i, want := range []string{"one", "two", "", strings.Repeat("long", 300_000)} {
		mustWrite(t, path, want, Options{})
		got, err := ReadRegular(path, 2<<20)
		if err != nil || string(got) != want {
			t.Fatalf("write %d: got %d bytes, %v; want %d", i, len(got), err, len(want))
		}
	}
	wantContent(t, path+PreviousSuffix, "")
	mustWrite(t, path, "five", Options{NoPrevious: true})
	wantContent(t, path+PreviousSuffix, "")
	mustWrite(t, path, "six", Options{})
	wantContent(t, path+PreviousSuffix, "five")
	wantNames(t, dir, "f", "f"+PreviousSuffix, "f"+LockSuffix)
}

func TestExclusive(t *testing.T) {
	path := filepath.Join(privateDir(t), "f")
	mustWrite(t, path, "one", Options{Exclusive: true})
	if err := Write(path, []byte("two"), Options{Exclusive: true}); !errors.Is(err, ErrExists) {
		t.Fatalf("got %v, want ErrExists", err)
	}
	wantContent(t, path, "one")
}

func TestFilesArePrivateUnderAnyUmask(t *testing.T) {
	old := unix.Umask(0)
	defer unix.Umask(old)
	path := filepath.Join(privateDir(t), "f")
	mustWrite(t, path, "one", Options{})
	mustWrite(t, path, "two", Options{})
	for _, p := range []string{path, path + PreviousSuffix, path + LockSuffix} {
		info, err := os.Stat(p)
		if err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: got mode %v, %v; want 0600", p, info.Mode(), err)
		}
	}
}

func TestLeftoversOfACrashAreRemoved(t *testing.T) {
	dir := privateDir(t)
	path := filepath.Join(dir, "f")
	others := []string{"g.tmp-0123456789abcdef", "f.tmp-short", "f.tmp-0123456789abcdef0"}
	for _, name := range append([]string{"f.tmp-0123456789abcdef", "f.tmp-fedcba9876543210"}, others...) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	mustWrite(t, path, "one", Options{})
	wantNames(t, dir, append(others, "f", "f"+LockSuffix)...)
}

// TestEveryStepMayFail lets each step of a write fail in turn. The file holds the
// old content, or the new one if only the last fsync failed; nothing is fsynced
// twice; and the next write succeeds and cleans up.
func TestEveryStepMayFail(t *testing.T) {
	for _, failure := range []error{unix.EIO, unix.ENOSPC, unix.EPERM} {
		for k := 0; ; k++ {
			dir := privateDir(t)
			path := filepath.Join(dir, "f")
			mustWrite(t, path, "zero", Options{})
			mustWrite(t, path, "one", Options{})
			g, err := tryLock(path)
			if err != nil {
				t.Fatal(err)
			}
			n, failed := 0, step{}
			synced := map[string]int{}
			g.dir.hook = func(s step) error {
				if s.op == "fsync" || s.op == "fsyncdir" {
					synced[s.op+s.name]++
				}
				n++
				if n-1 == k {
					failed = s
					return failure
				}
				return nil
			}
			err = g.Write([]byte("two"), Options{})
			g.Unlock()
			name := fmt.Sprintf("%v at step %d (%s)", failure, k, failed.op)
			if failed.op == "" {
				if err != nil || k < 7 {
					t.Fatalf("a write without a failure: %v, %d steps", err, k)
				}
				break
			}
			for what, times := range synced {
				if times > 1 {
					t.Errorf("%s: %s %d times", name, what, times)
				}
			}
			replaced := failed.op == "fsyncdir" || failed.op == "link" && failure == unix.EPERM // copied instead
			want, wantPrevious := "one", []string{"zero", "one"}
			if replaced {
				want, wantPrevious = "two", []string{"one"}
			}
			if (err == nil) != (failed.op == "link" && failure == unix.EPERM) {
				t.Errorf("%s: got error %v", name, err)
			}
			if err != nil && !errors.Is(err, failure) {
				t.Errorf("%s: got error %v", name, err)
			}
			wantContent(t, path, want)
			previous, err := ReadRegular(path+PreviousSuffix, 100)
			if err != nil || !slices.Contains(wantPrevious, string(previous)) {
				t.Errorf("%s: previous %q, %v; want one of %q", name, previous, err, wantPrevious)
			}
			wantNames(t, dir, "f", "f"+PreviousSuffix, "f"+LockSuffix)
			mustWrite(t, path, "three", Options{})
			wantContent(t, path, "three")
			wantContent(t, path+PreviousSuffix, want)
		}
	}
}

func TestWriteAfterACrashBetweenTheRenames(t *testing.T) {
	dir := privateDir(t)
	path := filepath.Join(dir, "f")
	mustWrite(t, path, "one", Options{})
	if err := os.Link(path, path+PreviousSuffix); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, path, "two", Options{})
	wantContent(t, path, "two")
	wantContent(t, path+PreviousSuffix, "one")
	wantNames(t, dir, "f", "f"+PreviousSuffix, "f"+LockSuffix)
}

// TestVerifySeesAWrongByte changes the temporary file behind the writer's back.
func TestVerifySeesAWrongByte(t *testing.T) {
	for name, spoil := range map[string]func(b []byte) []byte{
		"changed":   func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"cut":       func(b []byte) []byte { return b[:len(b)-1] },
		"empty":     func(b []byte) []byte { return nil },
		"prolonged": func(b []byte) []byte { return append(b, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := privateDir(t)
			path := filepath.Join(dir, "f")
			mustWrite(t, path, "old", Options{})
			g, err := tryLock(path)
			if err != nil {
				t.Fatal(err)
			}
			defer g.Unlock()
			data := bytes.Repeat([]byte("0123456789"), 60_000) // longer than one read
			g.dir.hook = func(s step) error {
				if s.op == "fsync" {
					return os.WriteFile(filepath.Join(dir, s.name), spoil(bytes.Clone(data)), 0o600)
				}
				return nil
			}
			if err := g.Write(data, Options{}); !errors.Is(err, ErrVerify) {
				t.Fatalf("got %v, want ErrVerify", err)
			}
			wantContent(t, path, "old")
			wantNames(t, dir, "f", "f"+LockSuffix)
		})
	}
}

func TestConcurrentWritersAndReaders(t *testing.T) {
	dir := privateDir(t)
	path := filepath.Join(dir, "f")
	content := func(i int) []byte { return bytes.Repeat([]byte{byte(i)}, 10_000+i) }
	mustWrite(t, path, string(content(0)), Options{})
	var writers, readers sync.WaitGroup
	done := make(chan struct{})
	for i := range 8 {
		writers.Go(func() {
			for range 5 {
				if err := Write(path, content(i), Options{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for _, p := range []string{path, path + PreviousSuffix} {
		readers.Go(func() {
			for {
				got, err := ReadRegular(p, 20_000)
				if !errors.Is(err, fs.ErrNotExist) && (err != nil || !bytes.Equal(got, content(len(got)-10_000))) {
					t.Errorf("%s: a mixture of %d bytes, %v", p, len(got), err)
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
	wantNames(t, dir, "f", "f"+PreviousSuffix, "f"+LockSuffix)
}

func TestGuardReadsAndOpensItsFile(t *testing.T) {
	path := filepath.Join(privateDir(t), "f")
	mustWrite(t, path, "0123456789", Options{})
	g, err := tryLock(path)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Unlock()
	if got, err := g.Read(10); err != nil || string(got) != "0123456789" {
		t.Errorf("got %q, %v", got, err)
	}
	f, err := g.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("x"), 3); err != nil {
		t.Error(err)
	}
	wantContent(t, path, "012x456789")
	if err := os.Chmod(path, 0o620); err != nil {
		t.Fatal(err)
	}
	_, readErr := g.Read(10)
	_, openErr := g.Open()
	for _, err := range []error{readErr, openErr} {
		if !errors.Is(err, ErrUnsafe) || !strings.HasSuffix(err.Error(), "is open to group or others (mode 0620) (fix: chmod 600 "+path+")") {
			t.Errorf("got %v, want ErrUnsafe with the fix", err)
		}
	}
}
