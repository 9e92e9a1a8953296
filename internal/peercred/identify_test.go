//go:build linux

package peercred

import (
	"errors"
	"io"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsagent/nsagent/internal/needs"
)

// paths are the two ways to a pidfd: with the connection, and by number.
var paths = []struct {
	name   string
	weaker bool
	pidfd  func(int, *unix.Ucred) (int, error)
}{
	{"with the connection", false, peerPidfd},
	{"by number", true, func(int, *unix.Ucred) (int, error) { return -1, unix.ENOPROTOOPT }},
}

// needsPidfd skips a way to a pidfd that this kernel lacks.
func needsPidfd(t *testing.T, weaker bool) {
	t.Helper()
	l := listen(t)
	c := start(t, l, roleConnect, strconv.Itoa(os.Getuid()))
	if p, err := Identify(c.conn); err == nil {
		defer p.Close()
		if p.Weaker && !weaker {
			needs.Missing(t, "peerpidfd", "SO_PEERPIDFD is in Linux 6.5 or later")
		}
	}
}

func TestIdentify(t *testing.T) {
	for _, path := range paths {
		t.Run(path.name, func(t *testing.T) {
			needsPidfd(t, path.weaker)
			l := listen(t)
			c := start(t, l, roleConnect, strconv.Itoa(os.Getuid()))
			p, err := identify(c.conn, path.pidfd)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			if got, want := p.UID, uint32(os.Getuid()); got != want {
				t.Errorf("uid: got %d, want %d", got, want)
			}
			if got, want := p.GID, uint32(os.Getgid()); got != want {
				t.Errorf("gid: got %d, want %d", got, want)
			}
			if got, want := int(p.PID), c.cmd.Process.Pid; got != want {
				t.Errorf("pid: got %d, want %d", got, want)
			}
			if p.Weaker != path.weaker || (p.Start != 0) != path.weaker {
				t.Errorf("weaker: got %v with start %d, want %v", p.Weaker, p.Start, path.weaker)
			}
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			if got := p.Exe(); got != self {
				t.Errorf("exe: got %q, want %q", got, self)
			}
			if err := p.Alive(); err != nil {
				t.Errorf("alive: %v", err)
			}

			if err := c.cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadAll(c.conn); err != nil { // the kernel closed its end
				t.Fatal(err)
			}
			for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
				if errors.Is(p.Alive(), ErrPeerGone) {
					break // a zombie: nobody has waited for it yet
				}
				if time.Now().After(deadline) {
					t.Fatal("still alive 20 s after its end")
				}
			}
			c.cmd.Wait()
			if err := p.Alive(); !errors.Is(err, ErrPeerGone) {
				t.Errorf("reaped: got %v, want %v", err, ErrPeerGone)
			}
		})
	}
}

func TestIdentifyOtherUser(t *testing.T) {
	needs.Root(t, "connects as another user")
	for _, path := range paths {
		t.Run(path.name, func(t *testing.T) {
			needsPidfd(t, path.weaker)
			c := start(t, listen(t), roleConnect, "65534")
			p, err := identify(c.conn, path.pidfd)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			if p.UID != 65534 {
				t.Errorf("uid: got %d, want 65534", p.UID)
			}
			if err := p.Alive(); err != nil {
				t.Errorf("alive: %v", err)
			}
		})
	}
}

// A process connects, starts a child that inherits the connection, and exits. The
// child can still write, but not in the name of its parent.
func TestInheritedDescriptor(t *testing.T) {
	for _, path := range paths {
		t.Run(path.name, func(t *testing.T) {
			needsPidfd(t, path.weaker)
			c := start(t, listen(t), roleLeave)
			early, earlyErr := identify(c.conn, path.pidfd) // may see the parent, or be too late
			if err := c.cmd.Wait(); err != nil {
				t.Fatal(err)
			}
			hello := make([]byte, 5)
			if _, err := io.ReadFull(c.conn, hello); err != nil || string(hello) != "hello" {
				t.Fatalf("from the heir: got %q, %v, want hello", hello, err)
			}
			if earlyErr == nil {
				defer early.Close()
				if err := early.Alive(); !errors.Is(err, ErrPeerGone) {
					t.Errorf("identified before the exit: got %v, want %v", err, ErrPeerGone)
				}
			} else if !errors.Is(earlyErr, ErrPeerGone) {
				t.Errorf("identified at the exit: got %v, want %v", earlyErr, ErrPeerGone)
			}
			if p, err := identify(c.conn, path.pidfd); !errors.Is(err, ErrPeerGone) {
				t.Errorf("identified after the exit: got %v, %v, want %v", p, err, ErrPeerGone)
			}
		})
	}
}

// The number of the process that connected belongs to another user's process now.
func TestNumberGivenAway(t *testing.T) {
	before := openFiles(t)
	p := &Peer{PID: int32(os.Getpid())}
	err := p.openByNumber(&unix.Ucred{Pid: int32(os.Getpid()), Uid: uint32(os.Geteuid()) + 1})
	if !errors.Is(err, ErrPeerGone) {
		t.Errorf("got %v, want %v", err, ErrPeerGone)
	}
	if after := openFiles(t); after != before {
		t.Errorf("got %d open files, want %d", after, before)
	}
}

