//go:build linux

package keyring

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
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
		{"unix:path=/a,guid=1", "", "unix:path=/a"},
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
		{"nonce-tcp:host=x,port=1,noncefile=/a;launchd:env=X", dir, ""},
		{"unix:path=/tmp/a%20%41b;unix:abstract=%2ftmp%2fc;", "", "unix:path=/tmp/a%20Ab;unix:abstract=/tmp/c"},
		{"unix:guid=1,abstract=a%3bb%2cc", "", "unix:abstract=a%3bb%2cc"},
		{"unix:path=a", "", ""},
		{"unix:path=@a", "", ""},
		{"unix:path=%40a", "", ""},
		{"unix:path=/a%00b", "", ""},
		{"unix:path=/a%2", "", ""},
		{"unix:path=/a%zz", "", ""},
		{"unix:path=", "", ""},
		{"unix:abstract=", "", ""},
		{"unix:", "", ""},
		{"unix:guid=1", "", ""},
		{"unix:path=/a,abstract=b", "", ""},
		{"unix:path=/a,path=/b", "", ""},
		{"unix:tmpdir=/tmp", "", ""},
		{"unix:runtime=yes", "", ""},
		{"unix:path=/a;nonsense", "", ""},
		{":path=/a", "", ""},
		{";", dir, ""},
	}
	for _, test := range tests {
		sockets, err := busSockets(func(name string) string {
			return map[string]string{busVariable: test.address, "XDG_RUNTIME_DIR": test.runtime}[name]
		})
		if got := list(sockets); got != test.want || (test.want == "") != errors.Is(err, ErrNoBus) {
			t.Errorf("%q, %q: got %q, %v, want %q", test.address, test.runtime, sockets, err, test.want)
		}
	}
}

// list writes sockets as a list of addresses.
func list(sockets []busSocket) string {
	var all []string
	for _, s := range sockets {
		all = append(all, s.String())
	}
	return strings.Join(all, ";")
}

// What is taken from a list of addresses is what godbus takes from it when it is
// written down again.
func FuzzParseAddresses(f *testing.F) {
	for _, s := range []string{
		"unix:path=/run/user/1000/bus", "unix:abstract=/tmp/dbus-x,guid=0123", "unix:path=/a%20b;tcp:host=x;unix:abstract=%3b",
		"", ";", "unix:", "unix:path=@a", "unix:path=/%00", "unix:path=/a,path=/b", "autolaunch:", "unix:abstract=\xff%ff",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		sockets, err := parseAddresses(in)
		if err != nil {
			if sockets != nil {
				t.Errorf("got %q with error %v", sockets, err)
			}
			return
		}
		for _, s := range sockets {
			if s.name == "" || strings.ContainsRune(s.name, 0) || !s.abstract && s.name[0] != '/' {
				t.Errorf("got %+v", s)
			}
		}
		again, err := parseAddresses(list(sockets))
		if err != nil || !slices.Equal(again, sockets) {
			t.Errorf("got %+v, %v, want %+v", again, err, sockets)
		}
	})
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
