package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nsagent/nsagent/agent/oidc/oidctest"
	"github.com/nsagent/nsagent/internal/needs"
)

const ciAudience = "nsagent:000102030405060708090a0b0c0d0e0f"

// runner is a machine of a CI service: a home that is empty, and a directory for what a
// job leaves to its next steps.
type runner struct {
	t    *testing.T
	home string
	env  []string
}

// newRunner returns one whose curl is the system's, and notes its arguments.
func newRunner(t *testing.T, ca string, env ...string) *runner {
	t.Helper()
	for _, program := range []string{"bash", "sha256sum", "tar"} {
		needs.Program(t, program)
	}
	r := &runner{t: t, home: t.TempDir()}
	curl := needs.Program(t, "curl")
	if err := os.Mkdir(filepath.Join(r.home, "bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	r.write("bin/curl", "#!/bin/sh\nprintf '%s\\n' \"$@\" >>\"$HOME/arguments\"\nexec "+curl+" \"$@\"\n", 0o700)
	r.write("ca.pem", ca, 0o600)
	r.env = append([]string{
		"HOME=" + r.home, "RUNNER_TEMP=" + r.home, "TMPDIR=" + r.home, "GITHUB_PATH=" + filepath.Join(r.home, "path"), "GITHUB_ENV=" + filepath.Join(r.home, "env"),
		"CURL_CA_BUNDLE=" + filepath.Join(r.home, "ca.pem"), "PATH=" + filepath.Join(r.home, "bin") + ":" + os.Getenv("PATH"),
	}, env...)
	return r
}

func (r *runner) write(name, text string, mode os.FileMode) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.home, name), []byte(text), mode); err != nil {
		r.t.Fatal(err)
	}
}

// read returns what a file of the runner holds; empty where there is none.
func (r *runner) read(name string) string {
	r.t.Helper()
	b, err := os.ReadFile(filepath.Join(r.home, name))
	if err != nil && !os.IsNotExist(err) {
		r.t.Fatal(err)
	}
	return string(b)
}

// run runs a program, and returns what it said and how it ended.
func (r *runner) run(args ...string) (out string, code int) {
	r.t.Helper()
	c := exec.Command(args[0], args[1:]...)
	c.Env, c.Dir = r.env, r.home
	b, err := c.CombinedOutput()
	if err != nil && c.ProcessState == nil {
		r.t.Fatal(err)
	}
	return string(b), c.ProcessState.ExitCode()
}

// ciFile returns the path of a template.
func ciFile(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("../../docs/ci", name))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// archive is the release: the program that was built, as releases have it.
var archive = sync.OnceValues(func() ([]byte, error) {
	program, err := os.ReadFile(filepath.Join(shared.bin, "nsagent"))
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	a := tar.NewWriter(z)
	if err = a.WriteHeader(&tar.Header{Name: "nsagent", Mode: 0o755, Size: int64(len(program))}); err == nil {
		_, err = a.Write(program)
	}
	err = errors.Join(err, a.Close(), z.Close())
	return b.Bytes(), err
})

// release serves the release, and returns the URL, the server's CA and the archive's
// SHA-256.
func release(t *testing.T) (url, ca, sum string) {
	t.Helper()
	b, err := archive()
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1.4.0/nsagent_1.4.0_linux_"+runtime.GOARCH+".tar.gz" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(b)
	}))
	t.Cleanup(s.Close)
	digest := sha256.Sum256(b)
	return s.URL, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})), hex.EncodeToString(digest[:])
}

// The action's first step installs what its checksum names, and nothing else.
func TestCIInstall(t *testing.T) {
	url, ca, sum := release(t)
	install := ciFile(t, "github/install.sh")
	r := newRunner(t, ca, "VERSION=1.4.0", "BASE_URL="+url, "SHA256="+sum)
	if out, code := r.run(install); code != 0 {
		t.Fatalf("exit %d: %s", code, out)
	}
	got, err := os.ReadFile(filepath.Join(strings.TrimSpace(r.read("path")), "nsagent"))
	if err != nil {
		t.Fatal(err)
	}
	built, err := os.ReadFile(filepath.Join(shared.bin, "nsagent"))
	if err != nil || !bytes.Equal(got, built) {
		t.Errorf("what is installed is not the release: %v", err)
	}
	tagged := newRunner(t, ca, "VERSION=v1.4.0", "BASE_URL="+url, "SHA256="+sum)
	if out, code := tagged.run(install); code != 0 {
		t.Errorf("the name of a tag: exit %d: %s", code, out)
	}
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Fatal(err)
	}
	bare := newRunner(t, ca, "VERSION=1.4.0", "BASE_URL="+url, "SHA256="+sum, "PATH="+t.TempDir())
	if out, code := bare.run(bash, install); code != 1 || out != "nsagent: this runner has no curl, which the release is fetched with\n" {
		t.Errorf("without curl: exit %d: %s", code, out)
	}
	for name, c := range map[string]struct {
		env  string
		code int
		want string
	}{
		"another checksum": {"SHA256=" + strings.Repeat("0", 64), 1, "another SHA-256"},
		"no checksum":      {"SHA256=", 2, "give the input sha256"},
		"no such release":  {"VERSION=9.9.9", 22, "404"},
		"plain http":       {"BASE_URL=http://127.0.0.1:1", 1, "not supported"},
	} {
		r := newRunner(t, ca, "VERSION=1.4.0", "BASE_URL="+url, "SHA256="+sum, c.env)
		if out, code := r.run(install); code != c.code || !strings.Contains(out, c.want) || r.read("path") != "" {
			t.Errorf("%s: exit %d, PATH %q: %s", name, code, r.read("path"), out)
		}
	}
}

