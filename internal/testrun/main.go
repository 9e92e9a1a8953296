// Command testrun runs the tests of the module and says what really ran.
//
// It prints what go test prints, then lists by name every test that did not run,
// and ends with one line, "N passed, N failed, N skipped". A test may be left out
// for one reason only: it needs root and we are not root. Any other skip counts
// as a failure, so that a missing program never passes for a green run. As root,
// tests that need a normal user run a second time as one.
//
// It is a tool of the Makefile and no part of the product.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// options are the flags of the command.
type options struct {
	race     bool
	plain    []string      // packages to run a second time without -race
	rest     []string      // packages of which to run what -race leaves out
	noTests  bool          // fuzz only
	fuzzTime time.Duration // zero: no fuzzing
	unguided bool          // fuzz the test binaries as they are
	packages []string
	// requirements is a page with a table of what the tests show; empty: none.
	requirements string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is main with its surroundings given; it returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	opts, err := parse(args, stderr)
	if err != nil {
		return 2
	}
	stdout, stderr = &lockedWriter{w: stdout}, &lockedWriter{w: stderr}
	results := newResults(os.Geteuid() == 0)
	passes, err := opts.passes(ctx)
	if err != nil {
		fmt.Fprintln(stderr, "testrun:", err)
		return 1
	}
	if err := goTests(ctx, results, passes, stdout, stderr); err != nil {
		fmt.Fprintln(stderr, "testrun:", err)
		return 1
	}
	if results.root {
		if err := asNobody(ctx, results, opts.packages, stdout, stderr); err != nil {
			fmt.Fprintln(stderr, "testrun:", err)
			return 1
		}
	}
	if opts.fuzzTime > 0 {
		if err := fuzzAll(ctx, results, opts, stdout, stderr); err != nil {
			fmt.Fprintln(stderr, "testrun:", err)
			return 1
		}
	}
	right := true
	if opts.requirements != "" {
		all, err := readRequirements(opts.requirements)
		if err != nil {
			fmt.Fprintln(stderr, "testrun:", err)
			return 1
		}
		right = results.checkRequirements(stdout, modulePath, all)
	}
	if code := results.report(stdout); code != 0 || right {
		return code
	}
	return 1
}

// passes returns the runs of go test that the options ask for. Many tests wait for daemons,
// kernels and clocks, so that one package more than there are processors keeps these busy;
// the runs beside it are for the end of it, when the longest package is left.
func (o options) passes(ctx context.Context) ([]pass, error) {
	if o.noTests {
		return nil, nil
	}
	all := []pass{{race: o.race, packages: o.packages, atOnce: runtime.NumCPU() + 1}}
	if o.race && len(o.plain) > 0 {
		all = append(all, pass{packages: o.plain, atOnce: 1})
	}
	if o.race && len(o.rest) > 0 {
		only, packages, err := withoutRace(ctx, o.rest, o.plain)
		if err != nil {
			return nil, err
		}
		if len(only) > 0 {
			all = append(all, pass{only: only, packages: packages, atOnce: 1})
		}
	}
	return all, nil
}

// modulePath is the path of the module under test.
const modulePath = "github.com/nsagent/nsagent"

func parse(args []string, stderr io.Writer) (options, error) {
	var opts options
	var plain, rest string
	flags := flag.NewFlagSet("testrun", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.BoolVar(&opts.race, "race", false, "run with the race detector")
	flags.StringVar(&plain, "plain", "", "packages to run again without it")
	flags.StringVar(&rest, "rest", "", "packages of which to run without it the tests that it leaves out")
	flags.BoolVar(&opts.noTests, "notests", false, "fuzz only")
	flags.DurationVar(&opts.fuzzTime, "fuzztime", 0, "how long to fuzz each target; 0: not at all")
	flags.BoolVar(&opts.unguided, "unguided", false, "fuzz without coverage, so that nothing is compiled once more for it")
	flags.StringVar(&opts.requirements, "requirements", "", "page whose table of requirements must agree with the run")
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	opts.plain, opts.rest = strings.Fields(plain), strings.Fields(rest)
	opts.packages = flags.Args()
	if len(opts.packages) == 0 {
		opts.packages = []string{"./..."}
	}
	return opts, nil
}
