package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/agent/oidc/oidctest"
	"github.com/nsagent/nsagent/client/nstest"
)

// jobOwner has a vault, open, with the profile acme-sb1 at a NetSuite on this machine, and
// makes bundles for CI jobs.
type jobOwner struct {
	*user
	pass     string
	url      string // to sign for
	netsuite *nstest.Server
	agent    agentProcess
}

func newJobOwner(t *testing.T) *jobOwner {
	t.Helper()
	o := &jobOwner{user: newUser(t), pass: randomHex()}
	integration := nstest.Integration{Name: "CI", ConsumerKey: randomHex(), ConsumerSecret: randomHex()}
	token := nstest.Token{TokenID: randomHex(), TokenSecret: randomHex(), ConsumerKey: integration.ConsumerKey}
	o.netsuite = nstest.New(nstest.Config{Accounts: []nstest.Account{{ID: "1234567_SB1", Integrations: []nstest.Integration{integration}, Tokens: []nstest.Token{token}}}})
	site, err := o.netsuite.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = site.Close() })
	o.url = site.URL + "/services/rest/record/v1/customer"
	o.must(o.pass, "init", "--unlock", "passphrase", "--passphrase-fd", "0", "--kdf", "low")
	o.agent, _ = o.startAgent(o.pass)
	t.Cleanup(func() { o.agent.kill() })
	o.write("profile.json", fmt.Sprintf(`{"account":"1234567_SB1","auth":"tba","endpoint":%q,"consumer_key":%q,"consumer_secret":%q,"token_id":%q,"token_secret":%q}`,
		site.URL, integration.ConsumerKey, integration.ConsumerSecret, token.TokenID, token.TokenSecret))
	o.must("", "profile", "add", "acme-sb1", "--from", filepath.Join(o.home, "profile.json"))
	return o
}

// file writes a file of the policy, and returns the line that names it.
func (o *jobOwner) file(key, name, content string) string {
	o.t.Helper()
	o.write(name, content)
	return fmt.Sprintf("%s = %q\n", key, filepath.Join(o.home, name))
}

// trust adopts a policy with an issuer, which says more of it, and returns both outputs and
// the exit code.
func (o *jobOwner) trust(issuer *oidctest.Issuer, more string) (out, said string, code int) {
	o.t.Helper()
	o.write("policy.toml", fmt.Sprintf("version = 1\n[[issuer]]\nurl = %q\n%s[[rule]]\nname = \"all\"\neffect = \"allow\"\nwhat = \"*\"\n", issuer.URL, more))
	c := o.command(o.pass, "policy", "edit", "--from", filepath.Join(o.home, "policy.toml"), "--passphrase-fd", "0")
	var stderr strings.Builder
	c.Stderr = &stderr
	b, err := c.Output()
	if err != nil && c.ProcessState == nil {
		o.t.Fatal(err)
	}
	return string(b), stderr.String(), c.ProcessState.ExitCode()
}

// mustTrust is trust for what has to work, and returns what was said.
func (o *jobOwner) mustTrust(issuer *oidctest.Issuer, more string) string {
	o.t.Helper()
	_, said, code := o.trust(issuer, more)
	if code != 0 {
		o.t.Fatalf("policy edit: exit %d\n%s", code, said)
	}
	return said
}

// githubJob are the jobs of the issuer's repository and branch.
func githubJob(i *oidctest.Issuer) string {
	return fmt.Sprintf(`{"issuer":%q,"claims":{"repository_id":"74","ref":"refs/heads/main"}}`, i.URL)
}

// gitlabJob are those of its project and branch.
func gitlabJob(i *oidctest.Issuer) string {
	return fmt.Sprintf(`{"issuer":%q,"claims":{"project_id":"22","ref":"main"}}`, i.URL)
}

// mustGrant makes a bundle for such jobs, and returns a runner with it and the audience of
// its ID tokens.
func (o *jobOwner) mustGrant(job string) (r *jobRunner, audience string) {
	o.t.Helper()
	o.write("job.json", job)
	r = &jobRunner{user: newUser(o.t), url: o.url}
	var made struct{ ID, Token string }
	if err := json.Unmarshal(o.must(o.pass, "grant", "new", "-p", "acme-sb1", "--oidc", filepath.Join(o.home, "job.json"), "--ttl", "30d",
		"--bundle", filepath.Join(r.home, "ci.bundle"), "--passphrase-fd", "0", "-o", "json"), &made); err != nil {
		o.t.Fatal(err)
	}
	var shown struct{ Audience string }
	if err := json.Unmarshal(o.must("", "grant", "show", made.ID, "-o", "json"), &shown); err != nil {
		o.t.Fatal(err)
	}
	r.token = made.Token
	return r, shown.Audience
}

// jobRunner is the machine of a job: an empty home, a bundle, and what its CI service gives.
type jobRunner struct {
	*user
	token string // unlock token
	url   string // to sign for
}

// signs is a program that signs a request, and says where it would find an ID token.
var signs = []string{"sh", "-c", `$NSAGENT sign $URL --format value -q && echo "id ${NSAGENT_OIDC_TOKEN_FILE-${NSAGENT_OIDC_TOKEN_FD-none}}"`}

// job runs signs with the bundle and an ID token.
func (r *jobRunner) job(idToken []byte) (out string, code int) {
	r.t.Helper()
	r.write("id", string(idToken))
	return r.exec([]string{"NSAGENT_OIDC_TOKEN_FILE=" + filepath.Join(r.home, "id")}, signs...)
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
	c.Env = append(append(r.command("").Env, "NSAGENT_TOKEN="+r.token, "URL="+r.url, "NSAGENT="+filepath.Join(shared.bin, "nsagent"), "PATH="+os.Getenv("PATH")), env...)
	b, err := c.CombinedOutput()
	if err != nil && c.ProcessState == nil {
		r.t.Fatal(err)
	}
	return string(b), c.ProcessState.ExitCode()
}
