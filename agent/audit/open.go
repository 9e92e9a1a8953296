package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// fileName is the name of the log in its directory.
const fileName = "audit.jsonl"

// openWriter opens the log of dir, repairs what a crash has left, and starts a writer
// at its end.
func openWriter(dir string, opts Options, settled chan struct{}) (_ *writer, err error) {
	if err := prepareDir(dir); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, fileName)
	f, created, err := openAppend(path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
		}
	}()
	self, err := checkFile(f, path)
	if err != nil {
		return nil, err
	}
	if created {
		if err := syncDir(dir); err != nil {
			return nil, err
		}
	}
	before, err := finishRoll(dir, self)
	if err != nil {
		return nil, err
	}
	first, err := firstSeq(f, before.Seq+1)
	if err != nil {
		return nil, err
	}
	end, err := findEnd(f, self.Size(), beforeFirst(dir, before, first))
	if err == nil {
		err = checkCovered(dir, end.head)
	}
	if err != nil {
		return nil, fmt.Errorf("checking the end of %s: %w", path, err)
	}
	if end.good < self.Size() {
		if err := setAside(f, dir, end.good, self.Size()); err != nil {
			return nil, fmt.Errorf("audit: moving a torn line out of %s: %w", path, err)
		}
	}
	w := newWriter(active{f, path, self, first, end.good, end.head}, opts, settled)
	if err := chainTorn(w, dir, end.lastDetail); err != nil {
		_ = w.close(err, nil, nil)
		return nil, err
	}
	return w, nil
}

// beforeFirst returns what findEnd is told of the entry before first. Where all earlier
// segments were deleted it is not known; a checkpoint must cover it then.
func beforeFirst(dir string, before Head, first uint64) *Head {
	if before.Seq == 0 && first > 1 {
		if end, err := readCheckpointEnd(dir); err == nil && end.last != nil && end.last.Size >= first-1 {
			return nil
		}
	}
	return &before
}

// checkCovered refuses a log that ends before what its last checkpoint covers: only what
// was fsynced is ever covered, so that no crash leaves this. Checkpoints that cannot be
// read are for Check to find.
func checkCovered(dir string, head Head) error {
	end, err := readCheckpointEnd(dir)
	switch {
	case err != nil || end.last == nil || end.last.Size < head.Seq:
		return nil
	case end.last.Size > head.Seq:
		return fmt.Errorf("%w: the log ends with entry %d, and a checkpoint covers %d", ErrBroken, head.Seq, end.last.Size)
	case end.last.Head != head.Hash:
		return fmt.Errorf("%w: entry %d is not the one that a checkpoint covers", ErrBroken, head.Seq)
	}
	return nil
}

// prepareDir makes the directory, and refuses one that others may enter.
func prepareDir(dir string) error {
	fi, err := os.Lstat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("audit: making the directory: %w", err)
		}
		if err := syncDir(filepath.Dir(dir)); err != nil {
			return err
		}
		fi, err = os.Lstat(dir)
	}
	switch {
	case err != nil:
		return fmt.Errorf("audit: opening the directory: %w", err)
	case !fi.IsDir():
		return fmt.Errorf("%w: %s is not a directory", ErrUnsafe, dir)
	case !ours(fi):
		return fmt.Errorf("%w: %s belongs to another user", ErrUnsafe, dir)
	case fi.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("%w: %s has mode %04o, which lets others in; it must be 0700", ErrUnsafe, dir, fi.Mode().Perm())
	}
	return nil
}

// checkFile refuses a log that is not a plain file of ours alone, or is no longer at
// its path.
func checkFile(f *os.File, path string) (fs.FileInfo, error) {
	fi, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("audit: opening the log: %w", err)
	}
	there, err := os.Lstat(path)
	switch {
	case !fi.Mode().IsRegular():
		return nil, fmt.Errorf("%w: %s is not a regular file", ErrUnsafe, path)
	case !ours(fi):
		return nil, fmt.Errorf("%w: %s belongs to another user", ErrUnsafe, path)
	case fi.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("%w: %s has mode %04o, which lets others in; it must be 0600", ErrUnsafe, path, fi.Mode().Perm())
	case err != nil:
		return nil, fmt.Errorf("audit: opening the log: %w", err)
	case !os.SameFile(fi, there):
		return nil, fmt.Errorf("%w: %s was replaced while it was opened", ErrUnsafe, path)
	}
	return fi, nil
}

// syncDir makes a new name in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("audit: opening %s to fsync it: %w", dir, err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("audit: fsync of %s: %w", dir, err)
	}
	return nil
}
