//go:build unix

package socketpath

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// CheckShared checks that path is a directory for a socket that others may be given:
// what CheckDir checks, but others may look into it. It must be ours, no symbolic link,
// and nobody else may write in it, whether it is sticky or not.
func CheckShared(path string) error { return goThrough(path, walk{shared: true}) }

// Bound is a listener at a path. Closing it leaves the path.
type Bound struct {
	*net.UnixListener
	path string
	made os.FileInfo
}

// Listen listens at path with a socket of this mode; until it has that, nobody but its
// owner can connect. A path that answers belongs to somebody (ErrTaken); a socket that
// does not is what a killed process left, and is replaced; anything else that is there
// stays. queue is how many connections may wait to be taken.
//
// The directory is not checked: ask EnsureDir or CheckShared first. Who may write in it all
// the same, as a container of ours that it is mounted into, can keep us from listening there,
// and have nothing changed or removed outside it. No file must be made by the process
// meanwhile, since the umask belongs to all of it.
//
// Errors wrap ErrTooLong, ErrTaken or ErrUnsafe, or say which system call was refused.
func Listen(path string, mode fs.FileMode, queue int) (*Bound, error) {
	if err := CheckLength(path); err != nil {
		return nil, err
	}
	if err := clearPath(path); err != nil {
		return nil, err
	}
	old := unix.Umask(0o177)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	unix.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("binding %s: %w", path, err)
	}
	l.SetUnlinkOnClose(false)
	b := &Bound{UnixListener: l, path: path}
	if err := b.prepare(mode, queue); err != nil {
		return nil, errors.Join(fmt.Errorf("binding %s: %w", path, err), b.Remove(), l.Close())
	}
	return b, nil
}

// prepare gives the socket its mode and its queue. Go asks for as long a queue as the
// kernel has, and whoever fills it would be served for seconds before anybody else.
func (b *Bound) prepare(mode fs.FileMode, queue int) error {
	var err error
	if b.made, err = giveMode(b.path, mode); err != nil {
		return err
	}
	raw, err := b.SyscallConn()
	if err != nil {
		return err
	}
	if e := raw.Control(func(fd uintptr) { err = unix.Listen(int(fd), queue) }); e != nil { // #nosec G115 -- a descriptor fits
		return e
	}
	return err
}

// ownSocket refuses what is at path where that is no socket of ours: somebody put it there
// since we made one.
func ownSocket(path string, fi os.FileInfo) error {
	if fi.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%w: what is at %q is no socket any more", ErrUnsafe, path)
	}
	if owner := ownerOf(fi); owner != os.Geteuid() {
		return fmt.Errorf("%w: the socket %q belongs to uid %d now", ErrUnsafe, path, owner)
	}
	return nil
}

// Remove removes the socket from its path, unless something else is there by now.
func (b *Bound) Remove() error {
	fi, err := os.Lstat(b.path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(fi, b.made) {
		return nil
	}
	if err == nil {
		err = os.Remove(b.path)
	}
	if err != nil {
		return fmt.Errorf("removing a socket: %w", err)
	}
	return nil
}

// Answers reports whether somebody takes connections at path.
func Answers(path string) bool {
	c, err := net.DialTimeout("unix", path, time.Second)
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

// clearPath makes room at path where a socket is that nobody serves any more.
func clearPath(path string) error {
	fi, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("looking at %s: %w", path, err)
	case fi.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%w: what is at %q is no socket", ErrUnsafe, path)
	case Answers(path):
		return fmt.Errorf("%w: %q", ErrTaken, path)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("clearing %s: %w", path, err)
	}
	return nil
}

// ClearSockets removes the sockets that killed processes left in a directory of ours. It
// leaves what is served, and what is no socket.
func ClearSockets(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("looking for old sockets: %w", err)
	}
	for _, e := range entries {
		if e.Type() != fs.ModeSocket {
			continue
		}
		if err := clearPath(filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, ErrTaken) {
			return err
		}
	}
	return nil
}
