package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// userReason is how a test says that root cannot run it: permissions do not stop
// root.
const userReason = "not as root:"

// nobody is the user that such tests run as. It owns nothing.
const nobody = "65534"

// asNobody runs once more, as a normal user, the tests that skipped because we
// are root. The test binary keeps the directory of its package, even where that
// user could not have gone there.
func asNobody(ctx context.Context, results *results, packages []string, stdout, stderr io.Writer) error {
	wanted := results.skippedFor(userReason)
	if len(wanted) == 0 {
		return nil
	}
	all, err := listPackages(ctx, packages, false)
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "testrun")
	if err != nil {
		return fmt.Errorf("making a directory for test binaries: %w", err)
	}
	defer os.RemoveAll(tmp)
	if err := os.Chmod(tmp, 0o755); err != nil { // #nosec G302 -- nobody has to run what lies in it
		return fmt.Errorf("opening it to others: %w", err)
	}
	for i, p := range all {
		if len(wanted[p.ImportPath]) == 0 {
			continue
		}
		binary := filepath.Join(tmp, fmt.Sprintf("%d.test", i))
		build := command(ctx, "go", "test", "-c", "-o", binary, p.ImportPath)
		build.Stdout, build.Stderr = stdout, stderr
		if err := build.Run(); err != nil {
			results.packageFailed(p.ImportPath)
			continue
		}
		pattern := "^(" + strings.Join(wanted[p.ImportPath], "|") + ")$"
		if err := runAsNobody(ctx, results, p, binary, pattern, stdout, stderr); err != nil {
			return err
		}
	}
	return nil
}

// runAsNobody runs the tests of one binary that pattern names. go tool test2json
// writes what go test -json would.
func runAsNobody(ctx context.Context, results *results, p testPackage, binary, pattern string, stdout, stderr io.Writer) error {
	cmd := command(ctx, "go", "tool", "test2json", "-p", p.ImportPath,
		"setpriv", "--reuid="+nobody, "--regid="+nobody, "--clear-groups",
		// A home of root's would be of no use to that user. The go command keeps it: root would
		// make what is not there.
		"env", "HOME=/nonexistent", "TMPDIR=/tmp",
		binary, "-test.v=test2json", "-test.run="+pattern, "-test.timeout="+testTimeout.String())
	cmd.Dir, cmd.Stderr = p.Dir, stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("preparing the tests of %s: %w", p.ImportPath, err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("running the tests of %s as another user: %w", p.ImportPath, err)
	}
	failed, readErr := readEvents(out, results, stdout)
	if waitErr := cmd.Wait(); waitErr != nil && !failed && readErr == nil {
		return fmt.Errorf("running the tests of %s as another user: %w", p.ImportPath, waitErr)
	}
	return readErr
}

// skippedFor returns by package the top-level tests that gave this reason and
// never ran.
func (r *results) skippedFor(reason string) map[string][]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	found := map[string][]string{}
	for k, o := range r.tests {
		if o.passed || o.failed || !strings.Contains(o.reason, reason) {
			continue
		}
		top, _, _ := strings.Cut(k.test, "/")
		if !slices.Contains(found[k.pkg], top) {
			found[k.pkg] = append(found[k.pkg], top)
		}
	}
	return found
}
