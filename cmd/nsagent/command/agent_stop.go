package command

import (
	"context"
	"time"

	"github.com/nsagent/nsagent/agent"
	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/socketpath"
)

func stopAgent(ctx context.Context, e *env) error {
	p, err := e.paths()
	if err != nil {
		return err
	}
	if err := e.manage(ctx, func(a *client.Admin) error { return a.Stop(ctx) }); err != nil {
		return nothingThere(err)
	}
	awaitEnd(ctx, p)
	if e.json() {
		return e.printJSON(struct {
			Schema  string `json:"schema"`
			Stopped bool   `json:"stopped"`
		}{"nsagent.agent-stop/v1", true})
	}
	e.say("agent stopped")
	return nil
}

// endTime bounds how long an agent takes that was told to end.
const endTime = 10 * time.Second

// awaitEnd waits until an agent that was told to end is gone from its sockets, so that
// what is typed next does not meet it.
func awaitEnd(ctx context.Context, p socketpath.Paths) {
	ctx, cancel := context.WithTimeout(ctx, endTime)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for agent.LookAtLock(p.PIDFile) == agent.LockHeld {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
