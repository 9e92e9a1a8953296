package supervise

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// lockAtEnd is an agent that ends in good order when it is asked to.
func lockAtEnd() int {
	asked := make(chan os.Signal, 4)
	signal.Notify(asked, syscall.SIGTERM)
	fmt.Println(os.Getpid())
	<-asked
	time.Sleep(50 * time.Millisecond) // a second signal would arrive here
	return 30 + len(asked)
}

// stayStuck is an agent that ends for nothing but the watch over orphans.
func stayStuck() int {
	signal.Ignore(syscall.SIGTERM)
	if _, err := parentWithin(300 * time.Millisecond); err != nil {
		return 1
	}
	fmt.Println(os.Getpid())
	select {}
}

// playNohup runs a parent whose caller ignores hangups.
func playNohup() int {
	signal.Ignore(syscall.SIGHUP)
	if err := syscall.Exec("/proc/self/exe", []string{"supervise.test", asParent, "lock"}, os.Environ()); err != nil {
		return 1
	}
	return 0
}

// parent starts the test binary as a parent and returns it with its agent's pid.
func parent(t *testing.T, args ...string) (*exec.Cmd, int) {
	t.Helper()
	c := exec.Command("/proc/self/exe", args...)
	c.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	agent, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	return c, agent
}

// waitGone waits until a process is gone.
func waitGone(t *testing.T, pid int) {
	t.Helper()
	const within = 10 * time.Second
	for begin := time.Now(); time.Since(begin) < within; time.Sleep(5 * time.Millisecond) {
		if err := syscall.Kill(pid, 0); errors.Is(err, syscall.ESRCH) {
			return
		}
	}
	t.Errorf("process %d lives on after %s", pid, within)
}

// TestDeathOfTheParent guards the promise that nothing lives on without its
// supervisor, not even an agent that is stuck.
func TestDeathOfTheParent(t *testing.T) {
	for _, agent := range []string{"wait", "stuck"} {
		t.Run(agent, func(t *testing.T) {
			c, pid := parent(t, asParent, agent)
			if err := c.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = c.Wait()
			waitGone(t, pid)
		})
	}
}

// Whatever asks the parent to end lets the agent end in good order, and asks once.
func TestSignalsReachTheAgent(t *testing.T) {
	// Under nohup the test itself ignores hangups, and so would its children.
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGHUP)
	defer signal.Stop(caught)
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(unix.SignalName(s), func(t *testing.T) {
			c, pid := parent(t, asParent, "lock")
			if err := c.Process.Signal(s); err != nil {
				t.Fatal(err)
			}
			_ = c.Wait()
			if got := c.ProcessState.ExitCode(); got != 30 {
				t.Errorf("exit status: got %d, want 30", got)
			}
			waitGone(t, pid)
		})
	}
}

// TestIgnoredHangup: under nohup a hangup ends nothing.
func TestIgnoredHangup(t *testing.T) {
	c, pid := parent(t, asNohup)
	if err := c.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	// What is ignored comes to nothing later either.
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	var ignored uint64
	_, mask, _ := strings.Cut(string(status), "\nSigIgn:\t")
	if _, err := fmt.Sscanf(mask, "%x", &ignored); err != nil || ignored&(1<<(syscall.SIGHUP-1)) == 0 {
		t.Errorf("the parent does not ignore a hangup: %x, %v", ignored, err)
	}
	if err := syscall.Kill(pid, 0); err != nil {
		t.Errorf("the agent: %v", err)
	}
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
	if got := c.ProcessState.ExitCode(); got != 30 {
		t.Errorf("exit status: got %d, want 30", got)
	}
}

func TestAgentHasNoTerminal(t *testing.T) {
	if out, err := runAgent(t, t.Context(), "session"); err != nil || out != "true <nil>\n" {
		t.Errorf("leader of its session: got %q, %v", out, err)
	}
}

// A helper outlives the thread that asked for it: the kernel would end it otherwise.
func TestHelperOutlivesThread(t *testing.T) {
	type result struct {
		c   io.ReadWriteCloser
		err error
	}
	got := make(chan result)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		c, err := LaunchDirect("/proc/self/exe", []string{asHelper}, nil)(t.Context())
		got <- result{c, err}
	}()
	r := <-got
	if r.err != nil {
		t.Fatal(r.err)
	}
	defer func() { _ = r.c.Close() }()
	time.Sleep(100 * time.Millisecond)
	_, _ = io.WriteString(r.c, "me")
	if b, err := io.ReadAll(r.c); err != nil || string(b) != "helped me" {
		t.Errorf("got %q, %v, want helped me", b, err)
	}
}

// Where nothing of an environment is chosen, the child gets nothing, not all.
func TestEmptyChildEnv(t *testing.T) {
	t.Setenv("NSAGENT_TOKEN", "nst1_x")
	if out, err := runAgent(t, t.Context(), "env"); err != nil || strings.TrimSpace(out) != clobber {
		t.Errorf("environment: got %q, %v, want %s alone", out, err, clobber)
	}
}

func TestLaunchAfterTheEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if c, err := LaunchDirect("/proc/self/exe", []string{asHelper}, nil)(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, %v, want %v", c, err, context.Canceled)
	}
}
