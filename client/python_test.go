package client_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/internal/needs"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// debianPython sees Debian's modules; the python3 of PATH may be another one.
const debianPython = "/usr/bin/python3"

// TestPython runs the tests of the Python package with the real libraries.
func TestPython(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for _, test := range []struct{ file, needs string }{
		{"test_agent.py", "json"}, {"test_requests.py", "requests"}, {"test_httpx.py", "httpx"}, {"test_zeep.py", "zeep"},
	} {
		t.Run(test.file, func(t *testing.T) { // one after the other: they lock and stop the agent
			needPython(t, test.needs)
			c := exec.Command(debianPython, "-B", filepath.Join("python", "tests", test.file)) // #nosec G204 -- a test of this repository
			s.run(t, c, "PYTHONPATH="+pythonPath(t), "CODES="+codes(t))
		})
	}
}

// TestPythonTypes holds the package against its own annotations.
func TestPythonTypes(t *testing.T) {
	t.Parallel()
	c := exec.Command(needs.Program(t, "mypy"), "--config-file", "pyproject.toml", "--cache-dir", t.TempDir(), "nsagent")
	c.Dir = "python"
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestPythonInstall installs the package as a user does, without a network, and
// imports what was installed.
func TestPythonInstall(t *testing.T) {
	t.Parallel()
	needPython(t, "pip")
	target := t.TempDir()
	copied := filepath.Join(t.TempDir(), "python")
	if err := os.CopyFS(copied, os.DirFS("python")); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(debianPython, "-m", "pip", "--disable-pip-version-check", "--isolated", "install", "--no-index", "--no-cache-dir", "--target", target, copied)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	c = exec.Command(debianPython, "-c", "import nsagent, importlib.metadata as m; print(nsagent.__file__, m.version('nsagent'), sorted(str(f) for f in m.files('nsagent')))")
	c.Env = append(os.Environ(), "PYTHONPATH="+target, "PYTHONDONTWRITEBYTECODE=1")
	out, err := c.CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), target) || !strings.Contains(string(out), "0.1.0") {
		t.Errorf("got %s, %v", out, err)
	}
	for _, name := range []string{"nsagent/py.typed", "nsagent/requests.py", "nsagent/httpx.py"} {
		if _, err := os.Stat(filepath.Join(target, name)); err != nil || !strings.Contains(string(out), name) {
			t.Errorf("%s is not installed: %v", name, err)
		}
	}
	if strings.Contains(string(out), "tests") || strings.Contains(string(out), "build_wheel") {
		t.Errorf("too much is installed: %s", out)
	}
}

func needPython(t *testing.T, module string) {
	t.Helper()
	needs.Python(t, module)
}

func pythonPath(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("python")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// codes returns the exit code of each error code, as JSON.
func codes(t *testing.T) string {
	t.Helper()
	table := map[string]int{}
	for _, m := range pb.Meanings() {
		table[string(m.Code)] = m.Exit
	}
	text, err := json.Marshal(table)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
