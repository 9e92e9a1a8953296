package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nsagent/nsagent/internal/needs"
)

// user is somebody at the command line, with a home of their own.
type user struct {
	t         *testing.T
	home, run string
}

func newUser(t *testing.T) *user {
	t.Helper()
	run, err := os.MkdirTemp("", "nsr") // short: it ends up in socket addresses
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(run) })
	return &user{t, t.TempDir(), run}
}

func (u *user) command(input string, args ...string) *exec.Cmd {
	c := exec.Command(filepath.Join(shared.bin, "nsagent"), args...)
	c.Env = []string{"HOME=" + u.home, "XDG_RUNTIME_DIR=" + u.run, "LANG=C.UTF-8", "GORACE=atexit_sleep_ms=0"}
	c.Stdin = strings.NewReader(input)
	return c
}

// write writes a file below the home.
func (u *user) write(name, content string) {
	u.t.Helper()
	path := filepath.Join(u.home, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		u.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		u.t.Fatal(err)
	}
}

// try runs nsagent and returns what it wrote to stdout.
func (u *user) try(input string, args ...string) ([]byte, error) {
	c := u.command(input, args...)
	var said bytes.Buffer
	c.Stderr = &said
	out, err := c.Output()
	if err != nil {
		err = fmt.Errorf("nsagent %s: %w\n%s", strings.Join(args, " "), err, said.String())
	}
	return out, err
}

// must is try for what has to work.
func (u *user) must(input string, args ...string) []byte {
	u.t.Helper()
	out, err := u.try(input, args...)
	if err != nil {
		u.t.Fatal(err)
	}
	return out
}

// agent is a running agent: the parent that was started, and the process with the
// keys.
type agentProcess struct {
	parent *exec.Cmd
	pid    int
}

// startAgent starts an agent, opens the vault and returns the names of the
// profiles in it.
func (u *user) startAgent(passphrase string) (agentProcess, []string) {
	u.t.Helper()
	a := agentProcess{parent: u.command("", "agent", "run")}
	a.parent.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := a.parent.Start(); err != nil {
		u.t.Fatal(err)
	}
	for _, name := range []string{"agent.sock", "admin.sock"} {
		if err := awaitSocket(filepath.Join(u.run, "nsagent", name)); err != nil {
			_ = a.parent.Process.Kill()
			u.t.Fatal(err)
		}
	}
	u.must(passphrase, "unlock", "--passphrase-fd", "0")
	var status struct{ PID int }
	if err := json.Unmarshal(u.must("", "status", "-o", "json"), &status); err != nil {
		u.t.Fatal(err)
	}
	a.pid = status.PID
	var profiles []struct{ Name string }
	if err := json.Unmarshal(u.must("", "profile", "ls", "-o", "json"), &profiles); err != nil {
		u.t.Fatal(err)
	}
	var names []string
	for _, p := range profiles {
		names = append(names, p.Name)
	}
	return a, names
}

// kill ends the process with the keys without warning, and waits for its parent.
func (a agentProcess) kill() {
	_ = syscall.Kill(a.pid, syscall.SIGKILL)
	_ = a.parent.Wait()
}

