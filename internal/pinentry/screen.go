package pinentry

import (
	"path/filepath"
	"slices"
	"strings"
)

// nowhere is the home of the program: no directory. Toolkits of windows load modules that
// files in the home name, and whoever can write those would read along.
const nowhere = "HOME=/nonexistent"

// Screen is where somebody sits.
type Screen struct {
	// Env is the environment of the program: where the screen is, the language, and nothing
	// that has code loaded.
	Env []string
	// TTY is the terminal of programs without windows, and Type its kind; empty: none.
	TTY, Type string
	// Locale is that of what is typed and shown.
	Locale string
}

// FindScreen reads in the environment of this process, "NAME=value" each, where somebody
// sits. The terminal is the one of GPG_TTY, as it is for GnuPG.
func FindScreen(environ []string) Screen {
	values := make(map[string]string)
	s := Screen{Env: []string{nowhere}, Locale: "C.UTF-8"}
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		if value == "" {
			continue
		}
		values[name] = value
		passed := []string{"DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "XDG_RUNTIME_DIR", "XDG_SESSION_TYPE", "XDG_CURRENT_DESKTOP", "DBUS_SESSION_BUS_ADDRESS", "LANG", "TERM"}
		if slices.Contains(passed, name) || strings.HasPrefix(name, "LC_") {
			s.Env = append(s.Env, kv)
		}
	}
	if values["DISPLAY"] != "" && values["XAUTHORITY"] == "" && values["HOME"] != "" {
		s.Env = append(s.Env, "XAUTHORITY="+filepath.Join(values["HOME"], ".Xauthority"))
	}
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if values[name] != "" {
			s.Locale = values[name]
			break
		}
	}
	if tty := values["GPG_TTY"]; filepath.IsAbs(tty) {
		s.TTY, s.Type = tty, values["TERM"]
	}
	return s
}

// options are what the program is told of the screen. It is not told that it may keep
// passphrases elsewhere, and what names the secret to such a store, so that it does not.
func (s Screen) options() []string {
	out := []string{"grab"} // on X11 no other window sees what is typed
	for _, o := range []struct{ name, value string }{{"ttyname", s.TTY}, {"ttytype", s.Type}, {"lc-ctype", s.Locale}} {
		if o.value != "" && !strings.ContainsAny(o.value, "\r\n") {
			out = append(out, o.name+"="+o.value)
		}
	}
	return out
}
