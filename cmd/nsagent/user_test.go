//go:build !race

// The scripts that run here are none that run with the race detector.

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/nsagent/nsagent/internal/needs"
)

// forUsers are the scripts in which root sees what another user does not: programs that
// hide themselves, which is what nsagent's own do as well.
var forUsers = []string{"approvals", "audit", "ci_m2m", "grant", "pinentry", "policy", "policy_exe", "policy_who", "readable"}

// nobody is a user who is not root, and owns nothing.
const nobody = 65534

// TestScriptAsUser guards against what works for root alone: it runs those scripts once
// more, as a normal user, who has the program, and builds none. The tests that internal/testrun
// has a normal user run are those that root leaves out; root runs these as well.
func TestScriptAsUser(t *testing.T) {
	needs.Root(t, "becomes another user; without, TestScript is run by one")
	t.Parallel()
	tests := filepath.Join(shared.bin, "tests")
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(tests, self, 0o755); err != nil { // #nosec G306 -- another user runs it
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), tests, "-test.v", "-test.timeout=3m", "-test.run=^TestScript$/^("+strings.Join(forUsers, "|")+")$")
	cmd.Env = append(os.Environ(), "HOME=/nonexistent", "TMPDIR=/tmp", programVariable+"="+shared.bin)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	for _, name := range forUsers {
		if !strings.Contains(string(out), "--- PASS: TestScript/"+name+" ") {
			t.Errorf("%s did not pass", name)
		}
	}
	if t.Failed() || err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
