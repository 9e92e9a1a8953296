package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/agent"
	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/atomicfile"
	"github.com/nsagent/nsagent/internal/socketpath"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// needsAgent reports whether a command may start an agent. Those that look at one, or
// end it, or do without one, never do.
func needsAgent(c *cobra.Command) bool {
	for c.HasParent() && c.Parent().HasParent() {
		c = c.Parent()
	}
	switch c.Name() {
	case "agent", "audit", "completion", cobra.ShellCompRequestCmd, cobra.ShellCompNoDescRequestCmd, "demo", "doctor",
		"explain", "help", "init", "lock", "man-pages", "mock", "prompter", "status", "version":
		return false
	}
	return c.HasParent()
}

// reach connects by connect. Where there is no agent it starts one, and connects to
// that, unless the command is one that does without.
func reach[T any](ctx context.Context, e *env, p socketpath.Paths, connect func() (T, error)) (c T, err error) {
	dial := func() (T, error) {
		begun := time.Now()
		c, err := connect()
		if err == nil {
			e.connected(p.Agent, begun)
		}
		return c, err
	}
	if err := e.asleep(p); err != nil {
		// Where another agent has the vault, systemd would start one in vain.
		if other := e.elsewhere(p); other != nil || !e.needsAgent {
			return c, cmp.Or(other, err)
		}
	}
	c, err = dial()
	if err == nil || !absent(err) {
		return c, err
	}
	if other := e.elsewhere(p); other != nil {
		return c, other
	}
	started, failed := e.startOnDemand(ctx, p)
	switch {
	case failed != nil:
		return c, failed
	case !started && p.SocketNamed:
		return c, e.namedInVain(p, err)
	case !started:
		return c, err
	}
	return dial()
}

// absent reports whether nobody is there to connect to. One that does not answer, or
// cannot be trusted, is there.
func absent(err error) bool {
	return errors.Is(err, client.ErrAgent) && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED))
}

// vaultGone reports whether something is left of a vault whose file is missing.
func vaultGone(p socketpath.Paths) bool { return agent.Leftover(p) != "" }

// noVaultHere says that no agent can be started for want of a vault. Who has an unlock token
// was given a bundle with it, or is on the wrong machine, and needs no vault.
func (e *env) noVaultHere(p socketpath.Paths) error {
	if client.UnlockTokenNamed() {
		serve := "nsagent agent start --bundle FILE"
		if e.command == "nsagent "+execName {
			serve = "nsagent exec --bundle FILE -- PROGRAM"
		}
		return &client.Error{
			Code: pb.CodeNoVault, Message: "there is no agent, and no vault to start one on", Why: "an unlock token opens the bundle that came with it, or the vault that it was made in",
			Next: "serve the bundle:  " + serve,
		}
	}
	return agentFailure("", agent.NoVault(p, agent.ErrNoVault))
}

// startOnDemand starts an agent for a command that needs one. started is false where
// none may be started: the socket was named, the configuration says no, or the
// command is not one of those.
//
// Of commands that come here at once one starts it, and the others wait for that.
func (e *env) startOnDemand(ctx context.Context, p socketpath.Paths) (started bool, err error) {
	if !e.needsAgent || p.SocketNamed {
		return false, nil
	}
	settings, err := e.config(p)
	if err != nil {
		return false, err
	}
	if settings.StartByHand {
		return false, nil
	}
	if noVaultYet(p) {
		return false, e.noVaultHere(p)
	}
	turn, err := e.turnToStart(ctx, p)
	if err != nil {
		return false, err
	}
	defer turn.Unlock()
	if _, err := agentPID(ctx, p.Agent); err == nil {
		return true, nil // somebody else was faster
	}
	pid, err := e.launchAgent(ctx, p, bundleFlags{}, nil)
	if errors.Is(err, errElsewhere) { // what the command is for cannot be reached
		return false, exitCode(pb.Lookup(pb.CodeAgent).Exit)
	}
	if err != nil {
		return false, err
	}
	e.say("nsagent: started the agent, pid %d", pid)
	return true, nil
}

// turnToStart waits for the turn to start an agent at the sockets of p, which the caller gives
// up. Who has it gives it up once an agent answers; where many wait, each asks that agent
// before the next has it.
func (e *env) turnToStart(ctx context.Context, p socketpath.Paths) (*atomicfile.Guard, error) {
	if err := socketpath.EnsureDir(filepath.Dir(p.Agent)); err != nil {
		return nil, agentFailure("the agent cannot be started", err)
	}
	wait, cancel := context.WithTimeout(ctx, startTurnTime)
	defer cancel()
	turn, err := atomicfile.Lock(wait, filepath.Join(filepath.Dir(p.Agent), "start"))
	if err != nil {
		return nil, agentFailure("the agent cannot be started", fmt.Errorf("waiting for another start: %w", err))
	}
	return turn, nil
}
