package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/config"
	"github.com/nsagent/nsagent/internal/socketpath"
	"github.com/nsagent/nsagent/internal/term"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// env is what a command may touch of the world, and the global flags.
type env struct {
	stdin  io.Reader
	stdout *sink
	stderr io.Writer
	getenv func(string) string
	// screen and errScreen are what stdout and stderr are shown on.
	screen, errScreen screen
	// turn is what this process has of the turn at its terminal.
	turn term.Turn

	profile, output, socket string
	quiet, verbose, noInput bool

	// command is how the command that runs is called, such as "nsagent profile ls".
	command string
	// auditDir is where the audit log is that is to be read; empty: where this machine has it.
	auditDir string
	// failureCode is the exit code of every failure of the command; 0 means that the code of
	// the error says it.
	failureCode int
	// needsAgent is true for a command that starts an agent where there is none.
	needsAgent bool
}

func (e *env) checkGlobals() error {
	if e.output != "text" && e.output != "json" && e.output != "jsonl" {
		return usage(fmt.Sprintf("unknown output %.20q", e.output), "it is text, json or jsonl", "")
	}
	if v := e.getenv("NSAGENT_NO_INPUT"); v != "" && v != "0" {
		e.noInput = true
	}
	return nil
}

// json reports whether the output is for programs.
func (e *env) json() bool { return e.output != "text" }

// say prints a line for people, unless they want quiet.
func (e *env) say(format string, args ...any) {
	if !e.quiet {
		fmt.Fprintf(e.stderr, format+"\n", printable(args)...)
	}
}

// printable returns args for a line of text: what stands in a name, a path or a message
// neither moves the cursor nor begins a line, and a token that stands there is not shown.
func printable(args []any) []any {
	out := slices.Clone(args)
	for i, a := range out {
		switch a := a.(type) {
		case string:
			out[i] = withoutTokens(noControls(a))
		case error:
			out[i] = withoutTokens(noControls(a.Error()))
		}
	}
	return out
}

// note prints something that people should know although it all went well.
func (e *env) note(format string, args ...any) { e.say("nsagent: note: "+format, args...) }

// detail prints a line for people who asked for more: places and times, nothing else.
func (e *env) detail(format string, args ...any) {
	if e.verbose {
		e.say("nsagent: "+format, args...)
	}
}

// connected tells of a connection to the agent that was begun at a time.
func (e *env) connected(path string, begun time.Time) {
	e.detail("connected to the agent in %s within %s", filepath.Dir(path), time.Since(begun).Round(time.Millisecond/10))
}

// paths returns where everything is.
func (e *env) paths() (socketpath.Paths, error) {
	p, err := socketpath.Find(socketpath.Options{Getenv: e.getenv, Socket: e.socket})
	switch {
	case err == nil:
		return p, nil
	case errors.Is(err, socketpath.ErrTooLong):
		return p, &client.Error{
			Code: pb.CodeSocket, Message: "the socket path is too long",
			Why:  fmt.Sprintf("a path of more than %d bytes does not fit into a socket address", socketpath.MaxSocketPath),
			Next: "set XDG_RUNTIME_DIR or NSAGENT_SOCK to a shorter path",
		}
	case errors.Is(err, socketpath.ErrRelative) && !filepath.IsAbs(cmp.Or(e.getenv("NSAGENT_CONFIG"), "/")):
		return p, usage("the path of the configuration is not absolute", fmt.Sprintf("NSAGENT_CONFIG is %.80q", e.getenv("NSAGENT_CONFIG")), "begin it with a slash")
	case errors.Is(err, socketpath.ErrRelative):
		return p, &client.Error{Code: pb.CodeSocket, Message: "the socket path is not absolute", Why: plain(err), Next: "begin it with a slash"}
	default:
		return p, usage("the home directory is not known", "HOME is not set to an absolute path", "set it:  export HOME=/home/you")
	}
}

// config returns the settings of config.toml. Nothing is set where it is missing, unless
// NSAGENT_CONFIG names it: what it should say would silently not hold.
func (e *env) config(p socketpath.Paths) (config.Config, error) {
	c, err := config.Load(p.ConfigFile)
	// A home such as /dev/null has no configuration.
	missing := errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
	switch {
	case missing && p.ConfigNamed:
		return c, configLost(p)
	case missing:
		return c, nil
	case err != nil:
		return c, usage("the configuration cannot be used", plain(err), "edit it, or remove it:  "+p.ConfigFile)
	}
	return c, nil
}

