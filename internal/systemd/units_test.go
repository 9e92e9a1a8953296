package systemd

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// most is the exposure that systemd-analyze 252 finds in the unit, in tenths; see
// docs/service.md. A change of the unit may lower it.
const most = "59"

// inRepository is where the units are for people who package nsagent.
const inRepository = "../../contrib/systemd/user"

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
func analyze(t *testing.T, edit func(string) string, args ...string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	units, err := Units(exe, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range units {
		if err := os.WriteFile(filepath.Join(dir, u.Name), []byte(edit(string(u.Text))), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, filepath.Join(dir, u.Name))
		if args[0] == "security" {
			break // it takes the service alone
		}
	}
	c := exec.Command("systemd-analyze", append([]string{"--user", "--no-pager"}, args...)...) // #nosec G204 -- a test
	c.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "XDG_RUNTIME_DIR=" + dir, "LANG=C.UTF-8"}
	out, err := c.CombinedOutput()
	return string(out), err
}

func asItIs(s string) string { return s }

// TestUnitsAreUnderstood has systemd read the units: it warns of what it does not know.
func TestUnitsAreUnderstood(t *testing.T) {
	out, err := analyze(t, asItIs, "verify", "--man=no")
	if err != nil || out != "" {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	out, _ = analyze(t, func(s string) string { return strings.ReplaceAll(s, "LockPersonality=", "LockPersonalty=") }, "verify", "--man=no")
	if !strings.Contains(out, "LockPersonalty") {
		t.Errorf("a word that systemd does not know goes unnoticed:\n%s", out)
	}
}

// TestExposureIsDocumented keeps docs/service.md with the number that is guarded.
func TestExposureIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/service.md")
	if err != nil {
		t.Fatal(err)
	}
	if want := "**" + most[:1] + "." + most[1:] + "**"; !strings.Contains(string(page), want) {
		t.Errorf("docs/service.md does not say %s", want)
	}
}

// TestExposure guards the hardening of the unit: less of it would be seen.
func TestExposure(t *testing.T) {
	if out, err := analyze(t, asItIs, "security", "--offline=true", "--threshold="+most); err != nil {
		t.Errorf("the exposure is above %s tenths: %v\n%s", most, err, out)
	}
	weaker := func(s string) string { return strings.ReplaceAll(s, "SystemCallFilter=", "# ") }
	if out, err := analyze(t, weaker, "security", "--offline=true", "--threshold="+most); err == nil {
		t.Errorf("without a filter of system calls the exposure is not above %s tenths:\n%s", most, out)
	}
}

// TestEveryOmissionHasAReason: what systemd-analyze misses in the unit, its comments
// explain.
func TestEveryOmissionHasAReason(t *testing.T) {
	out, err := analyze(t, asItIs, "security", "--offline=true")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	unit, err := os.ReadFile(filepath.Join(inRepository, Service))
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
			// AF_UNIX is explained where it is allowed.
			if directive != "RestrictAddressFamilies" && directive != "DynamicUser" && !strings.Contains(reasons, directive+"=") {
				t.Errorf("%s is off, and the unit does not say why", directive)
			}
		}
	}
	if missing == 0 {
		t.Errorf("nothing is off:\n%s", out)
	}
}
