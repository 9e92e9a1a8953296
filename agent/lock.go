package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// glance is how long an agent that starts puts up with a lock that somebody holds: who
// looks whether there is an agent holds it for a moment.
const glance = 100 * time.Millisecond

// longGlance is how long a note of sockets may be that of the last agent, which one that
// starts has locked and is about to write, or one that ends about to leave.
const longGlance = time.Second

// lockFile takes the lock of the socket directory, which a process holds for as
// long as it lives.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600) // #nosec G304 -- our own runtime directory
	if err != nil {
		return nil, fmt.Errorf("opening the lock %s: %w", path, err)
	}
	for end := time.Now().Add(glance); ; time.Sleep(time.Millisecond) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) // #nosec G115 -- a descriptor fits
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, unix.EINTR) && time.Now().After(end) {
			_ = f.Close()
			return nil, running(path)
		}
	}
}

func running(path string) error {
	return refuse(ErrRunning, pb.CodeRunning, "an agent is running already", "it serves "+filepath.Dir(path), "see it:  nsagent status")
}

// LockState says who has the lock of a socket directory.
type LockState int

const (
	// LockUnknown is one that cannot be looked at.
	LockUnknown LockState = iota
	// LockMissing is one that nobody has made: no agent ran there since the directory
	// was made.
	LockMissing
	// LockFree is one that no agent holds.
	LockFree
	// LockHeld is one that an agent holds, which runs, starts or ends.
	LockHeld
)

// LookAtLock tells whether an agent is there without a connection, which would have
// systemd start one.
func LookAtLock(path string) LockState {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, 0) // #nosec G304 -- our own runtime directory
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return LockMissing
	case err != nil:
		return LockUnknown
	}
	defer func() { _ = f.Close() }()
	for {
		switch err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB); { // #nosec G115 -- a descriptor fits
		case err == nil:
			return LockFree
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EWOULDBLOCK):
			return LockHeld
		default:
			return LockUnknown
		}
	}
}
