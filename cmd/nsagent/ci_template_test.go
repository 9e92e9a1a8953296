package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nsagent/nsagent/agent/oidc/oidctest"
	"github.com/nsagent/nsagent/internal/needs"
)

// load is the program of a job: it signs a request with what exec gives it, and sends it.
const load = `import os, urllib.request
import nsagent
with nsagent.Agent() as agent:
    signed = agent.sign(os.environ["URL"])
r = urllib.request.Request(signed.url, headers={"Authorization": signed.authorization})
print("NetSuite says", urllib.request.urlopen(r).status)
`

// loads makes r the runner of a job with the bundle and the token of another, and the
// repository checked out: bundle and program.
func (r *runner) loads(job *jobRunner) {
	r.t.Helper()
	needs.Program(r.t, "/usr/bin/python3")
	bundle, err := os.ReadFile(filepath.Join(job.home, "ci.bundle"))
	if err != nil {
		r.t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(r.home, "ci"), 0o700); err != nil {
		r.t.Fatal(err)
	}
	r.write("ci/nsagent.bundle", string(bundle), 0o600)
	r.write("load.py", load, 0o600)
	if err := os.Symlink("/usr/bin/python3", filepath.Join(r.home, "bin", "python")); err != nil {
		r.t.Fatal(err)
	}
	packages, err := filepath.Abs("../../client/python")
	if err != nil {
		r.t.Fatal(err)
	}
	r.env = append(r.env, "URL="+job.url, "PYTHONPATH="+packages, "PYTHONDONTWRITEBYTECODE=1")
}

// line returns what the first group of a pattern is in a template.
func line(t *testing.T, name, pattern string) string {
	t.Helper()
	b, err := os.ReadFile(ciFile(t, name))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(pattern).FindSubmatch(b)
	if m == nil {
		t.Fatalf("%s has nothing like %s", name, pattern)
	}
	return string(m[1])
}

// wantLoaded fails unless the job went well, at NetSuite too.
func wantLoaded(t *testing.T, o *jobOwner, out string, code int) {
	t.Helper()
	verdicts := o.netsuite.Verdicts()
	if code != 0 || !strings.Contains(out, "NetSuite says 200\n") || !strings.Contains(out, "1 signed, 0 refused") || len(verdicts) != 1 || !verdicts[0].OK {
		t.Errorf("exit %d, at NetSuite %+v\n%s", code, verdicts, out)
	}
}

// TestTemplateOfGitLab: the same with the template for GitLab, in one shell as its runners
// have it.
func TestTemplateOfGitLab(t *testing.T) {
	url, ca, sum := release(t)
	issuer := oidctest.New(t)
	o := newJobOwner(t)
	o.mustTrust(issuer, o.file("ca_file", "ca.pem", issuer.CA))
	job, audience := o.mustGrant(gitlabJob(issuer))
	r := newRunner(t, ca, "NSAGENT_VERSION=1.4.0", "NSAGENT_BASE_URL="+url, "NSAGENT_SHA256="+sum, "NSAGENT_TOKEN="+job.token,
		"NSAGENT_ID_TOKEN="+string(issuer.Sign(t, issuer.GitLab(audience, time.Now()))))
	r.loads(job)
	script := line(t, "gitlab/nsagent.gitlab-ci.yml", `script: \[(nsagent exec .*)\]`)
	out, code := r.run("bash", "-e", "-c", block(t, "gitlab/nsagent.gitlab-ci.yml", "before_script")+script)
	wantLoaded(t, o, out, code)
}
