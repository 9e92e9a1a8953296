package client_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/nsagent/nsagent/internal/needs"
)

// TestGuide keeps docs/clients.md true: its Go stands in example_test.go, which
// runs, and its commands, its Python and its JavaScript run here.
func TestGuide(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/clients.md")
	if err != nil {
		t.Fatal(err)
	}
	code, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	g := newGuide(t)
	node := sync.OnceValue(func() string { return nodePackage(t) })
	seen := map[string]int{}
	for i, part := range strings.Split("\n"+string(page), "\n```") {
		language, text, _ := strings.Cut(part, "\n")
		if i%2 == 0 {
			continue // between blocks
		}
		seen[language]++
		switch language {
		case "go":
			if !strings.Contains(flat(string(code)), flat(text)) {
				t.Errorf("example_test.go does not have\n%s", text)
			}
		case "sh":
			for _, line := range strings.Split(text, "\n") {
				run(t, "curl", "sh", "-euc", strings.Replace(line, "curl ", "curl --fail-with-body ", 1))
			}
		case "python":
			needPython(t, "requests, httpx")
			guideRun(t, "", g.python, debianPython, "-c", text)
		case "js":
			file := filepath.Join(node(), fmt.Sprintf("guide%d.mjs", i))
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			guideRun(t, node(), g.node, "node", "--require", g.preload, file)
		default:
			t.Errorf("nothing runs a block of %q", language)
		}
	}
	if seen["go"] < 2 || seen["sh"] < 1 || seen["python"] < 4 || seen["js"] < 2 {
		t.Errorf("found %v: the reading goes wrong", seen)
	}
}

// guide is what lets the programs of the page reach NetSuite by its names.
type guide struct {
	python, node []string // environments
	preload      string   // for node
}

func newGuide(t *testing.T) guide {
	t.Helper()
	w, dir := shared(t), t.TempDir()
	_, port, err := net.SplitHostPort(strings.TrimPrefix(w.endpoint.URL, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	ca := filepath.Join(dir, "ca.pem")
	for name, text := range map[string]string{
		"ca.pem": string(w.endpoint.CAPEM),
		"sitecustomize.py": "import socket\n_real = socket.getaddrinfo\n" +
			"socket.getaddrinfo = lambda host, port, *a, **k: _real('127.0.0.1', " + port + ", *a, **k)\n",
		"preload.cjs": "const tls = require('node:tls');\nconst real = tls.connect;\n" +
			"tls.connect = (o, ...more) => real({ ...o, servername: o.servername || o.host, host: '127.0.0.1', port: " + port + " }, ...more);\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return guide{
		python:  []string{"PYTHONPATH=" + dir + ":" + pythonPath(t), "REQUESTS_CA_BUNDLE=" + ca, "SSL_CERT_FILE=" + ca, "PYTHONDONTWRITEBYTECODE=1"},
		node:    []string{"NODE_EXTRA_CA_CERTS=" + ca},
		preload: filepath.Join(dir, "preload.cjs"),
	}
}

// guideRun runs a program of the page, which has to succeed.
func guideRun(t *testing.T, dir string, env []string, args ...string) {
	t.Helper()
	c := exec.Command(args[0], args[1:]...) // #nosec G204 -- a page of this repository
	c.Dir = dir
	c.Env = append(env, "PATH="+os.Getenv("PATH"), "HOME="+t.TempDir(), "LANG=C.UTF-8", "NSAGENT_SOCK="+os.Getenv("NSAGENT_SOCK"))
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", args[len(args)-1], err, out)
	}
}

// flat removes what gofmt adds to the start of lines.
func flat(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(lines, "\n")
}

// run runs a command that has to succeed, where the program is there that it needs.
func run(t *testing.T, program string, args ...string) {
	t.Helper()
	needs.Program(t, program)
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput() // #nosec G204 -- a page of this repository
	if err != nil {
		t.Errorf("%s: %v\n%s", args[len(args)-1], err, out)
	}
}
