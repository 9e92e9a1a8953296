// Command mutate changes the code of packages in small ways, one at a time, and runs
// their tests on each: a change that no test notices says what the tests do not look
// at. It prints the score of each package, and every change that lived.
//
// docs/mutation.md says of each of those why it does no harm. One that is not on the
// page fails the run, and so does one on the page that lives no longer. With -write the
// scores on the page are those of the run.
//
// The changes are made by gremlins, which tools/go.mod pins. With -checks they are of
// another kind: each check is left out, one at a time, those in the conditions of a
// case, too, which gremlins does not try.
//
// It is a tool of the Makefile and no part of the product.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is main with its surroundings given; it returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("mutate", flag.ContinueOnError)
	flags.SetOutput(stderr)
	name := flags.String("page", "docs/mutation.md", "page with scores and survivors")
	workers := flags.Int("workers", 2, "how many changes are tried at once")
	write := flags.Bool("write", false, "write the scores of the run to the page")
	checks := flags.Bool("checks", false, "leave out one check at a time instead")
	files := flags.String("files", "", "with -checks: only those of these files, such as a.go,b.go")
	tests := flags.String("run", "", "with -checks: only the tests that match")
	skip := flags.String("skip", "", "with -checks: without the tests that match")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	text, err := os.ReadFile(*name)
	if err != nil {
		return failed(stderr, err)
	}
	page, err := parsePage(string(text))
	if err != nil {
		return failed(stderr, err)
	}
	right := true
	for _, pkg := range flags.Args() {
		var r report
		if *checks {
			r, err = trial{pkg: pkg, files: strings.FieldsFunc(*files, isComma), tests: *tests, skip: *skip, workers: *workers}.leaveOut(ctx, stderr)
		} else {
			r, err = unleash(ctx, pkg, *workers, stderr)
		}
		if err != nil {
			return failed(stderr, err)
		}
		fmt.Fprint(stdout, r.score())
		for _, line := range page.judge(r) {
			fmt.Fprintln(stdout, line)
			right = false
		}
		page.scores[r.name()] = r.score()
	}
	if *write {
		if err := os.WriteFile(*name, []byte(page.String()), 0o644); err != nil { // #nosec G306 G703 -- a page, where its caller wants it
			return failed(stderr, err)
		}
	}
	if !right {
		return 1
	}
	return 0
}

func isComma(r rune) bool { return r == ',' }

func failed(stderr io.Writer, err error) int {
	fmt.Fprintln(stderr, "mutate:", err)
	return 1
}

// unleash runs gremlins on the package in a directory such as ./signer.
func unleash(ctx context.Context, pkg string, workers int, progress io.Writer) (report, error) {
	dir, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return report{}, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	out := filepath.Join(dir, "out.json")
	c := exec.CommandContext(ctx, "go", "tool", "-modfile=tools/go.mod", "gremlins", "unleash",
		"--workers", strconv.Itoa(workers), "--timeout-coefficient", "10", "--output", out,
		"--invert-logical", "--invert-loopctrl", "--invert-bitwise", "--invert-assignments", "--remove-self-assignments", pkg)
	c.Stdout, c.Stderr = progress, progress
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	if err := c.Run(); err != nil {
		return report{}, fmt.Errorf("gremlins on %s: %w", pkg, err)
	}
	text, err := os.ReadFile(out) // #nosec G304 -- in a directory of ours
	if err != nil {
		return report{}, err
	}
	return parseReport(pkg, text, sourceLine)
}

// sourceLine returns line n of a file, counted from 1.
func sourceLine(file string, n int) (string, error) {
	text, err := os.ReadFile(file) // #nosec G304 -- a source of this module
	if err != nil {
		return "", err
	}
	return nthLine(string(text), n)
}
