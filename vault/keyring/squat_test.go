//go:build linux

package keyring

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nsagent/nsagent/internal/keyringtest"
	"github.com/nsagent/nsagent/internal/needs"
)

const (
	roleSquatter = "keyring-squatter" // NAME: a bus that is polite and prints what it is told
	ready        = "ready\n"          // the first thing it prints
	otherUser    = 65534
)

// playSquatter greets as a bus does and copies all that it receives to stdout.
func playSquatter(args []string) error {
	l, err := net.Listen("unix", args[0])
	if err != nil {
		return err
	}
	if !strings.HasPrefix(args[0], "@") {
		if err := os.Chmod(args[0], 0o777); err != nil {
			return err
		}
	}
	fmt.Print(ready)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go greet(conn)
		}
	}()
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// greet lets anybody in.
func greet(conn net.Conn) {
	in := bufio.NewReader(io.TeeReader(conn, os.Stdout))
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		answer := "ERROR"
		switch line = strings.Trim(line, "\x00\r\n"); {
		case line == "AUTH":
			answer = "REJECTED EXTERNAL"
		case line == "AUTH EXTERNAL":
			answer = "DATA"
		case strings.HasPrefix(line, "DATA"):
			answer = "OK 0123456789abcdef0123456789abcdef"
		case line == "BEGIN":
			_, _ = io.Copy(io.Discard, in)
			return
		}
		if _, err := conn.Write([]byte(answer + "\r\n")); err != nil {
			return
		}
	}
}

// squatter is another user who serves a socket.
type squatter struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.Closer
	ended bool

	mu  sync.Mutex // guards out
	out bytes.Buffer
}

// Write keeps what the squatter prints.
func (s *squatter) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.Write(b)
}

// told returns what the squatter was told so far.
func (s *squatter) told() (told []byte, isReady bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.CutPrefix(bytes.Clone(s.out.Bytes()), []byte(ready))
}

// stop ends the squatter and returns what it was told.
func (s *squatter) stop() []byte {
	if !s.ended {
		s.ended = true
		time.Sleep(50 * time.Millisecond) // what is under way arrives
		_ = s.stdin.Close()
		if err := s.cmd.Wait(); err != nil {
			s.t.Errorf("the squatter ended with %v", err)
		}
	}
	told, _ := s.told()
	return told
}

// squat has another user serve a socket.
func squat(t *testing.T, s busSocket, uid uint32) *squatter {
	t.Helper()
	needs.Root(t, "runs the bus of another user")
	cmd := command(nil, roleSquatter, s.dialName())
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	other := &squatter{t: t, cmd: cmd, stdin: stdin}
	cmd.Stdout, cmd.Stderr = other, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.stop() })
	eventually(t, "the squatter serves", func() bool { _, isReady := other.told(); return isReady })
	return other
}

// eventually waits until something is so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * busy); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Errorf("not so after %v: %s", 2*busy, what)
			return
		}
	}
}

// openDir returns a short directory like /tmp.
func openDir(t *testing.T, mode os.FileMode) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "nsk")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, mode); err != nil {
		t.Fatal(err)
	}
	return dir
}

// squatted are the two kinds of address that another user can take.
func squatted(t *testing.T) map[string]busSocket {
	return map[string]busSocket{
		"abstract": {abstract: true, name: fmt.Sprintf("/tmp/nsk-%d-%d", os.Getpid(), time.Now().UnixNano())},
		"path":     {name: filepath.Join(openDir(t, 0o777|os.ModeSticky), "dbus-x y")}, // to be escaped
	}
}

