package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nsagent/nsagent/agent/oidc/oidctest"
)

// jobRunner is the machine of a job: an empty home, a bundle, and what its CI service gives.
type jobRunner struct {
	*user
	token string // unlock token
}

// exec runs a program with the bundle; env is added to its environment. It returns what was
// said on both outputs, and the exit code.
func (r *jobRunner) exec(env []string, args ...string) (out string, code int) {
	r.t.Helper()
	return r.run(env, "sh", append([]string{"-c", `exec "$NSAGENT" exec --no-input --bundle "$HOME/ci.bundle" -- "$@"`, "sh"}, args...)...)
}

// run runs a program in the runner's environment, with the unlock token.
func (r *jobRunner) run(env []string, name string, args ...string) (out string, code int) {
	r.t.Helper()
	c := exec.Command(name, args...)
	c.Env = append(append(r.command("").Env, "NSAGENT_TOKEN="+r.token, "NSAGENT="+filepath.Join(shared.bin, "nsagent"), "PATH="+os.Getenv("PATH")), env...)
	b, err := c.CombinedOutput()
	if err != nil && c.ProcessState == nil {
		r.t.Fatal(err)
	}
	return string(b), c.ProcessState.ExitCode()
}

// mustGrantForJobs has an owner make a bundle for the jobs of an issuer whose keys the
// policy has, and returns a runner with it and the audience of its ID tokens.
func mustGrantForJobs(t *testing.T, issuer *oidctest.Issuer) (r *jobRunner, audience string) {
	t.Helper()
	u := newUser(t)
	pass := randomHex()
	u.must(pass, "init", "--unlock", "passphrase", "--passphrase-fd", "0", "--kdf", "low")
	a, _ := u.startAgent(pass)
	defer a.kill()
	u.write("profile.json", fmt.Sprintf(`{"account":"1234567_SB1","auth":"tba","consumer_key":%q,"consumer_secret":%q,"token_id":%q,"token_secret":%q}`, randomHex(), randomHex(), randomHex(), randomHex()))
	u.must("", "profile", "add", "acme-sb1", "--from", filepath.Join(u.home, "profile.json"))
	u.write("keys.json", string(issuer.JWKS(t)))
	u.write("policy.toml", fmt.Sprintf("version = 1\n[[issuer]]\nurl = %q\njwks_file = %q\n[[rule]]\nname = \"all\"\neffect = \"allow\"\nwhat = \"*\"\n", issuer.URL, filepath.Join(u.home, "keys.json")))
	u.must(pass, "policy", "edit", "--from", filepath.Join(u.home, "policy.toml"), "--passphrase-fd", "0")
	u.write("job.json", fmt.Sprintf(`{"issuer":%q,"claims":{"repository_id":"74","ref":"refs/heads/main"}}`, issuer.URL))
	r = &jobRunner{user: newUser(t)}
	var made struct{ ID, Token string }
	if err := json.Unmarshal(u.must(pass, "grant", "new", "-p", "acme-sb1", "--oidc", filepath.Join(u.home, "job.json"), "--ttl", "30d",
		"--bundle", filepath.Join(r.home, "ci.bundle"), "--passphrase-fd", "0", "-o", "json"), &made); err != nil {
		t.Fatal(err)
	}
	var shown struct{ Audience string }
	if err := json.Unmarshal(u.must("", "grant", "show", made.ID, "-o", "json"), &shown); err != nil {
		t.Fatal(err)
	}
	r.token = made.Token
	return r, shown.Audience
}

// TestBundleForOneJob: what is in users.md 5.2 of ID tokens, with the product: a bundle serves
// the job that the grant is for, once for each ID token, from a file or a descriptor, and
// says to others what is not right.
func TestBundleForOneJob(t *testing.T) {
	issuer := oidctest.New(t)
	r, audience := mustGrantForJobs(t, issuer)
	fresh := func(change func(oidctest.Claims) oidctest.Claims) string {
		claims := issuer.GitHub(audience, time.Now())
		if change != nil {
			claims = change(claims)
		}
		return string(issuer.Sign(t, claims))
	}
	with := func(name string, value any) func(oidctest.Claims) oidctest.Claims {
		return func(c oidctest.Claims) oidctest.Claims { return c.With(name, value) }
	}
	job := []string{"sh", "-c", `$NSAGENT sign https://1234567-sb1.suitetalk.api.netsuite.com/x --format value -q && echo "id ${NSAGENT_OIDC_TOKEN_FILE-${NSAGENT_OIDC_TOKEN_FD-none}}"`}
	file := []string{"NSAGENT_OIDC_TOKEN_FILE=" + filepath.Join(r.home, "id")}

	good := fresh(nil)
	r.write("id", good)
	if out, code := r.exec(file, job...); code != 0 || !strings.Contains(out, "OAuth realm=") || !strings.Contains(out, "id none") {
		t.Errorf("the job: exit %d\n%s", code, out)
	}
	r.write("id", fresh(nil))
	fd := append([]string{"-c", `exec 7<"$HOME/id"; NSAGENT_OIDC_TOKEN_FD=7 exec "$NSAGENT" exec --no-input --bundle "$HOME/ci.bundle" -- "$@"`, "sh"}, job...)
	if out, code := r.run(nil, "sh", fd...); code != 0 || !strings.Contains(out, "OAuth realm=") {
		t.Errorf("from a descriptor: exit %d\n%s", code, out)
	}

	for name, c := range map[string]struct{ id, says, code string }{
		"the same token again": {good, "was used before", "NSA-GRANT"},
		"another branch":       {fresh(with("ref", "refs/pull/41/merge")), "refs/pull/41/merge", "NSA-GRANT-SCOPE"},
		"a pull request":       {fresh(with("event_name", "pull_request")), "pull_request", "NSA-GRANT-SCOPE"},
		"another repository":   {fresh(with("repository_id", "75")), "75", "NSA-GRANT-SCOPE"},
		"another vault":        {fresh(with("aud", "nsagent:00")), "", "NSA-GRANT"},
		"over":                 {fresh(func(c oidctest.Claims) oidctest.Claims { return c.With("exp", time.Now().Add(-time.Hour).Unix()) }), "", "NSA-GRANT"},
		"no token at all":      {"", "", "NSA-GRANT"},
	} {
		r.write("id", c.id)
		out, code := r.exec(file, "sh", "-c", "echo it ran")
		if code != 125 || strings.Contains(out, "it ran") || !strings.Contains(out, "["+c.code+"]") || !strings.Contains(out, c.says) {
			t.Errorf("%s: exit %d, want 125, %s and %q\n%s", name, code, c.code, c.says, out)
		}
		if c.id != "" && strings.Contains(out, c.id) {
			t.Errorf("%s: the ID token is in what is said", name)
		}
	}
	if out, code := r.exec(nil, "true"); code != 125 || !strings.Contains(out, "none was given") {
		t.Errorf("without: exit %d\n%s", code, out)
	}
}
