package callback

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const page1 = "https://1234567.app.netsuite.com/app/login/oauth2/authorize.nl?state=x&scope=a%20b"

// desk is a directory of programs in place of those of a desktop, and what they see.
func desk(t *testing.T, programs map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, script := range programs {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script), 0o700); err != nil { // #nosec G306 -- it is a program
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	return dir
}

// TestOpenBrowser: the program of the desktop gets the URL as one argument, the
// variables of the session, and none of ours.
func TestOpenBrowser(t *testing.T) {
	dir := desk(t, map[string]string{"xdg-open": `printf '%s\n' "$#" "$1" >"$HOME/args"; env >"$HOME/env"`})
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "DISPLAY=:7", "NSAGENT_TOKEN=nst_secret", "NSAGENT_SOCK=/x"}
	if err := OpenBrowser(t.Context(), page1, env); err != nil {
		t.Fatal(err)
	}
	args, _ := os.ReadFile(filepath.Join(dir, "args"))
	if string(args) != "1\n"+page1+"\n" {
		t.Errorf("it got %q", args)
	}
	seen, _ := os.ReadFile(filepath.Join(dir, "env"))
	if !strings.Contains(string(seen), "DISPLAY=:7\n") || strings.Contains(string(seen), "NSAGENT") {
		t.Errorf("it saw %s", seen)
	}
}

// TestOpenBrowserFails: where none can be opened, the caller learns of it, and shows the
// URL instead.
func TestOpenBrowserFails(t *testing.T) {
	dir := desk(t, map[string]string{"xdg-open": "exit 3"})
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "DISPLAY=:7"}
	if err := OpenBrowser(t.Context(), page1, env); !errors.Is(err, ErrNoBrowser) {
		t.Errorf("got %v, want ErrNoBrowser", err)
	}
	if err := OpenBrowser(t.Context(), page1, env[:2]); !errors.Is(err, ErrNoBrowser) {
		t.Errorf("without a screen: got %v, want ErrNoBrowser", err)
	}
}

// TestSystemdFirst: a service of the user's own opens the browser where there is a
// manager, since this process may gain no privileges any more; else xdg-open itself.
func TestSystemdFirst(t *testing.T) {
	dir := desk(t, map[string]string{
		"xdg-open":    `echo direct >>"$HOME/log"`,
		"systemd-run": `echo "$@" >>"$HOME/log"; exit $(cat "$HOME/code")`,
	})
	if err := os.MkdirAll(filepath.Join(dir, "systemd", "private"), 0o700); err != nil {
		t.Fatal(err)
	}
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "DISPLAY=:7", "XDG_RUNTIME_DIR=" + dir, "NSAGENT_TOKEN=nst_secret"}
	for code, want := range map[string]int{"0": 1, "1": 2} {
		_ = os.Remove(filepath.Join(dir, "log"))
		if err := os.WriteFile(filepath.Join(dir, "code"), []byte(code), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := OpenBrowser(t.Context(), page1, env); err != nil {
			t.Fatal(err)
		}
		log, _ := os.ReadFile(filepath.Join(dir, "log"))
		lines := strings.Split(strings.TrimSpace(string(log)), "\n")
		if len(lines) != want || !strings.HasPrefix(lines[0], "--user ") || !strings.HasSuffix(lines[0], "--setenv=XDG_RUNTIME_DIR="+dir+" -- xdg-open "+page1) || strings.Contains(lines[0], "NSAGENT") {
			t.Errorf("code %s: got %q", code, lines)
		}
		if want == 2 && lines[1] != "direct" {
			t.Errorf("got %q, want xdg-open itself second", lines)
		}
	}
}

func TestWaysToOpen(t *testing.T) {
	yes, no := func(string) bool { return true }, func(string) bool { return false }
	for _, c := range []struct {
		system string
		env    []string
		has    func(string) bool
		want   [][]string
	}{
		{"darwin", nil, yes, [][]string{{"open"}}},
		{"linux", nil, yes, nil},
		{"linux", []string{"DISPLAY=:0"}, no, nil},
		{"linux", []string{"DISPLAY="}, yes, nil},
		{"linux", []string{"WAYLAND_DISPLAY=wayland-0"}, yes, [][]string{{"xdg-open"}}},
		{"linux", []string{"BROWSER=firefox"}, yes, [][]string{{"xdg-open"}}},
	} {
		got := waysToOpen(c.system, c.env, c.has)
		if !slices.EqualFunc(got, c.want, slices.Equal[[]string]) {
			t.Errorf("%s, %v: got %v, want %v", c.system, c.env, got, c.want)
		}
	}
}
