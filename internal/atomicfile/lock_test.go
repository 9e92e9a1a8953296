package atomicfile

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// childEnv tells a child of the test what to do; childPath on which file.
const (
	childEnv  = "ATOMICFILE_TEST_CHILD"
	childPath = "ATOMICFILE_TEST_PATH"
)

func childMain() {
	path := os.Getenv(childPath)
	switch os.Getenv(childEnv) {
	case "read":
		data, err := ReadRegular(path, 1<<20)
		if err != nil {
			fmt.Print(err)
			return
		}
		fmt.Printf("%s", data)
	case "hold":
		if _, err := tryLock(path); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println("held")
		time.Sleep(time.Minute)
	}
}

// tryLock takes the lock on path or returns ErrBusy at once.
func tryLock(path string) (*Guard, error) {
	return newGuard(path, func(g *Guard) error { return g.flock(unix.LOCK_EX | unix.LOCK_NB) })
}

func childCommand(t *testing.T, what, path string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childEnv+"="+what, childPath+"="+path)
	return cmd
}

// runChild runs a child under uid and returns what it prints. The test binary lies
// in a directory that only root may enter, so the child gets it as a descriptor.
func runChild(t *testing.T, what, path string, uid uint32) string {
	t.Helper()
	cmd := childCommand(t, what, path)
	exe, err := os.Open(cmd.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer exe.Close()
	cmd.Path = "/proc/self/fd/3"
	cmd.Dir = "/"
	cmd.ExtraFiles = []*os.File{exe}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

func TestLocksExclude(t *testing.T) {
	path := filepath.Join(privateDir(t), "f")
	g, err := Lock(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tryLock(path); !errors.Is(err, ErrBusy) {
		t.Fatalf("second lock: got %v, want ErrBusy", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	if _, err := Lock(ctx, path); !errors.Is(err, ErrBusy) || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("lock with a deadline: got %v, want ErrBusy and the deadline", err)
	}
	got := make(chan error, 1)
	go func() {
		second, err := Lock(context.Background(), path)
		if err == nil {
			second.Unlock()
		}
		got <- err
	}()
	g.Unlock()
	g.Unlock() // does nothing
	if err := <-got; err != nil {
		t.Fatal(err)
	}
}

func TestLockOfAKilledProcessIsFree(t *testing.T) {
	path := filepath.Join(privateDir(t), "f")
	cmd := childCommand(t, "hold", path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if line != "held\n" {
		t.Fatalf("child said %q, %v", line, err)
	}
	if _, err := tryLock(path); !errors.Is(err, ErrBusy) {
		t.Errorf("while the child holds it: got %v, want ErrBusy", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	g, err := tryLock(path)
	if err != nil {
		t.Fatal(err)
	}
	g.Unlock()
}

// TestUnlockWhileAChildHoldsTheDescriptor copies the descriptor, as fork does until
// exec closes it.
func TestUnlockWhileAChildHoldsTheDescriptor(t *testing.T) {
	path := filepath.Join(privateDir(t), "f")
	g, err := tryLock(path)
	if err != nil {
		t.Fatal(err)
	}
	inherited, err := unix.Dup(int(g.lock.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(inherited)
	g.Unlock()
	second, err := tryLock(path)
	if err != nil {
		t.Fatal(err)
	}
	second.Unlock()
}
