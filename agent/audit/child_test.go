package audit

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
)

func mkfifo(path string) error { return syscall.Mkfifo(path, 0o600) }

// child prepares this binary to run a task on the log of dir.
func child(t testing.TB, task, dir string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "NSAGENT_AUDIT_CHILD="+task, "NSAGENT_AUDIT_DIR="+dir)
	return cmd
}

func runChild(task, dir string) int {
	var opts Options
	if task == "roll" || task == "checkpoints" {
		opts = small
	}
	l, err := Open(dir, opts)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	switch task {
	case "open":
		err = l.Close()
	case "checkpoints":
		l.StartCheckpoints(newKeys())
		err = appendForEver(l)
	case "append", "roll":
		err = appendForEver(l)
	case "limit":
		err = appendToLimit(l)
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// appendForEver appends from several goroutines and prints each number after it was
// acknowledged.
func appendForEver(l *Log) error {
	var wg sync.WaitGroup
	errs := make(chan error, 8)
	for range cap(errs) {
		wg.Go(func() {
			for n := 0; ; n++ {
				e := use(n)
				e.Detail = strings.Repeat("d", rand.IntN(maxDetail))
				appendOne := l.Append
				if n%16 == 15 {
					appendOne = l.AppendSync
				}
				seq, err := appendOne(e)
				if err != nil {
					errs <- err
					return
				}
				if _, err := fmt.Fprintf(os.Stdout, "%d\n", seq); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	return <-errs
}

// appendToLimit lets the kernel refuse to make the file longer, which stands for a full
// disk, and then goes on.
func appendToLimit(l *Log) error {
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		return err
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 10_000, Max: old.Max}); err != nil {
		return err
	}
	acknowledged, failure := fill(l)
	if failure == nil {
		return fmt.Errorf("appending never failed")
	}
	if err := stayFailed(l); err != nil {
		return err
	}
	if err := l.Recover(); err == nil {
		return fmt.Errorf("recovered under the limit")
	}
	if err := stayFailed(l); err != nil {
		return err
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		return err
	}
	if err := l.Recover(); err != nil {
		return err
	}
	if _, err := l.Append(use(0)); err != nil {
		return err
	}
	fmt.Printf("acknowledged %d, then: %v\n", acknowledged, failure)
	return l.Close()
}
