// Package needs says what a test cannot do without. Where that is not there, the test is
// skipped, or fails, if whoever runs it asks for that.
package needs

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// Required reports whether NSAGENT_TEST_REQUIRE, a list with commas, names a part of the
// machine, or all of them: a test that lacks it is not to be skipped.
func Required(part string) bool {
	parts := strings.Split(os.Getenv("NSAGENT_TEST_REQUIRE"), ",")
	return slices.Contains(parts, part) || slices.Contains(parts, "all")
}

// Missing ends a test that lacks a part of the machine: it fails where that is required. why
// says what was tried, or what to install.
func Missing(t testing.TB, part, why string) {
	t.Helper()
	if Required(part) {
		t.Fatalf("required %q is not here: %s", part, why)
	}
	t.Skipf("needs %s: %s", part, why)
}

// Program returns the path of a program, which is a part of the machine by its name.
func Program(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		Missing(t, name, err.Error())
	}
	return path
}

// Python returns the path of Debian's Python, which has these modules of Debian's packages
// python3-MODULE; "python" is the part of the machine.
func Python(t testing.TB, modules ...string) string {
	t.Helper()
	const path = "/usr/bin/python3"
	out, err := exec.Command(path, "-c", "import "+strings.Join(modules, ", ")).CombinedOutput() // #nosec G204 -- of the tests
	if err != nil {
		Missing(t, "python", fmt.Sprintf("apt-get install python3-%s: %v: %s", strings.Join(modules, " python3-"), err, out))
	}
	return path
}

// Root skips a test that has to be another user, to mount, or to look into a process that
// lets nobody of its own user do so; why says which. Nobody can ask for root by a variable.
func Root(t testing.TB, why string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: " + why)
	}
}

// Long reports whether NSAGENT_LONG asks for the long form of sweeps.
func Long() bool { return os.Getenv("NSAGENT_LONG") != "" }
