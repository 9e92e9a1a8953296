package client_test

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestGuide keeps docs/clients.md true: its Go stands in example_test.go, which
// runs, and its commands and its Python run here.
func TestGuide(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/clients.md")
	if err != nil {
		t.Fatal(err)
	}
	code, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for i, part := range strings.Split("\n"+string(page), "\n```") {
		language, text, _ := strings.Cut(part, "\n")
		if i%2 == 0 {
			continue // between blocks
		}
		seen[language]++
		switch language {
		case "go":
			if !strings.Contains(flat(string(code)), flat(text)) {
				t.Errorf("example_test.go does not have\n%s", text)
			}
		case "sh":
			for _, line := range strings.Split(text, "\n") {
				run(t, "curl", "sh", "-euc", strings.Replace(line, "curl ", "curl --fail-with-body ", 1))
			}
		case "python":
			run(t, "python3", "/usr/bin/python3", "-c", text)
		default:
			t.Errorf("nothing runs a block of %q", language)
		}
	}
	if seen["go"] < 2 || seen["sh"] < 1 || seen["python"] < 1 {
		t.Errorf("found %v: the reading goes wrong", seen)
	}
}

// flat removes what gofmt adds to the start of lines.
func flat(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(lines, "\n")
}

// run runs a command that has to succeed. What it needs may only be missing where
// nobody requires it.
func run(t *testing.T, needs string, args ...string) {
	t.Helper()
	if _, err := exec.LookPath(needs); err != nil && !required(needs) {
		t.Skip("needs " + needs)
	}
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput() // #nosec G204 -- a page of this repository
	if err != nil {
		t.Errorf("%s: %v\n%s", args[len(args)-1], err, out)
	}
}

// required reports whether NSAGENT_TEST_REQUIRE names a part or "all".
func required(part string) bool {
	parts := strings.Split(os.Getenv("NSAGENT_TEST_REQUIRE"), ",")
	return slices.Contains(parts, part) || slices.Contains(parts, "all")
}
