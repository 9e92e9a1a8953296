package readmetest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nsagent/nsagent/internal/keyringtest"
	"github.com/nsagent/nsagent/internal/realagent"
)

// passphrase is what the person of the README thinks of.
const passphrase = "correct horse battery staple"

// world is a machine to follow the README on.
type world struct {
	bin, mock string // directories: the program, what nsagent mock wrote
	address   string // of the mock
	verdicts  *bytes.Buffer
}

// TestReadme runs the blocks of the developer and of the CI runner, in order.
func TestReadme(t *testing.T) {
	w := newWorld(t)
	session := keyringtest.Start(t, keyringtest.Unlocked)
	developer := w.home(t, session.Home, session.RuntimeDir, session.Env()...)
	w.credential(t, filepath.Join(developer.dir, "acme-sb1.json"))
	runner := t.TempDir()
	ci := w.home(t, runner, filepath.Join(runner, "run"))

	var transcript block
	for _, b := range readme(t) {
		switch {
		case b.language == "console":
			transcript = b
		case b.home == "developer":
			developer.run(t, b)
		case b.home == "ci":
			ci.take(t, developer)
			ci.run(t, b)
		}
	}
	for _, want := range []string{`"totalResults":25`, "ok\n", `"authorization":"OAuth realm=`, "\n25\n"} {
		if !strings.Contains(developer.stdout.String(), want) {
			t.Errorf("the developer did not see %q:\n%s\non the terminal:\n%s", want, developer.stdout.String(), developer.screen)
		}
	}
	if !strings.Contains(ci.stdout.String(), "Authorization: OAuth realm=") {
		t.Errorf("the CI runner got no header:\n%s\n%s", ci.stdout.String(), ci.screen)
	}
	developer.follow(t, transcript)
}

// TestBuild runs the commands of the section on installing, in the repository
// itself, and installs into a directory of the test.
func TestBuild(t *testing.T) {
	for _, b := range readme(t) {
		if b.home != "build" {
			continue
		}
		cmd := exec.Command("sh", "-eu", "-c", b.text)
		cmd.Dir = "../.."
		root := t.TempDir()
		cmd.Env = append(os.Environ(), "DESTDIR="+root, "MAKEFLAGS=", "MAKELEVEL=")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("README.md:%d: %v\n%s", b.line, err, out)
		}
		if _, err := os.Stat(filepath.Join(root, "usr/local/bin/nsagent")); err != nil {
			t.Errorf("README.md:%d: %v", b.line, err)
		}
	}
}

// newWorld builds nsagent and starts its mock.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{bin: t.TempDir(), mock: t.TempDir(), verdicts: &bytes.Buffer{}}
	if _, err := realagent.Build(t.Context(), w.bin); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	mock := exec.CommandContext(ctx, filepath.Join(w.bin, "nsagent"), "mock", "--tls", "--profiles", w.mock)
	mock.Cancel = func() error { return mock.Process.Signal(os.Interrupt) }
	mock.WaitDelay = 5 * time.Second
	mock.Stderr = w.verdicts
	out, err := mock.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := mock.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		_ = mock.Wait()
		if t.Failed() {
			t.Logf("the mock said:\n%s", w.verdicts)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("reading the mock's address: %v", err)
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	w.address = strings.TrimPrefix(strings.TrimSpace(line), "https://")
	return w
}

// credential returns the mock's sandbox profile without its endpoint, as somebody
// with a real account has it, and writes it to a file if one is named.
func (w *world) credential(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(w.mock, "1234567-sb1.json"))
	if err != nil {
		t.Fatal(err)
	}
	profile := map[string]any{}
	if err := json.Unmarshal(text, &profile); err != nil {
		t.Fatal(err)
	}
	delete(profile, "endpoint")
	delete(profile, "ca_file")
	if text, err = json.Marshal(profile); err != nil {
		t.Fatal(err)
	}
	if file != "" {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return string(text)
}

// redirect makes Python take the mock for every host, as curl does by .curlrc.
const redirect = `import socket
_real = socket.getaddrinfo
def _getaddrinfo(host, port, *args, **kwargs):
    return _real("127.0.0.1", %s, *args, **kwargs)
socket.getaddrinfo = _getaddrinfo
`

