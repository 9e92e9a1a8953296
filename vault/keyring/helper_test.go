//go:build linux

package keyring

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	gokeyring "github.com/zalando/go-keyring"
	"golang.org/x/sys/unix"

	"github.com/nsagent/nsagent/internal/harden"
	"github.com/nsagent/nsagent/internal/keyringtest"
	"github.com/nsagent/nsagent/internal/secret"
)

// The test binary plays the helper, and what can be wrong with one. Its first
// argument says which.
const (
	roleHelper  = "keyring-helper"  // as nsagent runs it
	roleBare    = "keyring-bare"    // without giving up rights first
	roleSilent  = "keyring-silent"  // ends without an answer
	roleGarbage = "keyring-garbage" // answers nonsense
	roleNaive   = "keyring-naive"   // go-keyring as everybody uses it
	roleForeign = "keyring-foreign" // TEXT: puts TEXT into the item "foreign"
	roleDoor    = "keyring-door"    // N: N times Set what it got, for a look at its memory
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		if role := roles()[os.Args[1]]; role != nil {
			if err := role(os.Args[2:]); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			os.Exit(0)
		}
	}
	os.Exit(m.Run())
}

func roles() map[string]func(args []string) error {
	return map[string]func([]string) error{
		roleHelper: func([]string) error {
			if err := harden.Process(); err != nil {
				return err
			}
			if _, err := harden.Helper(); err != nil {
				return err
			}
			return serveInherited()
		},
		roleBare:   func([]string) error { return serveInherited() },
		roleSilent: func([]string) error { return nil },
		roleGarbage: func([]string) error {
			_, err := os.NewFile(3, "door").WriteString("HTTP/1.1 200 OK\r\n\r\n")
			return err
		},
		roleNaive:   func([]string) error { _, err := gokeyring.Get(service, "x"); return err },
		roleForeign: func(args []string) error { return gokeyring.Set(service, "foreign", args[0]) },
		roleDoor:    playDoor,

		roleSquatter: playSquatter,
		roleConnect:  playConnect,
	}
}

// serveInherited serves on descriptor 3.
func serveInherited() error {
	conn, err := net.FileConn(os.NewFile(3, "door"))
	if err != nil {
		return err
	}
	return Serve(conn.(*net.UnixConn))
}

// command returns the test binary in a role.
func command(env []string, role string, args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", append([]string{role}, args...)...)
	cmd.Env = append(append([]string{}, env...), "GORACE=atexit_sleep_ms=0")
	return cmd
}

// launcher returns a Launch for helpers in a role, and tells how each ended.
func launcher(env []string, role string) (Launch, <-chan error) {
	ended := make(chan error, 100)
	return func(context.Context) (*net.UnixConn, error) {
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return nil, err
		}
		ours, theirs := os.NewFile(uintptr(pair[0]), "ours"), os.NewFile(uintptr(pair[1]), "theirs")
		defer ours.Close()
		defer theirs.Close()
		cmd := command(env, role)
		cmd.ExtraFiles = []*os.File{theirs}
		if err := cmd.Start(); err != nil {
			return nil, err
		}
		go func() { ended <- cmd.Wait() }()
		conn, err := net.FileConn(ours)
		if err != nil {
			return nil, err
		}
		return conn.(*net.UnixConn), nil
	}, ended
}

// arena returns locked memory for a test.
func arena(t *testing.T) *secret.Arena {
	t.Helper()
	a, err := secret.NewArena(secret.ArenaConfig{Size: 16 << 10})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

// random returns n secret bytes.
func random(t *testing.T, a *secret.Arena, n int) secret.Bytes {
	t.Helper()
	b, err := a.Random(n)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// waitEnded waits until a helper has ended.
func waitEnded(t *testing.T, ended <-chan error, within time.Duration) error {
	t.Helper()
	select {
	case err := <-ended:
		return err
	case <-time.After(within):
		t.Fatalf("the helper still runs after %v", within)
		return nil
	}
}

// session is keyringtest.Start with a door to it.
func session(t *testing.T, kind keyringtest.Kind) (*keyringtest.Session, *Door, *secret.Arena) {
	t.Helper()
	s := keyringtest.Start(t, kind)
	a := arena(t)
	launch, _ := launcher(s.Env(), roleHelper)
	return s, New(a, launch), a
}

// playDoor is a process that uses a keyring as the agent does: it copies an item
// back and forth, keeps the value, and waits to be looked at.
func playDoor(args []string) error {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	a, err := secret.NewArena(secret.ArenaConfig{Size: 16 << 10})
	if err != nil {
		return err
	}
	launch, _ := launcher(os.Environ(), roleHelper)
	d := New(a, launch)
	var kept secret.Bytes
	for range n {
		v, err := d.Get(context.Background(), "share")
		if err != nil {
			return err
		}
		if err := d.Set(context.Background(), "copy", v); err != nil {
			return err
		}
		kept.Destroy()
		kept = v
	}
	fmt.Println("ready")
	if _, err := os.Stdin.Read(make([]byte, 1)); err == nil {
		return errors.New("more than an end of input")
	}
	kept.Destroy()
	return nil
}
