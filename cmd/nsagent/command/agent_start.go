package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/agent"
	"github.com/nsagent/nsagent/agent/supervise"
	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/socketpath"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// startTime bounds how long the agent may take to listen, and then how long one may that
// somebody else starts. One that has taken a connection may stay silent for as long as
// package client waits.
const startTime = 10 * time.Second

// startTurnTime bounds the wait for others that start an agent at the same sockets.
const startTurnTime = time.Minute

func newAgentStart(e *env) *cobra.Command {
	var bundle string
	c := &cobra.Command{
		Use:   "start",
		Short: "Start the agent in the background",
		Long: `Start the agent in the background and wait until it answers. What it says goes
to agent.log in the state directory.

With --bundle it serves what the unlock token in NSAGENT_TOKEN, or that of
NSAGENT_TOKEN_FILE or NSAGENT_TOKEN_FD, opens of that file: for the programs of
a CI job that come after it. It ends with  nsagent agent stop.`,
		Args: takes(),
		RunE: func(c *cobra.Command, _ []string) error {
			if bundle != "" {
				return startBundleAgent(c.Context(), e, bundle)
			}
			return startAgent(c.Context(), e)
		},
	}
	c.Flags().StringVar(&bundle, "bundle", "", "serve what NSAGENT_TOKEN opens of this `FILE`")
	return c
}

// startBundleAgent starts an agent in the background that serves a bundle, and returns once
// it does. The tokens reach it by descriptors, and are in no environment of it.
func startBundleAgent(ctx context.Context, e *env, bundle string) error {
	p, err := e.paths()
	if err != nil {
		return err
	}
	e.noteReadable(e.getenv("NSAGENT_TOKEN_FILE"))
	flags, inputs, err := bundleToServe(bundle) // before package client takes the variables away
	if err != nil {
		return err
	}
	defer func() {
		for _, f := range inputs {
			_ = f.Close()
		}
	}()
	turn, err := e.turnToStart(ctx, p)
	if err != nil {
		return err
	}
	defer turn.Unlock()
	if st, err := statusAt(ctx, p.Agent); err == nil {
		return alreadyRunning(st, flags)
	}
	pid, err := e.launchAgent(ctx, p, flags, inputs)
	if err != nil {
		return err
	}
	return e.printStarted(p, pid, "nsagent status")
}

// alreadyRunning is the refusal to start an agent beside one, whose status is st, at the same
// socket. The new one was to serve a bundle, or where bundle is empty, the vault.
func alreadyRunning(st *pb.StatusResponse, bundle bundleFlags) error {
	out := &client.Error{Code: pb.CodeRunning, Message: "an agent is running already"}
	served := st.GetBundle()
	switch {
	case served == nil && bundle.file == "": // the one that was wanted
		out.Next = "see it:  nsagent status"
	case served == nil:
		out.Why = "it serves the vault, and one agent listens at a socket"
	case served.GetGrant() == bundle.grant && st.GetLocked():
		out.Why, out.Next = "it serves this bundle, and is locked", "start it again:  nsagent agent stop && nsagent agent start --bundle FILE"
	case served.GetGrant() == bundle.grant:
		out.Why, out.Next = "it serves this bundle already", "use it, and see it:  nsagent status"
	default:
		out.Why = "it serves the bundle of " + shortGrant(served.GetGrant()) + ", and one agent listens at a socket"
	}
	switch {
	case out.Next != "":
	case bundle.file == "":
		out.Next = "end it first:  nsagent agent stop"
	default:
		out.Next = "end it first:  nsagent agent stop   (or beside it:  nsagent exec --bundle FILE -- PROGRAM)"
	}
	return out
}

// startAgent starts an agent in the background, and says what comes next.
func startAgent(ctx context.Context, e *env) error {
	p, err := e.paths()
	if err != nil {
		return err
	}
	if o, there := agent.LookForOther(p); there { // it would find the log open, and say the same
		return &client.Error{Code: pb.CodeRunning, Message: "an agent is running already, on another socket", Why: o.Why(), Next: o.Next()}
	}
	if c, err := client.Dial(ctx, client.WithSocket(p.Agent), client.WithoutUnlockToken()); err == nil {
		st, err := c.Status(ctx)
		_ = c.Close()
		if err == nil && e.startedSince(st.GetPid()) {
			return e.printStarted(p, st.GetPid(), nextFor(p))
		}
		return alreadyRunning(st, bundleFlags{})
	}
	if noVaultYet(p) && client.UnlockTokenNamed() {
		return e.noVaultHere(p)
	}
	pid, err := e.launchAgent(ctx, p, bundleFlags{}, nil)
	if err != nil {
		return err
	}
	return e.printStarted(p, pid, nextFor(p))
}

// nextFor says what comes after the start of an agent with a vault.
func nextFor(p socketpath.Paths) string {
	if noVaultYet(p) {
		return "nsagent init"
	}
	return "nsagent unlock"
}

// startedSince reports whether a process is younger than this one: it is the agent that
// systemd started because we connected.
func (e *env) startedSince(pid int32) bool {
	began, err := startOf(strconv.Itoa(int(pid)))
	ours, err2 := startOf("self")
	return err == nil && err2 == nil && began >= ours
}

