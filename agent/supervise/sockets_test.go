//go:build linux

package supervise

import (
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// listening returns a listening socket, as a service manager would pass it.
func listening(t *testing.T) (path string, f *os.File) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	if f, err = l.File(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return path, f
}

// runWith is runAgent with sockets to pass, and whoever wants to hear of it.
func runWith(t *testing.T, what string, ready func(), sockets ...*os.File) (string, error) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err = Run(t.Context(), Config{Exe: exe, AgentArgs: []string{asAgent, what}, Stdout: &out, Stderr: os.Stderr, Sockets: sockets, Ready: ready})
	return out.String(), err
}

// The agent gets the sockets beside its link, and nothing else.
func TestSocketsReachTheAgent(t *testing.T) {
	_, one := listening(t)
	_, two := listening(t)
	out, err := runWith(t, "descriptors", nil, one, two)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 6 || !strings.HasPrefix(lines[4], "4 socket:") || !strings.HasPrefix(lines[5], "5 socket:") {
		t.Errorf("descriptors of the agent: got %q, want 0, 1, 2, its link and two sockets", lines)
	}
}

// A connection that waits for an agent which fails is closed, not left to start the
// next one; it would never get an answer from an agent that always fails.
func TestFailureTurnsAway(t *testing.T) {
	path, socket := listening(t)
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := runWith(t, "exit7", nil, socket); err == nil {
		t.Fatal("the agent did not fail")
	}
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	if n, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("got %d bytes, %v; want the end", n, err)
	}
}

// One that waits when the agent ends as it should is kept for the next.
func TestEndKeepsWhoWaits(t *testing.T) {
	path, socket := listening(t)
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := runWith(t, "ready", nil, socket); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := c.Read(make([]byte, 1)); !os.IsTimeout(err) {
		t.Errorf("got %d bytes, %v; want silence", n, err)
	}
}

func TestReady(t *testing.T) {
	said := 0
	if _, err := runWith(t, "ready", func() { said++ }); err != nil || said != 1 {
		t.Errorf("heard %d times that the agent serves, %v; want once", said, err)
	}
}

// TestReadyBeforeTheEnd guards what systemd goes by: an agent that is stopped as soon as it
// serves did serve, so that its unit ends and does not fail.
func TestReadyBeforeTheEnd(t *testing.T) {
	const runs = 20
	said := 0
	for range runs {
		if _, err := runWith(t, "ready and gone", func() { said++ }); err != nil {
			t.Fatal(err)
		}
	}
	if said != runs {
		t.Errorf("heard %d times of %d that the agent serves", said, runs)
	}
}
