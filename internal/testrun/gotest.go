package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// testTimeout bounds the tests of one package. The longest takes half of it on a slow
// machine.
const testTimeout = 30 * time.Minute

// event is one line of go test -json, as cmd/test2json describes it.
type event struct {
	Action     string
	Package    string
	Test       string
	Output     string
	ImportPath string // of build output
}

// pass is one run of go test.
type pass struct {
	race     bool
	only     []string // names of tests; nil: all
	packages []string
	atOnce   int // packages that are built or tested at a time
}

// goTests makes the runs side by side.
func goTests(ctx context.Context, results *results, passes []pass, stdout, stderr io.Writer) error {
	failures := make([]error, len(passes))
	var runs sync.WaitGroup
	for i, p := range passes {
		runs.Go(func() { failures[i] = goTest(ctx, results, p, stdout, stderr) })
	}
	runs.Wait()
	return errors.Join(failures...)
}

// goTest runs go test -json, adds what came of each test to results and prints what a
// person wants to see: the line of each package, and all that was written about
// whatever did not pass.
//
// The error says that go test itself could not be run or understood; failing
// tests are no error.
func goTest(ctx context.Context, results *results, p pass, stdout, stderr io.Writer) error {
	// -count=1: the tests run daemons, keyrings and system programs, none of
	// which the test cache knows about.
	// -vet: make lint looks at every package, once and with all checks.
	args := []string{"test", "-json", "-vet=off", "-count=1", "-timeout", testTimeout.String(), "-p", strconv.Itoa(p.atOnce)}
	if p.race {
		args = append(args, "-race")
	}
	if p.only != nil {
		args = append(args, "-run", "^("+strings.Join(p.only, "|")+")$")
	}
	cmd := command(ctx, "go", append(args, p.packages...)...)
	if p.race {
		cmd.Env = append(os.Environ(), withRace, "GORACE="+raceEnd)
	}
	cmd.Stderr = stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("preparing go test: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting go test: %w", err)
	}
	failed, readErr := readEvents(out, results, stdout)
	waitErr := cmd.Wait()
	if readErr != nil {
		return readErr
	}
	if waitErr != nil && !failed {
		return fmt.Errorf("running go test: %w", waitErr)
	}
	return nil
}

// withRace is what the race detector, which is C, wants in the environment.
const withRace = "CGO_ENABLED=1"

// raceEnd is how long the detector waits at the end of a process for reports of other
// threads. By itself it takes a second, of each of the many processes that tests start.
const raceEnd = "atexit_sleep_ms=100"

// command is exec.CommandContext for a program that starts others, such as go
// test: when ctx ends, all of them are interrupted.
func command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...) // #nosec G204 G702 -- runs what the Makefile says
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// readEvents reads the output of one go test -json to its end. It reports
// whether any package failed.
func readEvents(r io.Reader, results *results, stdout io.Writer) (failed bool, err error) {
	logs := map[string]*packageLog{}
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if jsonErr := json.Unmarshal(line, &e); jsonErr != nil {
				// Some failures of the go command come as plain text.
				fmt.Fprintf(stdout, "%s", line)
			} else if handle(e, logs, results, stdout) {
				failed = true
			}
		}
		if err == io.EOF {
			return failed, nil
		}
		if err != nil {
			return failed, fmt.Errorf("reading the output of go test: %w", err)
		}
	}
}

// handle takes one event and reports whether it ends a package that failed.
func handle(e event, logs map[string]*packageLog, results *results, stdout io.Writer) bool {
	if e.Action == "build-output" {
		fmt.Fprint(stdout, e.Output)
		return false
	}
	if e.Package == "" {
		return false
	}
	log := logs[e.Package]
	if log == nil {
		log = &packageLog{open: map[string]bool{}}
		logs[e.Package] = log
	}
	switch e.Action {
	case "run":
		log.open[e.Test] = true
	case "output":
		log.lines = append(log.lines, logLine{e.Test, e.Output})
	case "pass", "fail", "skip":
		if e.Test != "" {
			delete(log.open, e.Test)
			var reason string
			if e.Action == "skip" {
				reason = log.reason(e.Test)
			}
			results.add(e.Package, e.Test, e.Action, reason)
			return false
		}
		delete(logs, e.Package)
		for test := range log.open { // a panic or a timeout cut it short
			results.add(e.Package, test, "fail", "")
		}
		if e.Action == "fail" {
			results.packageFailed(e.Package)
		}
		var said bytes.Buffer // written in one piece, since other runs write, too
		log.print(&said, e.Action == "fail", func(test string) bool { return results.failed(e.Package, test) })
		_, _ = stdout.Write(said.Bytes())
		return e.Action == "fail"
	}
	return false
}

// packageLog is what was written about one package so far.
type packageLog struct {
	lines []logLine
	open  map[string]bool // tests that began and did not end
}

type logLine struct{ test, text string }

// reason returns what test wrote, without the lines that go test adds: for a
// skipped test, why.
func (l *packageLog) reason(test string) string {
	var words []string
	for _, line := range l.lines {
		text := strings.TrimSpace(line.text)
		if line.test != test || strings.HasPrefix(text, "=== ") || strings.HasPrefix(text, "--- ") {
			continue
		}
		if _, after, found := strings.Cut(text, ".go:"); found {
			if _, said, found := strings.Cut(after, ": "); found {
				text = said
			}
		}
		words = append(words, text)
	}
	return strings.Join(words, " ")
}

// print writes the line of the package, and if it failed all that belongs to no
// test or to one for which failed holds.
func (l *packageLog) print(w io.Writer, all bool, failed func(test string) bool) {
	for _, line := range l.lines {
		switch {
		case line.test == "" && (all || isPackageLine(line.text)):
			fmt.Fprint(w, line.text)
		case line.test != "" && all && failed(line.test):
			fmt.Fprint(w, line.text)
		}
	}
}

// isPackageLine reports whether text is go test's one line on a package.
func isPackageLine(text string) bool {
	return strings.HasPrefix(text, "ok  \t") || strings.HasPrefix(text, "?   \t") || strings.HasPrefix(text, "FAIL\t")
}
