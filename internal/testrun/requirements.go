package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
)

// requirementsHead begins the table that says which tests show which requirement.
const requirementsHead = "| id | severity | requirement | shown by | result |\n|---|---|---|---|---|\n"

// requirement is a row of the table: it passes as long as each of its tests passed, or
// is struck out with a reason.
type requirement struct {
	id     string
	tests  []string // dir.TestName, or the path of a script of the command line
	passes bool     // what the table says
}

var quotedName = regexp.MustCompile("`([^`]+)`")

// readRequirements reads the table of a page.
func readRequirements(file string) ([]requirement, error) {
	page, err := os.ReadFile(file) // #nosec G304 -- named by the Makefile
	if err != nil {
		return nil, err
	}
	_, table, found := strings.Cut(string(page), requirementsHead)
	if !found {
		return nil, fmt.Errorf("%s has no table of requirements", file)
	}
	var all []requirement
	for line := range strings.Lines(table) {
		if !strings.HasPrefix(line, "|") {
			break
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 5 {
			return nil, fmt.Errorf("%s: a row has %d cells: %s", file, len(cells), line)
		}
		r := requirement{id: strings.TrimSpace(cells[0]), passes: strings.TrimSpace(cells[4]) == "passes"}
		for _, m := range quotedName.FindAllStringSubmatch(cells[3], -1) {
			r.tests = append(r.tests, m[1])
		}
		if r.passes && len(r.tests) == 0 {
			return nil, fmt.Errorf("%s: nothing shows %s", file, r.id)
		}
		all = append(all, r)
	}
	if len(all) == 0 {
		return nil, errors.New(file + ": the table of requirements is empty")
	}
	return all, nil
}

// checkRequirements compares what the table says with what came of the tests, and
// says how it stands. Tests that need root are left out where we are not. It reports
// whether the table is right.
func (r *results) checkRequirements(w io.Writer, module string, all []requirement) bool {
	var wrong []string
	shown := map[string]bool{}
	struck := 0
	for _, q := range all {
		if !q.passes {
			struck++
			continue
		}
		for _, name := range q.tests {
			switch passed, left := r.passed(module, name); {
			case passed:
				shown[name] = true
			case !left:
				wrong = append(wrong, q.id+": "+name+" did not pass")
			}
		}
	}
	slices.Sort(wrong)
	list(w, "requirements that the table says pass:", wrong)
	fmt.Fprintf(w, "requirements: %d shown by %d tests that passed, %d struck out\n", len(all)-struck, len(shown), struck)
	return len(wrong) == 0
}

// passed reports whether a test of the table passed, and whether it was left out for
// want of root.
func (r *results) passed(module, name string) (passed, leftOut bool) {
	k := key{}
	if script, ok := strings.CutSuffix(name, ".txtar"); ok {
		dir, _, _ := strings.Cut(name, "/testdata/")
		k = key{path.Join(module, dir), "TestScript/" + path.Base(script)}
	} else {
		dir, test, _ := strings.Cut(path.Base(name), ".")
		k = key{path.Join(module, path.Dir(name), dir), test}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	o := r.tests[k]
	if o == nil {
		return false, false
	}
	return o.passed && !o.failed, !o.failed && !r.root && strings.Contains(o.reason, rootReason)
}
