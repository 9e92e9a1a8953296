package callback

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// ErrNoBrowser means that there is no way to open a browser here.
var ErrNoBrowser = errors.New("callback: no browser can be opened from here")

// openTime is how long a program gets that opens a browser. Some stay for as long as
// the browser is open, which is no fault.
const openTime = 3 * time.Second

// sessionVariables are what a program needs to reach the screen of the user.
var sessionVariables = []string{
	"BROWSER", "DBUS_SESSION_BUS_ADDRESS", "DISPLAY", "HOME", "LANG", "PATH", "WAYLAND_DISPLAY", "XAUTHORITY",
	"XDG_CURRENT_DESKTOP", "XDG_DATA_DIRS", "XDG_RUNTIME_DIR", "XDG_SESSION_TYPE",
}

// OpenBrowser has the user's browser open an https or http URL. It returns once the program that does
// so has ended, or has run for a moment without failing. The error wraps ErrNoBrowser.
//
// Other users can see the URL in the list of processes for that time.
func OpenBrowser(ctx context.Context, url string, env []string) error {
	ways := waysToOpen(runtime.GOOS, env, func(name string) bool { _, err := exec.LookPath(name); return err == nil })
	fault := ErrNoBrowser
	for _, way := range ways {
		if fault = start(ctx, append(slices.Clone(way), url), env); fault == nil {
			return nil
		}
	}
	return fault
}

// waysToOpen returns commands that open the URL behind them, the best first.
func waysToOpen(system string, env []string, has func(string) bool) [][]string {
	if system == "darwin" {
		return [][]string{{"open"}}
	}
	graphical := variable(env, "DISPLAY") != "" || variable(env, "WAYLAND_DISPLAY") != "" || variable(env, "BROWSER") != ""
	if !graphical || !has("xdg-open") {
		// Without a screen xdg-open would start a browser in this very terminal.
		return nil
	}
	ways := [][]string{{"xdg-open"}}
	// This process has given up what a program may gain by being started, for itself and
	// for all that it starts: browsers that come as snaps, and sandboxes that are set-uid,
	// would not run. A service of the user's own has not.
	runtimeDir := variable(env, "XDG_RUNTIME_DIR")
	if _, err := os.Stat(filepath.Join(runtimeDir, "systemd", "private")); runtimeDir != "" && err == nil && has("systemd-run") {
		way := []string{"systemd-run", "--user", "--quiet", "--collect", "--property=KillMode=process"}
		for _, name := range sessionVariables {
			if value := variable(env, name); value != "" {
				way = append(way, "--setenv="+name+"="+value)
			}
		}
		ways = append([][]string{append(way, "--", "xdg-open")}, ways...)
	}
	return ways
}

// variable returns the last value of a variable.
func variable(env []string, name string) string {
	for _, v := range slices.Backward(env) {
		if value, ok := strings.CutPrefix(v, name+"="); ok {
			return value
		}
	}
	return ""
}

// start runs a command in a session of its own, so that Ctrl-C here does not end the
// browser. It gets no variable of nsagent's: one may hold an unlock token.
func start(ctx context.Context, argv, env []string) error {
	c := exec.Command(argv[0], argv[1:]...) // #nosec G204 -- fixed words, variables of the user, and a URL of the agent
	c.Env = slices.DeleteFunc(slices.Clone(env), func(v string) bool { return strings.HasPrefix(v, "NSAGENT_") })
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := c.Start(); err != nil {
		return fmt.Errorf("%w: %w", ErrNoBrowser, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	limit := time.NewTimer(openTime)
	defer limit.Stop()
	select {
	case err := <-ended:
		if err != nil {
			return fmt.Errorf("%w: %s: %w", ErrNoBrowser, argv[0], err)
		}
		return nil
	case <-limit.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
