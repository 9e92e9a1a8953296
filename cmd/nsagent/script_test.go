package main

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/nsagent/nsagent/internal/needs"
)

// scripts is where the scripts are. The first line of each says what it shows.
const scripts = "testdata/script"

// underRace are the scripts that run with the race detector in the agent. Every
// start of a program is slow then, and the others show nothing more.
var underRace = []string{"first_steps", "profile", "sign", "agent", "lock"}

// TestScript runs the command line as people do: the real program, real daemons, a
// real keyring, a home of its own for each script.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Files: scriptFiles(t), Setup: setUp, Condition: condition, Cmds: commands(),
		RequireExplicitExec: true, RequireUniqueNames: true,
	})
}

// scriptFiles returns the scripts that are run.
func scriptFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(scripts, "*.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	if raceEnabled {
		files = slices.DeleteFunc(files, func(f string) bool {
			return !slices.Contains(underRace, strings.TrimSuffix(filepath.Base(f), ".txtar"))
		})
	}
	if len(files) == 0 {
		t.Fatal("there are no scripts")
	}
	return files
}

// TestScriptsSayWhatTheyShow wants a first line from which one knows what a
// failure means.
func TestScriptsSayWhatTheyShow(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(scripts, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		first, _, _ := strings.Cut(string(text), "\n")
		if !strings.HasPrefix(first, "# ") || len(strings.Fields(first)) < 4 {
			t.Errorf("%s: got the first line %q, want a comment that says what is shown", file, first)
		}
	}
}

// setUp gives a script a machine of its own: a home that does not exist yet, a
// runtime directory with a short path, credentials that nothing else has, and no
// other variable.
func setUp(env *testscript.Env) error {
	// Other users run the program too.
	for dir := env.WorkDir; strings.Contains(dir, "go-test-script"); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			return err
		}
	}
	runtimeDir, err := os.MkdirTemp("", "nsr")
	if err != nil {
		return err
	}
	s := &state{dir: env.WorkDir}
	env.Values[stateKey{}] = s
	source, err := filepath.Abs("../..")
	if err != nil {
		return err
	}
	env.Vars = []string{
		"SOURCE=" + source,
		"WORK=" + env.WorkDir, "TMPDIR=" + env.WorkDir, "LANG=C.UTF-8", "TZ=UTC",
		"PATH=" + shared.bin + ":" + os.Getenv("PATH"), "NSAGENT=" + filepath.Join(shared.bin, "nsagent"),
		"HOME=" + filepath.Join(env.WorkDir, "home"),
		"XDG_RUNTIME_DIR=" + runtimeDir,
		"DATA=" + filepath.Join(env.WorkDir, "home/.local/share/nsagent"),
		"STATE=" + filepath.Join(env.WorkDir, "home/.local/state/nsagent"),
		"SANDBOX=https://1234567-sb1.suitetalk.api.netsuite.com",
		"PRODUCTION=https://1234567.suitetalk.api.netsuite.com",
	}
	if raceEnabled { // every program would wait for a second before it ends
		env.Vars = append(env.Vars, "GORACE=atexit_sleep_ms=0")
	}
	env.Defer(func() { _ = os.RemoveAll(runtimeDir) })
	env.Defer(func() { s.stopAgents(env.WorkDir, runtimeDir) })
	env.Defer(func() { // a tmux that a script has left
		if socket := filepath.Join(env.WorkDir, "tmux.sock"); exists(socket) {
			_ = exec.Command("tmux", "-S", socket, "kill-server").Run()
		}
	})
	for _, name := range []string{"PASS", "CK", "CS", "TI", "TS"} {
		value := randomHex()
		env.Vars = append(env.Vars, name+"="+value)
		s.canaries = append(s.canaries, canary{name, value})
	}
	return s.writeFiles(env)
}

// writeFiles writes what most scripts begin with: a passphrase and two profiles.
func (s *state) writeFiles(env *testscript.Env) error {
	tba := func(account string) string {
		return fmt.Sprintf(`{"account":%q,"auth":"tba","consumer_key":%q,"consumer_secret":%q,"token_id":%q,"token_secret":%q}`,
			account, env.Getenv("CK"), env.Getenv("CS"), env.Getenv("TI"), env.Getenv("TS"))
	}
	for name, text := range map[string]string{
		"pass":            env.Getenv("PASS") + "\n",
		"sandbox.json":    tba("1234567_SB1"),
		"production.json": tba("1234567"),
	} {
		path := filepath.Join(env.WorkDir, name)
		if _, err := os.Lstat(path); err == nil {
			continue // the script has its own
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// condition knows what a machine may lack.
func condition(name string) (bool, error) {
	switch name {
	case "root":
		return os.Geteuid() == 0, nil
	case "keyring":
		return shared.missing == nil, nil
	case "shells":
		return installed("shells", "bash", "zsh", "fish"), nil
	case "tmux":
		return installed("tmux", "tmux"), nil
	case "sshd":
		return installed("sshd", "/usr/sbin/sshd", "ssh", "ssh-keygen"), nil
	case "container":
		return exec.Command("unshare", "-Urmpf", "mount", "-t", "tmpfs", "tmpfs", "/mnt").Run() == nil || needs.Required("container"), nil
	case "netns":
		return exec.Command("unshare", "--map-current-user", "--net", "true").Run() == nil || needs.Required("netns"), nil
	case "race":
		return raceEnabled, nil
	case "long":
		return needs.Long(), nil
	default:
		return false, fmt.Errorf("unknown condition %q", name)
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// installed reports whether all of these programs are there, or are wanted: then what
// is lacking fails the test.
func installed(name string, programs ...string) bool {
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			return needs.Required(name)
		}
	}
	return true
}

func randomHex() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