// checkConfigNamed refuses a configuration that NSAGENT_CONFIG names and that is not there,
// also for status and commands that use the agent but do not come to read it. Nothing
// keeps lock from its work, nor the agent's own processes.
func (e *env) checkConfigNamed(c *cobra.Command) error {
	if c.HasSubCommands() || c.Hidden || !e.needsAgent && c.Name() != statusName {
		return nil
	}
	p, err := e.paths()
	if err != nil || !p.ConfigNamed {
		return nil // the command says so, if it needs one
	}
	if _, err := os.Stat(p.ConfigFile); errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return configLost(p)
	}
	return nil
}

func configLost(p socketpath.Paths) error {
	return usage("the configuration cannot be used", "NSAGENT_CONFIG names "+p.ConfigFile+", which is not there", "put it there, or do without:  unset NSAGENT_CONFIG")
}

// dial connects to the agent's socket for use. This and the other ways to connect
// start an agent where there is none and the command may have one started.
func (e *env) dial(ctx context.Context) (*client.Client, error) {
	p, err := e.paths()
	if err != nil {
		return nil, err
	}
	return reach(ctx, e, p, func() (*client.Client, error) { return client.Dial(ctx, client.WithSocket(p.Agent)) })
}

// profileName returns the profile that flag, environment or configuration names;
// "" means the only one there is.
func (e *env) profileName(p socketpath.Paths) (string, error) {
	if e.profile != "" {
		return e.profile, nil
	}
	if name := e.getenv("NSAGENT_PROFILE"); name != "" {
		return name, nil
	}
	c, err := e.config(p)
	return c.DefaultProfile, err
}

// dialProfile is dial for calls that use a profile.
func (e *env) dialProfile(ctx context.Context) (*client.Client, error) {
	p, err := e.paths()
	if err != nil {
		return nil, err
	}
	name, err := e.profileName(p)
	if err != nil {
		return nil, err
	}
	return reach(ctx, e, p, func() (*client.Client, error) {
		return client.Dial(ctx, client.WithSocket(p.Agent), client.WithProfile(name))
	})
}

// dialAdmin connects to the agent's socket for managing.
func (e *env) dialAdmin(ctx context.Context) (*client.Admin, error) {
	p, err := e.paths()
	if err != nil {
		return nil, err
	}
	if err := e.onlyForUse(ctx, p); err != nil {
		return nil, err
	}
	return reach(ctx, e, p, func() (*client.Admin, error) { return client.DialAdmin(ctx, client.WithSocket(p.Admin)) })
}

// terminal returns the terminal to ask on, unless asking is off. The error wraps
// ErrNoTerminal where nobody can be asked, and says so to people.
func (e *env) terminal() (*term.TTY, error) {
	if e.noInput {
		return nil, fmt.Errorf("%w: %w", e.cannotAsk("ask", withoutTerminal), term.ErrNoTerminal)
	}
	t, err := term.Open(&e.turn)
	if errors.Is(err, term.ErrNoTerminal) {
		err = fmt.Errorf("%w: %w", e.cannotAsk("ask", withoutTerminal), err)
	}
	return t, err
}

// withoutTerminal says how to do without being asked, where no command knows better.
const withoutTerminal = "see how to give it without one:  nsagent help modes"

// cannotAsk is the error of a command that has nobody to ask: it cannot do what it is
// meant to do at a terminal, such as "ask for a passphrase", and next says how to do
// without.
func (e *env) cannotAsk(do, next string) error {
	if e.noInput {
		return usage("nobody may be asked", e.unasked(do), next)
	}
	return usage(e.unasked(do), "neither the session nor standard input has one", next)
}

// unasked says why it cannot do what it is meant to do at a terminal.
func (e *env) unasked(do string) string {
	if e.noInput {
		return "--no-input or NSAGENT_NO_INPUT forbids to " + do
	}
	return "there is no terminal to " + do + " on"
}
