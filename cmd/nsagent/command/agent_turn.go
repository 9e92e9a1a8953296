package command

import (
	"context"
	"encoding/hex"
	"errors"
	"path/filepath"
	"strings"
	"time"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/atomicfile"
	"github.com/nsagent/nsagent/internal/socketpath"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// turnNotice is how long a turn is waited for before that is said.
const turnNotice = time.Second

// turnToServe waits until no other exec of this user serves this bundle: one agent at a time
// counts its uses and writes its log. The caller gives the turn up.
func (e *env) turnToServe(ctx context.Context, p socketpath.Paths, bundle bundleFlags) (*atomicfile.Guard, error) {
	if err := socketpath.EnsureDir(p.StateDir); err != nil {
		return nil, agentFailure("the agent cannot be started", err)
	}
	wait, cancel := context.WithCancel(ctx)
	defer cancel()
	inside := insidePrivate(p)
	if inside {
		cancel() // the one that is waited for waits for this one
	} else {
		notice := time.AfterFunc(turnNotice, func() {
			e.note("waiting for another nsagent exec of this bundle to end; to serve many:  nsagent agent start --bundle FILE")
		})
		defer notice.Stop()
	}
	turn, err := atomicfile.Lock(wait, filepath.Join(p.StateDir, "exec-"+hex.EncodeToString(bundle.sum[:8])))
	switch {
	case err == nil:
		return turn, nil
	case inside && errors.Is(err, atomicfile.ErrBusy):
		return nil, &client.Error{Code: pb.CodeRunning, Message: "this bundle is served already", Why: "this program was run by the nsagent exec that serves it", Next: "use that one:  leave  exec --bundle  out here"}
	case ctx.Err() != nil:
		return nil, ctx.Err()
	default:
		return nil, agentFailure("the agent cannot be started", err)
	}
}

// insidePrivate reports whether this process was run by an exec that serves a bundle.
func insidePrivate(p socketpath.Paths) bool {
	rel, err := filepath.Rel(p.RuntimeDir, p.Agent)
	return p.SocketNamed && err == nil && strings.HasPrefix(rel, privatePrefix)
}
