package supervise

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The test binary plays the agent and the helper where these say so.
const (
	asAgent  = "play-agent"
	asHelper = "play-helper"
	asParent = "play-parent"
	asNohup  = "play-nohup"
	asPoller = "play-poller"
	asStarts = "play-starts"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case asAgent:
			os.Exit(playAgent(os.Args[2]))
		case asHelper:
			os.Exit(playHelper())
		case asParent:
			os.Exit(playParent(os.Args[2]))
		case asNohup:
			os.Exit(playNohup())
		case asPoller:
			os.Exit(playPoller())
		case asStarts:
			os.Exit(playStarts(os.Args[2]))
		}
	}
	os.Exit(m.Run())
}

// playHelper answers one line, or never; where the line says so, it takes its time to end.
func playHelper() int {
	c, err := ParentConn()
	if err != nil {
		return 1
	}
	defer func() { _ = c.Close() }()
	b := make([]byte, 16)
	n, _ := c.Read(b)
	switch string(b[:n]) {
	case "hang":
		time.Sleep(time.Minute)
	case "descriptors":
		return listDescriptors(c)
	}
	_, _ = fmt.Fprintf(c, "helped %s", b[:n])
	if string(b[:n]) == "linger" {
		_ = c.Close()
		time.Sleep(300 * time.Millisecond)
	}
	return 0
}

func playAgent(what string) int {
	switch what {
	case "stuck":
		return stayStuck()
	case "harden":
		return hardenFirst()
	case "descriptors":
		return listDescriptors(os.Stdout)
	}
	l, err := Parent()
	if err != nil {
		return 1
	}
	ctx := context.Background()
	switch what {
	case "exit7":
		return 7
	case "env":
		fmt.Println(strings.Join(os.Environ(), "\n"))
		return 0
	case "ready":
		if err := l.Ready(); err != nil {
			return 1
		}
		// An answer to what comes after it shows that it was taken.
		_, _ = l.Exe(ctx, int32(os.Getpid())) // #nosec G115 -- a pid fits
		return 0
	case "ready and gone":
		if err := l.Ready(); err != nil {
			return 1
		}
		return 0
	case "wait":
		fmt.Println(os.Getpid())
		<-l.Done()
		return 0
	case "lock":
		return lockAtEnd()
	case "session":
		sid, err := unix.Getsid(0)
		fmt.Println(sid == os.Getpid(), err)
		return 0
	case "help":
		c, err := l.Launch(ctx)
		if err != nil {
			fmt.Println(err)
			return 1
		}
		_, _ = io.WriteString(c, "me")
		b, _ := io.ReadAll(c)
		exe, err := l.Exe(ctx, int32(os.Getppid())) // #nosec G115 -- a pid fits
		fmt.Printf("%s\n%s\n%v\n", b, exe, err)
		_, err = l.Exe(ctx, 1<<30)
		fmt.Println(errors.Is(err, ErrParent))
		return 0
	case "look":
		p, err := l.Process(ctx, int32(os.Getppid()), true) // #nosec G115 -- a pid fits
		fmt.Println(p.Exe, len(p.SHA256), p.Cgroup && p.Terminal != "")
		if err != nil {
			return 1
		}
		p, err = l.Process(ctx, 1<<30, true)
		fmt.Println("nobody", p, err)
		return 0
	case "listen":
		return listenForGrants(l)
	case "listen and die":
		if _, err := l.Listen(ctx, filepath.Join(os.Getenv("HOME"), "s")); err != nil {
			return 1
		}
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "many":
		return launchMany(l)
	case "in turn":
		return launchInTurn(l)
	}
	return 1
}

func playParent(what string) int {
	exe, err := os.Executable()
	if err != nil {
		return 1
	}
	err = Run(context.Background(), Config{Exe: exe, AgentArgs: []string{asAgent, what}, Stdout: os.Stdout})
	if e := (*exec.ExitError)(nil); errors.As(err, &e) {
		return e.ExitCode()
	}
	if err != nil {
		return 1
	}
	return 0
}

