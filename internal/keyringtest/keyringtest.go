// Package keyringtest runs a real OS keyring for tests: a session bus and
// gnome-keyring in a home of their own, where no other session is touched.
//
// Start is for tests; New is for whatever has no testing.TB, such as a TestMain. A
// Session is given to other processes by its Env, never by the environment of the
// test itself. Besides a working keyring there are the broken ones that users have:
// locked, without a collection, without a service, and with a prompt that nobody
// answers.
package keyringtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/godbus/dbus/v5"

	"github.com/nsagent/nsagent/internal/needs"
)

// Kind says what is on the bus.
type Kind string

const (
	// Unlocked is a keyring with an unlocked login collection.
	Unlocked Kind = "unlocked"
	// Locked is a keyring whose login collection is locked, without a display to
	// ask on.
	Locked Kind = "locked"
	// NoCollection is a keyring that has never been given a password.
	NoCollection Kind = "no collection"
	// NoService is a bus without a keyring.
	NoService Kind = "no service"
	// Hanging is a keyring that answers everything with a prompt, which never ends.
	Hanging Kind = "hanging"
)

// ErrMissing means that a program is not installed.
var ErrMissing = errors.New("keyringtest: needs dbus-daemon and gnome-keyring-daemon (packages dbus and gnome-keyring)")

// password opens the login collection.
const password = "correct horse battery staple"

// Session is a bus with what Kind says. Stop ends it.
type Session struct {
	// Home and RuntimeDir are what HOME and XDG_RUNTIME_DIR of its users must be.
	// The bus socket is RuntimeDir/bus.
	Home, RuntimeDir string
	// Address is the DBUS_SESSION_BUS_ADDRESS.
	Address string
	// Prompted is told when a Hanging session opens a prompt.
	Prompted <-chan struct{}

	dir       string
	processes []*process // in the order of their start
	service   *dbus.Conn // of a Hanging session
}

// Start returns a session that ends with the test. Where a program is missing the
// test is skipped, or fails if NSAGENT_TEST_REQUIRE names keyring or all.
func Start(tb testing.TB, kind Kind) *Session {
	tb.Helper()
	s, err := New(kind)
	if errors.Is(err, ErrMissing) {
		needs.Missing(tb, "keyring", err.Error())
	}
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Stop(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// New returns a session, which the caller must Stop. Errors: ErrMissing.
func New(kind Kind) (s *Session, err error) {
	for _, program := range []string{"dbus-daemon", "gnome-keyring-daemon"} {
		if _, err := exec.LookPath(program); err != nil {
			return nil, ErrMissing
		}
	}
	dir, err := os.MkdirTemp("", "nsk") // short: it ends up in socket addresses
	if err != nil {
		return nil, fmt.Errorf("making a home: %w", err)
	}
	s = &Session{dir: dir, Home: filepath.Join(dir, "home"), RuntimeDir: filepath.Join(dir, "run")}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Stop())
			s = nil
		}
	}()
	for _, d := range []string{s.Home, s.RuntimeDir} {
		if err := os.Mkdir(d, 0o700); err != nil {
			return s, fmt.Errorf("making a home: %w", err)
		}
	}
	if err := s.startBus(); err != nil {
		return s, err
	}
	switch kind {
	case Unlocked:
		err = s.startKeyring(true)
	case Locked:
		if err = s.startKeyring(true); err == nil {
			err = s.Lock()
		}
	case NoCollection:
		err = s.startKeyring(false)
	case Hanging:
		err = s.serveHanging()
	case NoService:
	default:
		err = fmt.Errorf("keyringtest: unknown kind %q", kind)
	}
	return s, err
}

// Env returns the environment for a user of the session, and nothing else: no
// display, no PATH.
func (s *Session) Env() []string {
	return append(s.home(), "DBUS_SESSION_BUS_ADDRESS="+s.Address)
}

// home returns the environment without the bus.
func (s *Session) home() []string {
	return []string{
		"HOME=" + s.Home,
		"XDG_RUNTIME_DIR=" + s.RuntimeDir,
		"XDG_CONFIG_HOME=" + filepath.Join(s.Home, ".config"),
		"XDG_DATA_HOME=" + filepath.Join(s.Home, ".local", "share"),
		"XDG_STATE_HOME=" + filepath.Join(s.Home, ".local", "state"),
		"LANG=C.UTF-8",
	}
}

// Lock locks the login collection.
func (s *Session) Lock() error {
	conn, err := s.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	var locked []dbus.ObjectPath
	var prompt dbus.ObjectPath
	err = conn.Object(secretsName, secretsPath).
		Call(secretsInterface+".Lock", 0, []dbus.ObjectPath{loginPath}).Store(&locked, &prompt)
	if err != nil || len(locked) != 1 {
		return fmt.Errorf("locking the keyring: %v, %w", locked, err)
	}
	return nil
}

// Stop ends the session and removes its home. Ending it twice does nothing.
func (s *Session) Stop() error {
	var errs error
	if s.service != nil {
		errs = s.service.Close()
		s.service = nil
	}
	for i := len(s.processes) - 1; i >= 0; i-- {
		errs = errors.Join(errs, s.processes[i].stop())
	}
	s.processes = nil
	return errors.Join(errs, os.RemoveAll(s.dir))
}

// StopBus ends the bus and leaves its address behind.
func (s *Session) StopBus() error {
	if len(s.processes) == 0 {
		return nil
	}
	return s.processes[0].stop()
}

// dial connects to the bus.
func (s *Session) dial() (*dbus.Conn, error) {
	conn, err := dbus.Connect(s.Address)
	if err != nil {
		return nil, fmt.Errorf("connecting to the test's bus: %w", err)
	}
	return conn, nil
}