// The action's second step leaves an ID token for the vault in a file of the user alone;
// neither it nor what it is asked for with is ever an argument.
func TestCIIDToken(t *testing.T) {
	issuer := oidctest.New(t)
	issuer.Job(issuer.GitHub("", time.Now()))
	url, bearer := "ACTIONS_ID_TOKEN_REQUEST_URL="+issuer.JobURL(), "ACTIONS_ID_TOKEN_REQUEST_TOKEN="+oidctest.RequestToken
	script := ciFile(t, "github/id-token.sh")
	r := newRunner(t, issuer.CA, "AUDIENCE="+ciAudience, url, bearer)
	if out, code := r.run(script); code != 0 || out != "" {
		t.Fatalf("exit %d: %s", code, out)
	}
	file, found := strings.CutPrefix(strings.TrimSpace(r.read("env")), "NSAGENT_OIDC_TOKEN_FILE=")
	if !found {
		t.Fatalf("left to the next steps: %q", r.read("env"))
	}
	token, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	parts := strings.Split(string(token), ".")
	if len(parts) != 3 || strings.ContainsAny(string(token), "\r\n ") {
		t.Fatalf("got %q", token)
	}
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || !strings.Contains(string(claims), `"aud":"`+ciAudience+`"`) {
		t.Errorf("claims: %s, %v", claims, err)
	}
	if said := r.read("arguments"); said == "" || strings.Contains(said, oidctest.RequestToken) || strings.Contains(said, parts[2]) {
		t.Errorf("arguments of curl: %s", said)
	}
	for name, c := range map[string]struct {
		env  string
		code int
		want string
	}{
		"no permission":    {"ACTIONS_ID_TOKEN_REQUEST_TOKEN=", 1, "id-token: write"},
		"another bearer":   {"ACTIONS_ID_TOKEN_REQUEST_TOKEN=x", 22, "401"},
		"another audience": {"AUDIENCE=sts.amazonaws.com", 2, "grant show"},
	} {
		r := newRunner(t, issuer.CA, "AUDIENCE="+ciAudience, url, bearer, c.env)
		if out, code := r.run(script); code != c.code || !strings.Contains(out, c.want) || r.read("env") != "" {
			t.Errorf("%s: exit %d, left %q: %s", name, code, r.read("env"), out)
		}
	}
}

