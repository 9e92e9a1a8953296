//go:build linux

package supervise

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestPlaceOf(t *testing.T) {
	id := strings.Repeat("4f5e", 16)
	for text, want := range map[string][2]string{
		"0::/user.slice/user-1000.slice/user@1000.service/app.slice/nightly.service\n": {"nightly.service", ""},
		"0::/user.slice/user-1000.slice/session-3.scope\n":                             {"session-3.scope", ""},
		"0::/system.slice/docker-" + id + ".scope\n":                                   {"docker-" + id + ".scope", id},
		"0::/user.slice/libpod-" + id + ".scope/container\n":                           {"libpod-" + id + ".scope", id},
		"0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-" + id + ".scope\n":     {"cri-containerd-" + id + ".scope", id},
		"1:name=systemd:/docker/" + id + "\n0::/\n":                                    {"", id},
		"12:pids:/docker/" + id + "\n0::/\n":                                           {"", ""}, // a controller alone says nothing
		"0::/lxc.payload.web\n":                                                        {"", "web"},
		"0::/lxc/web/init.scope\n":                                                     {"init.scope", "web"},
		"0::/machine.slice/machine-build.scope/payload\n":                              {"machine-build.scope", "build"},
		"0::/lxc/web/lxc.payload.inner\n":                                              {"", "inner"},
		"0::web/x\n":                                                                   {"", ""},
		"0::/system.slice/a b.service\n":                                               {"", ""},
		"0::/system.slice/nightl\u00e9.service\n":                                      {"", ""},
		"0::/system.slice/" + strings.Repeat("a", 300) + ".service\n":                  {"", ""},
		"": {}, "0": {}, "0:": {}, "0::": {}, "0::/\n": {}, "nonsense\n::\n": {},
	} {
		if unit, container := placeOf(text); unit != want[0] || container != want[1] {
			t.Errorf("%q: got %q, %q; want %q", text, unit, container, want)
		}
	}
}

func TestTerminalOf(t *testing.T) {
	for text, want := range map[string]string{
		"1 (a) S 1 1 1 0 -1 4": "no", "1 (a) S 1 1 1 34816 -1 4": "yes", "1 (a) b) 7) S 1 1 1 0 -1": "no", "1 (a 1 1 1 1 1 1) S 1 1 1 5 -1": "yes",
		"": "", "1 (a)": "", "1 (a) S 1 1 1": "", "1 (a) S 1 1 1 x": "", "1 a S 1 5 1 1": "",
	} {
		if got := terminalOf(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

// TestLookAt shows what is told of a process whose executable was replaced: the hash is
// that of what runs.
func TestLookAt(t *testing.T) {
	from, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, program, 0o700); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(path, "60")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Process.Kill(); _ = c.Wait() }()
	sum := sha256.Sum256(program)
	p := lookAt(c.Process.Pid, true)
	if p.Exe != path || p.SHA256 != hex.EncodeToString(sum[:]) || !p.Cgroup || p.Terminal == "" {
		t.Errorf("got %+v", p)
	}
	if err := os.WriteFile(path+".new", []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	if p := lookAt(c.Process.Pid, true); p.Exe != path+" (deleted)" || p.SHA256 != hex.EncodeToString(sum[:]) {
		t.Errorf("replaced: got %+v", p)
	}
	if p := lookAt(c.Process.Pid, false); p.SHA256 != "" {
		t.Errorf("a hash that nobody asked for: %+v", p)
	}
	if p := lookAt(1<<30, true); p != (Process{}) {
		t.Errorf("no process: got %+v", p)
	}
}

// TestProcess asks the parent about itself.
func TestProcess(t *testing.T) {
	out, err := runAgent(t, t.Context(), "look")
	exe, _ := os.Executable()
	exe, _ = filepath.EvalSymlinks(exe)
	if err != nil || !strings.HasPrefix(out, exe+" 64 true\n") || !strings.Contains(out, "nobody {") {
		t.Errorf("got %q, %v", out, err)
	}
}

// TestLateAnswer: a look that takes longer than a question may take to be written is
// answered all the same. Else the agent would wait for it in vain.
func TestLateAnswer(t *testing.T) {
	ours, theirs, err := socketpair(unix.SOCK_SEQPACKET)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ours.Close() }()
	agent, err := unixConn(theirs)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = agent.Close() }()
	if err := ours.SetWriteDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	s := &supervisor{link: ours}
	question := binary.BigEndian.AppendUint32(nil, uint32(os.Getpid()))
	if err := s.answerProcess(message{kind: kindProcess, seq: 7, body: append(question, 0)}); err != nil {
		t.Fatal(err)
	}
	_ = agent.SetReadDeadline(time.Now().Add(10 * time.Second))
	b := make([]byte, maxMessage)
	n, err := agent.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	m, err := parseMessage(b[:n])
	if err != nil || m.kind != kindProcess || m.seq != 7 {
		t.Fatalf("got %+v, %v", m, err)
	}
	exe, _ := os.Readlink("/proc/self/exe")
	if p, err := parseProcess(m.body); err != nil || p.Exe != exe {
		t.Errorf("got %+v, %v", p, err)
	}
}

