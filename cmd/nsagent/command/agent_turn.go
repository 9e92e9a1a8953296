package command

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/atomicfile"
	"github.com/nsagent/nsagent/internal/socketpath"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

const (
	// turnNotice is how long a turn is waited for before that is said.
	turnNotice = time.Second
	// turnTime is how long a turn is waited for.
	turnTime = 5 * time.Minute
)

// turnToServe waits until no other exec of this user serves the bundle of this grant: one agent
// at a time counts its uses and writes its log, beside which the lock is. The caller gives the
// turn up.
func (e *env) turnToServe(ctx context.Context, p socketpath.Paths, grant string) (*atomicfile.Guard, error) {
	dir := filepath.Join(p.StateDir, "bundles", grant)
	if err := socketpath.EnsureDir(dir); err != nil {
		return nil, agentFailure("the agent cannot be started", err)
	}
	lock := filepath.Join(dir, "exec")
	now, cancel := context.WithCancel(ctx)
	cancel()
	turn, err := atomicfile.Lock(now, lock)
	if errors.Is(err, atomicfile.ErrBusy) && ctx.Err() == nil {
		if st := e.servesGrant(ctx, p, grant); st != nil && p.SocketNamed { // it waits for this program to end
			return nil, &client.Error{Code: pb.CodeRunning, Message: "this bundle is served already", Why: "this program was run by the nsagent exec that serves it", Next: "use that one:  leave  exec --bundle  out here"}
		}
		turn, err = e.awaitTurn(ctx, lock)
	}
	switch {
	case err == nil:
		if st := e.servesGrant(ctx, p, grant); st != nil { // which goes on until somebody ends it
			turn.Unlock()
			return nil, servedByAgent(st)
		}
		return turn, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, atomicfile.ErrBusy):
		return nil, &client.Error{
			Code: pb.CodeRunning, Message: "this bundle is served already", Why: fmt.Sprintf("another nsagent exec works with it, and did not end within %d minutes", turnTime/time.Minute),
			Next: "serve many programs by one agent:  nsagent agent start --bundle FILE",
		}
	default:
		return nil, agentFailure("the agent cannot be started", err)
	}
}

// awaitTurn waits for a lock that another exec has, and says so.
func (e *env) awaitTurn(ctx context.Context, lock string) (*atomicfile.Guard, error) {
	ctx, cancel := context.WithTimeout(ctx, turnTime)
	defer cancel()
	notice := time.AfterFunc(turnNotice, func() {
		e.note("waiting for another nsagent exec of this bundle to end, for %d minutes at most; to serve many:  nsagent agent start --bundle FILE", turnTime/time.Minute)
	})
	defer notice.Stop()
	return atomicfile.Lock(ctx, lock)
}

// servedByAgent is the refusal of exec where the agent for all programs serves the bundle.
func servedByAgent(st *pb.StatusResponse) error {
	why, next := "the agent here serves it, and one at a time works with a bundle", "use that one:  leave  --bundle  out here"
	if st.GetLocked() {
		why, next = "the agent here has it, and is locked", "start it again:  nsagent agent stop && nsagent agent start --bundle FILE"
	}
	return &client.Error{Code: pb.CodeRunning, Message: "this bundle is served already", Why: why, Next: next}
}

// servesGrant returns how the agent is that serves the bundle of this grant, at the user's
// socket or at one that somebody named, as exec does for its program; nil: it does not.
func (e *env) servesGrant(ctx context.Context, p socketpath.Paths, grant string) *pb.StatusResponse {
	if st := e.servesBundle(ctx, p); st.GetBundle().GetGrant() == grant {
		return st
	}
	return nil
}

// servesBundle returns how the agent is that serves a bundle; nil: there is none.
func (e *env) servesBundle(ctx context.Context, p socketpath.Paths) *pb.StatusResponse {
	if e.asleep(p) != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	if st, err := statusAt(ctx, p.Agent); err == nil && st.GetBundle() != nil {
		return st
	}
	return nil
}
