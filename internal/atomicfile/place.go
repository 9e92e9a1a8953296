package atomicfile

import (
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"
)

// Place writes data to a new file at path, durable when it returns, without a lock
// and without ".prev": for files that are named by their content. A file that is
// there already is replaced whole. Leftovers of a crash have the name of the file
// with ".tmp-" and 16 digits behind it; the caller clears them away. Errors as of
// Guard.Write.
func Place(path string, data []byte) error {
	d, base, err := openDir(path)
	if err != nil {
		return err
	}
	defer d.close()
	return d.place(base, data)
}

func (d *dir) place(base string, data []byte) error {
	switch old, err := d.lstat(base); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	default:
		if err := checkFile(d.join(base), old); err != nil {
			return err
		}
	}
	temp, err := d.writeTemp(base, data)
	if err != nil {
		return err
	}
	names, err := d.reopen()
	if err == nil {
		defer names.Close()
		err = d.rename(temp, base)
	}
	if err != nil {
		_ = d.unlink(temp)
		return err
	}
	return d.sync(names)
}

// EnsureDir makes the directory at path, mode 0700, unless it is there. It is durable
// when EnsureDir returns. What is there is checked when it is used.
func EnsureDir(path string) error {
	d, base, err := openDir(path)
	if err != nil {
		return err
	}
	defer d.close()
	if _, err := d.lstat(base); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	names, err := d.reopen()
	if err != nil {
		return err
	}
	defer names.Close()
	if err := d.before(step{op: "mkdir", name: base}); err != nil {
		return err
	}
	err = d.call("mkdir", base, func(fd int) error { return unix.Mkdirat(fd, base, 0o700) })
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return d.sync(names)
}