// TestKillDuringAdd kills the agent at random points while profiles are stored. The
// vault must open every time, over whatever was left, and hold every profile whose
// storing was acknowledged (C-01). It is what a crash or a pulled plug does to the
// process; the tests of vault/store look at each single step.
func TestKillDuringAdd(t *testing.T) {
	points := 25
	switch {
	case needs.Long():
		points = 500
	case raceEnabled:
		points = 5
	}
	u := newUser(t)
	u.write(".config/nsagent/config.toml", "start_on_demand = false\n") // by the command that comes after a kill
	passphrase := randomHex()
	u.must(passphrase, "init", "--unlock", "passphrase", "--passphrase-fd", "0", "--kdf", "low")
	var stored []string // acknowledged
	unknown := 0        // cut off: may be there or not
	for point := range points {
		a, names := u.startAgent(passphrase)
		for _, name := range stored {
			if !slices.Contains(names, name) {
				t.Fatalf("after kill %d: profile %s was acknowledged and is gone; there are %v", point, name, names)
			}
		}
		if len(names) > len(stored)+unknown {
			t.Fatalf("after kill %d: %d profiles, more than were stored: %v", point, len(names), names)
		}
		done, begun := make(chan []string, 1), make(chan struct{})
		go func() {
			var names []string
			for i := 0; ; i++ {
				name := fmt.Sprintf("p%d-%d", point, i)
				if _, err := u.try(sampleProfile(), "profile", "add", name, "--from", "-", "-q"); err != nil {
					break
				}
				if i == 0 {
					close(begun)
				}
				names = append(names, name)
			}
			done <- names
		}()
		select {
		case <-begun:
		case <-time.After(30 * time.Second):
			t.Error("no profile was stored within 30 s")
		}
		// A profile takes some 10 ms, its fsyncs included.
		time.Sleep(time.Duration(rand.IntN(60_000)) * time.Microsecond)
		a.kill()
		stored = append(stored, <-done...)
		unknown++
	}
	if len(stored) < points {
		t.Fatalf("only %d profiles were stored before %d kills", len(stored), points)
	}
	a, _ := u.startAgent(passphrase)
	defer a.kill()
	for _, name := range []string{stored[0], stored[len(stored)-1]} {
		u.must("", "sign", "-q", "-p", name, "https://1234567-sb1.suitetalk.api.netsuite.com/")
	}
	if got := string(u.must("", "audit", "verify")); got != "ok\n" {
		t.Errorf("audit verify: got %q", got)
	}
	t.Logf("%d profiles stored over %d kills", len(stored), points)
}

func sampleProfile() string {
	return fmt.Sprintf(`{"account":"1234567_SB1","auth":"tba","consumer_key":%q,"consumer_secret":%q,"token_id":%q,"token_secret":%q}`,
		randomHex(), randomHex(), randomHex(), randomHex())
}

// TestTwentyCommandsAtOnce guards C-07 as users meet it: twenty processes store a
// profile each at the same time, and none is lost.
func TestTwentyCommandsAtOnce(t *testing.T) {
	const writers = 20
	u := newUser(t)
	passphrase := randomHex()
	u.must(passphrase, "init", "--unlock", "passphrase", "--passphrase-fd", "0", "--kdf", "low")
	a, _ := u.startAgent(passphrase)
	failed := make(chan error, writers)
	for i := range writers {
		go func() {
			_, err := u.try(sampleProfile(), "profile", "add", fmt.Sprintf("w%d", i), "--from", "-", "-q")
			failed <- err
		}()
	}
	for range writers {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	a.kill() // what was acknowledged is in the file
	a, names := u.startAgent(passphrase)
	defer a.kill()
	if len(names) != writers {
		t.Errorf("%d profiles are there, want %d: %v", len(names), writers, names)
	}
}

// TestStartMeetsAnother: a command that starts an agent while somebody else does, too,
// waits for that one. The lock on the log stands for an agent that has just begun.
func TestStartMeetsAnother(t *testing.T) {
	u := newUser(t)
	passphrase := randomHex()
	u.must(passphrase, "init", "--unlock", "passphrase", "--passphrase-fd", "0", "--kdf", "low")
	log, err := os.OpenFile(filepath.Join(u.home, ".local/state/nsagent/audit/audit.jsonl"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	if err := syscall.Flock(int(log.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	said := make(chan error, 1)
	go func() {
		_, err := u.try("", "profile", "ls")
		said <- err
	}()
	agentLog := filepath.Join(u.home, ".local/state/nsagent/agent.log")
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		if b, err := os.ReadFile(agentLog); err == nil && bytes.Contains(b, []byte("NSA-RUNNING")) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the agent that the command starts does not find the lock")
		}
	}
	_ = log.Close()
	a, _ := u.startAgent(passphrase)
	defer a.kill()
	if err := <-said; err != nil && !strings.Contains(err.Error(), "NSA-LOCKED") {
		t.Errorf("got %v, want an answer of the other agent", err)
	}
}
