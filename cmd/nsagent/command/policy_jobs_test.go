package command

import (
	"strings"
	"testing"

	"github.com/nsagent/nsagent/agent/oidc"
	"github.com/nsagent/nsagent/agent/policy"
)

// A rule that names jobs as no grant may is noted, and is no fault: names of repositories can be
// taken over. One that denies may name jobs of any repository, but no branch that there cannot be.
func TestLintOfJobs(t *testing.T) {
	const (
		own    = "https://gitlab.acme.example"
		before = "no grant may name jobs as it does: "
		names  = before + "an identity of %s needs %s, a number, since names can be somebody else's tomorrow"
		github = "repository_id or repository_owner_id"
	)
	byName := strings.NewReplacer("%s needs %s", "GitHub needs "+github).Replace(names)
	for _, c := range []struct{ effect, issuer, claims, want string }{
		{"allow", oidc.GitHub, `repository_id = "1"`, ""},
		{"allow", oidc.GitHub, `repository_id = "1", repository = "acme/x"`, ""},
		{"allow", oidc.GitHub, `repository = "acme/x"`, byName},
		{"ask", oidc.GitHub, `repository_owner = "acme"`, byName},
		{"deny", oidc.GitHub, `repository = "acme/x"`, ""},
		{"allow", oidc.GitLab, `project_path = "acme/x"`, strings.NewReplacer("%s needs %s", "GitLab needs project_id or namespace_id").Replace(names)},
		{"allow", own, `project_path = "acme/x"`, ""},
		{"allow", own, `ref = "refs/heads/main"`, before + "it says on which branch or for which event a job runs, and not of which repository"},
		{"deny", own, `event_name = "pull_request"`, ""},
		{"deny", oidc.GitHub, `ref = "main"`, before + `GitHub calls a branch refs/heads/main in ref, and none "main"`},
	} {
		p, err := policy.Parse("version = 1\n[[issuer]]\nurl = \"" + own + "\"\n[[rule]]\nname = \"a\"\neffect = \"" + c.effect + "\"\nwhat = \"*\"\nwho = { oidc = { issuer = \"" + c.issuer + "\", " + c.claims + " } }\n")
		if err != nil {
			t.Fatal(err)
		}
		got := lintPolicy(p)
		if len(got) == 0 != (c.want == "") || len(got) > 0 && (len(got) > 1 || got[0] != policy.Finding{Line: 4, Rule: "a", Text: c.want}) {
			t.Errorf("%s %s of %s: got %+v, want %q", c.effect, c.claims, c.issuer, got, c.want)
		}
	}
}

// Notes on jobs stand among the others by line, are left out of what matches nothing anyway,
// and are no more than all.
func TestLintOfManyJobs(t *testing.T) {
	rule := func(name, what, who string) string {
		return "[[rule]]\nname = \"" + name + "\"\neffect = \"allow\"\nwhat = \"" + what + "\"\nwho = { oidc = { " + who + " } }\n"
	}
	const named = `issuer = "` + oidc.GitHub + `", repository = "acme/x"`
	p, err := policy.Parse("version = 1\n" + rule("a", "GET /a", named) + rule("b", "GET /b", `issuer = "https://i", ref = "x"`) + rule("c", "GET /c", named))
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, f := range lintPolicy(p) {
		order = append(order, f.Rule)
	}
	if strings.Join(order, " ") != "a b c" {
		t.Errorf("got findings on %v", order)
	}
	text := "version = 1\n"
	for i := range policy.MaxFindings + 1 {
		n := strings.Repeat("x", i%50+1) + string(rune('a'+i/50))
		text += rule(n, "GET /"+n, named)
	}
	if p, err = policy.Parse(text); err != nil {
		t.Fatal(err)
	}
	if n := len(lintPolicy(p)); n != policy.MaxFindings {
		t.Errorf("got %d findings", n)
	}
}
