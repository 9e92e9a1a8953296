package supervise

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// LaunchDirect returns a Launch for a process that has no parent to ask: it starts
// helpers itself, as children of its own, which get nothing that a shell left open to it.
func LaunchDirect(exe string, args, env []string) func(context.Context) (*net.UnixConn, error) {
	copied := sync.OnceValue(func() *program { return newProgram(exe) })
	return func(ctx context.Context) (*net.UnixConn, error) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		KeepDescriptors()
		return startHelper(copied(), helpers{name: "keyring helper", args: args, life: helperTime}, env, func() {})
	}
}

// startHelper starts a process of kind h and returns our end of its socketpair. It is
// killed when its life is over; reaped is called once it is gone.
func startHelper(prog *program, h helpers, env []string, reaped func()) (*net.UnixConn, error) {
	ours, theirs, err := socketpair(unix.SOCK_STREAM)
	if err != nil {
		return nil, err
	}
	helper, ended, err := prog.start(func(exe string) *exec.Cmd {
		return command(exe, h.args, env, theirs, syscall.SIGKILL)
	})
	_ = theirs.Close()
	if err != nil {
		_ = ours.Close()
		return nil, fmt.Errorf("starting the %s: %w", h.name, err)
	}
	kill := func() bool { return true }
	if h.life > 0 {
		kill = time.AfterFunc(h.life, func() { _ = helper.Process.Kill() }).Stop
	}
	go func() {
		<-ended // its answer says how it went
		kill()
		reaped()
	}()
	return ours, nil
}

// StartTied starts c in a session of its own and tells when it has ended, and how. The
// kernel sends it SIGTERM where this process ends first.
func StartTied(c *exec.Cmd) (ended <-chan error, err error) {
	c.SysProcAttr = deathSignal(syscall.SIGTERM)
	c.SysProcAttr.Setsid = true
	return start(c)
}

// start starts a child and tells when it has ended, and how. The kernel ties the
// death signal of a child to the thread that started it, not to the process; so each
// child has a thread that lives as long as it does.
func start(c *exec.Cmd) (ended <-chan error, err error) {
	started, end := make(chan error, 1), make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := c.Start()
		started <- err
		if err == nil {
			end <- c.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return end, nil
}

// command returns a child with its end of a socketpair as descriptor 3, and what else
// it is given from 4 on.
func command(exe string, args, env []string, link *os.File, death syscall.Signal, more ...*os.File) *exec.Cmd {
	c := exec.Command(exe, args...) // #nosec G204 -- this very program
	c.Args[0] = "nsagent"           // exe is mostly a descriptor, which says nothing in a list of processes
	c.Env = append(ChildEnv(env), clobber)
	c.ExtraFiles = append([]*os.File{link}, more...)
	c.SysProcAttr = deathSignal(death)
	return c
}

// clobber has the garbage collector overwrite what it frees (package runtime, GODEBUG).
// The network libraries copy an access token into buffers of their own on its way to
// who asked for it; after a lock none of them is left.
const clobber = "GODEBUG=clobberfree=1"

// ChildEnv returns what a child gets of an environment: where files, the session bus
// and the screen are, and the language. Unlock tokens and everything else stay out.
func ChildEnv(env []string) []string {
	out := []string{} // not nil, which exec takes for the whole environment
	for _, kv := range env {
		name, _, _ := strings.Cut(kv, "=")
		switch name {
		case "HOME", "LANG", "TZ", "DBUS_SESSION_BUS_ADDRESS", "NSAGENT_SOCK", "NSAGENT_ADMIN_SOCK", "NSAGENT_CONFIG", "GOCOVERDIR", "GORACE",
			"DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "GPG_TTY", "TERM":
			out = append(out, kv)
		default:
			if strings.HasPrefix(name, "XDG_") || strings.HasPrefix(name, "LC_") {
				out = append(out, kv)
			}
		}
	}
	return out
}

// unixConn turns a descriptor into a connection; f is closed.
func unixConn(f *os.File) (*net.UnixConn, error) {
	defer func() { _ = f.Close() }()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("using a socketpair: %w", err)
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		_ = c.Close()
		return nil, fmt.Errorf("using a socketpair: %w: not a unix socket", errMessage)
	}
	return u, nil
}