// startOf returns when a process was started, in clock ticks since boot (proc(5)).
func startOf(pid string) (uint64, error) {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return 0, err
	}
	// The name of the program may hold blanks and parentheses.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	const began = 22 - 3 // the first field here is the third
	if len(fields) <= began {
		return 0, errors.New("a short /proc/PID/stat")
	}
	return strconv.ParseUint(fields[began], 10, 64)
}

// printStarted says that an agent was started, and what comes next.
func (e *env) printStarted(p socketpath.Paths, pid int32, next string) error {
	if e.json() {
		return e.printJSON(struct {
			Schema string `json:"schema"`
			PID    int32  `json:"pid"`
			Socket string `json:"socket"`
		}{"nsagent.agent-start/v1", pid, p.Agent})
	}
	e.say("agent started, pid %d; next:  %s", pid, next)
	return nil
}

// launchAgent starts the supervisor in a session of its own and waits until the
// agent answers. Nothing of the caller lives on in it: no terminal, no directory, no
// descriptor, no variable that it does not need. Where it ends instead, what it said
// is printed. Where a bundle is to be served, it reads the inputs from its first descriptors.
func (e *env) launchAgent(ctx context.Context, p socketpath.Paths, bundle bundleFlags, inputs []*os.File) (pid int32, err error) {
	if err := socketpath.EnsureDir(filepath.Dir(p.LogFile)); err != nil {
		return 0, agentFailure("the agent cannot be started", err)
	}
	log, err := os.OpenFile(p.LogFile, os.O_WRONLY|os.O_CREATE|os.O_APPEND|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return 0, agentFailure("the agent's log cannot be opened", err)
	}
	defer func() { _ = log.Close() }()
	from, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, agentFailure("the agent's log cannot be opened", err)
	}
	child := exec.Command(self, append([]string{"agent", "run"}, e.inherited(p)...)...) // #nosec G204 -- this very program
	child.Args[0] = "nsagent"
	child.Stdout, child.Stderr, child.Dir = log, log, "/"
	child.Env = supervise.ChildEnv(os.Environ())
	bundle.give(child, inputs)
	child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	supervise.KeepDescriptors()
	if err := child.Start(); err != nil {
		return 0, fmt.Errorf("starting the agent: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	pid, err = awaitAgent(ctx, p.Agent, ended, func() bool { return saidRunning(p.LogFile, from) })
	if err != nil {
		e.copyLog(p.LogFile, from)
	}
	if err != nil && saidRunning(p.LogFile, from) {
		err = errors.Join(errElsewhere, err)
	}
	return pid, err
}

// errElsewhere means that another agent runs, with other sockets.
var errElsewhere = errors.New("command: an agent runs on another socket")

// awaitAgent returns the agent's pid once it answers, or why it ended. Somebody else may
// have started one at the same moment; where met says so, that is the one to wait for.
func awaitAgent(ctx context.Context, socket string, ended <-chan error, met func() bool) (int32, error) {
	late := time.NewTimer(startTime)
	defer late.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	var failure error
	for {
		over := false
		select {
		case err := <-ended:
			ended, failure = nil, errors.Join(errors.New("the agent ended at once"), err)
			if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
				failure = exitCode(exit.ExitCode())
			}
			if over = !met(); !over {
				late.Reset(startTime)
			}
		case <-late.C:
			over = true
		case <-ctx.Done():
			over = true
		case <-tick.C:
		}
		switch pid, err := agentPID(ctx, socket); {
		case err == nil:
			return pid, nil
		case !over:
		case failure != nil:
			return 0, failure
		default:
			return 0, &client.Error{Code: pb.CodeAgent, Message: "the agent does not answer", Why: "it was started, and may still come up", Next: "see what it says:  nsagent agent logs"}
		}
	}
}

// saidRunning reports whether an agent ended because another one runs, by what it wrote.
func saidRunning(log string, from int64) bool {
	f, err := os.Open(log) // #nosec G304 -- our own log
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.NewSectionReader(f, from, 64<<10))
	return err == nil && bytes.Contains(b, []byte(pb.CodeRunning))
}

// agentPID asks the agent at a socket for its process ID.
func agentPID(ctx context.Context, socket string) (int32, error) {
	st, err := statusAt(ctx, socket)
	return st.GetPid(), err
}

// statusAt asks the agent at a socket how it is, by the user's own right.
func statusAt(ctx context.Context, socket string) (*pb.StatusResponse, error) {
	c, err := client.Dial(ctx, client.WithSocket(socket), client.WithoutUnlockToken())
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }()
	return c.Status(ctx)
}

// copyLog prints what an agent that did not come up has written.
func (e *env) copyLog(path string, from int64) {
	f, err := os.Open(path) // #nosec G304 -- our own log
	if err != nil {
		return
	}
	defer func() { _ = f.Close() }()
	if _, err := f.Seek(from, io.SeekStart); err == nil {
		_, _ = io.Copy(e.stderr, io.LimitReader(f, 64<<10))
	}
}
