package slotkey

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nsagent/nsagent/internal/secret"
)

const line = "nsk1_000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n"

func key32() string {
	b := make([]byte, FileSize)
	for i := range b {
		b[i] = byte(i)
	}
	return string(b)
}

func TestKeyFileLine(t *testing.T) {
	a := newArena(t)
	b, err := EncodeFile(a, take(t, a, key32()))
	if err != nil || text(t, b) != line {
		t.Errorf("got %q, %v", text(t, b), err)
	}
	if _, err := EncodeFile(a, take(t, a, "short")); !errors.Is(err, ErrFile) {
		t.Errorf("a short key: got %v", err)
	}
	for _, good := range []string{line, strings.TrimSuffix(line, "\n"), strings.TrimSuffix(line, "\n") + "\r\n"} {
		if b, err := DecodeFile(a, take(t, a, good)); err != nil || text(t, b) != key32() {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", "\n", "nsk1_\n", line + "\n", " " + line, line[:40], line + line, strings.ToUpper(line), strings.Replace(line, "0a", "0A", 1),
		strings.Replace(line, "nsk1_", "nsk2_", 1), strings.Replace(line, "nsk1_", "", 1), strings.Replace(line, "0f", "0g", 1), key32(),
		strings.Replace(line, "nsk1_", "nsk1_00", 1), "-----BEGIN PRIVATE KEY-----\n",
	} {
		b, err := DecodeFile(a, take(t, a, bad))
		if !errors.Is(err, ErrFile) || !b.IsZero() {
			t.Errorf("%q: got %v", bad, err)
		}
	}
}

func TestCreateAndRead(t *testing.T) {
	a := newArena(t)
	path := filepath.Join(t.TempDir(), "key")
	defer unix.Umask(unix.Umask(0))
	if err := Create(path, take(t, a, line)); err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Lstat(path); err != nil || fi.Mode() != 0o600 {
		t.Errorf("mode %v, %v", fi.Mode(), err)
	}
	if b, err := Read(a, path); err != nil || text(t, b) != line {
		t.Errorf("read %v", err)
	}
	if err := Create(path, take(t, a, "other")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("again: got %v", err)
	}
	if err := Create(filepath.Join(filepath.Dir(path), "missing", "key"), take(t, a, line)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: got %v", err)
	}
	open := filepath.Join(t.TempDir(), "open")
	if err := errors.Join(os.Mkdir(open, 0o700), os.Chmod(open, 0o777)); err != nil {
		t.Fatal(err)
	}
	if err := Create(filepath.Join(open, "key"), take(t, a, line)); !errors.Is(err, ErrUnsafe) {
		t.Errorf("a directory that all may write: got %v", err)
	}
	dangling := filepath.Join(filepath.Dir(path), "dangling")
	if err := os.Symlink("nowhere", dangling); err != nil {
		t.Fatal(err)
	}
	if err := Create(dangling, take(t, a, line)); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a dangling link: got %v", err)
	}
	if _, err := os.Lstat(filepath.Join(filepath.Dir(path), "nowhere")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("it wrote through a link")
	}
}

// TestUnsafeKeyFiles: a key file that somebody else can read or exchange is refused,
// and so is one behind a link; a credential of systemd may be root's.
func TestUnsafeKeyFiles(t *testing.T) {
	a := newArena(t)
	for _, c := range []struct {
		name                   string
		mode                   os.FileMode
		uid                    int // -1: ours
		link, read, credential bool
	}{
		{"ours", 0o600, -1, false, true, true},
		{"read only", 0o400, -1, false, true, true},
		{"others may read", 0o604, -1, false, false, false},
		{"others may write", 0o602, -1, false, false, false},
		{"group may write", 0o620, -1, false, false, false},
		{"a link", 0o600, -1, true, false, false},
		{"somebody else's", 0o600, 12345, false, false, false},
		{"somebody else's, group may read", 0o640, 12345, false, false, false},
	} {
		if c.uid >= 0 && os.Geteuid() != 0 {
			continue
		}
		dir := t.TempDir()
		path := filepath.Join(dir, Credential)
		file := path
		if c.link {
			file = filepath.Join(dir, "file")
			if err := os.Symlink(file, path); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(os.WriteFile(file, []byte(line), 0o600), os.Chmod(file, c.mode), os.Lchown(file, c.uid, -1)); err != nil {
			t.Fatal(err)
		}
		want := func(what string, ok bool, b secret.Bytes, err error) {
			t.Helper()
			switch {
			case ok && (err != nil || text(t, b) != line):
				t.Errorf("%s: %s: %v", c.name, what, err)
			case !ok && (!errors.Is(err, ErrUnsafe) || !b.IsZero()):
				t.Errorf("%s: %s: got %v, want ErrUnsafe", c.name, what, err)
			}
		}
		b, err := Read(a, path)
		want("Read", c.read, b, err)
		b, err = ReadCredential(a, dir)
		want("ReadCredential", c.credential, b, err)
	}
	if _, err := Read(a, filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: got %v", err)
	}
	long := filepath.Join(t.TempDir(), "long")
	if err := os.WriteFile(long, make([]byte, MaxText+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(a, long); !errors.Is(err, secret.ErrTooLong) {
		t.Errorf("a long file: got %v", err)
	}
	if err := unix.Mkfifo(long+"-pipe", 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(a, long+"-pipe"); !errors.Is(err, ErrUnsafe) {
		t.Errorf("a pipe: got %v", err)
	}
}

func FuzzDecodeFile(f *testing.F) {
	f.Add([]byte(line))
	f.Add([]byte("nsk1_"))
	a := newArena(f)
	f.Fuzz(func(t *testing.T, p []byte) {
		if len(p) > MaxText {
			return
		}
		in, err := a.Take(bytes.Clone(p))
		if err != nil {
			t.Fatal(err)
		}
		defer in.Destroy()
		key, err := DecodeFile(a, in)
		defer key.Destroy()
		if err != nil {
			if !errors.Is(err, ErrFile) || !key.IsZero() {
				t.Fatalf("an error with a key, or another error: %v", err)
			}
			return
		}
		out, err := EncodeFile(a, key)
		if err != nil {
			t.Fatal(err)
		}
		defer out.Destroy()
		if got := strings.TrimRight(string(p), "\r\n"); got+"\n" != text(t, out) {
			t.Fatalf("%q decodes to the key of %q", p, text(t, out))
		}
	})
}
