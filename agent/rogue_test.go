package agent

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/needs"
)

// rogue is a listener that counts what it is given.
type rogue struct {
	path  string
	bytes chan int // of each connection, with its first piece
}

// listenAs listens as another user, on a socket that looks as if it were ours where
// ours is set. The kernel remembers who called listen; that is one thread here, which
// ends with it.
func listenAs(t *testing.T, uid int, ours bool) rogue {
	t.Helper()
	dir, err := os.MkdirTemp("", "nsa")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777|os.ModeSticky); err != nil { // #nosec G302 -- the other user makes the socket
		t.Fatal(err)
	}
	r := rogue{filepath.Join(dir, "s"), make(chan int, 16)}
	type listened struct {
		l   net.Listener
		err error
	}
	done := make(chan listened)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), uintptr(uid), ^uintptr(0)); errno != 0 {
			done <- listened{err: errno}
			return
		}
		l, err := net.Listen("unix", r.path)
		done <- listened{l, err}
	}()
	got := <-done
	if got.err != nil {
		t.Fatal(got.err)
	}
	t.Cleanup(func() { _ = got.l.Close() })
	if ours {
		if err := os.Chown(r.path, os.Geteuid(), os.Getegid()); err != nil {
			t.Fatal(err)
		}
	}
	go func() {
		for {
			c, err := got.l.Accept()
			if err != nil {
				return
			}
			_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
			var b [64]byte
			n, _ := c.Read(b[:])
			r.bytes <- n
			_ = c.Close()
		}
	}()
	return r
}

// TestRogueListener guards S-04: whoever listens in the agent's place as another user
// gets not a byte of a client, whoever owns the socket by its mode; a link to the
// right socket is no way round.
func TestRogueListener(t *testing.T) {
	needs.Root(t, "listens as another user")
	for _, c := range []struct {
		name string
		uid  int
		ours bool
	}{
		{"another user's socket", nobody, false},
		{"another user's server on a socket of ours", nobody, true},
	} {
		r := listenAs(t, c.uid, c.ours)
		for what, dial := range map[string]func() error{
			"Dial":      func() error { _, err := client.Dial(t.Context(), client.WithSocket(r.path)); return err },
			"DialAdmin": func() error { _, err := client.DialAdmin(t.Context(), client.WithSocket(r.path)); return err },
		} {
			if err := dial(); !errors.Is(err, client.ErrAgent) {
				t.Errorf("%s to %s: got %v, want ErrAgent", what, c.name, err)
			}
		}
		for {
			select {
			case n := <-r.bytes:
				if n != 0 {
					t.Errorf("%s received %d bytes", c.name, n)
				}
				continue
			case <-time.After(50 * time.Millisecond):
			}
			break
		}
	}

	// The control: the same listener as ourselves is spoken to.
	r := listenAs(t, os.Geteuid(), true)
	dialed := make(chan error, 1)
	go func() {
		_, err := client.Dial(t.Context(), client.WithSocket(r.path))
		dialed <- err
	}()
	select {
	case n := <-r.bytes:
		if n == 0 {
			t.Error("control: a server of our own user received nothing")
		}
	case err := <-dialed:
		t.Errorf("control: a server of our own user was not spoken to: %v", err)
	}
}
