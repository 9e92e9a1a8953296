//go:build linux

package peercred

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// The test binary plays the other processes. Its first argument says which.
const (
	roleConnect = "peercred-connect" // SOCKET UID: connects as UID, then waits on stdin
	roleLeave   = "peercred-leave"   // SOCKET: connects, leaves the connection to a child, exits
	roleHeir    = "peercred-heir"    // descriptor 3: says hello on it, then waits on stdin
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case roleConnect, roleLeave, roleHeir:
			if err := play(os.Args[1], os.Args[2:]); err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
			os.Exit(0)
		}
	}
	os.Exit(m.Run())
}

// play is the life of another process.
func play(role string, args []string) error {
	if role == roleHeir {
		if _, err := os.NewFile(3, "connection").WriteString("hello"); err != nil {
			return err
		}
		return untilEOF()
	}
	if role == roleConnect {
		if err := become(args[1]); err != nil {
			return err
		}
	}
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: args[0], Net: "unix"})
	if err != nil {
		return err
	}
	if role == roleConnect {
		fmt.Println("connected")
		return untilEOF()
	}
	file, err := conn.File()
	if err != nil {
		return err
	}
	heir := exec.Command("/proc/self/exe", roleHeir)
	heir.ExtraFiles = []*os.File{file}
	heir.Stdin = os.Stdin
	return heir.Start() // and go, without waiting
}

// become changes the uid of the process, or makes it unreadable for others of it.
func become(who string) error {
	if who == "-undumpable" {
		return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	}
	uid, err := strconv.Atoi(who)
	if err != nil || uid == os.Getuid() {
		return err
	}
	return syscall.Setresuid(uid, uid, uid)
}

// untilEOF waits until the test closes our stdin.
func untilEOF() error {
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// child is another process on our socket.
type child struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	conn  *net.UnixConn // our end
}

// listen opens a socket that any user can connect to.
func listen(t *testing.T) *net.UnixListener {
	t.Helper()
	dir, err := os.MkdirTemp("", "pc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	for name, mode := range map[string]os.FileMode{dir: 0o755, path: 0o777} {
		if err := os.Chmod(name, mode); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// start runs the test binary in a role that connects to l.
func start(t *testing.T, l *net.UnixListener, role string, args ...string) *child {
	t.Helper()
	c := &child{cmd: exec.Command("/proc/self/exe", append([]string{role, l.Addr().String()}, args...)...)}
	c.cmd.Stderr = os.Stderr
	stdin, err := c.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.stdin = stdin
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.stdin.Close(); c.cmd.Process.Kill(); c.cmd.Wait() })
	if role == roleConnect {
		if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "connected\n" {
			t.Fatalf("child said %q, %v", line, err)
		}
	}
	if c.conn, err = l.AcceptUnix(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.conn.Close() })
	return c
}

// openFiles returns how many descriptors this process has.
func openFiles(t *testing.T) int {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}
