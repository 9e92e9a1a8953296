package agent

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// errMoved means that a directory is not where it was.
var errMoved = errors.New("agent: directory moved or removed")

// noticeChanges has watchRevocations look when the kernel tells of a change in the directory
// of the ledger. Where it does not, the time says when to look.
func (a *Agent) noticeChanges(ctx context.Context) error {
	if a.bundled != nil {
		<-ctx.Done()
		return nil
	}
	err := a.untilUnnoticed(ctx, filepath.Dir(a.cfg.Paths.Ledger))
	a.noticing.Store(false)
	wake(a.hear)
	if ctx.Err() == nil {
		a.log.Warn("the system does not tell when the ledger changes; while grants are in use, it is looked at by the time", "every", learnEvery, "error", err)
	}
	<-ctx.Done()
	return nil
}

// untilUnnoticed notices changes in a directory until ctx ends or it cannot.
func (a *Agent) untilUnnoticed(ctx context.Context, dir string) error {
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		return fmt.Errorf("watching files: %w", err)
	}
	f := os.NewFile(uintptr(fd), "inotify") // #nosec G115 -- a descriptor
	defer func() { _ = f.Close() }()
	defer context.AfterFunc(ctx, func() { _ = f.Close() })()
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_MODIFY|unix.IN_MOVED_TO|unix.IN_DELETE_SELF|unix.IN_MOVE_SELF); err != nil {
		return fmt.Errorf("watching %s: %w", dir, err)
	}
	a.noticing.Store(true)
	var events [4096]byte
	for {
		wake(a.hear) // at first for what changed before
		n, err := f.Read(events[:])
		if err != nil {
			return fmt.Errorf("watching %s: %w", dir, err)
		}
		if over(events[:n]) {
			return fmt.Errorf("watching %s: %w", dir, errMoved)
		}
	}
}

// over reports whether one of these inotify events says that there will be no more of what is
// at the path. Each has, in numbers of 32 bits, watch, mask, cookie and the length of the name
// that follows.
func over(events []byte) bool {
	for len(events) >= unix.SizeofInotifyEvent {
		if binary.NativeEndian.Uint32(events[4:])&(unix.IN_IGNORED|unix.IN_DELETE_SELF|unix.IN_MOVE_SELF|unix.IN_UNMOUNT) != 0 {
			return true
		}
		events = events[unix.SizeofInotifyEvent+binary.NativeEndian.Uint32(events[12:]):]
	}
	return false
}