// home is somebody's home directory with a shell in it.
type home struct {
	dir    string
	env    []string
	shell  string // what the next block inherits from those before
	stdout bytes.Buffer
	screen string
}

// home makes dir one, where the names of NetSuite lead to the mock.
func (w *world) home(t *testing.T, dir, runtime string, env ...string) *home {
	t.Helper()
	h := &home{dir: dir}
	python := filepath.Join(dir, "python")
	for _, dir := range []string{runtime, python} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	_, port, _ := strings.Cut(w.address, ":")
	ca := filepath.Join(w.mock, "ca.pem")
	for name, text := range map[string]string{
		".curlrc":                 fmt.Sprintf("connect-to = \"::%s\"\ncacert = %q\nfail\n", w.address, ca),
		"python/sitecustomize.py": fmt.Sprintf(redirect, port),
	} {
		if err := os.WriteFile(filepath.Join(h.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h.env = append([]string{
		"HOME=" + dir, "XDG_RUNTIME_DIR=" + runtime, "PATH=" + w.bin + ":" + os.Getenv("PATH"),
		"PYTHONPATH=" + python, "SSL_CERT_FILE=" + ca, "LANG=C.UTF-8",
	}, env...)
	t.Cleanup(func() {
		stop := exec.Command(filepath.Join(w.bin, "nsagent"), "--no-input", "agent", "stop")
		stop.Env = h.env
		_ = stop.Run()
		if t.Failed() {
			t.Logf("on the terminal stood:\n%s\nand on stdout:\n%s", h.screen, h.stdout.String())
		}
	})
	return h
}

// take gives a job what the developer made for it: the bundle by its repository, and the
// token by the secrets of the CI system.
func (h *home) take(t *testing.T, developer *home) {
	t.Helper()
	bundle, err := os.ReadFile(filepath.Join(developer.dir, "nsagent.bundle"))
	if err == nil {
		err = os.WriteFile(filepath.Join(h.dir, "nsagent.bundle"), bundle, 0o644) // #nosec G306 -- it may be committed
	}
	token, terr := os.ReadFile(filepath.Join(developer.dir, "token"))
	if err := errors.Join(err, terr); err != nil {
		t.Fatal(err)
	}
	h.env = append(h.env, "NSAGENT_TOKEN="+strings.TrimSpace(string(token)))
}

// run runs a block; variables that a line of a shell block exports last to the next one.
func (h *home) run(t *testing.T, b block) {
	t.Helper()
	script := h.shell + b.text
	if b.language == "python" {
		script = h.shell + "/usr/bin/python3 - <<'PYTHON'\n" + b.text + "PYTHON\n"
	}
	if err := h.sh(t, script); err != nil {
		t.Fatalf("README.md:%d: %v\non the terminal:\n%s", b.line, err, h.screen)
	}
	for _, m := range exported.FindAllString(b.text, -1) {
		h.shell += m + "\n"
	}
}

var exported = regexp.MustCompile(`(?m)^(export|eval) .*$`)

// sh runs a script on a terminal.
func (h *home) sh(t *testing.T, script string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.Command("sh", "-eu", "-c", script)
	cmd.Dir, cmd.Env = h.dir, h.env
	screen, err := typist(t, ctx, cmd, passphrase, &h.stdout)
	h.screen += screen
	return err
}

// follow types the commands of a transcript and compares what comes with what it
// shows; "…" stands for anything.
func (h *home) follow(t *testing.T, b block) {
	t.Helper()
	var script, want strings.Builder
	for line := range strings.Lines(b.text) {
		if command, is := strings.CutPrefix(line, "$ "); is {
			script.WriteString(strings.TrimSuffix(command, "\n") + " || true\n")
		} else {
			want.WriteString(line)
		}
	}
	shown, before := h.stdout.Len(), len(h.screen)
	if err := h.sh(t, "exec 2>&1\n"+script.String()); err != nil {
		t.Fatalf("README.md:%d: %v\non the terminal:\n%s", b.line, err, h.screen[before:])
	}
	parts := strings.Split(strings.TrimSpace(want.String()), "…")
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	got := strings.TrimSpace(h.stdout.String()[shown:])
	if !regexp.MustCompile("(?s)^" + strings.Join(parts, ".*") + "$").MatchString(got) {
		t.Errorf("README.md:%d: the transcript shows\n%s\nbut it is\n%s", b.line, want.String(), got)
	}
}
