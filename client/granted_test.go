package client_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/internal/unlocktoken"
)

// A job of Python or Node.js that was given an unlock token has the right of the token by
// nsagent exec, and none without: never that of the user.
func TestGrantedJobs(t *testing.T) {
	t.Parallel()
	d := startDaemon(t)
	token, err := d.mint(t.Context(), unlocktoken.Caveats{Methods: []string{"GET"}}, "acme-sb1")
	if err != nil {
		t.Fatal(err)
	}
	text := token.Text()
	file := filepath.Join(d.home, "token")
	if err := os.WriteFile(file, append(text, '\n'), 0o600); err != nil {
		t.Fatal(err)
	}
	const granted = "['acme-sb1']\nacme-sb1\nNSA-GRANT-SCOPE OutsideGrant Denied Error\nNSA-GRANT-SCOPE OutsideGrant Denied Error\n"
	const refused = "NSA-GRANT NotGranted Denied Error\nlet nsagent show it:  nsagent exec -- "
	for _, job := range []struct {
		name string
		need func(*testing.T)
		args []string
		next string
	}{
		{"python", func(t *testing.T) { needPython(t, "json") }, []string{debianPython, "-B", absolute(t, "python/tests/granted.py")}, "python3 job.py\n"},
		{"node", needNode, []string{"node", absolute(t, "node/test/granted.mjs")}, "node job.mjs\n"},
	} {
		t.Run(job.name, func(t *testing.T) {
			job.need(t)
			run := func(env string, args ...string) string {
				t.Helper()
				c := d.command()
				c.Path, c.Args = lookPath(t, args[0]), args
				c.Env = append(c.Env, "PYTHONPATH="+pythonPath(t), env)
				out, err := c.CombinedOutput()
				if err != nil {
					t.Errorf("%v: %v", args, err)
				}
				return string(out)
			}
			before := signed(t, d)
			for _, env := range []string{"NSAGENT_TOKEN=" + string(text), "NSAGENT_TOKEN=", "NSAGENT_TOKEN_FILE=" + file, "NSAGENT_TOKEN_FD=3"} {
				if got := run(env, job.args...); got != refused+job.next {
					t.Errorf("by itself: got %q", got)
				}
			}
			if after := signed(t, d); after != before {
				t.Errorf("%d signatures for jobs that were refused", after-before)
			}
			byExec := slices.Concat([]string{d.program, "exec", "-q", "--"}, job.args)
			if got := run("NSAGENT_TOKEN_FILE="+file, byExec...); got != granted {
				t.Errorf("by exec: got %q", got)
			}
			if got := signed(t, d); got != before+1 {
				t.Errorf("by exec: %d signatures on record, want 1", got-before)
			}
		})
	}
}

// signed returns how many signatures are on record.
func signed(t *testing.T, d *daemon) int {
	t.Helper()
	out, err := d.nsagent("", "audit", "query", "--event", "sign", "--outcome", "ok", "-o", "jsonl")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(out, "\n")
}

func lookPath(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}
