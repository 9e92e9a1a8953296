package command

import (
	"fmt"
	"strings"

	"github.com/nsagent/nsagent/internal/pattern"
	"github.com/nsagent/nsagent/internal/unlocktoken"
)

// ciService is a CI service that gives its jobs ID tokens.
type ciService struct {
	issuer string
	// repository and ref are the claims that name the repository, by its number, and what
	// of it the job runs on, such as refs/heads/main.
	repository, ref string
	// ask is the command that prints the number of the repository %s. It names the host: what
	// gh or glab take for theirs may be another, where the number is of another repository.
	ask string
}

// ciServices are those that --for knows, by their names there.
//
// Source: GitHub Docs, "OpenID Connect reference"; GitLab Docs, "OpenID Connect (OIDC)
// authentication using ID tokens", token payload; manual pages gh-api(1) and
// glab-repo-view(1).
func ciServices() map[string]ciService {
	return map[string]ciService{
		"github": {"https://token.actions.githubusercontent.com", "repository_id", "ref", "gh api --hostname github.com repos/%s --jq .id"},
		"gitlab": {"https://gitlab.com", "project_id", "ref_path", "glab repo view https://gitlab.com/%s -F json | jq .id"},
	}
}

// repositoryName is the name of a repository, with that of its owner.
var repositoryName = pattern.New(`^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)+$`)

// jobIdentity reads SERVICE:ID[@REF], such as github:123456789@main: the jobs of one
// repository, or of one branch or other ref of it.
func jobIdentity(text string) (unlocktoken.Identity, error) {
	name, rest, _ := strings.Cut(text, ":")
	service, known := ciServices()[name]
	if !known {
		return unlocktoken.Identity{}, usage("wrong value for --for", fmt.Sprintf("%.80q is not github:ID or gitlab:ID, with @BRANCH or without", text), "for other services use --oidc FILE")
	}
	id, ref, hasRef := strings.Cut(rest, "@")
	switch {
	case id == "" || strings.Trim(id, "0123456789") != "":
		if !repositoryName().MatchString(id) {
			id = "OWNER/NAME"
		}
		return unlocktoken.Identity{}, usage("wrong value for --for", "it takes the number of a repository: a name can be somebody else's tomorrow", "ask for it:  "+fmt.Sprintf(service.ask, id))
	case hasRef && ref == "":
		return unlocktoken.Identity{}, usage("wrong value for --for", "there is no branch behind the @", "leave the @ out to allow them all")
	}
	claims := map[string]claimStrings{service.repository: {id}}
	if hasRef {
		if !strings.HasPrefix(ref, "refs/") {
			ref = "refs/heads/" + ref
		}
		claims[service.ref] = claimStrings{ref}
	}
	return identityOf(identityJSON{service.issuer, claims}), nil
}
