package client_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// outputOf finds what an example prints, at its end: after "Output:" in a comment.
var outputOf = regexp.MustCompile(`(?s)\n(?:#|//) Output:(.*)$`)

// TestExamples runs the programs of the packages for other languages, and compares
// what they print with what they say they do.
func TestExamples(t *testing.T) {
	t.Parallel()
	g := newGuide(t)
	copied := sync.OnceValue(func() string { return copyNode(t) })
	files, err := filepath.Glob("*/examples/*")
	if err != nil || len(files) < 8 {
		t.Fatalf("found %q, %v", files, err)
	}
	for _, file := range files {
		t.Run(file, func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			said := outputOf.FindStringSubmatch(string(text))
			if said == nil {
				t.Fatal("it does not say what it prints")
			}
			var c *exec.Cmd
			if filepath.Ext(file) == ".py" {
				needPython(t, "json")
				c = exec.Command(debianPython, file) // #nosec G204 -- of this repository
				c.Env = g.python
			} else {
				needNode(t)
				rel, _ := filepath.Rel("node", file)
				c = exec.Command("node", "--require", g.preload, rel) // #nosec G204 -- of this repository
				c.Env, c.Dir = g.node, copied()                       // where the package finds itself by its name
			}
			c.Env = append(c.Env, "PATH="+os.Getenv("PATH"), "HOME="+t.TempDir(), "LANG=C.UTF-8", "NSAGENT_SOCK="+os.Getenv("NSAGENT_SOCK"))
			got, err := c.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, got)
			}
			want := regexp.MustCompile(`(?m)^(#|//) `).ReplaceAllString(said[1], "")
			if strings.TrimSpace(string(got)) != strings.TrimSpace(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}
