//go:build linux || darwin || freebsd || netbsd || openbsd

package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// openAppend opens the log file for reading and appending, makes it if it is not
// there, and takes the lock on it, which ends with the descriptor. The lock lies on the
// file itself, so nobody can hold it and write to another.
func openAppend(path string) (f *os.File, created bool, err error) {
	f, created, err = openPrivate(path)
	if err != nil {
		if errors.Is(err, syscall.ELOOP) {
			return nil, false, fmt.Errorf("%w: %s is a symbolic link", ErrUnsafe, path)
		}
		return nil, false, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, false, fmt.Errorf("%w: %s", ErrInUse, path)
		}
		return nil, false, &fs.PathError{Op: "flock", Path: path, Err: err}
	}
	return f, created, nil
}

// openPrivate opens a file for reading and appending, and makes it if it is not there.
func openPrivate(path string) (f *os.File, created bool, err error) {
	const flags = os.O_RDWR | os.O_APPEND | syscall.O_NOFOLLOW | syscall.O_NONBLOCK
	f, err = os.OpenFile(path, flags|os.O_CREATE|os.O_EXCL, 0o600)
	created = err == nil
	if errors.Is(err, fs.ErrExist) {
		f, err = os.OpenFile(path, flags, 0)
	}
	return f, created, err
}

// openRead opens a file for reading; a symbolic link in its place is refused.
func openRead(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, syscall.ELOOP) {
		return nil, fmt.Errorf("%w: %s is a symbolic link", ErrUnsafe, path)
	}
	return f, err
}

// ours reports whether the file belongs to the user that this process acts as.
func ours(fi fs.FileInfo) bool {
	st, ok := fi.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Geteuid()
}
