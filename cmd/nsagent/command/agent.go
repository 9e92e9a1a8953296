package command

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/agent"
	"github.com/nsagent/nsagent/agent/supervise"
	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/socketpath"
	"github.com/nsagent/nsagent/internal/systemd"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

func newAgent(e *env) *cobra.Command {
	c := &cobra.Command{
		Use:   "agent",
		Short: "Run, start and stop the agent, or have systemd do it",
	}
	c.AddCommand(
		newAgentRun(e),
		newAgentStart(e),
		&cobra.Command{
			Use:   "stop",
			Short: "Lock and end the agent",
			Args:  takes(),
			RunE:  func(c *cobra.Command, _ []string) error { return stopAgent(c.Context(), e) },
		},
		newAgentEnv(e), newAgentLogs(e), newAgentInstall(e), newAgentUninstall(e),
		newAgentProcess(e),
	)
	return c
}

func newAgentRun(e *env) *cobra.Command {
	var bundle string
	c := &cobra.Command{
		Use:   "run",
		Short: "Run the agent in the foreground",
		Long: `Run the agent in the foreground, until it is interrupted or told to stop. It is
one parent without keys, and the process that holds them in a sandbox.

With --bundle it serves what the unlock token in NSAGENT_TOKEN, or that of
NSAGENT_TOKEN_FILE or NSAGENT_TOKEN_FD, opens of that file, to every program of
this user, within the limits of the token. It needs no vault, no keyring and no
terminal, and keeps what it opened in memory only.`,
		Args: takes(),
		RunE: func(c *cobra.Command, _ []string) error { return runAgent(c.Context(), e, bundle) },
	}
	c.Flags().StringVar(&bundle, "bundle", "", "serve what NSAGENT_TOKEN opens of this `FILE`")
	return c
}

func newAgentProcess(e *env) *cobra.Command {
	var passed bool
	var bundle bundleFlags
	c := &cobra.Command{
		Use:    "process",
		Hidden: true,
		Args:   takes(),
		RunE:   func(c *cobra.Command, _ []string) error { return runAgentProcess(c.Context(), e, passed, bundle) },
	}
	c.Flags().BoolVar(&passed, "passed", false, "both sockets are passed")
	c.Flags().StringVar(&bundle.file, "bundle", "", "serve this bundle")
	c.Flags().BoolVar(&bundle.idToken, "id-token", false, "an ID token is passed")
	return c
}

// runAgent is the supervisor: it has no keys, starts the agent process and lives
// as long as that does. Where systemd starts it for its sockets, it passes them on, and
// it is the one that tells systemd how the agent is: the agent can make no socket to
// do so.
//
// bundle is the file to serve, empty for the vault.
func runAgent(ctx context.Context, e *env, bundle string) error {
	p, err := e.paths()
	if err != nil {
		return err
	}
	passed, manager, err := systemd.Take(os.Getenv, os.Unsetenv)
	if err != nil {
		return notOurSockets(err)
	}
	var sockets, inputs []*os.File
	args := append([]string{"agent", "process"}, e.inherited(p)...)
	if len(passed) > 0 {
		if sockets, err = systemd.Pick(passed, p.Agent, p.Admin); err != nil {
			for _, s := range passed {
				supervise.TurnAway([]*os.File{s.File})
			}
			return notOurSockets(err)
		}
		args = append(args, "--passed")
	}
	if bundle != "" {
		e.noteReadable(e.getenv("NSAGENT_TOKEN_FILE"))
		flags, files, err := bundleToServe(bundle)
		if err != nil {
			return err
		}
		args, inputs = append(args, flags.args()...), files
	}
	tell := func(err error) {
		if err != nil {
			e.note("%s", plain(err))
		}
	}
	err = supervise.Run(ctx, supervise.Config{
		Exe: self, AgentArgs: args, KeyringArgs: []string{"keyring-helper"}, GatewayArgs: []string{"gateway"}, ExchangerArgs: []string{"exchanger"}, PrompterArgs: append([]string{"prompter"}, e.inherited(p)...),
		Env: os.Environ(), Stdout: os.Stdout, Stderr: os.Stderr,
		Sockets: sockets, Inputs: inputs,
		Ready:    func() { tell(manager.Ready("serves " + p.Agent)) },
		Stopping: func() { tell(manager.Stopping()) },
	})
	if ended := (*exec.ExitError)(nil); errors.As(err, &ended) {
		if code := ended.ExitCode(); code >= 0 {
			return exitCode(code)
		}
		return &client.Error{Code: pb.CodeInternal, Message: "the agent was killed", Why: ended.String(), Next: "see what it wrote before:  nsagent agent logs"}
	}
	return err
}

func notOurSockets(err error) error {
	return &client.Error{
		Code: pb.CodeSocket, Message: "the sockets that systemd passed cannot be used", Why: plain(err),
		Next: "look at the unit:  systemctl --user cat nsagent.socket",
	}
}

// memoryLimit is where the agent begins to collect garbage harder than it would: a
// flood of calls leaves garbage, and not 160 MiB of it. A vault of 10,000 profiles
// takes 40. At 96 MiB some floods kept the collector so busy that honest callers waited
// twice as long (docs/hostile.md).
const memoryLimit = 128 << 20

// runAgentProcess is the agent: it holds the keys. Its parent is the supervisor,
// at the other end of descriptor 3.
func runAgentProcess(ctx context.Context, e *env, passed bool, bundle bundleFlags) error {
	p, err := e.paths()
	if err != nil {
		return err
	}
	settings, err := e.config(p)
	if err != nil {
		return err
	}
	parent, err := supervise.Parent()
	if err != nil {
		return usage("this command is for the supervisor", "that starts it, with descriptors that nobody else has", "start the agent:  nsagent agent run")
	}
	debug.SetMemoryLimit(memoryLimit)
	ctx, cancel := interruptible(ctx)
	defer cancel()
	go func() {
		<-parent.Done()
		cancel()
	}()
	count := 0
	if passed {
		count = 2
	}
	given := supervise.Given(count + bundle.inputs())
	served, err := bundle.config(given[count:])
	if err != nil {
		return err
	}
	launch, prompter := parent.Launch, parent.LaunchPrompter
	if settings.Pinentry == "" {
		prompter = nil
	}
	if served != nil {
		launch = nil // a bundle is for machines without a keyring
	}
	v, _, _ := buildVersion()
	a, err := agent.New(ctx, agent.Config{
		Paths: p, Sockets: given[:count], Bundle: served, Version: v, Memory: secret.Mode(settings.Memory), IdleLock: settings.IdleLock, HardLock: settings.HardLock, Strict: settings.Durability == "strict",
		Keyring: launch, Prompter: prompter, Gateway: parent.LaunchGateway, Exchanger: parent.LaunchExchanger, Exe: parent.Exe, Evidence: evidence(parent), Listen: parent.Listen, Unlisten: parent.Unlisten, Sandbox: true, Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
		Ready: func() {
			e.say("nsagent: the agent serves %s", p.Agent)
			_ = parent.Ready() // where it is gone, the agent is about to end
		},
	})
	if err == nil {
		err = a.Run(ctx)
	}
	if err != nil {
		return agentFailure("", err)
	}
	return nil
}

// inherited returns the flags that a process of ours hands on to the next.
func (e *env) inherited(p socketpath.Paths) []string {
	var args []string
	if e.socket != "" {
		args = append(args, "--socket", p.Agent)
	}
	if e.quiet {
		args = append(args, "--quiet")
	}
	return args
}

// self is this very program, also after its file was replaced.
const self = "/proc/self/exe"
