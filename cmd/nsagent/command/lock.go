package command

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/pattern"
	"github.com/nsagent/nsagent/internal/socketpath"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

func newLock(e *env) *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use:   "lock",
		Short: "Drop every key from memory",
		Long: `Drop every key and access token from memory, and end the process that talks to
NetSuite. The agent goes on, and signs again after unlock.

--all locks every agent of yours on this machine, wherever its sockets are: the
one that --socket or NSAGENT_SOCK names, and all others that run.`,
		Example: `  nsagent lock
  nsagent lock --all`,
		Args: takes(),
		RunE: func(c *cobra.Command, _ []string) error {
			if all {
				return runLockAll(c.Context(), e)
			}
			return runLock(c.Context(), e)
		},
	}
	c.Flags().BoolVar(&all, "all", false, "lock every agent of yours on this machine")
	return c
}

// lockJSON is the outcome of lock. Agents is left out without --all.
type lockJSON struct {
	Schema string      `json:"schema"`
	Locked bool        `json:"locked"`
	Agents []agentLock `json:"agents,omitempty"`
}

// agentLock is one agent that was to be locked.
type agentLock struct {
	Socket string  `json:"socket"`
	Locked bool    `json:"locked"`
	Code   pb.Code `json:"code,omitempty"`

	err error
}

func runLock(ctx context.Context, e *env) error {
	if _, err := e.manageAnywhere(ctx, func(a *client.Admin) error { return a.Lock(ctx) }); err != nil {
		return nothingThere(err)
	}
	if e.json() {
		return e.printJSON(lockJSON{Schema: "nsagent.lock/v1", Locked: true})
	}
	e.say("locked")
	return nil
}

// runLockAll locks every agent that it finds, at once: one that does not answer keeps the
// others from nothing.
func runLockAll(ctx context.Context, e *env) error {
	p, err := e.paths()
	if err != nil {
		return err
	}
	sockets, err := adminSockets(p)
	if err != nil {
		return err
	}
	all := make([]agentLock, len(sockets))
	var group sync.WaitGroup
	for i, path := range sockets {
		group.Go(func() { all[i] = lockAgent(ctx, path) })
	}
	group.Wait()
	all = oneEach(all)
	lost := e.beyondReach(p)
	if len(all) == 0 && lost == nil {
		return &client.Error{Code: pb.CodeAgent, Message: "no agent is running", Why: "nothing is unlocked without an agent", Next: "there is nothing to lock; start one:  nsagent agent start"}
	}
	failed := slices.IndexFunc(all, func(l agentLock) bool { return !l.Locked })
	if e.json() {
		if err := e.printJSON(lockJSON{Schema: "nsagent.lock/v1", Locked: failed < 0 && lost == nil, Agents: all}); err != nil {
			return err
		}
	}
	for _, l := range all {
		if l.Locked {
			e.say("locked %s", oneLine(l.Socket))
		}
	}
	if failed < 0 {
		return lost
	}
	f := failure(all[failed].err)
	return &client.Error{Code: f.Code, Message: "an agent is not locked: that of " + filepath.Dir(all[failed].Socket), Why: f.Message, Next: "end it, which locks, too:  nsagent agent stop"}
}

// oneEach returns one outcome for each directory of sockets, which is that of one agent:
// that at its socket for managing, the others know no such call.
func oneEach(all []agentLock) []agentLock {
	var out []agentLock
	for _, l := range all {
		i := slices.IndexFunc(out, func(o agentLock) bool { return filepath.Dir(o.Socket) == filepath.Dir(l.Socket) })
		switch {
		case i < 0:
			out = append(out, l)
		case l.Locked || out[i].Code == pb.CodeVersion:
			out[i] = l
		}
	}
	return out
}

func lockAgent(ctx context.Context, path string) agentLock {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	l := agentLock{Socket: path}
	a, err := client.DialAdmin(ctx, client.WithSocket(path))
	if err == nil {
		err = a.Lock(ctx)
		_ = a.Close()
	}
	if ctx.Err() != nil {
		err = &client.Error{Code: pb.CodeAgent, Message: "it does not answer in time"}
	}
	if err != nil {
		l.Code, l.err = failure(err).Code, err
		return l
	}
	l.Locked = true
	return l
}

// adminSockets returns the sockets at which agents of this user may listen for managing:
// beside a lock that an agent holds, so that no connection has systemd start one.
func adminSockets(p socketpath.Paths) ([]string, error) {
	var out []string
	if agentHolds(filepath.Dir(p.Agent)) {
		out = append(out, p.Admin)
	}
	table, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		return out, fmt.Errorf("looking for agents: %w", err)
	}
	me := uint32(os.Geteuid()) // #nosec G115 -- a uid fits
	for _, path := range listeners(string(table)) {
		if slices.Contains(out, path) || path == p.Agent || socketpath.CheckSocket(path, me) != nil || !agentHolds(filepath.Dir(path)) {
			continue
		}
		out = append(out, path)
	}
	return out, nil
}

// listening is a line of a socket that takes connections: Num RefCount Protocol Flags
// Type St Inode Path. Of paths only absolute and clean ones count.
//
// Source: proc_net(5); include/uapi/linux/net.h.
var listening = pattern.New(`^[0-9A-Fa-f]{8,16}: [0-9A-F]{8} [0-9A-F]{8} 00010000 0001 01 +[0-9]+ (/.+)$`)

// listeners returns the paths of listening sockets in a text such as /proc/net/unix. A
// path is what somebody called it: nothing is done with it before it was looked at.
func listeners(table string) []string {
	var out []string
	for line := range strings.Lines(table) {
		m := listening().FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		if m != nil && filepath.Clean(m[1]) == m[1] && !slices.Contains(out, m[1]) {
			out = append(out, m[1])
		}
	}
	return out
}
