package atomicfile

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// ReadRegular returns the content of path, at most max bytes. It takes no lock.
//
// It follows no symbolic link in the last element of path, never blocks on a pipe
// or device, and refuses a file that is not ours alone; the directory is checked
// as well. Errors: fs.ErrNotExist, *UnsafeError, ErrTooLarge, or that of the system
// call.
func ReadRegular(path string, max int64) ([]byte, error) {
	d, base, err := openDir(path)
	if err != nil {
		return nil, err
	}
	defer d.close()
	return d.read(base, max)
}

func (d *dir) read(name string, max int64) ([]byte, error) {
	f, info, err := d.openRegular(name, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info.size > max {
		return nil, fmt.Errorf("reading %s: %w: %d bytes, at most %d allowed", d.join(name), ErrTooLarge, info.size, max)
	}
	data := make([]byte, info.size)
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, fmt.Errorf("reading %s: %w", d.join(name), err)
	}
	// A file of ours is never changed in place; one that grows while it is read is
	// somebody else's.
	if n, err := f.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading %s: %w: it grew while it was read", d.join(name), ErrTooLarge)
	}
	return data, nil
}

// openRegular opens name if it is a regular file of ours alone.
func (d *dir) openRegular(name string, flags int) (*os.File, *fileInfo, error) {
	return d.openIf(name, flags, checkFile)
}

// openIf opens name if check accepts it.
func (d *dir) openIf(name string, flags int, check func(string, *fileInfo) error) (*os.File, *fileInfo, error) {
	f, err := d.open(name, flags, 0)
	if err != nil {
		// The reason behind ELOOP, ENXIO (socket, pipe) or EISDIR is told by stat.
		if info, statErr := d.lstat(name); statErr == nil {
			if unsafe := check(d.join(name), info); unsafe != nil {
				return nil, nil, unsafe
			}
		}
		return nil, nil, err
	}
	info, err := statFile(f)
	if err == nil {
		err = check(d.join(name), info)
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// OpenRegular opens path for reading if it is a regular file of ours alone; see
// [ReadRegular]. It is for content that must not be copied to the heap.
func OpenRegular(path string) (*os.File, error) {
	return openChecked(path, checkFile)
}

// OpenCredential is OpenRegular for a file that systemd made of a credential: it may
// be root's, and then readable by its group, since that is how the entry of an access
// list shows by which systemd lets the service read it.
func OpenCredential(path string) (*os.File, error) {
	return openChecked(path, func(path string, i *fileInfo) error {
		c := *i
		if c.uid == 0 {
			c.uid = euid()
			c.mode &^= unix.S_IRGRP
		}
		return checkFile(path, &c)
	})
}

func openChecked(path string, check func(string, *fileInfo) error) (*os.File, error) {
	d, base, err := openDir(path)
	if err != nil {
		return nil, err
	}
	defer d.close()
	f, _, err := d.openIf(base, os.O_RDONLY, check)
	return f, err
}

// OpenDir opens the directory of path if nobody else can exchange files in it.
func OpenDir(path string) (*os.File, error) {
	d, _, err := openDir(path)
	if err != nil {
		return nil, err
	}
	return d.f, nil
}

func statFile(f *os.File) (*fileInfo, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, fmt.Errorf("inspecting %s: %w", f.Name(), err)
	}
	return newFileInfo(&st), nil
}
