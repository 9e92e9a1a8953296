package command

import (
	"context"

	"github.com/nsagent/nsagent/agent/policy"
	"github.com/nsagent/nsagent/agent/supervise"
)

// evidence has the supervisor look at a process for the agent, whose sandbox hides it.
func evidence(parent *supervise.Link) func(context.Context, int32, policy.Facts) (policy.Evidence, error) {
	return func(ctx context.Context, pid int32, asked policy.Facts) (policy.Evidence, error) {
		p, err := parent.Process(ctx, pid, asked&policy.FactHash != 0)
		if err != nil {
			return policy.Evidence{}, err
		}
		e := policy.Evidence{Exe: p.Exe, SHA256: p.SHA256, Unit: p.Unit, Container: p.Container, TTY: p.Terminal == "yes"}
		for fact, known := range map[policy.Facts]bool{
			policy.FactExe: p.Exe != "", policy.FactHash: p.SHA256 != "", policy.FactCgroup: p.Cgroup, policy.FactTTY: p.Terminal != "",
		} {
			if known {
				e.Known |= fact
			}
		}
		return e, nil
	}
}
