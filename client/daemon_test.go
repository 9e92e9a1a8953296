package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/granttest"
	"github.com/nsagent/nsagent/internal/socketpath"
	"github.com/nsagent/nsagent/internal/unlocktoken"
)

const passphrase = "correct horse battery staple"

// daemon is the product as users run it, in a home of its own that survives a
// restart.
type daemon struct {
	program, home string

	supervisor *exec.Cmd
	ended      chan struct{} // closed when the supervisor has ended
	pid        int           // of the agent process, which holds the socket
	stderr     output
}

// newDaemon makes a home with a vault that passphrase opens, and starts nothing.
func newDaemon(program string) (*daemon, error) {
	home, err := os.MkdirTemp("", "nsc") // short: it ends up in a socket address
	if err != nil {
		return nil, err
	}
	d := &daemon{program: program, home: home}
	if _, err := d.nsagent(passphrase+"\n", "init", "--unlock", "passphrase", "--kdf", "low", "--passphrase-fd", "0"); err != nil {
		return nil, errors.Join(err, os.RemoveAll(home))
	}
	return d, nil
}

// startDaemon returns a daemon of the test's own, unlocked and filled like the
// shared one. It ends with the test.
func startDaemon(t *testing.T) *daemon {
	t.Helper()
	w := shared(t)
	d, err := newDaemon(w.program())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.remove(); err != nil {
			t.Error(err)
		}
	})
	d.mustStart(t)
	if err := w.fill(d); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *daemon) socket() string { return filepath.Join(d.home, "run", "nsagent", "agent.sock") }

func (d *daemon) adminSocket() string { return filepath.Join(d.home, "run", "nsagent", "admin.sock") }

// command is the product with arguments, in the home.
func (d *daemon) command(args ...string) *exec.Cmd {
	c := exec.Command(d.program, args...) // #nosec G204 -- the program under test
	c.Dir = d.home
	c.Env = []string{"HOME=" + d.home, "XDG_RUNTIME_DIR=" + filepath.Join(d.home, "run"), "PATH=" + os.Getenv("PATH"), "NSAGENT_NO_INPUT=1"}
	return c
}

// nsagent runs a command with input on stdin and returns its standard output.
func (d *daemon) nsagent(input string, args ...string) (string, error) {
	c := d.command(args...)
	c.Stdin = strings.NewReader(input)
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		return "", fmt.Errorf("nsagent %s: %w: %s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return string(out), nil
}

// start starts the agent and waits until it answers.
func (d *daemon) start() error {
	d.supervisor = d.command("agent", "run")
	d.supervisor.Stdout, d.supervisor.Stderr = &d.stderr, &d.stderr
	// A test binary that panics or runs out of time cleans nothing up.
	d.supervisor.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := d.supervisor.Start(); err != nil {
		return err
	}
	supervisor, ended := d.supervisor, make(chan struct{})
	d.ended = ended
	go func() {
		_ = supervisor.Wait()
		close(ended)
	}()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for {
		pid, err := d.ask(ctx)
		if err == nil {
			d.pid = pid
			return nil
		}
		select {
		case <-ended:
			return fmt.Errorf("the agent ended at once:\n%s", d.stderr.String())
		case <-ctx.Done():
			return fmt.Errorf("the agent does not answer: %w\n%s", err, d.stderr.String())
		case <-time.After(2 * time.Millisecond):
		}
	}
}

func (d *daemon) mustStart(t *testing.T) {
	t.Helper()
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
}

// ask returns the pid of the agent process, if it answers.
func (d *daemon) ask(ctx context.Context) (int, error) {
	c, err := client.Dial(ctx, client.WithSocket(d.socket()))
	if err != nil {
		return 0, err
	}
	defer func() { _ = c.Close() }()
	s, err := c.Status(ctx)
	return int(s.GetPid()), err
}

// mint returns an unlock token for these profiles, past the agent.
func (d *daemon) mint(ctx context.Context, limits unlocktoken.Caveats, profiles ...string) (*unlocktoken.Token, error) {
	env := map[string]string{"HOME": d.home, "XDG_RUNTIME_DIR": filepath.Join(d.home, "run")}
	paths, err := socketpath.Find(socketpath.Options{Getenv: func(name string) string { return env[name] }})
	if err != nil {
		return nil, err
	}
	return granttest.Mint(ctx, paths, passphrase, limits, profiles...)
}

func (d *daemon) unlock() error {
	_, err := d.nsagent(passphrase+"\n", "unlock", "--passphrase-fd", "0")
	return err
}

func (d *daemon) mustUnlock(t *testing.T) {
	t.Helper()
	if err := d.unlock(); err != nil {
		t.Fatal(err)
	}
}

// stop ends the agent as a service manager does and waits until it has.
func (d *daemon) stop() error {
	if d.supervisor == nil {
		return nil
	}
	_ = d.supervisor.Process.Signal(syscall.SIGTERM)
	select {
	case <-d.ended:
		d.supervisor = nil
		return nil
	case <-time.After(inTime):
		_ = d.supervisor.Process.Kill()
		<-d.ended
		d.supervisor = nil
		return errors.New("the agent did not end in time")
	}
}

// kill ends the agent process as kill -9 does and waits for the supervisor.
func (d *daemon) kill(t *testing.T) {
	t.Helper()
	if err := syscall.Kill(d.pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case <-d.ended:
		d.supervisor = nil
	case <-time.After(inTime):
		t.Fatal("the supervisor outlived the agent")
	}
}

// hang stops the agent process, so that it takes connections and answers nothing,
// and returns what lets it go on. That happens at the end of the test at latest.
func (d *daemon) hang(t *testing.T) (goOn func()) {
	t.Helper()
	pid := d.pid
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	goOn = func() { _ = syscall.Kill(pid, syscall.SIGCONT) }
	t.Cleanup(goOn)
	return goOn
}

// resume lets an agent process that hangs go on.
func (d *daemon) resume() { _ = syscall.Kill(d.pid, syscall.SIGCONT) }

// remove stops the agent and removes its home.
func (d *daemon) remove() error { return errors.Join(d.stop(), os.RemoveAll(d.home)) }

// dial returns a client that is closed with the test.
func (d *daemon) dial(t testing.TB, opts ...client.Option) *client.Client {
	t.Helper()
	c, err := client.Dial(t.Context(), append([]client.Option{client.WithSocket(d.socket()), client.WithProfile("acme-sb1")}, opts...)...)
	if err != nil {
		t.Fatalf("Dial: %v", err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// dialAdmin returns an admin client that is closed with the test.
func (d *daemon) dialAdmin(t testing.TB) *client.Admin {
	t.Helper()
	a, err := client.DialAdmin(t.Context(), client.WithSocket(d.adminSocket()))
	if err != nil {
		t.Fatalf("DialAdmin: %v", err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}
