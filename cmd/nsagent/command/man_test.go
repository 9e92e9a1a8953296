package command

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/internal/needs"
)

// manDir is where the pages are kept.
const manDir = "../../../man"

// TestManPages compares the pages that are kept with the help text.
func TestManPages(t *testing.T) {
	want := manPages(newRoot(testEnv(&bytes.Buffer{})))
	there, err := filepath.Glob(manDir + "/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range there {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		page, known := want[filepath.Base(path)]
		if !known {
			t.Errorf("%s is about no command; run: make man", path)
		} else if page != string(text) {
			t.Errorf("%s is not what the help says; run: make man", path)
		}
		delete(want, filepath.Base(path))
	}
	for name := range want {
		t.Errorf("there is no %s; run: make man", name)
	}
}

// TestManPagesAreWellFormed has mandoc look at each.
func TestManPagesAreWellFormed(t *testing.T) {
	mandoc := needs.Program(t, "mandoc")
	pages := manPages(newRoot(testEnv(&bytes.Buffer{})))
	if len(pages) < 15 {
		t.Errorf("got %d pages", len(pages))
	}
	dir := t.TempDir()
	for name, text := range pages {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		out, _ := exec.Command(mandoc, "-Tlint", "-Wwarning", path).CombinedOutput()
		for line := range strings.Lines(string(out)) {
			// Without a date, a page changes with its text only.
			if !strings.Contains(line, "missing date") {
				t.Error(line)
			}
		}
	}
}

// TestManEscapes wants that text comes out of roff as it went in.
func TestManEscapes(t *testing.T) {
	mandoc := needs.Program(t, "mandoc")
	text := ".begins with a dot\n'and with a quote\nback\\\\slash \\fB --flag 'x' `y` ~/^ … é \"z\""
	cmd := exec.Command(mandoc, "-Tutf8", "-Kutf-8")
	cmd.Stdin = strings.NewReader(".TH T 1\n.SH NAME\nt\n.SH X\n.nf\n" + roff(text) + "\n.fi\n")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(text) {
		if !strings.Contains(string(out), strings.TrimSuffix(line, "\n")) {
			t.Errorf("%q is not in %s", line, out)
		}
	}
}
