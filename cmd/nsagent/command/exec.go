package command

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/client"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

const execName = "exec"

// Exit codes of exec beside those of the program, as env(1) and timeout(1) have them.
const (
	execFailed    = 125 // nsagent's own failure
	execCannotRun = 126
	execNotFound  = 127
	execSignal    = 128 // and the number of the signal that ended the program
)

type execOptions struct {
	ttl    duration
	bundle string
}

func newExec(e *env) *cobra.Command {
	var o execOptions
	c := &cobra.Command{
		Use:   execName + " [--ttl 15m] [--bundle F] -- PROGRAM [ARGUMENT…]",
		Short: "Run a program that may sign with one profile, for some time",
		Long: `Run a program with a socket of its own in NSAGENT_SOCK, on which it may use one
profile, and the name of that in NSAGENT_PROFILE. It gets no secret, no unlock
token and no way to manage the vault. The socket ends with the program, or when
its time is over; the program goes on then, and what it asks for is refused.

Whoever is given the socket may use it, such as a container that it is mounted
into. With an unlock token in NSAGENT_TOKEN, what that allows counts there.

With --bundle no vault is needed, and no agent: one is started for the program,
on what the token in NSAGENT_TOKEN opens of that file, and ends with it. Where
GITHUB_STEP_SUMMARY names a file, as in jobs of GitHub, a table of what the
program did is appended to that.

Signals are passed on. The exit code is that of the program, or 128 and the
number of the signal that ended it; 127 if it is not found, 126 if it cannot be
run, 125 if nsagent itself fails.`,
		Example: `  nsagent exec -p acme-sb1 -- python3 sync.py
  nsagent exec --ttl 2h -- sh -c 'make load && make check'
  nsagent exec --bundle ci/nsagent.bundle -- python3 load.py`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage("no program is named", "exec runs one", "write:  nsagent exec -- PROGRAM")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error { return runExec(c.Context(), e, o, args) },
	}
	c.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		e.failureCode = execFailed
		return flagError(c, err)
	})
	f := c.Flags()
	f.SetInterspersed(false) // what follows the program is the program's
	f.StringVar(&o.bundle, "bundle", "", "use what NSAGENT_TOKEN opens of this `FILE`")
	f.Var(&o.ttl, "ttl", "the socket is good for `TIME`, at most 8h (15m where nothing is said)")
	return c
}

func runExec(ctx context.Context, e *env, o execOptions, args []string) error {
	path, err := e.lookUp(args[0])
	if err != nil {
		return err
	}
	kept := inheritedDescriptors()
	if o.bundle != "" {
		private, err := e.startPrivate(ctx, o.bundle)
		if code := exitCode(0); errors.As(err, &code) {
			return exitCode(execFailed) // the agent has said why
		}
		if err != nil {
			return err
		}
		defer private.stop()
		e.socket = private.socket
	}
	cl, err := e.dialProfile(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = cl.Close() }()
	s, err := cl.OpenSocket(ctx, client.SocketRequest{TTL: time.Duration(o.ttl)})
	if err != nil {
		return err
	}
	if _, err := os.Lstat(s.Opened.GetPath()); err != nil {
		return &client.Error{
			Code: pb.CodeSocket, Message: "the socket that the agent opened is not to be found here", Why: "the agent sees other directories, as from outside of a container",
			Next: "run the program without nsagent exec: it may use the socket that is here",
		}
	}
	kept.passOn() // an agent that was started for this call got none of them
	e.echoSocket(ctx, cl, s.Opened)
	code, err := e.runChild(&exec.Cmd{
		Path: path, Args: args, Env: execEnv(os.Environ(), s.Opened),
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	}, s)
	if use, closed := s.Close(); closed == nil {
		e.say("nsagent: %d signed, %d refused", use.GetMade(), use.GetRefused())
	}
	if o.bundle != "" {
		e.summarize(ctx, cl, s.Opened)
	}
	if err != nil {
		e.failureCode = execCannotRun
		return cannotRun(args[0], path, err)
	}
	return exitCode(code)
}

// echoSocket says on stderr what the program may use: the one profile, or all that the
// unlock token gives.
func (e *env) echoSocket(ctx context.Context, cl *client.Client, o *pb.SocketOpened) {
	if o.GetProfile() != "" {
		e.echo(o.GetProfile(), o.GetAccount(), o.GetEnvironment())
		return
	}
	all, err := cl.Profiles(ctx)
	if err != nil {
		e.say("nsagent: the profiles of the unlock token")
	}
	for _, p := range all.GetProfiles() {
		e.echo(p.GetName(), p.GetAccount(), p.GetEnvironment())
	}
}

// execEnv returns what the program gets of an environment: all but what opens or manages
// more than its socket.
func execEnv(env []string, o *pb.SocketOpened) []string {
	var out []string
	for _, kv := range env {
		name, _, _ := strings.Cut(kv, "=")
		switch {
		case strings.HasPrefix(name, "NSAGENT_TOKEN"), strings.HasPrefix(name, "NSAGENT_OIDC_TOKEN"), name == "NSAGENT_ADMIN_SOCK", name == "NSAGENT_SOCK", name == "NSAGENT_PROFILE":
		default:
			out = append(out, kv)
		}
	}
	out = append(out, "NSAGENT_SOCK="+o.GetPath())
	if o.GetProfile() != "" {
		out = append(out, "NSAGENT_PROFILE="+o.GetProfile())
	}
	return out
}
