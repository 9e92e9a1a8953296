package agent

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsagent/nsagent/internal/rawhttp2"
)

// nobody is another user than the one who runs the tests as root.
const nobody = 65534

// Roles that this binary can play; see roles.
const (
	roleVisit    = "agent-visit"     // SOCKET: connects, asks for the status, says what came
	roleLeave    = "agent-leave"     // SOCKET PROTOCOL STAY: connects and leaves the connection to a child
	roleHeir     = "agent-heir"      // PROTOCOL SOCKET-KIND: speaks on descriptor 3
	roleSpy      = "agent-spy"       // PID…: tries to look into processes
	roleLimited  = "agent-limited"   // BYTES PROGRAM ARG…: limits lockable memory, becomes the program
	roleSignMany = "agent-sign-many" // SOCKET N URL: signs N times at once, says how each went
)

// process is another process that a test talks with.
type process struct {
	t   *testing.T
	cmd *exec.Cmd
	in  *os.File
	out *bufio.Reader
}

// startRole starts this binary in a role, as another user where uid is not ours.
func startRole(t *testing.T, uid int, role string, args ...string) *process {
	t.Helper()
	theirIn, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, theirOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: exec.Command("/proc/self/exe", append([]string{role}, args...)...), in: in, out: bufio.NewReader(out)} // #nosec G204 -- this binary
	p.cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	p.cmd.Dir, p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = "/", theirIn, theirOut, os.Stderr
	if uid != os.Geteuid() {
		p.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}} // #nosec G115 -- a uid
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = theirIn.Close(), theirOut.Close()
	hang := time.AfterFunc(time.Minute, func() { _ = p.cmd.Process.Kill() })
	t.Cleanup(func() {
		hang.Stop()
		_ = in.Close()
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
		_ = out.Close()
	})
	return p
}

// line reads what the process says next.
func (p *process) line() string {
	p.t.Helper()
	s, err := p.out.ReadString('\n')
	if err != nil {
		p.t.Fatalf("the process says %q, then %v", s, err)
	}
	return strings.TrimSuffix(s, "\n")
}

// rest reads all that the process says until it, and whoever it left behind, ends.
func (p *process) rest() string {
	p.t.Helper()
	b, err := io.ReadAll(p.out)
	if err != nil {
		p.t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// tell writes a line to the process.
func (p *process) tell(s string) {
	p.t.Helper()
	if _, err := fmt.Fprintln(p.in, s); err != nil {
		p.t.Fatal(err)
	}
}

// playVisit connects like any client and says how many bytes it was given, for
// each protocol.
func playVisit(args []string) error {
	for _, first := range []string{"GET /v1/status HTTP/1.1\r\nHost: nsagent\r\nConnection: close\r\n\r\n", string(http2Preface)} {
		c, err := net.DialTimeout("unix", args[0], 5*time.Second)
		if err != nil {
			fmt.Println("no connection:", errors.Unwrap(err))
			continue
		}
		_, _ = c.Write([]byte(first))
		if first == string(http2Preface) {
			_, _ = c.Write(rawhttp2.Frame(rawhttp2.FrameSettings, 0, 0, nil))
		}
		var b [64]byte
		n, _ := c.Read(b[:]) // 0 where it was closed
		fmt.Println("bytes:", n)
		_ = c.Close()
	}
	return nil
}

// playSpy tries what one process can do to another of the same user, and says what
// worked.
func playSpy(pids []string) error {
	for _, pid := range pids {
		var open []string
		for _, name := range []string{"mem", "environ", "maps", "auxv", "io"} {
			f, err := os.Open("/proc/" + pid + "/" + name) // #nosec G304 -- that is the point
			if err != nil {
				continue
			}
			if _, err := io.ReadAll(io.LimitReader(f, 64)); err == nil || name == "mem" {
				open = append(open, name)
			}
			_ = f.Close()
		}
		for _, link := range []string{"exe", "cwd", "root"} {
			if _, err := os.Readlink("/proc/" + pid + "/" + link); err == nil {
				open = append(open, link)
			}
		}
		if _, err := os.ReadDir("/proc/" + pid + "/fd"); err == nil {
			open = append(open, "fd")
		}
		var n int
		if _, err := fmt.Sscan(pid, &n); err != nil {
			return err
		}
		if err := unix.PtraceSeize(n); err == nil {
			open = append(open, "ptrace")
		}
		fmt.Println(strings.Join(open, " "))
	}
	return nil
}

// playLimited limits the memory that the process may lock and becomes a program.
func playLimited(args []string) error {
	var n uint64
	if _, err := fmt.Sscan(args[0], &n); err != nil {
		return err
	}
	if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: n, Max: n}); err != nil {
		return err
	}
	return unix.Exec(args[1], args[1:], os.Environ())
}

// overUnix returns an HTTP client for a Unix socket. It keeps its connection.
func overUnix(path string) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext:        func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", path) },
			DisableCompression: true,
		},
		Timeout: 10 * time.Second,
	}
}

// jsonCode returns the code of an error answer, or "ok".
func jsonCode(body []byte) string {
	var e struct {
		Error struct {
			Code string `json:"code"`
		} `json:"error"`
	}
	if err := json.Unmarshal(body, &e); err != nil {
		return fmt.Sprintf("not an object: %.60q", body)
	}
	if e.Error.Code == "" {
		return "ok"
	}
	return e.Error.Code
}
