package tokenenv_test

import (
	"testing"

	"github.com/nsagent/nsagent/internal/tokenenv"
)

// TestWithheldSecrets: why the job has no secret is said where the CI service gives none to
// such jobs, and only there: a pull request of the repository's own gets them.
func TestWithheldSecrets(t *testing.T) {
	const (
		own       = `{"pull_request":{"head":{"repo":{"full_name":"acme/erp"}},"base":{"repo":{"full_name":"acme/erp"}}}}`
		fork      = `{"pull_request":{"head":{"repo":{"full_name":"eve/erp"}},"base":{"repo":{"full_name":"acme/erp"}}}}`
		gone      = `{"pull_request":{"head":{"repo":null},"base":{"repo":{"full_name":"acme/erp"}}}}`
		mine      = "none such"
		forks     = "GitHub does not pass secrets to workflows from forks"
		either    = "GitHub does not pass secrets to workflows from forks, nor to Dependabot's"
		bots      = "GitHub gives Dependabot's workflows the secrets of Dependabot only"
		protected = "GitLab gives protected variables to jobs of protected branches and tags only"
	)
	for name, c := range map[string]struct {
		event string // "": there is no file
		env   map[string]string
		want  string
	}{
		"own pull request":          {own, map[string]string{"GITHUB_EVENT_NAME": "pull_request"}, mine},
		"of a fork":                 {fork, map[string]string{"GITHUB_EVENT_NAME": "pull_request"}, forks},
		"a review of one":           {fork, map[string]string{"GITHUB_EVENT_NAME": "pull_request_review"}, forks},
		"of a fork that is gone":    {gone, map[string]string{"GITHUB_EVENT_NAME": "pull_request"}, forks},
		"no event":                  {"", map[string]string{"GITHUB_EVENT_NAME": "pull_request"}, either},
		"another event":             {"{}", map[string]string{"GITHUB_EVENT_NAME": "pull_request"}, either},
		"no JSON":                   {"x", map[string]string{"GITHUB_EVENT_NAME": "pull_request"}, either},
		"half an event":             {`{"pull_request":{"head":5,"base":{"repo":{"full_name":"acme/erp"}}}}`, map[string]string{"GITHUB_EVENT_NAME": "pull_request"}, either},
		"for the base":              {fork, map[string]string{"GITHUB_EVENT_NAME": "pull_request_target"}, mine},
		"a push":                    {"{}", map[string]string{"GITHUB_EVENT_NAME": "push"}, mine},
		"Dependabot's":              {own, map[string]string{"GITHUB_EVENT_NAME": "pull_request", "GITHUB_ACTOR": "dependabot[bot]"}, bots},
		"an unprotected branch":     {"", map[string]string{"GITLAB_CI": "true", "CI_COMMIT_REF_PROTECTED": "false"}, protected},
		"a protected branch":        {"", map[string]string{"GITLAB_CI": "true", "CI_COMMIT_REF_PROTECTED": "true"}, mine},
		"the variable, elsewhere":   {"", map[string]string{"CI_COMMIT_REF_PROTECTED": "false"}, mine},
		"the actor of a push to it": {"", map[string]string{"GITHUB_EVENT_NAME": "push", "GITHUB_ACTOR": "eve"}, mine},
	} {
		t.Run(name, func(t *testing.T) {
			for _, variable := range []string{"GITHUB_EVENT_NAME", "GITHUB_ACTOR", "GITHUB_EVENT_PATH", "GITLAB_CI", "CI_COMMIT_REF_PROTECTED"} {
				t.Setenv(variable, c.env[variable])
			}
			if c.event != "" {
				t.Setenv("GITHUB_EVENT_PATH", written(t, c.event))
			}
			if e := tokenenv.UnlockToken().Missing("no token", mine); e.Why != c.want {
				t.Errorf("got %q, want %q", e.Why, c.want)
			}
			if e := tokenenv.IDToken().Missing("no token", mine); e.Why != mine {
				t.Errorf("an ID token, which is no secret: got %q", e.Why)
			}
		})
	}
}