func TestExeOfUndumpable(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("not as root: root may read every executable's path")
	}
	c := start(t, listen(t), roleConnect, "-undumpable")
	p, err := Identify(c.conn)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if got := p.Exe(); got != "" {
		t.Errorf("got %q, want nothing", got)
	}
	if err := p.Alive(); err != nil {
		t.Errorf("alive: %v", err)
	}
}

// connected returns a process of the same user that has connected.
func connected(t *testing.T) *Peer {
	t.Helper()
	p, err := Identify(start(t, listen(t), roleConnect, strconv.Itoa(os.Getuid())).conn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func TestExeLookup(t *testing.T) {
	p := connected(t)
	calls := 0
	p.Lookup = func() (string, error) { calls++; return "/bin/x", nil }
	for range 2 {
		if got := p.Exe(); got != "/bin/x" {
			t.Errorf("got %q, want /bin/x", got)
		}
	}
	if calls != 1 {
		t.Errorf("looked up %d times, want 1", calls)
	}
}

// An executable that was not told is asked for again, by the next call and not by those
// that waited for the answer, and what is told is kept.
func TestExeIsAskedForAgain(t *testing.T) {
	p := connected(t)
	synctest.Test(t, func(t *testing.T) {
		calls, answer := 0, make(chan error)
		p.Lookup = func() (string, error) { calls++; return "/bin/x", <-answer }
		for i, c := range []struct {
			err  error
			want string
		}{{errors.New("no answer"), ""}, {nil, "/bin/x"}} {
			got := make(chan string, 4)
			for range cap(got) {
				go func() { got <- p.Exe() }()
			}
			synctest.Wait()
			if known := p.KnownExe(); known != "" {
				t.Errorf("before the answer: %q is known", known)
			}
			answer <- c.err
			for range cap(got) {
				if exe := <-got; exe != c.want {
					t.Errorf("got %q, want %q", exe, c.want)
				}
			}
			if calls != i+1 {
				t.Errorf("looked up %d times, want %d", calls, i+1)
			}
		}
		if p.Exe() != "/bin/x" || p.KnownExe() != "/bin/x" || calls != 2 {
			t.Errorf("%q is known after %d calls", p.KnownExe(), calls)
		}
	})
}

// Who closes a peer, and who asks whether it is alive, does not wait for the answer to which
// program it runs. That answer counts no more, and nobody asks again.
func TestCloseWhileExeIsAskedFor(t *testing.T) {
	p := connected(t)
	calls := 0
	p.Lookup = func() (string, error) {
		calls++
		if !p.mu.TryLock() {
			t.Error("whoever asks keeps Close waiting")
			return "", nil
		}
		p.mu.Unlock()
		return "/bin/x", p.Close()
	}
	for range 2 {
		if got := p.Exe(); got != "" {
			t.Errorf("got %q of a closed peer, want nothing", got)
		}
	}
	if err := p.Alive(); !errors.Is(err, ErrPeerGone) || calls != 1 {
		t.Errorf("alive: got %v, want %v; %d calls, want 1", err, ErrPeerGone, calls)
	}
}

func TestClosedPeer(t *testing.T) {
	c := start(t, listen(t), roleConnect, strconv.Itoa(os.Getuid()))
	before := openFiles(t)
	p, err := Identify(c.conn)
	if err != nil {
		t.Fatal(err)
	}
	conn := NewConn(c.conn, p)
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if after := openFiles(t); after != before-1 { // the connection is gone too
		t.Errorf("got %d open files, want %d", after, before-1)
	}
	if err := p.Alive(); !errors.Is(err, ErrPeerGone) {
		t.Errorf("alive: got %v, want %v", err, ErrPeerGone)
	}
	if err := p.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
	if err := new(Peer).Alive(); !errors.Is(err, ErrPeerGone) {
		t.Errorf("zero peer: got %v, want %v", err, ErrPeerGone)
	}
}

func TestStartTime(t *testing.T) {
	tests := []struct {
		stat string
		want uint64
		ok   bool
	}{
		{"7 (a) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20", 4242, true},
		{"7 (a) b) (c 9) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20\n", 4242, true},
		{"7 (a) S 1 2 3", 0, false},
		{"7 (a", 0, false},
		{"7 (a) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 x 20", 0, false},
	}
	for _, test := range tests {
		got, err := startTime([]byte(test.stat))
		if got != test.want || (err == nil) != test.ok {
			t.Errorf("%q: got %d, %v, want %d", test.stat, got, err, test.want)
		}
	}
}

func FuzzProcessFiles(f *testing.F) {
	for _, name := range []string{"stat", "status"} {
		data, err := os.ReadFile("/proc/self/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("Uid:\t1"))
	f.Add([]byte(") "))
	f.Fuzz(func(t *testing.T, data []byte) {
		if start, err := startTime(data); err != nil && start != 0 && !errors.Is(err, strconv.ErrRange) {
			t.Errorf("start %d with error %v", start, err)
		}
		_, _ = effectiveUID(data)
	})
}

func BenchmarkAlive(b *testing.B) {
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		b.Fatal(err)
	}
	p := &Peer{open: true, pidfd: fd}
	defer p.Close()
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Alive(); err != nil {
			b.Fatal(err)
		}
	}
}
