package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/internal/needs"
)

// forRoot fits a line of a script that is left out, without a word, unless root runs it.
var forRoot = regexp.MustCompile(`^(\[[^]]+\] +)*\[root\] `)

// TestScriptLinesForRoot names, where root does not run the tests, what the scripts then
// leave out, so that the list of what did not run has it. TestScript/NAME runs these lines.
func TestScriptLinesForRoot(t *testing.T) {
	for _, file := range scriptFiles(t) {
		text, err := os.ReadFile(file) // #nosec G304 -- a file of this package
		if err != nil {
			t.Fatal(err)
		}
		left := leftOut(string(text))
		if len(left) == 0 {
			continue
		}
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			needs.Root(t, strings.Join(left, "; "))
		})
	}
}

// leftOut returns, for each group of lines of a script that only root runs, where they
// are and the comment above.
func leftOut(script string) (all []string) {
	comment, n, first := "", 0, 0
	end := func() {
		if n > 0 {
			all = append(all, fmt.Sprintf("lines %d to %d (%s)", first, first+n-1, comment))
		}
		n = 0
	}
	for i, line := range strings.Split(script, "\n") {
		if strings.HasPrefix(line, "-- ") {
			break // the files that it comes with
		}
		if forRoot.MatchString(line) {
			if n == 0 {
				first = i + 1
			}
			n++
			continue
		}
		end()
		if strings.HasPrefix(line, "# ") {
			comment = line[2:]
		}
	}
	end()
	return all
}

// TestLeftOut is the control: every such line is seen, with what it is about.
func TestLeftOut(t *testing.T) {
	script := "# what it shows\n[root] a\n[!root] b\n\n# one\nc\n[root] d\n[linux] [root] e\n[root] [!race] f\n# two\n[!root] skip 'x'\n[root]\n-- file --\n[root] g\n"
	want := []string{"lines 2 to 2 (what it shows)", "lines 7 to 9 (one)"}
	if got := leftOut(script); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
