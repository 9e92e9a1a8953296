package atomicfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// writeTemp writes data to a new file beside base, makes it durable, reads it back
// and returns its name. On error nothing is left.
func (d *dir) writeTemp(base string, data []byte) (string, error) {
	name, err := tempName(base)
	if err != nil {
		return "", err
	}
	if err := d.before(step{op: "create", name: name}); err != nil {
		return "", err
	}
	f, err := d.open(name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	err = d.fill(f, name, data)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = d.verify(name, data)
	}
	if err != nil {
		_ = d.unlink(name) // the next write removes it if this does not
		return "", err
	}
	return name, nil
}

// linkTemp gives the file base a second, temporary name and returns that.
func (d *dir) linkTemp(base string) (string, error) {
	temp, err := tempName(base)
	if err != nil {
		return "", err
	}
	return temp, d.link(base, temp)
}

// copyTemp copies the file base, of the given size, to a temporary file beside it
// and returns the name of that.
func (d *dir) copyTemp(base string, size int64) (string, error) {
	data, err := d.read(base, size)
	if err != nil {
		return "", err
	}
	return d.writeTemp(base, data)
}

// fill writes data to f and fsyncs it. A failed fsync is not repeated: the caller
// gives the file up.
func (d *dir) fill(f *os.File, name string, data []byte) error {
	if err := d.before(step{op: "write", name: name, data: data}); err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := d.before(step{op: "fsync", name: name}); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	dropCache(f)
	return nil
}

// verify reads the named file through a new descriptor and compares it with data.
func (d *dir) verify(name string, data []byte) error {
	f, _, err := d.openRegular(name, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	buf := make([]byte, min(len(data)+1, 256<<10))
	for {
		n, err := f.Read(buf)
		if !bytes.HasPrefix(data, buf[:n]) {
			return fmt.Errorf("%w: %s", ErrVerify, f.Name())
		}
		data = data[n:]
		switch {
		case errors.Is(err, io.EOF) && len(data) == 0:
			return nil
		case errors.Is(err, io.EOF):
			return fmt.Errorf("%w: %s", ErrVerify, f.Name())
		case err != nil:
			return err
		}
	}
}
