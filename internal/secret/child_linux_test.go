package secret

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// childEnv makes this test binary play one of the processes below. What a child
// has to keep secret comes through its standard input, never by argument.
const childEnv = "NSAGENT_SECRET_CHILD"

// childTimeout ends a child that hangs; none needs a tenth of it.
const childTimeout = 2 * time.Minute

func TestMain(m *testing.M) {
	children := map[string]func() error{
		"memlock": memlockChild, "mac": macChild, "naive": naiveChild, "hpke": hpkeChild, "sign": signChild, "naivesign": naiveSignChild, "generate": generateChild,
		"copy": copyChild,
	}
	name := os.Getenv(childEnv)
	if name == "" {
		os.Exit(m.Run())
	}
	if err := children[name](); err != nil {
		fmt.Println("error:", err)
		os.Exit(3)
	}
}

// process is a child that runs.
type process struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// start starts a child, as the user nobody if this test runs as root and asks
// for that.
func start(t *testing.T, name string, asNobody bool, env ...string) *process {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", "-test.run=^$") // a path that nobody can reach too
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), append(env, childEnv+"="+name)...)
	cmd.Stderr = os.Stderr
	if asNobody && os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	hang := time.AfterFunc(childTimeout, func() { _ = cmd.Process.Kill() })
	t.Cleanup(func() {
		hang.Stop()
		_ = in.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return &process{t: t, cmd: cmd, in: in, out: bufio.NewReader(out)}
}

// line reads what the child says next.
func (p *process) line() string {
	p.t.Helper()
	line, err := p.out.ReadString('\n')
	if err != nil {
		p.t.Fatalf("child says %q, then %v", line, err)
	}
	return strings.TrimSuffix(line, "\n")
}

// expect reads a line that must be want.
func (p *process) expect(want string) {
	p.t.Helper()
	if got := p.line(); got != want {
		p.t.Fatalf("child says %q, want %q", got, want)
	}
}

// send writes one message to the child: its length in four bytes, then it.
func (p *process) send(msg []byte) {
	p.t.Helper()
	if _, err := p.in.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(msg))), msg...)); err != nil {
		p.t.Fatal(err)
	}
}

// receive reads one message of the parent into the arena.
func receive(a *Arena) (Bytes, error) {
	n, err := receiveLength()
	if err != nil {
		return Bytes{}, err
	}
	return a.ReadAll(io.LimitReader(os.Stdin, int64(n)), n)
}

// receivePlain reads one message of the parent into ordinary memory.
func receivePlain() ([]byte, error) {
	n, err := receiveLength()
	if err != nil {
		return nil, err
	}
	p := make([]byte, n)
	_, err = io.ReadFull(os.Stdin, p)
	return p, err
}

func receiveLength() (int, error) {
	var size [4]byte
	_, err := io.ReadFull(os.Stdin, size[:])
	return int(binary.BigEndian.Uint32(size[:])), err
}

// copyChild copies a secret within the arena again and again, with Clone or, as the control,
// with the builtin.
func copyChild() error {
	a, err := NewArena(ArenaConfig{Mode: Mode(os.Getenv("MODE"))})
	if err != nil {
		return err
	}
	b, err := receive(a)
	if err != nil {
		return err
	}
	return signLoad(func(int, []byte) error {
		if os.Getenv("HOW") == "clone" {
			c, err := a.Clone(b)
			c.Destroy()
			return err
		}
		c, err := a.Alloc(b.Len())
		if err != nil {
			return err
		}
		defer c.Destroy()
		return b.Use(func(p []byte) error {
			return c.Use(func(q []byte) error {
				for range 1000 {
					copy(q, p)
				}
				return nil
			})
		})
	})
}
