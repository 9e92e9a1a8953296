//go:build linux

package harden

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

func TestProcess(t *testing.T) {
	run(t, command(false, "process", directory(t)))
}

// childProcess checks what Process sets, on threads that were there before.
func childProcess(args []string) error {
	var before, after sync.WaitGroup
	release := make(chan struct{})
	results := make(chan error, 4)
	for range cap(results) {
		before.Add(1)
		after.Go(func() {
			runtime.LockOSThread()
			before.Done()
			<-release
			n, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
			if n != 1 {
				err = errors.Join(fmt.Errorf("a thread without no_new_privs"), err)
			}
			results <- err
		})
	}
	before.Wait()
	if err := Process(); err != nil {
		return err
	}
	close(release)
	for range cap(results) {
		if err := <-results; err != nil {
			return err
		}
	}
	after.Wait()

	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &limit); err != nil || limit.Cur != 0 || limit.Max != 0 {
		return fmt.Errorf("core limit: got %v, %v, want 0", limit, err)
	}
	name := filepath.Join(args[0], "f")
	if err := os.WriteFile(name, nil, 0o666); err != nil {
		return err
	}
	fi, err := os.Stat(name)
	if err != nil || fi.Mode().Perm() != 0o600 {
		return fmt.Errorf("mode of a new file: got %v, %v, want 0600", fi.Mode(), err)
	}
	if r := state(); !r.NonDumpable || !r.NoNewPrivs || len(r.Why) != 0 {
		return fmt.Errorf("state: got %+v", r)
	}
	return Process() // may be called again
}

// A process of the same user reads the memory of one that is not hardened, and not
// that of one that is, unless that lets others read it.
func TestProcessIsUnreadable(t *testing.T) {
	if b, err := os.ReadFile("/proc/sys/kernel/yama/ptrace_scope"); err == nil && strings.TrimSpace(string(b)) != "0" {
		t.Log("this kernel restricts ptrace by itself: the control cannot show much")
	} else if got := spy(t, "plain"); got != "mem environ fd ptrace" {
		t.Fatalf("control: a plain process gave away %q, want all", got)
	}
	if got, plain := spy(t, "readable"), spy(t, "plain"); got != plain {
		t.Errorf("one that is readable gave away %q, a plain one %q", got, plain)
	}
	if got := spy(t, "hardened"); got != "" {
		t.Errorf("a hardened process gave away %q, want nothing", got)
	}
}

// spy returns what another process of the same user gets from a child.
func spy(t *testing.T, how string) string {
	t.Helper()
	pid := startSleeper(t, how)
	return strings.TrimSpace(run(t, command(true, "spy", strconv.Itoa(pid))))
}

// childSpy prints what it can get at of another process.
func childSpy(args []string) error {
	pid, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	var got []string
	dir := "/proc/" + args[0]
	if f, err := os.Open(dir + "/mem"); err == nil {
		got = append(got, "mem")
		f.Close()
	}
	if _, err := os.ReadFile(dir + "/environ"); err == nil {
		got = append(got, "environ")
	}
	if _, err := os.ReadDir(dir + "/fd"); err == nil {
		got = append(got, "fd")
	}
	runtime.LockOSThread() // a tracer is a thread
	if err := unix.PtraceSeize(pid); err == nil {
		got = append(got, "ptrace")
	}
	fmt.Println(strings.Join(got, " "))
	return nil
}

func TestSentences(t *testing.T) {
	full := Report{NonDumpable: true, NoNewPrivs: true, LandlockABI: 7, Seccomp: true}
	if got := full.Sentences(); len(got) != 3 || !strings.Contains(got[2], "ABI 7") {
		t.Errorf("got %q", got)
	}
	none := Report{Why: []string{"why"}}
	if got := none.Sentences(); len(got) != 1 || got[0] != "why" {
		t.Errorf("got %q, want the reason alone", got)
	}
}
