//go:build linux || freebsd || netbsd || openbsd || dragonfly

package keyring

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/godbus/dbus/v5"
)

const (
	// askTime is how long one socket may take to accept a connection.
	askTime = time.Second
	// nowhere is an address that nobody can serve: /dev/null is not a directory.
	nowhere = "unix:path=/dev/null/bus"
)

// errOthersBus is the text of what is wrong with a bus of somebody else.
var errOthersBus = errors.New("the bus at this address belongs to another user")

// connectBus connects godbus, and so go-keyring, to the first of the sockets that
// this user or root serves.
//
// The name of a socket outlives its bus: once a session is over, any user may bind
// its abstract name, or its path in /tmp, and would be given what goes into the
// keyring. So each socket is asked first who serves it, and only those of this user
// and of root are left.
//
// Between this question and the connection of godbus a bus can end and another user
// take its name. So the connection that godbus made is asked once more, before
// anything but the greeting went over it, and then the address is replaced by
// nowhere: go-keyring uses this one connection or none.
func connectBus(sockets []busSocket) error {
	address, err := trustedAddress(sockets)
	if err != nil {
		return err
	}
	before := unixPeers()
	if err := os.Setenv(busVariable, address); err != nil {
		return fmt.Errorf("%w: naming the bus: %w", ErrUnavailable, err)
	}
	if _, err := dbus.SessionBus(); err != nil {
		return err
	}
	if err := checkNewPeers(before, unixPeers()); err != nil {
		return err
	}
	if err := os.Setenv(busVariable, nowhere); err != nil {
		return fmt.Errorf("%w: naming the bus: %w", ErrUnavailable, err)
	}
	return nil
}

// trustedAddress returns the list of the sockets that this user or root serves. The
// error, where none is left, wraps ErrStaleBus.
func trustedAddress(sockets []busSocket) (string, error) {
	var trusted []string
	var refused, dead error
	for _, s := range sockets {
		err := askSocket(s)
		var op *net.OpError
		switch {
		case err == nil:
			trusted = append(trusted, s.String())
		case errors.As(err, &op):
			dead = err
		default:
			refused = fmt.Errorf("%w: %s", err, s)
		}
	}
	switch {
	case len(trusted) > 0:
		return strings.Join(trusted, ";"), nil
	case refused != nil: // says more than a socket that is merely dead
		return "", fmt.Errorf("%w: %w", ErrStaleBus, refused)
	}
	return "", fmt.Errorf("%w: %w", ErrStaleBus, dead)
}

// askSocket returns nil if this user or root serves a socket. It sends nothing. The
// error is a *net.OpError where nobody does.
func askSocket(s busSocket) error {
	conn, err := net.DialTimeout("unix", s.dialName(), askTime)
	if err != nil {
		return err
	}
	defer conn.Close()
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return fmt.Errorf("asking who serves the bus: %v", err)
	}
	var uid uint32
	var askErr error
	if err := raw.Control(func(fd uintptr) { uid, askErr = peerUID(int(fd)) }); err != nil || askErr != nil {
		return fmt.Errorf("asking who serves the bus: %v", errors.Join(err, askErr))
	}
	if !trustedUID(uid) {
		return fmt.Errorf("%w (uid %d)", errOthersBus, uid)
	}
	if s.abstract {
		return nil
	}
	return checkPath(s.name)
}

// checkPath returns nil if a socket belongs to this user or root and lies where
// other users cannot replace it while its bus lives.
func checkPath(path string) error {
	fi, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("looking at the socket of the bus: %w", err)
	}
	if stat, ok := fi.Sys().(*syscall.Stat_t); !ok || !trustedUID(stat.Uid) {
		return errOthersBus
	}
	dir, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("looking at the socket of the bus: %w", err)
	}
	if dir.Mode()&0o002 != 0 && dir.Mode()&fs.ModeSticky == 0 {
		return errors.New("another user could replace the socket of the bus: its directory is open to all")
	}
	return nil
}

// checkNewPeers compares the connections of this process before and after godbus
// made its own.
func checkNewPeers(before, after map[int]uint32) error {
	found := false
	for fd, uid := range after {
		if _, old := before[fd]; old {
			continue
		}
		if !trustedUID(uid) {
			return fmt.Errorf("%w: %w (uid %d)", ErrStaleBus, errOthersBus, uid)
		}
		found = true
	}
	if !found {
		return fmt.Errorf("%w: the connection to the bus cannot be found", ErrUnavailable)
	}
	return nil
}

// trustedUID says whether a user may be given what goes into the keyring: this one,
// and root, who can read it anyway.
func trustedUID(uid uint32) bool { return uid == 0 || int64(uid) == int64(os.Geteuid()) }
