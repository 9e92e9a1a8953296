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

	"github.com/godbus/dbus/v5"
)

// busVariable is where programs look for the session bus.
const busVariable = "DBUS_SESSION_BUS_ADDRESS"

// prepare connects to the bus that will be used, which must be this user's or root's.
// Without an address godbus would look in a place of its own and then run
// dbus-launch from PATH; so it always has one, and no PATH.
func prepare() error {
	if err := os.Unsetenv("PATH"); err != nil {
		return fmt.Errorf("%w: taking away PATH: %w", ErrUnavailable, err)
	}
	sockets, err := busSockets(os.Getenv)
	if err != nil {
		return err
	}
	return connectBus(sockets)
}

// busSockets returns the Unix sockets among the addresses of the session bus, or the
// socket where systemd puts it. There is at least one, if there is no error.
func busSockets(getenv func(string) string) ([]busSocket, error) {
	if address := getenv(busVariable); address != "" && address != "autolaunch:" {
		sockets, err := parseAddresses(address)
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrNoBus, busVariable, err)
		}
		if len(sockets) == 0 {
			return nil, fmt.Errorf("%w: %s names no unix socket", ErrNoBus, busVariable)
		}
		return sockets, nil
	}
	dir := getenv("XDG_RUNTIME_DIR")
	if !filepath.IsAbs(dir) {
		return nil, fmt.Errorf("%w: neither %s nor XDG_RUNTIME_DIR is set", ErrNoBus, busVariable)
	}
	path := filepath.Join(dir, "bus")
	if fi, err := os.Stat(path); err != nil || fi.Mode()&fs.ModeSocket == 0 {
		return nil, fmt.Errorf("%w: %s is not set and there is no socket %s", ErrNoBus, busVariable, path)
	}
	return []busSocket{{name: path}}, nil
}

// classifyBus knows the errors of D-Bus and the Secret Service; nil for others.
// go-keyring returns some of them as bare text.
func classifyBus(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return fmt.Errorf("%w: %w", ErrStaleBus, err)
	}
	var answer dbus.Error
	if errors.As(err, &answer) {
		return classifyAnswer(answer)
	}
	if strings.Contains(err.Error(), "failed to unlock correct collection") {
		if !hasDefaultCollection() {
			return ErrNoCollection
		}
		return fmt.Errorf("%w: nobody unlocked it", ErrLocked)
	}
	return nil
}

// classifyAnswer knows the names of errors on the bus.
func classifyAnswer(answer dbus.Error) error {
	known := map[string]error{
		"org.freedesktop.DBus.Error.ServiceUnknown": ErrNoService,
		"org.freedesktop.DBus.Error.NameHasNoOwner": ErrNoService,
		"org.freedesktop.Secret.Error.IsLocked":     ErrLocked,
		"org.freedesktop.Secret.Error.NoSuchObject": ErrNotFound,
		"org.freedesktop.DBus.Error.NoReply":        ErrTimeout,
		"org.freedesktop.DBus.Error.TimedOut":       ErrTimeout,
		"org.freedesktop.DBus.Error.Timeout":        ErrTimeout,
	}
	sentinel := known[answer.Name]
	if sentinel == nil && strings.HasPrefix(answer.Name, "org.freedesktop.DBus.Error.Spawn.") {
		sentinel = ErrNoService // the bus could not start it
	}
	if sentinel == nil {
		sentinel = ErrUnavailable
	}
	return fmt.Errorf("%w: %w", sentinel, answer)
}

// hasDefaultCollection asks the service whether it has a place for items at all. A
// service that cannot say is taken to have one.
func hasDefaultCollection() bool {
	conn, err := dbus.SessionBus() // the connection that go-keyring made
	if err != nil {
		return true
	}
	var path dbus.ObjectPath
	err = conn.Object("org.freedesktop.secrets", "/org/freedesktop/secrets").
		Call("org.freedesktop.Secret.Service.ReadAlias", 0, "default").Store(&path)
	return err != nil || path != "/"
}
