package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsagent/nsagent/agent/supervise"
	"github.com/nsagent/nsagent/internal/atomicfile"
	"github.com/nsagent/nsagent/internal/socketpath"
)

const (
	// privateEndTime is how long an agent of one command may take to end.
	privateEndTime = 10 * time.Second
	// privateNew is how long a directory may be there before its command has locked it.
	privateNew = 10 * time.Second
	// privatePrefix is how the directory of its sockets begins.
	privatePrefix = "bundle-"
)

// privateAgent is an agent that serves a bundle to one command, and ends with it.
type privateAgent struct {
	dir, socket string
	held        *os.File          // dir, locked: this process lives
	turn        *atomicfile.Guard // nil: nobody else has to wait
	process     *os.Process
	ended       <-chan error
}

// startPrivate starts an agent on a bundle, at sockets in a directory of its own, and waits
// until it answers. Where it ends instead, it has said why, and the error is its exit code.
func (e *env) startPrivate(ctx context.Context, bundle string) (*privateAgent, error) {
	p, err := e.paths()
	if err != nil {
		return nil, err
	}
	flags, inputs, err := bundleToServe(bundle)
	if err != nil {
		return nil, err
	}
	defer func() {
		for _, f := range inputs {
			_ = f.Close()
		}
	}()
	if err := socketpath.EnsureDir(p.RuntimeDir); err != nil {
		return nil, agentFailure("the agent cannot be started", err)
	}
	clearPrivate(p.RuntimeDir)
	a := &privateAgent{}
	if flags.grant != "" { // else the agent says what is wrong with the file
		if a.turn, err = e.turnToServe(ctx, p, flags.grant); err != nil {
			return nil, err
		}
	}
	if a.dir, err = os.MkdirTemp(p.RuntimeDir, privatePrefix); err != nil {
		a.giveUpTurn()
		return nil, agentFailure("the agent cannot be started", err)
	}
	if a.held, err = hold(a.dir); err != nil {
		a.stop()
		return nil, agentFailure("the agent cannot be started", err)
	}
	a.socket = filepath.Join(a.dir, "agent.sock")
	if err := a.start(e, flags, inputs); err != nil {
		a.stop()
		return nil, err
	}
	failed := make(chan error, 1) // awaitAgent takes the end, and stop waits for it too
	over := make(chan error, 1)
	ended := a.ended
	go func() {
		err := <-ended
		failed <- err
		over <- err
	}()
	a.ended = over
	if _, err := awaitAgent(ctx, a.socket, failed, func() bool { return false }); err != nil {
		a.stop()
		return nil, err
	}
	return a, nil
}

// start starts the process. It ends at the latest with this one, and no signal of the
// terminal reaches it.
func (a *privateAgent) start(e *env, bundle bundleFlags, inputs []*os.File) error {
	c := exec.Command(self, "agent", "run", "--quiet", "--socket", a.socket) // #nosec G204 -- this very program
	c.Args[0] = "nsagent"
	c.Stderr, c.Dir = e.stderr, "/"
	c.Env = append(supervise.ChildEnv(os.Environ()), "NSAGENT_ADMIN_SOCK="+filepath.Join(a.dir, "admin.sock"))
	bundle.give(c, inputs)
	supervise.KeepDescriptors() // what the program is to have is passed on to that
	var err error
	if a.ended, err = supervise.StartTied(c); err != nil {
		return fmt.Errorf("starting the agent: %w", err)
	}
	a.process = c.Process
	return nil
}

// stop ends the agent, waits for that, and removes what it left.
func (a *privateAgent) stop() {
	if a.process != nil {
		_ = a.process.Signal(syscall.SIGTERM) // it has ended where this fails
		select {
		case <-a.ended:
		case <-time.After(privateEndTime):
			_ = a.process.Kill()
		}
	}
	_ = os.RemoveAll(a.dir)
	_ = a.held.Close() // of nil it does nothing
	a.giveUpTurn()
}

func (a *privateAgent) giveUpTurn() {
	if a.turn != nil {
		a.turn.Unlock()
	}
}

// hold locks a directory for as long as this process lives, or until the file is closed; by a
// file in it, as not every file system can lock a directory. It is nil where none can be
// locked: then nobody clears the directory either.
func hold(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600) // #nosec G304 -- of the user's own runtime directory
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) // #nosec G115 -- a descriptor
	if err == nil {
		return f, nil
	}
	_ = f.Close()
	if errors.Is(err, unix.ENOLCK) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil, nil
	}
	return nil, fmt.Errorf("locking %s: %w", dir, err)
}

// clearPrivate removes what commands have left that were killed.
func clearPrivate(runtimeDir string) {
	entries, err := os.ReadDir(runtimeDir)
	if err != nil {
		return // whoever makes a directory there says why
	}
	for _, e := range entries {
		if fi, err := e.Info(); !strings.HasPrefix(e.Name(), privatePrefix) || err != nil || !fi.IsDir() || time.Since(fi.ModTime()) < privateNew {
			continue
		}
		dir := filepath.Join(runtimeDir, e.Name())
		if held, err := hold(dir); err == nil && held != nil {
			_ = os.RemoveAll(dir)
			_ = held.Close()
		}
	}
}
