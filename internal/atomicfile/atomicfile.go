// Package atomicfile replaces small private files so that a crash, a full disk or
// a power cut leaves the old content or the new one, never a mixture.
//
// A write goes to a new file in the same directory (O_EXCL, mode 0600), is
// fsynced, read back from the disk and compared, and takes the old file's place by
// rename; the directory is fsynced last. The old content stays beside it under the
// suffix ".prev". A write that returned nil survives kill -9 and power loss. A
// write that returned an error, or never returned, left old or new. A failed fsync
// is never repeated on the same descriptor: the kernel may have dropped the dirty
// pages, so that a second fsync would report a success that did not happen. The
// file is given up instead.
//
// Writers exclude each other by flock on a file of its own with the suffix
// ".lock", which is never removed. Readers take no lock: what a path names is
// complete at every moment.
//
// Files and their directory must belong to the caller and be writable by nobody
// else; see [UnsafeError]. What remains for the user of the package is to keep the
// file on a file system with working flock and rename (a network file system
// without a lock daemon has neither), and not to change the file in place.
package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Suffixes of the files that stand beside the one that is written.
const (
	PreviousSuffix = ".prev" // the content before the last write
	LockSuffix     = ".lock" // empty, holds the flock
	tempSuffix     = ".tmp-" // and 16 hexadecimal digits: a write under way, or the leftover of a crash
)

// Options says how Write treats the file that is there. The zero value replaces
// it and keeps its content as ".prev".
type Options struct {
	// NoPrevious leaves ".prev" alone: for content that must not outlive its
	// replacement, and for logs whose older state is of no use.
	NoPrevious bool
	// Exclusive refuses with ErrExists if the file is there already.
	Exclusive bool
}

// Write makes data the content of path. It takes the lock, waiting as long as
// another writer holds it, and gives it back; see [Lock] and [Guard.Write].
func Write(path string, data []byte, o Options) error {
	g, err := lockBlocking(path)
	if err != nil {
		return err
	}
	defer g.Unlock()
	return g.Write(data, o)
}

// Write makes data the content of the guarded file. Leftovers of a crashed writer
// are removed first. On error the file has its old content or, if only the fsync
// of the directory failed, perhaps the new one.
//
// Errors: *UnsafeError if the present file is not one of ours, ErrExists,
// ErrVerify, or that of the system call that failed (ENOSPC, EIO, EROFS, ...).
func (g *Guard) Write(data []byte, o Options) (err error) {
	if err := g.dir.removeTemps(g.base); err != nil {
		return err
	}
	old, err := g.dir.lstat(g.base)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		old = nil
	case err != nil:
		return err
	case o.Exclusive:
		return fmt.Errorf("%w: %s", ErrExists, g.Path())
	default:
		if err := checkFile(g.Path(), old); err != nil {
			return err
		}
	}
	temp, err := g.dir.writeTemp(g.base, data)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = g.dir.unlink(temp) // the next write removes it if this does not
		}
	}()
	if old != nil && !o.NoPrevious {
		if err := g.keepPrevious(old); err != nil {
			return fmt.Errorf("keeping the previous content: %w", err)
		}
	}
	// Opened before the rename: whatever can fail should fail while the old file
	// is in place.
	names, err := g.dir.reopen()
	if err != nil {
		return err
	}
	defer names.Close()
	if err := g.dir.rename(temp, g.base); err != nil {
		return err
	}
	return g.dir.sync(names)
}

// keepPrevious makes ".prev" a second name of the present file, or a copy of it.
// It comes into being under a temporary name and is renamed, so that ".prev" too is
// old or new at every moment.
func (g *Guard) keepPrevious(old *fileInfo) error {
	previous := g.base + PreviousSuffix
	switch p, err := g.dir.lstat(previous); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case p.sameFile(old):
		// A crash came between the two renames. To repeat this one would do
		// nothing, and leave the temporary name: so says POSIX of rename.
		return nil
	}
	temp, err := g.dir.linkTemp(g.base)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.ENOSYS) {
		temp, err = g.dir.copyTemp(g.base, old.size) // a file system without hard links
	}
	if err != nil {
		return err
	}
	if err := g.dir.rename(temp, previous); err != nil {
		_ = g.dir.unlink(temp)
		return err
	}
	return nil
}

// Path returns the path of the guarded file.
func (g *Guard) Path() string { return g.dir.join(g.base) }

// Read is ReadRegular on the guarded file.
func (g *Guard) Read(max int64) ([]byte, error) { return g.dir.read(g.base, max) }

// Open opens the guarded file for reading and writing in place, under the same
// checks as ReadRegular. The caller closes it.
func (g *Guard) Open() (*os.File, error) {
	f, _, err := g.dir.openRegular(g.base, os.O_RDWR)
	return f, err
}
