package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// testTimeout bounds the tests of one package. The longest takes half of it on a slow
// machine.
const testTimeout = 15 * time.Minute

// event is one line of go test -json, as cmd/test2json describes it.
type event struct {
	Action     string
	Package    string
	Test       string
	Output     string
	ImportPath string // of build output
}

// goTest runs the packages with go test -json, adds what came of each test to
// results and prints what a person wants to see: the line of each package, and
// all that was written about whatever did not pass.
//
// The error says that go test itself could not be run or understood; failing
// tests are no error.
func goTest(ctx context.Context, results *results, race bool, packages []string, stdout, stderr io.Writer) error {
	// -count=1: the tests run daemons, keyrings and system programs, none of
	// which the test cache knows about.
	// -p: many tests wait for daemons, kernels and clocks, so that one package more than
	// there are processors keeps these busy.
	// -vet: make lint looks at every package, once and with all checks.
	args := []string{"test", "-json", "-vet=off", "-count=1", "-timeout", testTimeout.String(), "-p", strconv.Itoa(runtime.NumCPU() + 1)}
	if race {
		args = append(args, "-race")
	}
	cmd := command(ctx, "go", append(args, packages...)...)
	if race { // which is C
		cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
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

// command is exec.CommandContext for a program that starts others, such as go
// test: when ctx ends, all of them are interrupted.
func command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
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
		log.print(stdout, e.Action == "fail", func(test string) bool { return results.failed(e.Package, test) })
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
