package command

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/unlocktoken"
)

// TestJobIdentity: a repository goes by its number, a branch by its full ref, and what is
// not understood is refused instead of left out.
func TestJobIdentity(t *testing.T) {
	const github, gitlab = "https://token.actions.githubusercontent.com", "https://gitlab.com"
	for text, want := range map[string]string{
		"github:123456789@main":         github + " ref [\"refs/heads/main\"] repository_id [\"123456789\"]",
		"github:123456789@refs/tags/v1": github + " ref [\"refs/tags/v1\"] repository_id [\"123456789\"]",
		"github:1@feature/a@b":          github + " ref [\"refs/heads/feature/a@b\"] repository_id [\"1\"]",
		"github:1":                      github + " repository_id [\"1\"]",
		"gitlab:42@main":                gitlab + " project_id [\"42\"] ref_path [\"refs/heads/main\"]",
		"github:acme/erp-sync@main":     "; ask for it:  gh api --hostname github.com repos/acme/erp-sync --jq .id",
		"gitlab:group/sub/team/erp":     "; ask for it:  glab repo view https://gitlab.com/group/sub/team/erp -F json | jq .id",
		"github:":                       "; ask for it:  gh api --hostname github.com repos/OWNER/NAME --jq .id",
		"gitlab:42x":                    "; ask for it:  glab repo view https://gitlab.com/OWNER/NAME -F json | jq .id",
		"github:$(reboot)/x":            "; ask for it:  gh api --hostname github.com repos/OWNER/NAME --jq .id",
		"github:-1":                     "number of a repository",
		"github:\u0661":                 "number of a repository",
		"github:1@":                     "no branch behind the @",
		"123456789@main":                "not github:ID or gitlab:ID",
		"GitHub:1":                      "not github:ID or gitlab:ID",
		"":                              "not github:ID or gitlab:ID",
	} {
		i, err := jobIdentity(text)
		got := i.Issuer
		for _, c := range i.Claims {
			got += fmt.Sprintf(" %s %q", c.Name, c.Values)
		}
		if fault := (*client.Error)(nil); errors.As(err, &fault) {
			got = fault.Why + "; " + fault.Next
		}
		if !strings.Contains(got, want) || strings.HasPrefix(want, "; ask") && !strings.HasSuffix(got, want) {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
		if c := (unlocktoken.Caveats{Identities: []unlocktoken.Identity{i}}); err == nil && c.Check() != nil {
			t.Errorf("%q: %v", text, c.Check())
		}
	}
}
