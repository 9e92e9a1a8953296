//go:build linux

package supervise

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsagent/nsagent/internal/needs"
)

// nobody is the user of supervisor, agent and poller: root may read everything.
const nobody = 65534

// hardenFirst is an agent that makes itself unreadable as its first statement.
func hardenFirst() int {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return 1
	}
	time.Sleep(5 * time.Millisecond)
	_, _, errno := unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0) // without the second that the race detector waits
	return int(errno)
}

// playStarts is a supervisor, itself unreadable, that starts agents one after the
// other: by Run, or, as the control, from the readable executable.
func playStarts(how string) int {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return 1
	}
	cfg := Config{Exe: "/proc/self/exe", AgentArgs: []string{asAgent, "harden"}, Stderr: os.Stderr}
	for range 40 {
		var err error
		if how == "run" {
			err = Run(context.Background(), cfg)
		} else {
			err = run(context.Background(), cfg, &program{exe: cfg.Exe})
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return 0
}

// playPoller opens the memory of each agent that comes up, as often as it can, until
// its stdin ends. It prints how many processes and threads that were.
func playPoller() int {
	var end sync.WaitGroup
	over := make(chan struct{})
	end.Go(func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(over)
	})
	defer end.Wait()
	load, err := os.Open("/proc/loadavg")
	if err != nil {
		return 1
	}
	fmt.Println("ready")
	won := map[int]bool{}
	b := make([]byte, 128)
	for {
		select {
		case <-over:
			fmt.Println(len(won))
			return 0
		default:
		}
		n, _ := load.ReadAt(b, 0)
		fields := strings.Fields(string(b[:n]))
		last, err := strconv.Atoi(fields[len(fields)-1])
		if err != nil {
			return 1
		}
		// Threads have numbers too: the newest process is among the last of them.
		for pid := last - 8; pid <= last+2; pid++ {
			if !won[pid] && opensMemory(pid) {
				won[pid] = true
			}
		}
	}
}

// opensMemory says whether the memory of an agent can be opened.
func opensMemory(pid int) bool {
	dir := "/proc/" + strconv.Itoa(pid)
	fd, err := unix.Open(dir+"/mem", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer func() { _ = unix.Close(fd) }()
	line, err := os.ReadFile(dir + "/cmdline")
	return err == nil && bytes.Contains(line, []byte(asAgent))
}

// caught returns how often a poller of the same user opened the memory of one of 40
// agents, or of one of their threads, while they came up.
func caught(t *testing.T, how string) int {
	t.Helper()
	as := &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	poller := exec.Command("/proc/self/exe", asPoller)
	poller.SysProcAttr, poller.Stderr = as, os.Stderr
	poller.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	stdin, err := poller.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := poller.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := poller.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	if line, err := lines.ReadString('\n'); line != "ready\n" {
		t.Fatalf("poller: got %q, %v", line, err)
	}
	starts := exec.Command("/proc/self/exe", asStarts, how)
	starts.SysProcAttr, starts.Env, starts.Dir = as, poller.Env, "/"
	said, startsErr := starts.CombinedOutput()
	_ = stdin.Close()
	line, err := lines.ReadString('\n')
	_ = poller.Wait()
	if startsErr != nil {
		t.Fatalf("starting agents: %v\n%s", startsErr, said)
	}
	n, err2 := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || err2 != nil {
		t.Fatalf("poller: got %q, %v", line, err)
	}
	return n
}

// What a process of the same user opens while the agent comes up stays open when the
// agent has hardened itself; so there must be no such time.
func TestAgentIsUnreadableFromTheStart(t *testing.T) {
	needs.Root(t, "runs supervisor and poller as another user")
	if b, err := os.ReadFile("/proc/sys/kernel/yama/ptrace_scope"); err == nil && strings.TrimSpace(string(b)) != "0" {
		t.Log("this kernel restricts ptrace by itself: the control cannot show much")
	} else if n := caught(t, "plain"); n == 0 {
		t.Error("control: the memory of 40 agents from a readable file was never opened")
	} else {
		t.Logf("control: the memory of 40 agents from a readable file was opened %d times", n)
	}
	if n := caught(t, "run"); n != 0 {
		t.Errorf("the memory of 40 agents was opened %d times as they came up, want never", n)
	}
}

// The copy is the program, bit for bit as far as it is loaded, and nobody can write it any more.
func TestCopy(t *testing.T) {
	f, err := unreadableCopy("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	want, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(io.NewSectionReader(f, 0, int64(len(want))+1))
	if err != nil || len(got) < len(want)/4 || !bytes.HasPrefix(want, got) {
		t.Errorf("the copy of %d bytes has %d, or differs: %v", len(want), len(got), err)
	}
	if fi, err := f.Stat(); err != nil || fi.Mode().Perm() != copyMode {
		t.Errorf("mode: got %v, %v, want %o", fi.Mode(), err, copyMode)
	}
	if _, err := f.WriteAt([]byte("x"), 0); err == nil {
		t.Error("the copy can be written")
	}
	if err := f.Truncate(0); err == nil {
		t.Error("the copy can be truncated")
	}
	if f.Fd() < copyDescriptor {
		t.Errorf("descriptor: got %d, want %d or more", f.Fd(), copyDescriptor)
	}
}

// Where the copy cannot be executed, children run the executable.
func TestCopyThatDoesNotRun(t *testing.T) {
	broken, err := os.CreateTemp(t.TempDir(), "no program")
	if err != nil {
		t.Fatal(err)
	}
	prog := &program{exe: "/proc/self/exe", copy: broken}
	defer prog.close()
	var out bytes.Buffer
	err = run(t.Context(), Config{AgentArgs: []string{asAgent, "env"}, Env: []string{"HOME=/h"}, Stdout: &out, Stderr: os.Stderr}, prog)
	if err != nil || strings.TrimSpace(out.String()) != "HOME=/h\n"+clobber {
		t.Errorf("got %q, %v, want the agent to run", out.String(), err)
	}
}

// Where there is no executable to copy, the start says so.
func TestNoProgram(t *testing.T) {
	err := Run(t.Context(), Config{Exe: "/no/such/program"})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want that there is none", err)
	}
}
