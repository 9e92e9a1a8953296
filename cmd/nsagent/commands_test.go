package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"github.com/nsagent/nsagent/internal/keyringtest"
)

// state is what a script's commands remember.
type state struct {
	dir      string
	canaries []canary
	screen   string               // of the last terminal
	keyring  *keyringtest.Session // nil until the script asks for it
}

// canary is a secret of the script, by the name of its variable.
type canary struct{ name, value string }

type stateKey struct{}

func stateOf(ts *testscript.TestScript) *state { return ts.Value(stateKey{}).(*state) }

// waitTime is how long something may take to come, on a busy machine.
const waitTime = 20 * time.Second

// commands are the commands of scripts, beside those of testscript.
func commands() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"code":         cmdCode,
		"each":         cmdEach,
		"eventually":   cmdEventually,
		"finding":      cmdFinding,
		"freeport":     cmdFreePort,
		"jsonkeys":     cmdJSONKeys,
		"jsonis":       cmdJSONIs,
		"keyring":      cmdKeyring,
		"kill9":        cmdKill9,
		"m2m":          cmdM2M,
		"mint":         cmdMint,
		"otherversion": cmdOtherVersion,
		"phone":        cmdPhone,
		"recoverycode": cmdRecoveryCode,
		"replay":       cmdReplay,
		"scan":         cmdScan,
		"screen":       cmdScreen,
		"systemd":      cmdSystemd,
		"terminal":     cmdTerminal,
		"totp":         cmdTOTP,
		"unread":       cmdUnread,
		"waitline":     cmdWaitLine,
		"waitsocket":   cmdWaitSocket,
		"wide":         cmdWide,
	}
}

// cmdEach runs a command of the script for every line of a file, with {} replaced:
//
//	each FILE code 2 nsagent sign {}
//
// Empty lines and lines that begin with # are left out. \t, \r, \n, \x00 and the
// like stand for themselves.
func cmdEach(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: each FILE command args...")
	}
	command := commands()[args[1]]
	if command == nil {
		ts.Fatalf("each: unknown command %q", args[1])
	}
	lines := bufio.NewScanner(strings.NewReader(ts.ReadFile(args[0])))
	n := 0
	for lines.Scan() {
		line := lines.Text()
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if text, err := strconv.Unquote(`"` + strings.ReplaceAll(line, `"`, `\"`) + `"`); err == nil {
			line = text
		}
		ts.Logf("[%s]", line)
		var with []string
		for _, a := range args[2:] {
			with = append(with, strings.ReplaceAll(a, "{}", line))
		}
		command(ts, false, with)
		n++
	}
	if n == 0 {
		ts.Fatalf("%s has no lines", args[0])
	}
}

// cmdEventually runs a program until it ends with this code:
//
//	eventually N program args...
func cmdEventually(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: eventually N program args...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	for deadline := time.Now().Add(waitTime); ; time.Sleep(50 * time.Millisecond) {
		got := run(ts, args[1], args[2:]...)
		if got == want {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("still exit code %d after %s, want %d", got, waitTime, want)
		}
	}
}

// cmdWaitSocket waits until the agent listens on both of its sockets:
//
//	waitsocket [PATH]
func cmdWaitSocket(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: waitsocket [PATH]")
	}
	path := filepath.Join(ts.Getenv("XDG_RUNTIME_DIR"), "nsagent", "agent.sock")
	if len(args) > 0 {
		path = ts.MkAbs(args[0])
	}
	for _, path := range []string{path, filepath.Join(filepath.Dir(path), "admin.sock")} {
		ts.Check(awaitSocket(path))
	}
}

// awaitSocket waits until somebody listens at path.
func awaitSocket(path string) error {
	var err error
	for deadline := time.Now().Add(waitTime); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		var c net.Conn
		if c, err = net.Dial("unix", path); err == nil {
			return c.Close()
		}
	}
	return fmt.Errorf("waiting for %s: %w", path, err)
}

// cmdFreePort puts the number of a free port into a variable:
//
//	freeport NAME
func cmdFreePort(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: freeport NAME")
	}
	port, err := freePort()
	ts.Check(err)
	ts.Setenv(args[0], strconv.Itoa(port))
}

// freePort returns a port of 127.0.0.1 that is free, and stays so until it is taken: it is
// none of those that the kernel gives to whoever asks for any.
func freePort() (int, error) {
	for range 100 {
		port := 10000 + rand.IntN(22000)
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			return port, l.Close()
		}
	}
	return 0, errors.New("no port is free")
}

// cmdWaitLine waits until a file that a background program writes matches:
//
//	waitline PATTERN FILE
func cmdWaitLine(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: waitline PATTERN FILE")
	}
	pattern, err := regexp.Compile(`(?m)` + args[0])
	ts.Check(err)
	for deadline := time.Now().Add(waitTime); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if b, err := os.ReadFile(ts.MkAbs(args[1])); err == nil && pattern.Match(b) {
			return
		}
	}
	ts.Fatalf("nothing in %s matches %q", args[1], args[0])
}

// cmdKill9 kills the agent process, or its parent, without warning, and waits until
// it is gone:
//
//	kill9 agent|supervisor
func cmdKill9(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: kill9 agent|supervisor")
	}
	ts.Check(ts.Exec("nsagent", "status", "-o", "json"))
	var status struct{ PID int }
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &status))
	pid := status.PID
	if args[0] == "supervisor" {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		ts.Check(err)
		_, after, _ := bytes.Cut(stat, []byte(") "))
		pid, err = strconv.Atoi(strings.Fields(string(after))[1])
		ts.Check(err)
	}
	// It tells when all threads are gone, and with them what they have open and locked.
	agent, err := unix.PidfdOpen(status.PID, 0)
	ts.Check(err)
	defer func() { _ = unix.Close(agent) }()
	ts.Check(syscall.Kill(pid, syscall.SIGKILL))
	if !ends(agent) {
		ts.Fatalf("process %d is still there", status.PID)
	}
}

// ends waits until the process of a pidfd has ended.
func ends(pidfd int) bool {
	for deadline := time.Now().Add(waitTime); time.Now().Before(deadline); {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, int(waitTime.Milliseconds())) // #nosec G115 -- a descriptor fits
		if err == nil {
			return n > 0
		}
	}
	return false
}

// cmdWide checks that no line of a file is longer than N characters:
//
//	wide N FILE
func cmdWide(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: wide N FILE")
	}
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	for line := range strings.Lines(ts.ReadFile(args[1])) {
		if got := len([]rune(strings.TrimRight(line, "\n"))); got > n {
			ts.Fatalf("a line has %d characters, more than %d: %q", got, n, line)
		}
	}
}

// cmdUnread runs nsagent with a stdout that nobody reads: it must fail with 1 and
// say nothing.
//
//	unread ARGS...
func cmdUnread(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: unread ARGS...")
	}
	r, w, err := os.Pipe()
	ts.Check(err)
	ts.Check(r.Close())
	defer w.Close()
	cmd := exec.Command(filepath.Join(shared.bin, "nsagent"), append([]string{"-q"}, strings.Fields(strings.Join(args, " "))...)...)
	cmd.Env, cmd.Dir, cmd.Stdout = environment(ts), ts.MkAbs("."), w
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Run(); cmd.ProcessState.ExitCode() != 1 || said.Len() > 0 {
		ts.Fatalf("got %v and %q, want exit code 1 and silence", err, said.String())
	}
}
