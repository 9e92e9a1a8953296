package calltrap

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsagent/nsagent/internal/needs"
)

// TestMain runs the tests, or plays the process that is traced.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "write" {
		os.Exit(write(os.Args[2]))
	}
	os.Exit(m.Run())
}

// write makes a file for each line that it reads, from a thread of its own, and says how
// that went.
func write(dir string) int {
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		done := make(chan error)
		go func() {
			runtime.LockOSThread() // never unlocked: the next line has another thread
			f, err := os.Create(filepath.Join(dir, lines.Text()))
			if err == nil {
				_, err = f.WriteString("content")
				err = errors.Join(err, f.Sync(), f.Close())
			}
			done <- err
		}()
		err := <-done
		fmt.Println(strings.ReplaceAll(fmt.Sprint(err), "\n", "; "))
	}
	return 0
}

// writer is a process that writes files.
type writer struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.Writer
	out *bufio.Reader
	dir string
}

func startWriter(t *testing.T) *writer {
	t.Helper()
	w := &writer{t: t, dir: t.TempDir()}
	w.cmd = exec.Command("/proc/self/exe", "write", w.dir)
	w.cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	in, err := w.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	w.in, w.out = in, bufio.NewReader(out)
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.cmd.Process.Kill(); _ = w.cmd.Wait() })
	return w
}

// file has the process write a file and returns what it says; "" once it has ended.
func (w *writer) file(name string) string {
	w.t.Helper()
	_, _ = fmt.Fprintln(w.in, name)
	s, err := w.out.ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		w.t.Fatal(err)
	}
	return strings.TrimSpace(s)
}

func (w *writer) attach(h Handler) *Trap {
	w.t.Helper()
	trap, err := Attach(w.cmd.Process.Pid, h)
	if errors.Is(err, unix.EPERM) {
		needs.Root(w.t, "traces: "+err.Error())
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return trap
}

func (w *writer) detach(trap *Trap) {
	w.t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- trap.Detach() }()
	select {
	case err := <-ended:
		if err != nil {
			w.t.Errorf("Detach: %v", err)
		}
	case <-time.After(10 * time.Second):
		w.t.Fatal("Detach does not return")
	}
}

// A call that is refused fails with that errno, alone, and the kernel does not see it;
// calls are seen in order over all threads, with their files.
func TestRefuse(t *testing.T) {
	w := startWriter(t)
	if got := w.file("before"); got != "<nil>" {
		t.Fatalf("without a trap: %s", got)
	}
	var seen []string
	threads := make(map[int]bool)
	trap := w.attach(Handler{
		Before: func(c *Call) syscall.Errno {
			switch {
			case !c.Within(w.dir):
			case c.Name == "openat" && strings.HasSuffix(c.Path, "/refused"):
				return unix.ENOSPC
			case c.Name == "fsync" && strings.HasSuffix(c.Path, "/unsafe"):
				return unix.EIO
			}
			return 0
		},
		After: func(c *Call) syscall.Errno {
			if c.Within(w.dir) && c.Name != "close" {
				threads[c.Thread] = true
				seen = append(seen, c.Name+" "+filepath.Base(c.Path)+fmt.Sprintf(" %d", c.Result))
			}
			return 0
		},
	})
	for _, f := range []struct{ name, want string }{
		{"refused", "no space left on device"}, {"unsafe", "input/output error"}, {"good", "<nil>"},
	} {
		if got := w.file(f.name); !strings.Contains(got, f.want) {
			t.Errorf("%s: got %s, want %s", f.name, got, f.want)
		}
	}
	w.detach(trap)
	all := strings.Join(seen, ", ")
	for _, want := range []string{"openat refused -28, openat unsafe ", "write unsafe 7, fsync unsafe -5, openat good ", "write good 7, fsync good 0"} {
		if !strings.Contains(all, want) {
			t.Errorf("seen: %s; want in it %s", all, want)
		}
	}
	if len(threads) < 3 {
		t.Errorf("calls of %d threads, want 3", len(threads))
	}
	if _, err := os.Stat(filepath.Join(w.dir, "refused")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the kernel saw the call: %v", err)
	}
	if got := w.file("refused"); got != "<nil>" {
		t.Errorf("after Detach: %s", got)
	}
}

// What After returns is the result, though the call was made.
func TestResult(t *testing.T) {
	w := startWriter(t)
	trap := w.attach(Handler{After: func(c *Call) syscall.Errno {
		if c.Name == "close" && c.Within(w.dir) {
			return unix.EIO
		}
		return 0
	}})
	defer w.detach(trap)
	if got := w.file("f"); !strings.Contains(got, "close") || !strings.Contains(got, "input/output error") {
		t.Errorf("got %s, want close to fail", got)
	}
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", w.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if to, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", w.cmd.Process.Pid, e.Name())); strings.HasPrefix(to, w.dir) {
			t.Errorf("%s is open still", to)
		}
	}
}

// A process that is killed before a call has not made it, and its end is no error.
func TestKill(t *testing.T) {
	w := startWriter(t)
	var once sync.Once
	trap := w.attach(Handler{Before: func(c *Call) syscall.Errno {
		if c.Name == "write" && c.Within(w.dir) {
			once.Do(func() { _ = unix.Kill(w.cmd.Process.Pid, unix.SIGKILL) })
		}
		return 0
	}})
	if got := w.file("f"); got != "" {
		t.Errorf("a killed process says %q", got)
	}
	w.detach(trap)
	if b, err := os.ReadFile(filepath.Join(w.dir, "f")); err != nil || len(b) != 0 {
		t.Errorf("got %q, %v, want an empty file", b, err)
	}
}

// The end of other children of the test is for whoever waits for them.
func TestOtherChildren(t *testing.T) {
	w := startWriter(t)
	trap := w.attach(Handler{})
	defer w.detach(trap)
	for range 20 {
		if err := exec.Command("true").Run(); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.file("f"); got != "<nil>" {
		t.Error(got)
	}
}

func TestNoSuchProcess(t *testing.T) {
	c := exec.Command("true")
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
	if _, err := Attach(c.Process.Pid, Handler{}); err == nil {
		t.Error("a trap on a process that has ended")
	}
}
