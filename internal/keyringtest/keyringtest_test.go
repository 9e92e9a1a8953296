package keyringtest

import (
	"errors"
	"os"
	"testing"

	"github.com/godbus/dbus/v5"

	"github.com/nsagent/nsagent/internal/needs"
)

func TestKinds(t *testing.T) {
	for _, kind := range []Kind{Unlocked, Locked, NoCollection, NoService, Hanging} {
		t.Run(string(kind), func(t *testing.T) {
			s := Start(t, kind)
			conn, err := s.dial()
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			var alias dbus.ObjectPath
			err = conn.Object(secretsName, secretsPath).Call(secretsInterface+".ReadAlias", 0, "default").Store(&alias)
			if kind == NoService {
				var answer dbus.Error
				if !errors.As(err, &answer) || answer.Name != "org.freedesktop.DBus.Error.ServiceUnknown" {
					t.Errorf("got %v, want no service", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if want := map[bool]dbus.ObjectPath{true: "/", false: loginPath}[kind == NoCollection]; alias != want {
				t.Errorf("default collection: got %s, want %s", alias, want)
			}
			if kind == Unlocked || kind == Locked {
				if err := s.ready(conn, true); (err == nil) != (kind == Unlocked) {
					t.Errorf("unlocked: got %v", err)
				}
			}
		})
	}
}

func TestStopLeavesNothing(t *testing.T) {
	s, err := New(Unlocked)
	if errors.Is(err, ErrMissing) {
		needs.Missing(t, "keyring", err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	processes := s.processes
	for range 2 {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	}
	for _, p := range processes {
		if p.cmd.ProcessState == nil {
			t.Errorf("%s still runs", p.cmd.Path)
		}
	}
	if _, err := os.Stat(s.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the home is still there: %v", err)
	}
}

func TestMissingPrograms(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if s, err := New(Unlocked); !errors.Is(err, ErrMissing) {
		t.Errorf("got %v, %v, want %v", s, err, ErrMissing)
	}
}
