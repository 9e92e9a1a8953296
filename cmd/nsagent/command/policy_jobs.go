package command

import (
	"slices"
	"strings"

	"github.com/nsagent/nsagent/agent/oidc"
	"github.com/nsagent/nsagent/agent/policy"
	"github.com/nsagent/nsagent/internal/unlocktoken"
)

// knownIssuers returns the URLs of the issuers that count where a policy does not name them.
func knownIssuers() (urls []string) {
	for _, i := range oidc.Presets() {
		urls = append(urls, i.URL)
	}
	return urls
}

// lintPolicy returns what is hardly meant in p, as Lint does, programs that are not there, and
// the rules for jobs that no grant may name so.
func lintPolicy(p *policy.Policy) []policy.Finding {
	out := p.Lint(knownIssuers())
	never := make(map[string]bool) // by rule: what matches nothing is said already
	for _, f := range out {
		never[f.Rule] = never[f.Rule] || f.Never
	}
	for _, f := range absentPrograms(p) {
		if len(out) < policy.MaxFindings {
			out = append(out, f)
		}
	}
	for _, r := range p.Rules {
		if len(out) == policy.MaxFindings {
			break
		}
		if text := doubtfulJobs(r); text != "" && !never[r.Name] {
			out = append(out, policy.Finding{Line: r.Line, Rule: r.Name, Text: text})
		}
	}
	slices.SortStableFunc(out, func(a, b policy.Finding) int { return a.Line - b.Line })
	return out
}

// doubtfulJobs says why no grant may name jobs as r does; "" where one may. A rule that denies
// may name them by what those of other repositories have too.
func doubtfulJobs(r policy.Rule) string {
	if r.Who.OIDC == nil {
		return ""
	}
	i := unlocktoken.Identity{Issuer: r.Who.OIDC.Issuer}
	for _, c := range r.Who.OIDC.Claims {
		i.Claims = append(i.Claims, unlocktoken.Claim{Name: c.Name, Values: c.Values})
	}
	check := oidc.CheckIdentity
	if r.Effect == policy.Deny {
		check = oidc.CheckRefs
	}
	err := check(i)
	if err == nil {
		return ""
	}
	_, why, _ := strings.Cut(err.Error(), oidc.ErrConfig.Error()+": ")
	return "no grant may name jobs as it does: " + why
}
