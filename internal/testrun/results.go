package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
)

// rootReason is how a test says that only root can run it.
const rootReason = "needs root:"

// key names a test.
type key struct{ pkg, test string }

// outcome is what came of a test over all runs. It fails if it failed in one, and
// was skipped only if no run ran it.
type outcome struct {
	passed, failed bool
	reason         string // why it was skipped
}

// results collects outcomes. It may be used by several goroutines.
type results struct {
	root bool // we are root

	mu       sync.Mutex // guards what follows
	tests    map[key]*outcome
	packages map[string]bool // that failed
}

func newResults(root bool) *results {
	return &results{root: root, tests: map[key]*outcome{}, packages: map[string]bool{}}
}

// add records one run of a test: action is pass, fail or skip.
func (r *results) add(pkg, test, action, reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := key{pkg, test}
	o := r.tests[k]
	if o == nil {
		o = &outcome{}
		r.tests[k] = o
	}
	switch action {
	case "pass":
		o.passed = true
	case "fail":
		o.failed = true
	case "skip":
		o.reason = reason
	}
}

// packageFailed records that a package failed as a whole.
func (r *results) packageFailed(pkg string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.packages[pkg] = true
}

// failed reports whether the test failed in any run.
func (r *results) failed(pkg, test string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	o := r.tests[key{pkg, test}]
	return o != nil && o.failed
}

// summary is what report prints.
type summary struct {
	passed  int
	failed  []string
	refused []string // skipped without leave, with the reason
	skipped []string // need root, with the reason
}

// sum counts tests without subtests, and those that failed although none of
// their subtests did.
func (r *results) sum() summary {
	r.mu.Lock()
	defer r.mu.Unlock()
	parents, above := map[key]bool{}, map[key]bool{} // has subtests; has one that failed
	blamed := map[string]bool{}                      // packages with a failed test
	for k, o := range r.tests {
		for i, c := range k.test {
			if c == '/' {
				p := key{k.pkg, k.test[:i]}
				parents[p] = true
				above[p] = above[p] || o.failed
			}
		}
		blamed[k.pkg] = blamed[k.pkg] || o.failed
	}
	var s summary
	for k, o := range r.tests {
		name := k.pkg + " " + k.test
		switch {
		case o.failed:
			if !above[k] {
				s.failed = append(s.failed, name)
			}
		case parents[k]:
		case o.passed:
			s.passed++
		case strings.Contains(o.reason, rootReason) && !r.root:
			s.skipped = append(s.skipped, name+": "+o.reason)
		default:
			s.refused = append(s.refused, name+": "+o.reason)
		}
	}
	for pkg := range r.packages {
		if !blamed[pkg] {
			s.failed = append(s.failed, pkg)
		}
	}
	slices.Sort(s.failed)
	slices.Sort(s.refused)
	slices.Sort(s.skipped)
	return s
}

// report lists what did not pass, prints the counts and returns the exit code.
func (r *results) report(w io.Writer) int {
	s := r.sum()
	list(w, "not run, for they need root (run make test as root):", s.skipped)
	list(w, "skipped without leave (only root may be lacking), which counts as failed:", s.refused)
	list(w, "failed:", s.failed)
	failed := len(s.failed) + len(s.refused)
	fmt.Fprintf(w, "%d passed, %d failed, %d skipped\n", s.passed, failed, len(s.skipped))
	if failed > 0 || s.passed == 0 {
		return 1
	}
	return 0
}

func list(w io.Writer, title string, names []string) {
	if len(names) == 0 {
		return
	}
	fmt.Fprintln(w, title)
	for _, name := range names {
		fmt.Fprintln(w, "    "+name)
	}
}
