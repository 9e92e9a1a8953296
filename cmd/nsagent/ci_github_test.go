package main

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/nsagent/nsagent/agent/oidc/oidctest"
)

// What of GitHub's workflow syntax the templates use; another key fails the test that reads
// them.
type (
	githubStep struct {
		If, Shell, Uses, Run string
		With                 map[string]any
		Env                  map[string]string
	}
	githubAction struct {
		Name, Description string
		Inputs            map[string]struct {
			Description string
			Default     string
		}
		Runs struct {
			Using string
			Steps []githubStep
		}
	}
	githubWorkflow struct {
		Name        string
		On          map[string]any
		Permissions map[string]string
		Jobs        map[string]struct {
			RunsOn         string `yaml:"runs-on"`
			Environment    string
			TimeoutMinutes int `yaml:"timeout-minutes"`
			Steps          []githubStep
		}
	}
)

// readTemplate reads a template into v, which has all of its keys.
func readTemplate(t *testing.T, name string, v any) {
	t.Helper()
	b, err := os.ReadFile(ciFile(t, name))
	if err != nil {
		t.Fatal(err)
	}
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// githubRun runs the steps of a workflow with what GitHub gives them: the environment of r,
// the variables and secrets that they name, and what steps before have left.
type githubRun struct {
	*runner
	idToken []string // the variables of a job that may have an ID token
	inputs  map[string]string
	vars    map[string]string
	secrets map[string]string
}

// text returns a text with its expressions replaced. One that names what is not there is a
// mistake of the template, for which GitHub has an empty text.
func (g *githubRun) text(s string) string {
	g.t.Helper()
	return regexp.MustCompile(`\$\{\{ *(\w+)\.([\w-]+) *\}\}`).ReplaceAllStringFunc(s, func(expression string) string {
		kind, name, _ := strings.Cut(strings.Trim(expression, "${} "), ".")
		value, ok := map[string]map[string]string{"inputs": g.inputs, "vars": g.vars, "secrets": g.secrets}[kind][name]
		if !ok {
			g.t.Errorf("%s is nothing that the job has", expression)
		}
		return value
	})
}

// step runs a step that has a program, in the environment that it says, and takes over what
// it leaves to the next ones.
func (g *githubRun) step(s githubStep, more ...string) (out string, code int) {
	g.t.Helper()
	if s.If != "" {
		input := regexp.MustCompile(`^(inputs\.[\w-]+) != ''$`).FindStringSubmatch(s.If)
		if input == nil {
			g.t.Fatalf("the condition %q is not understood", s.If)
		}
		if g.text("${{ "+input[1]+" }}") == "" {
			return "", 0
		}
	}
	before := g.env
	g.env = append(append(g.env[:len(g.env):len(g.env)], g.idToken...), more...)
	for name, value := range s.Env {
		g.env = append(g.env, name+"="+g.text(value))
	}
	out, code = g.run("bash", "-e", "-c", g.text(s.Run))
	g.env = append(before, strings.Fields(g.read("env"))...)
	path := append(strings.Fields(g.read("path")), filepath.Join(g.home, "bin"), os.Getenv("PATH"))
	g.env = append(g.env, "PATH="+strings.Join(path, ":"))
	return out, code
}

// use runs the steps of the action.
func (g *githubRun) use(a githubAction, with map[string]any) {
	g.t.Helper()
	g.inputs = make(map[string]string)
	for name, input := range a.Inputs {
		g.inputs[name] = input.Default
	}
	for name, value := range with {
		text, ok := value.(string)
		if _, known := g.inputs[name]; !known || !ok {
			g.t.Fatalf("the action has no input %q, or no text for it", name)
		}
		g.inputs[name] = g.text(text)
	}
	for _, s := range a.Runs.Steps {
		if out, code := g.step(s, "GITHUB_ACTION_PATH="+ciFile(g.t, "github")); code != 0 {
			g.t.Fatalf("%s: exit %d: %s", s.Run, code, out)
		}
	}
	g.inputs = nil
}

// TestTemplateOfGitHub: the workflow as it is written, with the action as it is written, the
// release, the bundle and an ID token of the job, ends with a request that NetSuite takes.
func TestTemplateOfGitHub(t *testing.T) {
	var action githubAction
	var workflow githubWorkflow
	readTemplate(t, "github/action.yml", &action)
	readTemplate(t, "github/workflow.yml", &workflow)
	url, ca, sum := release(t)
	issuer := oidctest.New(t)
	issuer.Job(issuer.GitHub("", time.Now()))
	o := newJobOwner(t)
	o.mustTrust(issuer, o.file("ca_file", "ca.pem", issuer.CA))
	job, audience := o.mustGrant(githubJob(issuer))
	g := &githubRun{
		runner:  newRunner(t, ca+issuer.CA),
		vars:    map[string]string{"NSAGENT_VERSION": "1.4.0", "NSAGENT_SHA256": sum, "NSAGENT_AUDIENCE": audience},
		secrets: map[string]string{"NSAGENT_TOKEN": job.token},
	}
	if workflow.Permissions["id-token"] == "write" {
		g.idToken = []string{"ACTIONS_ID_TOKEN_REQUEST_URL=" + issuer.JobURL(), "ACTIONS_ID_TOKEN_REQUEST_TOKEN=" + oidctest.RequestToken}
	}
	g.loads(job)
	var last githubStep
	for _, s := range workflow.Jobs["load"].Steps {
		switch {
		case s.Run != "":
			last = s
			out, code := g.step(s)
			wantLoaded(t, o, out, code)
		case s.Uses == "./.github/actions/nsagent":
			with := maps.Clone(s.With)
			with["base-url"] = url // in the place of github.com
			g.use(action, with)
		case !strings.HasPrefix(s.Uses, "actions/checkout@") || s.With["persist-credentials"] != false:
			t.Errorf("%s: another action, or one that keeps the credentials of the repository", s.Uses)
		}
	}
	if out, code := g.step(last); code != 125 || !strings.Contains(out, "was used before") {
		t.Errorf("another command with the same ID token: exit %d\n%s", code, out)
	}
}
