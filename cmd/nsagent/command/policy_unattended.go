package command

import (
	"context"

	"github.com/nsagent/nsagent/agent/policy"
	"github.com/nsagent/nsagent/client"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// noteIdle says for which profiles of a grant the policy allows nothing; of a bundle, nothing by
// itself: on a runner there is nobody to approve anything.
func (e *env) noteIdle(ctx context.Context, a *client.Admin, g *pb.Grant, bundle bool) {
	text, _, err := inForce(ctx, a)
	if err != nil || text == "" {
		return
	}
	rules, err := policy.Parse(text)
	if err != nil {
		return
	}
	l := g.GetLimits()
	for _, p := range g.GetProfiles() {
		use := policy.Use{Grant: g.GetId(), Profile: p.GetName(), Environment: p.GetEnvironment(), Kinds: l.GetKinds(), Methods: l.GetMethods(), Paths: l.GetPaths(), Scripts: l.GetScripts()}
		switch {
		case !bundle && !rules.Attended(use):
			e.note("no rule of the policy allows any of this with %s; see:  nsagent policy show", p.GetName())
		case bundle && !rules.Unattended(use):
			e.note("no rule of the policy, which is in the bundle, allows any of this with %s unless somebody approves it, and on a runner nobody does; see:  nsagent policy show", p.GetName())
		}
	}
}
