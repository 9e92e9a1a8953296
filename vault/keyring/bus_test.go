//go:build linux

package keyring

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/godbus/dbus/v5"
)

func TestBusAddress(t *testing.T) {
	dir, err := os.MkdirTemp("", "ns k") // to be escaped
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	l, err := net.Listen("unix", filepath.Join(dir, "bus"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	tests := []struct {
		address, runtime string
		want             string // "" means ErrNoBus
	}{
		{"unix:path=/a,guid=1", "", "unix:path=/a,guid=1"},
		{"unix:abstract=/a", dir, "unix:abstract=/a"},
		{"tcp:host=x,port=1;unix:path=/a;unix:path=/b", "", "unix:path=/a;unix:path=/b"},
		{"", dir, "unix:path=" + dbus.EscapeBusAddressValue(dir+"/bus")},
		{"autolaunch:", dir, "unix:path=" + dbus.EscapeBusAddressValue(dir+"/bus")},
		{"", "", ""},
		{"", "relative", ""},
		{"", os.TempDir() + "/none", ""},
		{"tcp:host=x,port=1", dir, ""},
		{"unixexec:path=/bin/true", dir, ""},
		{"autolaunch:scope=x", dir, ""},
	}
	for _, test := range tests {
		got, err := busAddress(func(name string) string {
			return map[string]string{busVariable: test.address, "XDG_RUNTIME_DIR": test.runtime}[name]
		})
		if got != test.want || (test.want == "") != errors.Is(err, ErrNoBus) {
			t.Errorf("%q, %q: got %q, %v, want %q", test.address, test.runtime, got, err, test.want)
		}
	}
}

func TestClassifyAnswers(t *testing.T) {
	for name, want := range map[string]error{
		"org.freedesktop.DBus.Error.ServiceUnknown":    ErrNoService,
		"org.freedesktop.DBus.Error.Spawn.ChildExited": ErrNoService,
		"org.freedesktop.Secret.Error.IsLocked":        ErrLocked,
		"org.freedesktop.DBus.Error.NoReply":           ErrTimeout,
		"org.freedesktop.DBus.Error.AccessDenied":      ErrUnavailable,
	} {
		err := classify(dbus.Error{Name: name, Body: []any{"told so"}})
		if !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", name, err, want)
		}
	}
	if err := classify(errors.New("something else")); !errors.Is(err, ErrUnavailable) {
		t.Errorf("unknown: got %v, want %v", err, ErrUnavailable)
	}
}