// TestLooksAtOnce: what hangs of one process leaves looks for others, and what hangs of many
// is bounded. A look that has ended makes room.
func TestLooksAtOnce(t *testing.T) {
	var l looking
	for range maxLooksAtOne {
		if !l.begin(1) {
			t.Fatal("refused before the bound of one process")
		}
	}
	if l.begin(1) || !l.begin(2) {
		t.Error("one process has the looks of all, or none is left for another")
	}
	l.end(1)
	if !l.begin(1) || l.begin(1) {
		t.Error("the end of one makes room for one")
	}
	for pid := 3; l.all < maxLooks; pid++ {
		if !l.begin(pid) {
			t.Fatalf("refused after %d", l.all)
		}
	}
	if l.begin(2) {
		t.Errorf("%d at once", l.all)
	}
	for pid := range maxLooks {
		for l.at[pid] != 0 {
			l.end(pid)
		}
	}
	if l.all != 0 || len(l.at) != 0 {
		t.Errorf("%d are left, of %d processes", l.all, len(l.at))
	}
}

func TestHashOfOddFiles(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	keep, err := os.OpenFile(pipe, os.O_RDWR, 0) // else opening it waits
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = keep.Close() }()
	huge := filepath.Join(t.TempDir(), "huge")
	if err := os.WriteFile(huge, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(huge, maxHashed+1); err != nil {
		t.Fatal(err)
	}
	// The last one has less in it than its size says.
	for _, path := range []string{pipe, "/", "/dev/null", "/none", huge, "/sys/kernel/uevent_seqnum"} {
		if got := hashOf(path); got != "" {
			t.Errorf("%s: got %s", path, got)
		}
	}
}

// TestQuestionOfAnotherSize: what is no question about a process is not answered.
func TestQuestionOfAnotherSize(t *testing.T) {
	for _, n := range []int{0, 4, 6} {
		if err := new(supervisor).answerProcess(message{kind: kindProcess, body: make([]byte, n)}); !errors.Is(err, errMessage) {
			t.Errorf("%d bytes: got %v", n, err)
		}
	}
}

// TestProcessOfOtherParts: an answer has all of its parts, and nothing behind them.
func TestProcessOfOtherParts(t *testing.T) {
	whole := string(Process{Exe: "/a"}.encode())
	for _, text := range []string{"", whole[:len(whole)-1], whole + "x", whole + "\x00", "x"} {
		if p, err := parseProcess([]byte(text)); !errors.Is(err, errMessage) || p != (Process{}) {
			t.Errorf("%q: got %+v, %v", text, p, err)
		}
	}
}

// FuzzParseProcess: what is parsed is what was encoded, and nothing else is.
func FuzzParseProcess(f *testing.F) {
	f.Add(Process{Exe: "/a", Cgroup: true, Unit: "u", Terminal: "no"}.encode())
	f.Add([]byte("\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parseProcess(b)
		if err != nil {
			if !errors.Is(err, errMessage) || p != (Process{}) {
				t.Fatalf("got %+v, %v", p, err)
			}
			return
		}
		if again, err := parseProcess(p.encode()); err != nil || again != p {
			t.Fatalf("%+v came back as %+v, %v", p, again, err)
		}
	})
}
