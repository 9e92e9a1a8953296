package command

import (
	"context"
	"time"

	"github.com/nsagent/nsagent/agent"
	"github.com/nsagent/nsagent/client"
)

func stopAgent(ctx context.Context, e *env) error {
	lock, err := e.manageAnywhere(ctx, func(a *client.Admin) error { return a.Stop(ctx) })
	if err != nil {
		return nothingThere(err)
	}
	awaitEnd(ctx, lock)
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
// what is typed next does not meet it. lock is the file beside them that it holds.
func awaitEnd(ctx context.Context, lock string) {
	ctx, cancel := context.WithTimeout(ctx, endTime)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for agent.LookAtLock(lock) == agent.LockHeld {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
