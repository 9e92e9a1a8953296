// Package vectortest has frozen test vectors: it reads them, writes them anew where a flag
// says so, and asks a second implementation, in Python, what it makes of them.
package vectortest

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"testing"

	"github.com/nsagent/nsagent/internal/needs"
)

var update = flag.Bool("update-vectors", false, "write the frozen vectors anew, before a release that has other ones")

// Renew writes what make returns to a file, as JSON, where the flag -update-vectors says so.
func Renew[T any](t testing.TB, path string, make func() T) {
	t.Helper()
	if !*update {
		return
	}
	b, err := json.MarshalIndent(make(), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(b, '\n'), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Read returns what a file holds.
func Read[T any](t testing.TB, path string) (v T) {
	t.Helper()
	b, err := os.ReadFile(path) // #nosec G304 -- of the tests
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// Script is a second implementation.
type Script struct {
	Path    string
	Modules []string // that it imports
}

// Answer returns what a script says, in JSON, of a file that it reads from its standard input.
func Answer[T any](t testing.TB, path string, s Script, args ...string) (answer T) {
	t.Helper()
	python := needs.Python(t, s.Modules...)
	text, err := os.ReadFile(path) // #nosec G304 -- of the tests
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(python, append([]string{s.Path}, args...)...) // #nosec G204 -- of the tests
	var stderr bytes.Buffer
	c.Stdin, c.Stderr = bytes.NewReader(text), &stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s: %v: %s", s.Path, err, stderr.Bytes())
	}
	if err := json.Unmarshal(out, &answer); err != nil {
		t.Fatal(err)
	}
	return answer
}