// A3, P3: a session's address outlives its bus, and another user takes it. Not a byte
// goes there; the control shows that go-keyring alone talks to it.
func TestSquattedBusIsToldNothing(t *testing.T) {
	for name, socket := range squatted(t) {
		t.Run(name, func(t *testing.T) {
			other := squat(t, socket, otherUser)
			env := []string{"DBUS_SESSION_BUS_ADDRESS=" + socket.String()}
			a := arena(t)
			v := random(t, a, 32)
			for _, role := range []string{roleHelper, roleBare} {
				for op, do := range map[string]func(*Door) error{
					"get":    func(d *Door) error { _, err := d.Get(t.Context(), "x"); return err },
					"set":    func(d *Door) error { return d.Set(t.Context(), "x", v) },
					"delete": func(d *Door) error { return d.Delete(t.Context(), "x") },
				} {
					launch, ended := launcher(env, role)
					err := do(New(a, launch))
					_ = waitEnded(t, ended, busy)
					if !errors.Is(err, ErrStaleBus) || !strings.Contains(fmt.Sprint(err), "belongs to another user (uid 65534)") {
						t.Errorf("%s, %s: got %v, want %v", role, op, err, ErrStaleBus)
					}
				}
			}
			if told := other.stop(); len(told) != 0 {
				t.Errorf("it was told %d bytes: %q", len(told), told)
			}

			os.Remove(socket.name)
			other = squat(t, socket, otherUser)
			cmd := command(env, roleNaive)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			eventually(t, "control: go-keyring talks to it", func() bool {
				told, _ := other.told()
				return bytes.Contains(told, []byte("BEGIN\r\n"))
			})
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
	}
}

// Of a list the first bus that is ours is used, whatever stands before it.
func TestListOfBuses(t *testing.T) {
	s := keyringtest.Start(t, keyringtest.Unlocked)
	address, _, _ := strings.Cut(s.Address, ",")
	path := strings.TrimPrefix(address, "unix:path=")
	var encoded strings.Builder
	for _, b := range []byte(path) {
		fmt.Fprintf(&encoded, "%%%02x", b)
	}
	lists := map[string]string{
		"dead first":      "unix:path=/nonexistent/bus;" + s.Address,
		"tcp first":       "tcp:host=127.0.0.1,port=1;" + s.Address + ";",
		"percent-encoded": "unix:path=" + encoded.String(),
	}
	if os.Geteuid() == 0 {
		for name, socket := range squatted(t) {
			other := squat(t, socket, otherUser)
			lists["squatted first, "+name] = socket.String() + ";" + s.Address
			defer func() {
				if told := other.stop(); len(told) != 0 {
					t.Errorf("%s: the other user was told %q", name, told)
				}
			}()
		}
	}
	a := arena(t)
	for name, list := range lists {
		launch, _ := launcher([]string{"HOME=" + s.Home, "DBUS_SESSION_BUS_ADDRESS=" + list}, roleHelper)
		d, want := New(a, launch), random(t, a, 32)
		if err := d.Set(t.Context(), "x", want); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := d.Get(t.Context(), "x")
		if err != nil || !got.Equal(want) {
			t.Errorf("%s: got another value, %v", name, err)
		}
	}
}

// A socket that others can replace is not used, although its bus is ours.
func TestBusInOpenDirectory(t *testing.T) {
	for mode, want := range map[os.FileMode]error{
		0o777:                 ErrStaleBus,
		0o777 | os.ModeSticky: nil,
		0o755:                 nil,
		0o1:                   nil,
		0o703:                 ErrStaleBus,
		0o702 | os.ModeSticky: nil,
	} {
		if mode == 0o1 && os.Geteuid() != 0 {
			continue
		}
		socket := busSocket{name: filepath.Join(openDir(t, mode), "bus")}
		l, err := net.Listen("unix", socket.name)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if _, err := trustedAddress([]busSocket{socket}); !errors.Is(err, want) {
			t.Errorf("%v: got %v, want %v", mode, err, want)
		}
		if os.Geteuid() == 0 {
			if err := os.Chown(socket.name, otherUser, otherUser); err != nil {
				t.Fatal(err)
			}
			if _, err := trustedAddress([]busSocket{socket}); !errors.Is(err, ErrStaleBus) {
				t.Errorf("%v, socket of another user: got %v, want %v", mode, err, ErrStaleBus)
			}
		}
	}
}

// A bus that changes hands between the question and the connection is found out by
// the connection itself.
func TestConnectionIsAskedAgain(t *testing.T) {
	ours, err := net.Listen("unix", "")
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	before := unixPeers()
	if err := checkNewPeers(before, before); !errors.Is(err, ErrUnavailable) {
		t.Errorf("no connection: got %v, want %v", err, ErrUnavailable)
	}
	conn, err := net.Dial("unix", ours.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := checkNewPeers(before, unixPeers()); err != nil {
		t.Errorf("our own bus: %v", err)
	}
	socket := squatted(t)["abstract"]
	squat(t, socket, otherUser)
	other, err := net.Dial("unix", socket.dialName())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := checkNewPeers(before, unixPeers()); !errors.Is(err, ErrStaleBus) {
		t.Errorf("another user's bus: got %v, want %v", err, ErrStaleBus)
	}
}

// Once connected, a helper has no address to connect to again.
func TestNoSecondConnection(t *testing.T) {
	conn, err := net.Dial("unix", strings.TrimPrefix(nowhere, "unix:path="))
	if err == nil {
		conn.Close()
		t.Fatal("somebody serves nowhere")
	}
	s := keyringtest.Start(t, keyringtest.NoService)
	out, err := command(s.Env(), roleConnect).CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != nowhere {
		t.Errorf("got %q, %v, want %q", out, err, nowhere)
	}
}

// roleConnect connects to the bus and prints the address that is left.
const roleConnect = "keyring-connect"

func playConnect([]string) error {
	if err := prepare(); err != nil {
		return err
	}
	fmt.Println(os.Getenv(busVariable))
	return nil
}