func runAgent(t *testing.T, ctx context.Context, what string, env ...string) (string, error) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err = Run(ctx, Config{Exe: exe, AgentArgs: []string{asAgent, what}, KeyringArgs: []string{asHelper}, GatewayArgs: []string{asHelper}, Env: env, Stdout: &out, Stderr: os.Stderr})
	return out.String(), err
}

func TestExitStatus(t *testing.T) {
	_, err := runAgent(t, t.Context(), "exit7")
	if e := (*exec.ExitError)(nil); !errors.As(err, &e) || e.ExitCode() != 7 {
		t.Errorf("got %v, want exit status 7", err)
	}
}

func TestHelperAndExe(t *testing.T) {
	out, err := runAgent(t, t.Context(), "help")
	exe, _ := os.Executable()
	exe, _ = filepath.EvalSymlinks(exe)
	if want := "helped me\n" + exe + "\n<nil>\ntrue\n"; err != nil || out != want {
		t.Errorf("got %q, %v; want %q", out, err, want)
	}
}

// TestChildEnv guards L-02: an unlock token in the environment is not inherited.
func TestChildEnv(t *testing.T) {
	out, err := runAgent(t, t.Context(), "env", "HOME=/h", "NSAGENT_TOKEN=nst1_x", "NSAGENT_TOKEN_FILE=/x", "PATH=/bin", "LD_PRELOAD=/evil.so",
		"XDG_RUNTIME_DIR=/r", "LC_ALL=C", "DISPLAY=:0", "GPG_TTY=/dev/pts/1", "GTK_MODULES=evil", "DBUS_SESSION_BUS_ADDRESS=unix:path=/b", "GODEBUG=x")
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Fields(out)
	slices.Sort(got)
	want := []string{"DBUS_SESSION_BUS_ADDRESS=unix:path=/b", "DISPLAY=:0", "GPG_TTY=/dev/pts/1", "HOME=/h", "LC_ALL=C", "XDG_RUNTIME_DIR=/r"}
	want = slices.Insert(want, 2, clobber)
	if !slices.Equal(got, want) {
		t.Errorf("environment: got %q, want %q", got, want)
	}
}

// onOutput is called when something is written.
type onOutput func()

func (f onOutput) Write(b []byte) (int, error) { f(); return len(b), nil }

// TestStop asks the agent to end when the context does.
func TestStop(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err = Run(ctx, Config{Exe: exe, AgentArgs: []string{asAgent, "wait"}, Stdout: onOutput(cancel), Stderr: os.Stderr})
	if e := (*exec.ExitError)(nil); !errors.As(err, &e) || e.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
		t.Errorf("got %v, want the end by SIGTERM", err)
	}
}

// TestHangingHelper guards R-01: a helper that never answers is killed.
func TestHangingHelper(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	c, err := LaunchDirect(exe, []string{asHelper}, nil)(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_, _ = io.WriteString(c, "hang")
	b, _ := io.ReadAll(c)
	if took := time.Since(begin); len(b) != 0 || took < helperTime-time.Second || took > helperTime+10*time.Second {
		t.Errorf("got %q after %s, want the end after %s", b, took, helperTime)
	}
}

func FuzzParseMessage(f *testing.F) {
	f.Add(message{kind: kindKeyring, seq: 1}.encode())
	f.Add(message{kind: kindExe, seq: 1 << 31, body: []byte{0, 0, 0, 7}}.encode())
	f.Add(message{kind: kindProcess, seq: 3, body: []byte{0, 0, 0, 7, 1}}.encode())
	f.Add(message{kind: kindListen, seq: 2, body: []byte("/run/x")}.encode())
	f.Add([]byte("!...."))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseMessage(b)
		if err == nil && !bytes.Equal(m.encode(), b) {
			t.Errorf("parseMessage(%q) is %+v, which encodes to %q", b, m, m.encode())
		}
	})
}
