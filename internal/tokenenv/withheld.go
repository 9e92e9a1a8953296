package tokenenv

import (
	"encoding/json"
	"io"
	"os"
	"strings"
)

// withheld says why the CI service gives a secret to no job such as this one; "" where it
// does, as far as one can see.
//
// Source: GitHub Docs, "Using secrets in GitHub Actions", "Automating Dependabot with GitHub
// Actions"; GitLab Docs, "GitLab CI/CD variables", protected variables.
func withheld() string {
	if os.Getenv("CI_COMMIT_REF_PROTECTED") == "false" && os.Getenv("GITLAB_CI") != "" {
		return "GitLab gives protected variables to jobs of protected branches and tags only"
	}
	if os.Getenv("GITHUB_ACTOR") == "dependabot[bot]" {
		return "GitHub gives Dependabot's workflows the secrets of Dependabot only"
	}
	event := os.Getenv("GITHUB_EVENT_NAME")
	if !strings.HasPrefix(event, "pull_request") || event == "pull_request_target" { // that one runs for the base
		return ""
	}
	switch fork, known := ofFork(os.Getenv("GITHUB_EVENT_PATH")); {
	case fork:
		return "GitHub does not pass secrets to workflows from forks"
	case !known:
		return "GitHub does not pass secrets to workflows from forks, nor to Dependabot's"
	}
	return ""
}

// maxEvent bounds what is read of the event of a workflow, in bytes.
const maxEvent = 4 << 20

// ofFork reports whether the event in a file is of a pull request from another repository, and
// whether that can be told.
func ofFork(path string) (fork, known bool) {
	type repository struct {
		Name string `json:"full_name"`
	}
	var event struct {
		PullRequest struct {
			Head, Base struct{ Repo *repository }
		} `json:"pull_request"`
	}
	f, err := os.Open(path) // #nosec G304 G703 -- the CI service names it
	if err != nil {
		return false, false
	}
	defer func() { _ = f.Close() }()
	if err := json.NewDecoder(io.LimitReader(f, maxEvent)).Decode(&event); err != nil || event.PullRequest.Base.Repo == nil {
		return false, false
	}
	head := event.PullRequest.Head.Repo // null once the fork is gone
	return head == nil || head.Name != event.PullRequest.Base.Repo.Name, true
}
