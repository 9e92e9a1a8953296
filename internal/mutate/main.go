// Command mutate changes the code of packages in small ways, one at a time, and runs
// their tests on each: a change that no test notices says what the tests do not look
// at. It prints the score of each row of tools/mutation.toml, or of those that are named,
// and every change that lived.
//
// docs/mutation.md says of each of those why it does no harm. One that is not on the
// page fails the run, and so does one on the page that lives no longer. With -write the
// page gets the score of a row once each of its changes is accounted for.
//
// Each check is left out, one at a time, those in the conditions of a case, too; or the
// changes are those of gremlins, which tools/go.mod pins and which does not try that.
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
	table := flags.String("rows", "tools/mutation.toml", "what is tried")
	workers := flags.Int("workers", 2, "how many changes are tried at once")
	write := flags.Bool("write", false, "write the scores of the run to the page")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	rows, err := readRows(*table, flags.Args())
	if err != nil {
		return failed(stderr, err)
	}
	code := 0
	for _, row := range rows {
		r, err := row.try(ctx, *workers, stderr)
		if err != nil {
			return failed(stderr, err)
		}
		fmt.Fprint(stdout, r.score())
		wrong, err := account(*name, r, *write)
		if err != nil {
			return failed(stderr, err)
		}
		for _, line := range wrong {
			fmt.Fprintln(stdout, line)
			code = 1
		}
	}
	return code
}

// account returns what is wrong between a report and the page of that name. If nothing is,
// and write is set, the page has the score from then on.
func account(name string, r report, write bool) (wrong []string, err error) {
	text, err := os.ReadFile(name) // #nosec G304 -- a page of this module
	if err != nil {
		return nil, err
	}
	p, err := parsePage(string(text))
	if err != nil {
		return nil, err
	}
	if wrong = p.judge(r); len(wrong) > 0 || !write {
		return wrong, nil
	}
	p.scores[r.name()] = r.score()
	return nil, os.WriteFile(name, []byte(p.String()), 0o644) // #nosec G306 G703 -- a page, where its caller wants it
}

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
