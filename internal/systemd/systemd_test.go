package systemd

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

func TestParseListen(t *testing.T) {
	for _, c := range []struct {
		pid, count, names string
		want              []string
		bad               bool
	}{
		{"", "", "", nil, false},
		{"42", "", "", nil, false},
		{"", "2", "", nil, false},
		{"41", "2", "a:b", nil, false}, // for another process
		{"42", "2", "agent.sock:admin.sock", []string{"agent.sock", "admin.sock"}, false},
		{"42", "2", "", []string{"", ""}, false},
		{"42", "2", "agent.sock", nil, true},
		{"42", "1", "agent.sock:admin.sock", nil, true},
		{"42", "0", "", nil, true},
		{"42", "-1", "", nil, true},
		{"42", "+2", "", nil, true},
		{"42", "02", "", nil, true},
		{"42", "17", "", nil, true},
		{"42", "99999999999", "", nil, true},
		{"42 ", "2", "", nil, true},
		{"x", "2", "", nil, true},
	} {
		got, err := parseListen(c.pid, c.count, c.names, 42)
		if errors.Is(err, ErrSockets) != c.bad || !slices.Equal(got, c.want) {
			t.Errorf("LISTEN_PID=%q LISTEN_FDS=%q LISTEN_FDNAMES=%q: got %q, %v; want %q, an error: %v", c.pid, c.count, c.names, got, err, c.want, c.bad)
		}
	}
}

func FuzzParseListen(f *testing.F) {
	f.Add("42", "2", "agent.sock:admin.sock")
	f.Add("41", "2", "")
	f.Fuzz(func(t *testing.T, pid, count, names string) {
		got, err := parseListen(pid, count, names, 42)
		if err != nil && (got != nil || !errors.Is(err, ErrSockets)) {
			t.Errorf("got %q with %v", got, err)
		}
		if len(got) > 0 && (pid != "42" || count != strconv.Itoa(len(got))) {
			t.Errorf("LISTEN_PID=%q LISTEN_FDS=%q: got %d sockets", pid, count, len(got))
		}
	})
}

// TestTakeUnsets shows that no child finds the variables, whomever they were for.
func TestTakeUnsets(t *testing.T) {
	env := map[string]string{"LISTEN_PID": "1", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "a:b", "LISTEN_PIDFDID": "7", "NOTIFY_SOCKET": "/nowhere"}
	unset := func(name string) error { delete(env, name); return nil }
	passed, _, err := Take(func(name string) string { return env[name] }, unset)
	if err != nil || passed != nil || len(env) != 0 {
		t.Errorf("got %v, %v, and %v was left; want nothing", passed, err, env)
	}
}

// TestReceive shows that a socket that is taken over passes no exec, and that one
// that is not there is an error.
func TestReceive(t *testing.T) {
	f := listener(t, filepath.Join(t.TempDir(), "s"))
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD, 100)
	if err != nil {
		t.Fatal(err)
	}
	passed, err := receive(fd, []string{"s"})
	if err != nil {
		t.Fatal(err)
	}
	defer passed[0].File.Close()
	if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("got descriptor flags %#x, %v; want close-on-exec", flags, err)
	}
	if _, err := receive(1<<20, []string{"s"}); !errors.Is(err, ErrSockets) {
		t.Errorf("a descriptor that is not open: got %v, want ErrSockets", err)
	}
}

// listener returns a listening socket at a path, as it would be passed.
func listener(t *testing.T, path string) *os.File {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.SetUnlinkOnClose(false)
	f, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func TestPick(t *testing.T) {
	dir := t.TempDir()
	agent, admin, other := filepath.Join(dir, "agent.sock"), filepath.Join(dir, "admin.sock"), filepath.Join(dir, "other")
	one, two, third := listener(t, agent), listener(t, admin), listener(t, other)
	pipe, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	defer w.Close()
	for name, c := range map[string]struct {
		passed []Socket
		want   []*os.File
	}{
		"in order, named":         {[]Socket{{"agent.sock", one}, {"admin.sock", two}}, []*os.File{one, two}},
		"the other way round":     {[]Socket{{"admin.sock", two}, {"agent.sock", one}}, []*os.File{one, two}},
		"named after the unit":    {[]Socket{{"nsagent.socket", two}, {"nsagent.socket", one}}, []*os.File{one, two}},
		"without names":           {[]Socket{{"", one}, {"", two}}, []*os.File{one, two}},
		"one only":                {[]Socket{{"agent.sock", one}}, nil},
		"one twice":               {[]Socket{{"agent.sock", one}, {"agent.sock", two}}, nil},
		"one more":                {[]Socket{{"", one}, {"", two}, {"", third}}, nil},
		"somewhere else":          {[]Socket{{"", one}, {"", third}}, nil},
		"something else entirely": {[]Socket{{"", one}, {"", pipe}}, nil},
		"none":                    {nil, nil},
	} {
		got, err := Pick(c.passed, agent, admin)
		if !slices.Equal(got, c.want) || (err == nil) != (c.want != nil) || err != nil && !errors.Is(err, ErrSockets) {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
}

// TestNotify listens as systemd does, on a path and on an abstract address.
func TestNotify(t *testing.T) {
	for _, address := range []string{filepath.Join(t.TempDir(), "notify"), "@nsagent-test-" + strconv.Itoa(os.Getpid())} {
		l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		m := Manager{socket: address}
		for want, say := range map[string]func() error{
			"READY=1\nSTATUS=serves two lines": func() error { return m.Ready("serves two\nlines") },
			"STOPPING=1":                       m.Stopping,
		} {
			if err := say(); err != nil {
				t.Fatal(err)
			}
			b := make([]byte, 100)
			n, err := l.Read(b)
			if got := string(b[:n]); err != nil || got != want {
				t.Errorf("%s: got %q, %v; want %q", address, got, err, want)
			}
		}
	}
	if err := (Manager{}).Ready("nobody listens"); err != nil {
		t.Errorf("without a manager: got %v", err)
	}
	if err := (Manager{socket: "/nowhere/notify"}).Stopping(); err == nil {
		t.Error("a manager that is gone: got no error")
	}
}
