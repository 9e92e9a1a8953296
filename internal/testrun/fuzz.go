package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// fuzzPerCore is how many targets are fuzzed at a time on each core. Of a target the
// coordinator and its worker wait for each other after every batch, so that one target
// does not fill a core.
const fuzzPerCore = 2

// target is one fuzz function with the instrumented test binary that holds it.
type target struct{ pkg, dir, name, binary string }

// fuzzAll fuzzes every target of the packages for the time that the options give each. A
// package is compiled once, however many targets it has. Inputs found go to the place
// where go test -fuzz keeps them, so that later runs go on from there.
//
// Coverage, by which the fuzzer tells inputs that lead somewhere new, takes another
// compilation of each package that is linked in, which is more than a short run is worth.
func fuzzAll(ctx context.Context, results *results, opts options, stdout, stderr io.Writer) error {
	build := []string{"test", "-c", "-ldflags=-s"}
	if !opts.unguided {
		build = append(build, "-fuzz=.")
	}
	withTests, err := listPackages(ctx, opts.packages, false)
	if err != nil {
		return err
	}
	cache, err := command(ctx, "go", "env", "GOCACHE").Output()
	if err != nil {
		return fmt.Errorf("asking for the build cache: %w", err)
	}
	tmp, err := os.MkdirTemp("", "testrun")
	if err != nil {
		return fmt.Errorf("making a directory for fuzz binaries: %w", err)
	}
	defer os.RemoveAll(tmp)

	targets := make(chan target)
	var workers sync.WaitGroup
	for range fuzzPerCore * runtime.NumCPU() {
		workers.Go(func() {
			for t := range targets {
				corpus := filepath.Join(strings.TrimSpace(string(cache)), "fuzz", t.pkg)
				action, said := fuzz(ctx, t, corpus, opts.fuzzTime)
				fmt.Fprint(stdout, said)
				results.add(t.pkg, t.name+" (fuzzing)", action, "")
			}
		})
	}
	defer workers.Wait()
	defer close(targets)
	for i, p := range withTests {
		names, err := testNames(p.Dir, p.files(), "Fuzz")
		if err != nil {
			return err
		}
		if len(names) == 0 {
			continue
		}
		binary := filepath.Join(tmp, fmt.Sprintf("%d.test", i))
		cmd := command(ctx, "go", append(slices.Clone(build), "-o", binary, p.ImportPath)...)
		cmd.Stdout, cmd.Stderr = stdout, stderr
		if err := cmd.Run(); err != nil {
			results.packageFailed(p.ImportPath)
			continue
		}
		for _, name := range names {
			targets <- target{p.ImportPath, p.Dir, name, binary}
		}
	}
	return nil
}

// lockedWriter lets several goroutines write, one piece at a time.
type lockedWriter struct {
	mu sync.Mutex // guards w
	w  io.Writer
}

// Write writes p whole.
func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// fuzz runs one target and returns pass or fail with a line to print, or with
// all that the target wrote if it failed.
//
// Shrinking each new input may take a minute by default, and so all of a short
// run: the decoder of the ledger was executed 9 times in 5 seconds, and 44,182
// times with shrinking kept short.
func fuzz(ctx context.Context, t target, corpus string, each time.Duration) (action, said string) {
	for attempt := 1; ; attempt++ {
		cmd := command(ctx, t.binary, "-test.run=^$", "-test.fuzz=^"+t.name+"$",
			"-test.fuzztime="+each.String(), "-test.fuzzminimizetime=100x", "-test.fuzzcachedir="+corpus, "-test.parallel=1",
			"-test.timeout="+(each+2*time.Minute).String())
		cmd.Dir = t.dir
		out, err := cmd.CombinedOutput()
		if err == nil {
			return "pass", fmt.Sprintf("fuzz\t%s\t%s\t%s\n", t.pkg, t.name, lastProgress(string(out)))
		}
		if attempt == 1 && isDeadlineRace(string(out)) {
			continue
		}
		return "fail", fmt.Sprintf("FUZZ\t%s\t%s\n%s", t.pkg, t.name, out)
	}
}

// isDeadlineRace reports whether a target failed only because the time was up:
// up to Go 1.26 the coordinator can take its own deadline for a failure
// (golang/go issue 75804). What a target finds comes with an input written down.
func isDeadlineRace(out string) bool {
	return strings.Contains(out, "context deadline exceeded") && !strings.Contains(out, "Failing input") &&
		!strings.Contains(out, "panic:")
}

// lastProgress returns the number of executions from the last progress line.
func lastProgress(out string) string {
	last := "no execs"
	for line := range strings.Lines(out) {
		if _, after, found := strings.Cut(line, "execs: "); found {
			count, _, _ := strings.Cut(after, " ")
			last = count + " execs"
		}
	}
	return last
}
