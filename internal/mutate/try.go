package main

import (
	"context"
	"encoding/json"
	"fmt"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"
)

// trial says on what the checks of a package are tried.
type trial struct {
	pkg     string   // its directory, such as ./agent
	files   []string // whose checks are left out; none: all
	tests   string   // as of go test -run; empty: all
	skip    string   // as of go test -skip; empty: none
	workers int

	binary  string        // the tests, compiled with switches
	flags   []string      // that it takes
	timeout time.Duration // of one run of them
}

// leaveOut leaves out each check, one at a time, and runs the tests of the package.
func (t trial) leaveOut(ctx context.Context, progress io.Writer) (report, error) {
	all, err := removals(t.pkg, t.files)
	if err != nil {
		return report{}, err
	}
	dir, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return report{}, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	t.binary = filepath.Join(dir, "test")
	if err := t.build(ctx, dir, all); err != nil {
		return report{}, err
	}
	// A property that fails is enough; a smaller case for it would take half a minute.
	rapid := []string{"-rapid.nofailfile", "-rapid.shrinktime=0s"}
	if exec.CommandContext(ctx, t.binary, append(rapid, "-test.run=^$")...).Run() == nil {
		t.flags = rapid
	}
	t.timeout = 10 * time.Minute
	begin := time.Now()
	if v, out := t.test(ctx, "none"); v != lived {
		return report{}, fmt.Errorf("the tests of %s fail without a change:\n%s", t.pkg, out)
	}
	t.timeout = 10*time.Since(begin) + 10*time.Second
	r := report{pkg: path.Clean(t.pkg), files: t.files, left: true}
	var group sync.WaitGroup
	var mu sync.Mutex // guards r and progress
	next := make(chan int)
	for range t.workers {
		group.Go(func() {
			for i := range next {
				v, _ := t.test(ctx, strconv.Itoa(i))
				mu.Lock()
				r.count(all[i].mutant, v)
				fmt.Fprintln(progress, v, all[i].file, all[i].number, all[i].kind)
				mu.Unlock()
			}
		})
	}
	for i := range all {
		next <- i
	}
	close(next)
	group.Wait()
	r.sort()
	return r, ctx.Err()
}

// build compiles the tests with a switch for each check. dir is free for its files.
func (t trial) build(ctx context.Context, dir string, all []removal) error {
	replace := make(map[string]string)
	add := func(name, text string) error {
		whole, err := filepath.Abs(name)
		if err != nil {
			return err
		}
		replace[whole] = filepath.Join(dir, filepath.Base(name))
		return os.WriteFile(replace[whole], []byte(text), 0o600)
	}
	for _, r := range all {
		source, err := os.ReadFile(r.file)
		if err == nil {
			err = add(r.file, withSwitches(r.file, string(source), all))
		}
		if err != nil {
			return err
		}
	}
	tree, err := parser.ParseFile(token.NewFileSet(), all[0].file, nil, parser.PackageClauseOnly)
	if err == nil {
		err = add(filepath.Join(t.pkg, "mutate_switch.go"), fmt.Sprintf(switchFile, tree.Name.Name))
	}
	if err != nil {
		return err
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return err
	}
	overlay := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlay, text, 0o600); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, "go", "test", "-c", "-overlay", overlay, "-vet=off", "-o", t.binary, t.pkg).CombinedOutput()
	if err != nil {
		return fmt.Errorf("compiling the tests of %s with switches: %w\n%s", t.pkg, err, out)
	}
	return nil
}

// verdict is what became of a change.
type verdict string

const (
	killed verdict = "killed"
	lived  verdict = "lived"
)

// maxFile is the longest file that tests may write, in blocks of 512 bytes: without a check
// some write without end.
const maxFile = 1 << 20

// test runs the tests without the check of that number. A run without end is a failure, and
// what it leaves is removed.
func (t trial) test(ctx context.Context, check string) (verdict, []byte) {
	tmp, err := os.MkdirTemp("", "mt")
	if err != nil {
		return killed, []byte(err.Error())
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	args := slices.Concat([]string{"-c", fmt.Sprintf(`ulimit -f %d; exec "$0" "$@"`, maxFile), t.binary}, t.flags,
		[]string{"-test.failfast", "-test.timeout", t.timeout.String(), "-test.run", t.tests, "-test.skip", t.skip})
	c := exec.CommandContext(ctx, "sh", args...) // #nosec G204 -- the tests that were compiled
	c.Dir, c.Env = t.pkg, append(os.Environ(), switchVariable+"="+check, "TMPDIR="+tmp)
	out, err := c.CombinedOutput()
	if err != nil {
		return killed, append(out, err.Error()...)
	}
	return lived, out
}
