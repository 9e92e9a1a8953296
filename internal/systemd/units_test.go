package systemd

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// inRepository is where a user's units are for people who package nsagent.
const inRepository = "../../contrib/systemd/user"

// packageOf is a pair of units as they are in the repository.
type packageOf struct {
	dir  string
	args []string // of systemd-analyze
	// most is the exposure that systemd-analyze 252 finds in the service, in tenths; see
	// docs/service.md. A change of the unit may lower it.
	most int
}

// packages are the units that people install.
func packages() map[string]packageOf {
	return map[string]packageOf{
		"user":   {inRepository, []string{"--user"}, 62},
		"system": {"../../contrib/systemd/system", nil, 12},
	}
}

func TestUnitsAreThoseInTheRepository(t *testing.T) {
	units, err := Units(packaged, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range units {
		want, err := os.ReadFile(filepath.Join(inRepository, u.Name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(u.Text, want) {
			t.Errorf("agent install writes another %s than %s has", u.Name, inRepository)
		}
		if !Ours(want) {
			t.Errorf("%s does not begin with %q", u.Name, mark)
		}
	}
}

func TestUnitsQuote(t *testing.T) {
	units, err := Units(`/opt/my tools/100%/"n"/nsagent`, []string{`XDG_DATA_HOME=/srv/a b\c`, "NSAGENT_CONFIG=/etc/x$y"})
	if err != nil {
		t.Fatal(err)
	}
	want := `ExecStart="/opt/my tools/100%%/\"n\"/nsagent" agent run` + "\n" + `Environment="XDG_DATA_HOME=/srv/a b\\c"` + "\n" + `Environment="NSAGENT_CONFIG=/etc/x$y"` + "\n"
	if !strings.Contains(string(units[0].Text), want) {
		t.Errorf("the unit has not %q:\n%s", want, units[0].Text)
	}
	for exe, env := range map[string]string{
		"/opt/a\nExecStartPre=/bin/false\n/nsagent": "", "/opt/$HOME/nsagent": "", "/opt/\xff/nsagent": "",
		"/opt/nsagent": "XDG_DATA_HOME=/a\nExecStart=/bin/false", "/opt/nsagent2": "XDG_DATA_HOME=/a\x1b[2J",
	} {
		if units, err := Units(exe, []string{env}); err == nil {
			t.Errorf("Units(%q, %q): got %s, want an error", exe, env, units[0].Text)
		}
	}
}

// analyze runs systemd-analyze on the units, with a program that exists.
func (p packageOf) analyze(t *testing.T, edit func(string) string, args ...string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{Service, ForSocket} {
		text, err := os.ReadFile(filepath.Join(p.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		edited := edit(strings.ReplaceAll(string(text), packaged, exe))
		if err := os.WriteFile(filepath.Join(dir, name), []byte(edited), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, filepath.Join(dir, name))
		if args[0] == "security" {
			break // it takes the service alone
		}
	}
	c := exec.Command("systemd-analyze", append(append([]string{"--no-pager"}, p.args...), args...)...) // #nosec G204 -- a test
	c.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "XDG_RUNTIME_DIR=" + dir, "LANG=C.UTF-8"}
	out, err := c.CombinedOutput()
	return string(out), err
}

func asItIs(s string) string { return s }

// forEach runs a test for every package of units.
func forEach(t *testing.T, test func(*testing.T, packageOf)) {
	for name, p := range packages() {
		t.Run(name, func(t *testing.T) { test(t, p) })
	}
}

// TestUnitsAreUnderstood has systemd read the units: it warns of what it does not know.
func TestUnitsAreUnderstood(t *testing.T) {
	forEach(t, func(t *testing.T, p packageOf) {
		out, err := p.analyze(t, asItIs, "verify", "--man=no")
		if err != nil || out != "" {
			t.Errorf("systemd-analyze verify: %v\n%s", err, out)
		}
		out, _ = p.analyze(t, func(s string) string { return strings.ReplaceAll(s, "LockPersonality=", "LockPersonalty=") }, "verify", "--man=no")
		if !strings.Contains(out, "LockPersonalty") {
			t.Errorf("a word that systemd does not know goes unnoticed:\n%s", out)
		}
	})
}

// TestExposureIsDocumented keeps docs/service.md with the numbers that are guarded.
func TestExposureIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/service.md")
	if err != nil {
		t.Fatal(err)
	}
	forEach(t, func(t *testing.T, p packageOf) {
		if want := fmt.Sprintf("**%d.%d**", p.most/10, p.most%10); !strings.Contains(string(page), want) {
			t.Errorf("docs/service.md does not say %s", want)
		}
	})
}

// TestExposure guards the hardening of the units: less of it would be seen.
func TestExposure(t *testing.T) {
	forEach(t, func(t *testing.T, p packageOf) {
		if out, err := p.analyze(t, asItIs, "security", "--offline=true", fmt.Sprintf("--threshold=%d", p.most)); err != nil {
			t.Errorf("the exposure is above %d tenths: %v\n%s", p.most, err, out)
		}
		weaker := func(s string) string { return strings.ReplaceAll(s, "SystemCallFilter=", "# ") }
		if out, err := p.analyze(t, weaker, "security", "--offline=true", fmt.Sprintf("--threshold=%d", p.most)); err == nil {
			t.Errorf("without a filter of system calls the exposure is not above %d tenths:\n%s", p.most, out)
		}
	})
}

// TestEveryOmissionHasAReason: what systemd-analyze misses in a unit, its comments
// explain.
func TestEveryOmissionHasAReason(t *testing.T) {
	forEach(t, func(t *testing.T, p packageOf) {
		out, err := p.analyze(t, asItIs, "security", "--offline=true")
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		unit, err := os.ReadFile(filepath.Join(p.dir, Service))
		if err != nil {
			t.Fatal(err)
		}
		_, reasons, ok := strings.Cut(string(unit), "# Off, and why:")
		if !ok {
			t.Fatal("the unit gives no reasons")
		}
		missing := 0
		for line := range strings.Lines(out) {
			name, found := strings.CutPrefix(line, "✗ ")
			if !found {
				continue
			}
			missing++
			name, _, _ = strings.Cut(name, " ")
			for _, directive := range strings.Split(name, "/") {
				directive, _, _ = strings.Cut(directive, "=")
				// The families are explained where they are allowed.
				if directive != "RestrictAddressFamilies" && directive != "DynamicUser" && !strings.Contains(reasons, directive+"=") {
					t.Errorf("%s is off, and the unit does not say why", directive)
				}
			}
		}
		if missing == 0 {
			t.Errorf("nothing is off:\n%s", out)
		}
	})
}

// TestUnitsLeaveTheNetwork: directives that the systemd of TestScript does not apply would
// take NetSuite from the gateway all the same.
func TestUnitsLeaveTheNetwork(t *testing.T) {
	taken := func(s string) string {
		return strings.Replace(s, "UMask=", "PrivateNetwork=yes\nIPAddressDeny=any\nUMask=", 1)
	}
	forEach(t, func(t *testing.T, p packageOf) {
		asIs, err := p.analyze(t, asItIs, "security", "--offline=true")
		without, err2 := p.analyze(t, taken, "security", "--offline=true")
		if err != nil || err2 != nil {
			t.Fatalf("%v\n%s\n%v\n%s", err, asIs, err2, without)
		}
		for _, directive := range []string{"PrivateNetwork=", "IPAddressDeny="} {
			if !strings.Contains(asIs, "✗ "+directive) {
				t.Errorf("%s takes the network from the service:\n%s", directive, asIs)
			}
			if !strings.Contains(without, "✓ "+directive) {
				t.Errorf("%s goes unnoticed:\n%s", directive, without)
			}
		}
	})
}