// GitLab's template moves the ID token to a file before anything else runs, and installs
// as the action does. It runs in the shells that images have, and leaves to the script of
// the job, which comes in the same shell, its options and its umask.
func TestCIGitLab(t *testing.T) {
	url, ca, sum := release(t)
	before := block(t, "gitlab/nsagent.gitlab-ci.yml", "before_script")
	const set = `umask 027; set +u; was=$-` + "\n"
	const script = "\n" + `nsagent version >/dev/null || echo no nsagent
cat "$NSAGENT_OIDC_TOKEN_FILE"; echo; stat -c %a "$NSAGENT_OIDC_TOKEN_FILE"; env | grep -c NSAGENT_ID_TOKEN
umask; [ "$-" = "$was" ] && echo as before; false; echo "goes on $of_nobody"` + "\n"
	for _, shell := range []string{"bash", "dash"} {
		if !installed("ci", shell) {
			continue
		}
		env := []string{"NSAGENT_VERSION=1.4.0", "NSAGENT_SHA256=" + sum, "NSAGENT_BASE_URL=" + url}
		r := newRunner(t, ca, append(env, "NSAGENT_ID_TOKEN=a.b.c")...)
		if out, code := r.run(shell, "-c", set+before+script); code != 0 || out != "a.b.c\n600\n0\n0027\nas before\ngoes on \n" {
			t.Errorf("%s: exit %d: %s", shell, code, out)
		}
		r = newRunner(t, ca, append(env, "NSAGENT_VERSION=v1.4.0")...)
		if out, code := r.run(shell, "-c", before+"\nnsagent version >/dev/null"); code != 0 {
			t.Errorf("%s, the name of a tag: exit %d: %s", shell, code, out)
		}
		path, err := exec.LookPath(shell)
		if err != nil {
			t.Fatal(err)
		}
		bare := programs(t, "mktemp", "uname")
		r = newRunner(t, ca, append(env, "PATH="+bare)...)
		if out, code := r.run(path, "-c", before+"\necho went on"); code != 1 || out != "nsagent: this image has no curl, which the release is fetched with\n" {
			t.Errorf("%s, without curl: exit %d: %s", shell, code, out)
		}
		for _, option := range []string{"+e", "-e"} { // as GitLab's runners have it: -e
			r = newRunner(t, ca, append(env, "NSAGENT_SHA256="+strings.Repeat("0", 64))...)
			if out, code := r.run(shell, option, "-c", before+"\necho went on"); code != 1 || !strings.Contains(out, "another SHA-256") || strings.Contains(out, "went on") {
				t.Errorf("%s %s, another checksum: exit %d: %s", shell, option, code, out)
			}
			r = newRunner(t, ca, append(env, "NSAGENT_VERSION=9.9.9")...)
			if out, code := r.run(shell, option, "-c", before+"\necho went on"); code == 0 || strings.Contains(out, "SHA-256") || strings.Contains(out, "went on") {
				t.Errorf("%s %s, no such release: exit %d: %s", shell, option, code, out)
			}
		}
	}
}

// Without an audience GitLab has no ID token to give: the job for such grants asks for
// none, and the one with an ID token is the same for the rest.
func TestCIGitLabWithoutIDToken(t *testing.T) {
	b, err := os.ReadFile(ciFile(t, "gitlab/nsagent.gitlab-ci.yml"))
	if err != nil {
		t.Fatal(err)
	}
	without, with, found := strings.Cut(string(b), "\n.nsagent:\n  extends: .nsagent-without-id-token\n")
	if !found || strings.Contains(without, "\n  id_tokens:") || with != "  id_tokens:\n    NSAGENT_ID_TOKEN:\n      aud: $NSAGENT_AUDIENCE\n" {
		t.Errorf("got, with an ID token:\n%s", with)
	}
	r := newRunner(t, "")
	if out, code := r.run("sh", "-uc", block(t, "gitlab/nsagent.gitlab-ci.yml", "before_script")+`echo "file ${NSAGENT_OIDC_TOKEN_FILE-none}"`); code != 0 || out != "file none\n" {
		t.Errorf("neither token nor release: exit %d: %s", code, out)
	}
}

// programs returns a directory for PATH in which there are these programs and no others.
func programs(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		path, err := exec.LookPath(name)
		if err == nil {
			err = os.Symlink(path, filepath.Join(dir, name))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// block returns the shell text under a key of a template: a literal block of YAML.
func block(t *testing.T, name, key string) string {
	t.Helper()
	b, err := os.ReadFile(ciFile(t, name))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(b), "  "+key+":\n    - |\n")
	if !found {
		t.Fatalf("%s has no %s", name, key)
	}
	var text []string
	for line := range strings.Lines(rest) {
		inside, is := strings.CutPrefix(line, "      ")
		if !is {
			break
		}
		text = append(text, inside)
	}
	return strings.Join(text, "")
}

// Whatever the templates use is in the repository, or pinned to a commit; no input or
// secret is pasted into shell text, where its content would run.
func TestCIPinned(t *testing.T) {
	uses := regexp.MustCompile(`(?m)uses: (\S+)`)
	pinned := regexp.MustCompile(`^(\./\S*|[\w./-]+@[0-9a-f]{40})$`)
	pasted := regexp.MustCompile(`(?m)run:.*\$\{\{`)
	for _, name := range []string{"github/action.yml", "github/workflow.yml"} {
		b, err := os.ReadFile(ciFile(t, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range uses.FindAllStringSubmatch(string(b), -1) {
			if !pinned.MatchString(m[1]) {
				t.Errorf("%s uses %s, which somebody can change", name, m[1])
			}
		}
		if pasted.Match(b) {
			t.Errorf("%s pastes an expression into a shell", name)
		}
	}
	action, err := os.ReadFile(ciFile(t, "github/action.yml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []string{"install.sh", "id-token.sh"} {
		if !strings.Contains(string(action), `run: '"$GITHUB_ACTION_PATH/`+step+`"'`) {
			t.Errorf("the action does not run %s", step)
		}
	}
}
