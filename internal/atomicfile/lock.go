package atomicfile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Guard is the exclusive lock on one file, and the right to write it. It is for
// one goroutine at a time.
type Guard struct {
	dir  *dir
	base string
	lock *os.File
}

// Lock takes the lock on path, waiting until ctx ends while another process or
// another Guard of this process holds it. The file need not exist; its directory
// must. The lock file path+".lock" is created as needed, under the same checks as
// the file itself. The caller calls Unlock.
//
// Errors: *UnsafeError; ErrBusy together with the error of ctx; or that of the
// system call.
func Lock(ctx context.Context, path string) (*Guard, error) {
	return newGuard(path, func(g *Guard) error {
		// flock cannot wait under a deadline, so it is asked again and again.
		for wait := time.Millisecond; ; wait = min(2*wait, 20*time.Millisecond) {
			err := g.flock(unix.LOCK_EX | unix.LOCK_NB)
			if !errors.Is(err, ErrBusy) {
				return err
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("%w: %w", err, ctx.Err())
			case <-time.After(wait):
			}
		}
	})
}

func lockBlocking(path string) (*Guard, error) {
	return newGuard(path, func(g *Guard) error { return g.flock(unix.LOCK_EX) })
}

func newGuard(path string, take func(*Guard) error) (*Guard, error) {
	d, base, err := openDir(path)
	if err != nil {
		return nil, err
	}
	g := &Guard{dir: d, base: base}
	if err := g.openLock(); err != nil {
		d.close()
		return nil, err
	}
	if err := take(g); err != nil {
		g.lock.Close()
		d.close()
		return nil, fmt.Errorf("locking %s: %w", g.Path(), err)
	}
	return g, nil
}

func (g *Guard) openLock() error {
	name := g.base + LockSuffix
	f, err := g.dir.open(name, unix.O_RDWR|unix.O_CREAT, 0o600)
	if err != nil {
		if info, statErr := g.dir.lstat(name); statErr == nil {
			if unsafe := checkFile(g.dir.join(name), info); unsafe != nil {
				return unsafe
			}
		}
		return err
	}
	info, err := statFile(f)
	if err == nil {
		err = checkFile(g.dir.join(name), info)
	}
	if err != nil {
		f.Close()
		return err
	}
	g.lock = f
	return nil
}

func (g *Guard) flock(how int) error {
	for {
		err := unix.Flock(int(g.lock.Fd()), how)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EWOULDBLOCK):
			return ErrBusy
		}
		return err
	}
}

// Unlock gives the lock back. The Guard is of no use afterwards; a second call
// does nothing.
func (g *Guard) Unlock() {
	if g.lock == nil {
		return
	}
	// Explicitly, since a child between fork and exec may hold a copy of the
	// descriptor, and the lock with it.
	_ = g.flock(unix.LOCK_UN)
	g.lock.Close()
	g.dir.close()
	g.lock = nil
}
