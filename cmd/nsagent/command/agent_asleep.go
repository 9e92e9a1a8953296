package command

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nsagent/nsagent/agent"
	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/socketpath"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// asleep returns an error that says that no agent runs, where a connection would have
// systemd start one. A command that only looks at the agent, or ends it, is not to start
// one by that.
//
// systemd and an agent listen at the same paths; but only an agent that runs holds the
// lock beside them. Where there is no systemd, and at sockets in any other place, a
// connection tells.
func (e *env) asleep(p socketpath.Paths) error {
	dir := p.RuntimeDir
	if p.RuntimeFallback || filepath.Dir(p.Agent) != dir || filepath.Dir(p.Admin) != dir || managerOf(e.getenv) == "" {
		return nil
	}
	if fi, err := os.Lstat(p.Agent); err != nil || fi.Mode().Type() != fs.ModeSocket {
		return nil // a connection says what is the matter
	}
	switch agent.LookAtLock(p.PIDFile) {
	case agent.LockFree, agent.LockMissing:
		return errors.Join(&client.Error{
			Code: pb.CodeAgent, Message: "no agent is running", Why: "where systemd has its sockets, it starts one for the next use", Next: "start one now:  nsagent agent start",
		}, fs.ErrNotExist)
	default:
		return nil
	}
}

// nothingThere tells who wants to lock or end an agent that none runs: there is nothing
// to do, least of all to start one.
func nothingThere(err error) error {
	if f := failure(err); absent(err) {
		return &client.Error{Code: f.Code, Message: f.Message, Why: f.Why, Next: "there is nothing to do: nothing is unlocked without an agent"}
	}
	return err
}

// agentHolds reports whether an agent runs whose sockets are in a directory.
func agentHolds(dir string) bool {
	return agent.LookAtLock(filepath.Join(dir, socketpath.LockName)) == agent.LockHeld
}
