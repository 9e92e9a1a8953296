package atomicfile

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// dir is an open and checked directory. All names are resolved against its
// descriptor, so that nobody can exchange it under us after the check.
type dir struct {
	f    *os.File
	path string
	// hook, if set, sees each step that changes the disk before it is taken and
	// may refuse it. Only tests set it.
	hook func(step) error
}

// step is one change of the disk: create, write, fsync, link, rename, unlink or
// fsyncdir, on name and, for link and rename, to.
type step struct {
	op, name, to string
	data         []byte // of write
}

// openDir opens the directory in which path lies and returns the last element of
// path with it.
func openDir(path string) (*dir, string, error) {
	base := filepath.Base(path)
	if path == "" || base == "." || base == ".." || base == string(filepath.Separator) || strings.ContainsRune(path, 0) {
		return nil, "", fmt.Errorf("%q does not name a file: %w", path, fs.ErrInvalid)
	}
	parent := filepath.Dir(path)
	f, err := os.OpenFile(parent, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, "", err
	}
	d := &dir{f: f, path: parent}
	var st unix.Stat_t
	if err := d.call("fstat", "", func(fd int) error { return unix.Fstat(fd, &st) }); err != nil {
		f.Close()
		return nil, "", err
	}
	if err := checkDir(parent, newFileInfo(&st)); err != nil {
		f.Close()
		return nil, "", err
	}
	return d, base, nil
}

func (d *dir) close() { d.f.Close() }

func (d *dir) join(name string) string { return filepath.Join(d.path, name) }

// call runs a system call on the directory's descriptor, again after EINTR, and
// gives its error the path of name.
func (d *dir) call(op, name string, f func(fd int) error) error {
	for {
		err := f(int(d.f.Fd()))
		switch {
		case err == nil:
			return nil
		case errors.Is(err, unix.EINTR):
			continue
		}
		return &fs.PathError{Op: op, Path: d.join(name), Err: err}
	}
}

func (d *dir) before(s step) error {
	if d.hook == nil {
		return nil
	}
	return d.hook(s)
}

func (d *dir) lstat(name string) (*fileInfo, error) {
	var st unix.Stat_t
	err := d.call("lstat", name, func(fd int) error { return unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) })
	if err != nil {
		return nil, err
	}
	return newFileInfo(&st), nil
}

func (d *dir) open(name string, flags int, perm uint32) (*os.File, error) {
	var opened int
	err := d.call("open", name, func(fd int) (err error) {
		opened, err = unix.Openat(fd, name, flags|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK, perm)
		return err
	})
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(opened), d.join(name)), nil
}

func (d *dir) link(name, to string) error {
	if err := d.before(step{op: "link", name: name, to: to}); err != nil {
		return err
	}
	return d.call("link", to, func(fd int) error { return unix.Linkat(fd, name, fd, to, 0) })
}

func (d *dir) rename(name, to string) error {
	if err := d.before(step{op: "rename", name: name, to: to}); err != nil {
		return err
	}
	return d.call("rename", to, func(fd int) error { return unix.Renameat(fd, name, fd, to) })
}

func (d *dir) unlink(name string) error {
	if err := d.before(step{op: "unlink", name: name}); err != nil {
		return err
	}
	return d.call("unlink", name, func(fd int) error { return unix.Unlinkat(fd, name, 0) })
}

// reopen returns a new descriptor of the directory, for one fsync: a Guard may live
// long, and a failed fsync must not be repeated on the same descriptor.
func (d *dir) reopen() (*os.File, error) {
	return d.open(".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
}

// sync makes the names in the directory durable, through a descriptor of reopen.
func (d *dir) sync(f *os.File) error {
	if err := d.before(step{op: "fsyncdir"}); err != nil {
		return err
	}
	return f.Sync()
}

// tempName returns a new name for a temporary file beside base.
func tempName(base string) (string, error) {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", err
	}
	return base + tempSuffix + hex.EncodeToString(b[:]), nil
}

// removeTemps removes the temporary files that a crashed writer left beside base.
// The caller holds the lock, so no live writer has any.
func (d *dir) removeTemps(base string) error {
	if _, err := d.f.Seek(0, 0); err != nil {
		return err
	}
	names, err := d.f.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		digits, ok := strings.CutPrefix(name, base+tempSuffix)
		if !ok || len(digits) != 16 {
			continue
		}
		if err := d.unlink(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
