package atomicfile

import (
	"bytes"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// writeTemp writes data to a new file beside base, makes it durable, reads it back
// and returns its name. On error nothing is left.
func (d *dir) writeTemp(base string, data []byte) (name string, err error) {
	name, err = tempName(base)
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
	defer func() {
		if err != nil {
			_ = d.unlink(name) // the next write removes it if this does not
		}
	}()
	if err := d.fill(f, name, data); err != nil {
		f.Close()
		return "", err
	}
	if err := f.Close(); err != nil {
		return "", err
	}
	return name, d.verify(name, data)
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
			return ErrVerify
		}
		data = data[n:]
		switch {
		case errors.Is(err, io.EOF) && len(data) == 0:
			return nil
		case errors.Is(err, io.EOF):
			return ErrVerify
		case err != nil:
			return err
		}
	}
}
