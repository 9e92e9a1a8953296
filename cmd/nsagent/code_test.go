package main

import (
	"errors"
	"fmt"
	"math"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdCode runs a program that must end with this code:
//
//	code [-within 6s | -atbest 6s] N program args...
//
// -within bounds the time that it takes. -atbest is for a promise that is tighter than a
// busy machine: what may be run again is run up to three times, and the quickest counts.
// Other work makes a program slower, and never quicker.
//
// An error of nsagent must have the shape of one.
func cmdCode(ts *testscript.TestScript, neg bool, args []string) {
	limit, tries := time.Duration(0), 1
	if len(args) > 2 && (args[0] == "-within" || args[0] == "-atbest") {
		var err error
		limit, err = time.ParseDuration(args[1])
		ts.Check(err)
		if args[0] == "-atbest" {
			tries = 3
		}
		args = args[2:]
	}
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code [-within D | -atbest D] N program args...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	best := time.Duration(math.MaxInt64)
	for try := 0; try == 0 || try < tries && best > limit; try++ {
		begin := time.Now()
		if got := run(ts, args[1], args[2:]...); got != want {
			ts.Fatalf("got exit code %d, want %d", got, want)
		}
		best = min(best, time.Since(begin))
	}
	if limit > 0 && best > limit {
		ts.Fatalf("it took %s, more than %s", best, limit)
	}
	if filepath.Base(args[1]) == "nsagent" && want != 0 && want < 128 {
		if fault := errorShape(ts.ReadFile("stderr")); fault != "" {
			ts.Fatalf("the error does not look like one: %s", fault)
		}
	}
}

// run runs a program and returns its exit code, or 128 plus its signal. One that
// goes on where it should have been refused is ended.
func run(ts *testscript.TestScript, program string, args ...string) int {
	limited := append([]string{"-k", "5", strconv.Itoa(int(3 * waitTime / time.Second)), program}, args...)
	err := ts.Exec("timeout", limited...)
	var ended *exec.ExitError
	switch {
	case err == nil:
		return 0
	case !errors.As(err, &ended):
		ts.Fatalf("running %s: %v", program, err)
	}
	return ended.ExitCode()
}

var (
	lastLine = regexp.MustCompile(`^(nsagent: |  )\S.* {1,}\[NSA-[A-Z-]+\]$`)
	// packages are what Go puts before an error and people do not know.
	packages = regexp.MustCompile(`(^ *|: |\()(agent|audit|client|config|envelope|harden|keyring|nstest|parent process|pathglob|policy|secret|signer|socketpath|store|supervise|term|vault|rpc error|strconv|json|pflag|cobra): `)
	garbage  = regexp.MustCompile(`%!|goroutine \d|panic:|0x[0-9a-f]{6}|\bEOF\b|<nil>`)
)

// errorShape says what is wrong with the error at the end of text: it has three
// lines, of which the last has the stable code, and speaks to people.
func errorShape(text string) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	first := len(lines) - 1
	for first > 0 && !strings.HasPrefix(lines[first], "nsagent: ") {
		first--
	}
	shown := lines[first:]
	switch {
	case !strings.HasPrefix(shown[0], "nsagent: "):
		return fmt.Sprintf("its first line is %q", shown[0])
	case len(shown) != 3:
		return fmt.Sprintf("it has %d lines", len(shown))
	case !lastLine.MatchString(shown[len(shown)-1]):
		return fmt.Sprintf("its last line is %q", shown[len(shown)-1])
	}
	for i, line := range shown {
		if i > 0 && !strings.HasPrefix(line, "  ") {
			return fmt.Sprintf("line %q is not indented", line)
		}
		body := strings.TrimPrefix(line, "nsagent: ")
		if found := packages.FindString(body); found != "" {
			return fmt.Sprintf("%q speaks of the package %q", line, strings.TrimSpace(found))
		}
		if found := garbage.FindString(line); found != "" {
			return fmt.Sprintf("%q has %q", line, found)
		}
	}
	if first > 0 && slices.Contains(lines[:first], shown[0]) {
		return "it is printed twice"
	}
	return ""
}
