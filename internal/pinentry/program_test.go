package pinentry

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/internal/needs"
)

// real is a program that the tests run.
const real = "/usr/bin/pinentry-tty"

func TestFind(t *testing.T) {
	if _, err := os.Stat(real); err != nil {
		needs.Missing(t, "pinentry-tty", "apt-get install pinentry-tty: "+err.Error())
	}
	want, err := filepath.EvalSymlinks(real)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{real, "/usr/bin/../bin//pinentry-tty", "/usr/bin/pinentry"} {
		got, err := Find(path)
		if path == "/usr/bin/pinentry" { // a link to whichever of them the machine prefers
			want, _ = filepath.EvalSymlinks(path)
		}
		if err != nil || got != want {
			t.Errorf("%s: got %q, %v", path, got, err)
		}
	}
}

// Who can write files of a user, and nothing else, can name no program of their own.
func TestFindRefuses(t *testing.T) {
	dir := t.TempDir() // below a directory that everybody may write
	own := filepath.Join(dir, "pinentry-own")
	if err := os.WriteFile(own, []byte("#!/bin/sh\n"), 0o755); err != nil { // #nosec G306 -- a program
		t.Fatal(err)
	}
	link := filepath.Join(dir, "pinentry-link")
	if err := os.Symlink("/bin/sh", link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{own, link, "/bin/sh", "pinentry", "", "/", "/usr/bin/pinentry-no-such", "/usr", "/usr/bin/pinentry-tty/x/pinentry"} {
		if got, err := Find(path); !errors.Is(err, ErrProgram) {
			t.Errorf("%s: got %q, %v", path, got, err)
		}
	}
}

// TestLook holds each reason by itself.
func TestLook(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "pinentry")
	if err := os.WriteFile(file, nil, 0o755); err != nil { // #nosec G306 -- a program
		t.Fatal(err)
	}
	if os.Geteuid() != 0 {
		if _, err := look(file); !errors.Is(err, ErrProgram) || !strings.Contains(err.Error(), "belongs to uid") {
			t.Errorf("a file of a user: got %v", err)
		}
		return
	}
	if _, err := look(file); err != nil {
		t.Errorf("a file of root: got %v", err)
	}
	for _, mode := range []os.FileMode{0o775, 0o757} {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := look(file); !errors.Is(err, ErrProgram) {
			t.Errorf("mode %o: got %v", mode, err)
		}
	}
	if err := errors.Join(os.Chmod(file, 0o755), os.Chown(file, 1000, 0)); err != nil { // #nosec G302 -- a program
		t.Fatal(err)
	}
	if _, err := look(file); !errors.Is(err, ErrProgram) {
		t.Errorf("a file of a user: got %v", err)
	}
}

// The program is told where the screen is, and nothing that has it load code: neither the
// home nor the variables of the loader and of toolkits.
func TestScreen(t *testing.T) {
	s := FindScreen([]string{
		"HOME=/home/ann", "DISPLAY=:0", "WAYLAND_DISPLAY=", "GPG_TTY=/dev/pts/7", "TERM=xterm", "LANG=de_DE.UTF-8", "LC_CTYPE=C", "PATH=/evil",
		"LD_PRELOAD=/evil.so", "GTK_MODULES=evil", "QT_PLUGIN_PATH=/evil", "XDG_CONFIG_HOME=/evil", "NSAGENT_TOKEN=nst1_x", "PINENTRY_USER_DATA=x",
	})
	want := []string{nowhere, "DISPLAY=:0", "TERM=xterm", "LANG=de_DE.UTF-8", "LC_CTYPE=C", "XAUTHORITY=/home/ann/.Xauthority"}
	if !slices.Equal(s.Env, want) {
		t.Errorf("environment: got %q, want %q", s.Env, want)
	}
	if got, want := s.options(), []string{"grab", "ttyname=/dev/pts/7", "ttytype=xterm", "lc-ctype=C"}; !slices.Equal(got, want) {
		t.Errorf("options: got %q, want %q", got, want)
	}
	s = FindScreen([]string{"GPG_TTY=not a tty", "LANG=x\nOPTION evil"})
	if got, want := s.options(), []string{"grab"}; !slices.Equal(got, want) || s.TTY != "" {
		t.Errorf("options: got %q, want %q", got, want)
	}
}
