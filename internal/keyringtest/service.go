package keyringtest

import (
	"errors"
	"fmt"
	"time"

	"github.com/godbus/dbus/v5"
)

// Names of the Secret Service API.
const (
	secretsName         = "org.freedesktop.secrets"
	secretsPath         = dbus.ObjectPath("/org/freedesktop/secrets")
	secretsInterface    = "org.freedesktop.Secret.Service"
	collectionInterface = "org.freedesktop.Secret.Collection"
	promptInterface     = "org.freedesktop.Secret.Prompt"
	loginPath           = dbus.ObjectPath("/org/freedesktop/secrets/collection/login")
	promptPath          = dbus.ObjectPath("/org/freedesktop/secrets/prompt/p1")
)

// waitForService waits until a keyring is on the bus and, where it should be, its
// login collection unlocked.
func (s *Session) waitForService(unlocked bool) error {
	conn, err := s.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	for deadline := time.Now().Add(startTime); ; time.Sleep(5 * time.Millisecond) {
		if err = s.ready(conn, unlocked); err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("no sign of life: %w", err)
		}
	}
}

// ready returns nil once the keyring is as it should be.
func (s *Session) ready(conn *dbus.Conn, unlocked bool) error {
	var owned bool
	if err := conn.BusObject().Call("org.freedesktop.DBus.NameHasOwner", 0, secretsName).Store(&owned); err != nil {
		return err
	}
	if !owned {
		return errors.New("no service yet")
	}
	if !unlocked {
		return nil
	}
	locked, err := conn.Object(secretsName, loginPath).GetProperty(collectionInterface + ".Locked")
	if err != nil {
		return err
	}
	if v, ok := locked.Value().(bool); !ok || v {
		return errors.New("the login collection is still locked")
	}
	return nil
}

// serveHanging puts a keyring on the bus that has a locked login collection and asks
// for a password that nobody will enter.
func (s *Session) serveHanging() error {
	conn, err := s.dial()
	if err != nil {
		return err
	}
	s.service = conn
	prompted := make(chan struct{}, 1)
	s.Prompted = prompted
	for _, object := range []struct {
		methods any
		path    dbus.ObjectPath
		name    string
	}{
		{hangingService{}, secretsPath, secretsInterface},
		{hangingProperties{}, secretsPath, "org.freedesktop.DBus.Properties"},
		{hangingPrompt{prompted}, promptPath, promptInterface},
	} {
		if err := conn.Export(object.methods, object.path, object.name); err != nil {
			return fmt.Errorf("serving a hanging keyring: %w", err)
		}
	}
	reply, err := conn.RequestName(secretsName, dbus.NameFlagDoNotQueue)
	if err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
		return fmt.Errorf("serving a hanging keyring: reply %d, %w", reply, err)
	}
	return nil
}

// hangingService is a Secret Service as far as a client gets that must unlock first.
type hangingService struct{}

// Unlock wants to ask somebody.
func (hangingService) Unlock([]dbus.ObjectPath) ([]dbus.ObjectPath, dbus.ObjectPath, *dbus.Error) {
	return nil, promptPath, nil
}

// ReadAlias knows the default collection.
func (hangingService) ReadAlias(string) (dbus.ObjectPath, *dbus.Error) { return loginPath, nil }

// OpenSession opens the plain session.
func (hangingService) OpenSession(string, dbus.Variant) (dbus.Variant, dbus.ObjectPath, *dbus.Error) {
	return dbus.MakeVariant(""), "/org/freedesktop/secrets/session/s1", nil
}

// hangingProperties are the properties of the service.
type hangingProperties struct{}

// Get knows the list of collections.
func (hangingProperties) Get(string, string) (dbus.Variant, *dbus.Error) {
	return dbus.MakeVariant([]dbus.ObjectPath{loginPath}), nil
}

// hangingPrompt is a prompt that is shown to nobody.
type hangingPrompt struct{ prompted chan<- struct{} }

// Prompt returns at once, as it should; what never comes is the signal Completed.
func (p hangingPrompt) Prompt(string) *dbus.Error {
	select {
	case p.prompted <- struct{}{}:
	default: // nobody has asked about the last one
	}
	return nil
}
