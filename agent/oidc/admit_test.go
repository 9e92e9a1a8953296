package oidc

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/internal/unlocktoken"
)

// grantOf returns a grant with an issuer's identities, narrowed by a holder to more.
func grantOf(t *testing.T, blocks ...[]unlocktoken.Identity) *unlocktoken.Grant {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	next, nextPrivate, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := unlocktoken.Authority{Mode: unlocktoken.Attached, IssuedAt: now.Unix(), Caveats: unlocktoken.Caveats{
		Credentials: []unlocktoken.ID{{1}}, NotAfter: now.Unix() + 60, Identities: blocks[0],
	}}
	chain, err := unlocktoken.NewChain(a, next, func(m []byte) ([]byte, error) { return ed25519.Sign(private, m), nil })
	if err != nil {
		t.Fatal(err)
	}
	token, err := unlocktoken.New([32]byte{}, nil, chain, [32]byte(nextPrivate.Seed()))
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range blocks[1:] {
		if token, err = token.Narrow(unlocktoken.Caveats{Identities: b}, nil, rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	g, err := token.Chain.Read()
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func identity(issuer string, claims ...string) unlocktoken.Identity {
	i := unlocktoken.Identity{Issuer: issuer}
	for n := 0; n < len(claims); n += 2 {
		i.Claims = append(i.Claims, unlocktoken.Claim{Name: claims[n], Values: []string{claims[n+1]}})
	}
	return i
}

func TestAdmit(t *testing.T) {
	type list = []unlocktoken.Identity
	repo := identity(GitHub, "repository_id", "74")
	pull := identity(GitHub, "repository_id", "74", "event_name", "pull_request")
	project := identity(GitLab, "project_id", "22", "ref", "main")
	job := func(issuer string, claims ...string) *Identity {
		id := &Identity{Issuer: issuer, Claims: map[string]string{}}
		if issuer == GitHub {
			id.Claims = map[string]string{"repository": "acme/erp-sync", "repository_id": "74", "repository_owner_id": "65", "event_name": "push", "ref": "refs/heads/main"}
		} else if issuer == GitLab {
			id.Claims = map[string]string{"project_path": "acme/erp-sync", "project_id": "22", "namespace_id": "72", "pipeline_source": "push", "ref": "main"}
		}
		for n := 0; n < len(claims); n += 2 {
			id.Claims[claims[n]] = claims[n+1]
		}
		return id
	}
	const own = "https://ci.example"
	for name, c := range map[string]struct {
		job    *Identity
		blocks []list
		want   error
	}{
		"its repository":             {job(GitHub), []list{{repo}}, nil},
		"one of two":                 {job(GitHub), []list{{project, repo}}, nil},
		"no identity asked for":      {job(GitHub), []list{nil}, nil},
		"its project":                {job(GitLab), []list{{project}}, nil},
		"another repository":         {job(GitHub, "repository_id", "75"), []list{{repo}}, ErrScope},
		"a fork of the name":         {job(GitHub, "repository_id", "75", "repository", "acme/erp-sync"), []list{{identity(GitHub, "repository", "acme/erp-sync")}}, ErrScope},
		"by name alone":              {job(GitHub), []list{{identity(GitHub, "repository", "acme/erp-sync")}}, ErrScope},
		"the id of somebody else":    {job(GitHub), []list{{identity(GitHub, "actor_id", "1")}}, ErrScope},
		"another issuer":             {job(own, "repository_id", "74"), []list{{repo}}, ErrScope},
		"another branch":             {job(GitLab, "ref", "dev"), []list{{project}}, ErrScope},
		"pull request":               {job(GitHub, "event_name", "pull_request"), []list{{repo}}, ErrEvent},
		"pull request target":        {job(GitHub, "event_name", "pull_request_target"), []list{{repo}}, ErrEvent},
		"a deployment":               {job(GitHub, "event_name", "deployment"), []list{{repo}}, ErrEvent},
		"run after a pull request":   {job(GitHub, "event_name", "workflow_run"), []list{{repo}}, ErrEvent},
		"comment":                    {job(GitHub, "event_name", "issue_comment"), []list{{repo}}, ErrEvent},
		"event of next year":         {job(GitHub, "event_name", "new"), []list{{repo}}, ErrEvent},
		"no event":                   {job(GitHub, "event_name", ""), []list{{repo}}, ErrEvent},
		"no identity, pull request":  {job(GitHub, "event_name", "pull_request"), []list{nil}, ErrEvent},
		"pull request, named":        {job(GitHub, "event_name", "pull_request"), []list{{repo, pull}}, nil},
		"push, pull request named":   {job(GitHub), []list{{pull}}, ErrScope},
		"merge request":              {job(GitLab, "pipeline_source", "merge_request_event"), []list{{project}}, ErrEvent},
		"merge request of elsewhere": {job(GitLab, "pipeline_source", "external_pull_request_event"), []list{{project}}, ErrEvent},
		"merge request's child":      {job(GitLab, "pipeline_source", "parent_pipeline"), []list{{project}}, ErrEvent},
		"a holder names the event":   {job(GitHub, "event_name", "pull_request"), []list{{repo}, {pull}}, ErrEvent},
		"a holder narrows":           {job(GitHub), []list{{repo}, {identity(GitHub, "ref", "refs/heads/main")}}, nil},
		"a holder narrowed":          {job(GitHub), []list{{repo}, {identity(GitHub, "ref", "refs/heads/dev")}}, ErrScope},
		"a service of one's own":     {job(own, "sub", "x"), []list{{identity(own, "sub", "x")}}, nil},
		"its event is no event":      {job(own, "sub", "x", "event_name", "pull_request"), []list{{identity(own, "sub", "x")}}, nil},
		"GitHub of one's own":        {job(own, "repository", "a/b", "repository_id", "7", "repository_owner_id", "8", "event_name", "pull_request"), []list{{identity(own, "repository_id", "7")}}, ErrEvent},
	} {
		err := Admit(c.job, grantOf(t, c.blocks...))
		if (c.want == nil) != (err == nil) || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
	err := Admit(job(GitLab, "ref", "dev"), grantOf(t, list{project}))
	if want := `oidc: scope: the grant is for ref main, this job has "dev"`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestCheckIdentity(t *testing.T) {
	for name, c := range map[string]struct {
		identity unlocktoken.Identity
		ok       bool
	}{
		"by number":       {identity(GitHub, "repository_id", "74", "ref", "refs/heads/main"), true},
		"by owner":        {identity(GitHub, "repository_owner_id", "65"), true},
		"by name":         {identity(GitHub, "repository", "acme/erp-sync"), false},
		"no number":       {identity(GitHub, "repository_id", "erp-sync"), false},
		"GitLab's":        {identity(GitLab, "project_id", "22"), true},
		"GitHub's number": {identity(GitLab, "repository_id", "22"), false},
		"one's own":       {identity("https://ci.example", "sub", "x"), true},
		"no URL":          {identity("ci.example", "sub", "x"), false},
		// Grants that no job could use, or jobs of all repositories.
		"a branch of any":      {identity("https://ci.example", "ref", "refs/heads/main"), false},
		"an event of any":      {identity("https://ci.example", "ref", "refs/heads/main", "event_name", "push"), false},
		"a branch of one":      {identity("https://ci.example", "ref", "refs/heads/main", "project_path", "a/b"), true},
		"pull requests":        {identity(GitHub, "repository_id", "74", "ref", "refs/pull/1/merge"), false},
		"pull requests, named": {identity(GitHub, "repository_id", "74", "ref", "refs/pull/1/merge", "event_name", "pull_request"), true},
		"an odd name, no ref":  {identity(GitHub, "repository_id", "74", "environment", "refs/pull/1"), true},
		"merge requests":       {identity(GitLab, "project_id", "22", "ref_path", "refs/merge-requests/1/head"), false},
		// A branch goes by its whole name, as the tokens have it.
		"branches by a pattern":    {identity(GitHub, "repository_id", "74", "ref", "refs/heads/*"), false},
		"a branch, cut short":      {identity(GitHub, "repository_id", "74", "ref", "main"), false},
		"GitLab's branch":          {identity(GitLab, "project_id", "22", "ref", "main"), true},
		"GitLab's, whole":          {identity(GitLab, "project_id", "22", "ref_path", "main"), false},
		"a branch of one's own":    {identity("https://ci.example", "sub", "x", "ref", "main"), true},
		"a base by a pattern":      {identity(GitHub, "repository_id", "74", "event_name", "pull_request", "base_ref", "release/*"), false},
		"a pattern elsewhere":      {identity(GitHub, "repository_id", "74", "environment", "prod*"), true},
		"merge requests elsewhere": {identity("https://ci.example", "project_id", "22", "ref_path", "refs/merge-requests/1/head"), true},
	} {
		if err := CheckIdentity(c.identity); (err == nil) != c.ok || err != nil && !errors.Is(err, ErrConfig) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// A number that is missing is told apart from one that is none.
func TestNumbersOfAJob(t *testing.T) {
	w := newWorld(t, nil)
	for value, want := range map[any]string{nil: "the claim repository_owner_id is missing", "acme": "repository_owner_id is no number", "": "repository_owner_id is no number"} {
		_, err := w.verify(t, w.Sign(t, w.GitHub(audience, now).With("repository_owner_id", value)))
		if !errors.Is(err, ErrClaims) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got %v, want %q", value, err, want)
		}
	}
}
