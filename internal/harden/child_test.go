//go:build linux

package harden

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// Rights that were given up do not come back, so each test gives up those of a
// child: the test binary itself, with "harden" and a name of children() as its first
// arguments.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "harden" {
		if err := children()[os.Args[2]](os.Args[3:]); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// children are the lives of children, by name.
func children() map[string]func(args []string) error {
	all := map[string]func([]string) error{
		"process":  childProcess,
		"sleep":    childSleep,
		"spy":      childSpy,
		"confined": childConfined,
		"free":     childFree,
		"helper":   childHelper,
		"network":  childNetwork,
		"working":  childWorking,
		"missing":  childMissing,
	}
	maps.Copy(all, childrenHere())
	return all
}

// nobody is a user without rights, for tests as root.
const nobody = 65534

// command returns a child that is not started yet. As root it runs as nobody where
// asNobody is set: root may do things that its capabilities allow and no sandbox
// of a user forbids.
func command(asNobody bool, name string, args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", append([]string{"harden", name}, args...)...)
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0") // else each child waits a second at its end
	if asNobody && os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	return cmd
}

// run runs a child to its end and returns what it printed.
func run(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args[2:], " "), err, out)
	}
	return string(out)
}

// directory returns a directory that nobody can use too.
func directory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "harden")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return dir
}

// startSleeper starts a child that stays, hardened or not, and waits until it is
// so.
func startSleeper(t *testing.T, how string) int {
	t.Helper()
	cmd := command(true, "sleep", how)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stdin.Close(); cmd.Wait() })
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
		t.Fatalf("child said %q, %v", line, err)
	}
	return cmd.Process.Pid
}

// childSleep waits for the end of its stdin: plain, hardened, or hardened and readable again.
func childSleep(args []string) error {
	if args[0] != "plain" {
		if err := Process(); err != nil {
			return err
		}
	}
	if args[0] == "readable" {
		if err := Readable(); err != nil {
			return err
		}
	}
	fmt.Println("ready")
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// expect returns an error where got is not want.
func expect(what string, got, want error) error {
	if errors.Is(got, want) || got == nil && want == nil {
		return nil
	}
	return fmt.Errorf("%s: got %v, want %v", what, got, want)
}
