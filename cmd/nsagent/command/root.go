// Package command is the command line: one file a command, each from flags to a
// call of the client to output. The contract of names, keys and exit codes is
// docs/cli.md.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/config"
	"github.com/nsagent/nsagent/internal/harden"
	"github.com/nsagent/nsagent/internal/socketpath"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// version is set by the Makefile.
var version = "0.1.0-dev"

// env is what a command may touch of the world, and the global flags.
type env struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string

	profile, output, socket string
	quiet, verbose, noInput bool
}

// Main runs the command line and returns the exit code. It hardens the process
// before it looks at an argument.
func Main(args []string) int {
	if err := harden.Process(); err != nil {
		fmt.Fprintln(os.Stderr, "nsagent: hardening the process:", err)
		return 1
	}
	e := &env{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	root := newRoot(e)
	root.SetArgs(args)
	return e.exit(root.ExecuteContext(ctx))
}

// newRoot returns the tree of commands.
func newRoot(e *env) *cobra.Command {
	root := &cobra.Command{
		Use:   "nsagent",
		Short: "Sign NetSuite requests without showing scripts a secret",
		Long: `nsagent keeps NetSuite credentials in an encrypted vault. A daemon signs with them
over a Unix socket, so that scripts never see a raw secret.

First steps:   nsagent init,  nsagent agent start,  nsagent unlock,
               nsagent profile add NAME,  nsagent sign URL`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		PersistentPreRunE: func(*cobra.Command, []string) error { return e.checkGlobals() },
	}
	root.SetIn(e.stdin)
	root.SetOut(e.stdout)
	root.SetErr(e.stderr)
	f := root.PersistentFlags()
	f.StringVarP(&e.profile, "profile", "p", "", "profile to use (else NSAGENT_PROFILE, default_profile, the only one)")
	f.StringVarP(&e.output, "output", "o", "text", "text, json or jsonl")
	f.BoolVarP(&e.quiet, "quiet", "q", false, "say nothing on stderr but errors")
	f.BoolVarP(&e.verbose, "verbose", "v", false, "say more on stderr")
	f.BoolVar(&e.noInput, "no-input", false, "never ask (also NSAGENT_NO_INPUT)")
	f.StringVar(&e.socket, "socket", "", "the agent's socket (else NSAGENT_SOCK)")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usage(err.Error(), "", "see:  "+c.CommandPath()+" --help")
	})
	root.AddCommand(
		newInit(e), newAgent(e), newUnlock(e), newLock(e), newStatus(e), newProfile(e),
		newSign(e), newPassport(e), newConnectPassword(e), newAssertion(e),
		newAudit(e), newMock(e), newDemo(e), newVersion(e), newKeyringHelper(e),
	)
	root.SetHelpCommand(newHelp(e, root))
	checkArguments(root)
	return root
}

// checkArguments gives every command that takes none the same refusal, and every
// group an answer to a name that it does not have.
func checkArguments(c *cobra.Command) {
	for _, sub := range c.Commands() {
		checkArguments(sub)
	}
	switch {
	case c.HasSubCommands() && c.RunE == nil:
		c.Args = cobra.ArbitraryArgs
		c.RunE = func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return c.Help()
			}
			return usage(fmt.Sprintf("unknown command %.40q for %q", args[0], c.CommandPath()), suggestion(c, args[0]), "see:  "+c.CommandPath()+" --help")
		}
	case c.Args != nil:
		check := c.Args
		c.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return usage(err.Error(), "", "see:  "+c.CommandPath()+" --help")
			}
			return nil
		}
	}
}

func suggestion(c *cobra.Command, name string) string {
	c.SuggestionsMinimumDistance = 2
	if s := c.SuggestionsFor(name); len(s) > 0 {
		return "did you mean " + s[0] + "?"
	}
	return ""
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
		fmt.Fprintf(e.stderr, format+"\n", args...)
	}
}

// paths returns where everything is.
func (e *env) paths() (socketpath.Paths, error) {
	p, err := socketpath.Find(socketpath.Options{Getenv: e.getenv, Socket: e.socket})
	if errors.Is(err, socketpath.ErrTooLong) || errors.Is(err, socketpath.ErrRelative) {
		return p, &client.Error{Code: pb.CodeSocket, Message: "the socket path cannot be used", Why: err.Error()}
	}
	if err != nil {
		return p, usage("the home directory is not known", err.Error(), "")
	}
	return p, nil
}

// config returns the settings of config.toml.
func (e *env) config(p socketpath.Paths) (config.Config, error) {
	c, err := config.Load(p.ConfigFile)
	if err != nil {
		return c, usage("the configuration cannot be used", err.Error(), "edit "+p.ConfigFile)
	}
	return c, nil
}

// dial connects to the agent's socket for use.
func (e *env) dial(ctx context.Context) (*client.Client, error) {
	p, err := e.paths()
	if err != nil {
		return nil, err
	}
	name := e.profile
	if name == "" {
		name = e.getenv("NSAGENT_PROFILE")
	}
	if name == "" {
		c, err := e.config(p)
		if err != nil {
			return nil, err
		}
		name = c.DefaultProfile
	}
	return client.Dial(ctx, client.WithSocket(p.Agent), client.WithProfile(name))
}

// dialAdmin connects to the agent's socket for managing.
func (e *env) dialAdmin(ctx context.Context) (*client.Admin, error) {
	p, err := e.paths()
	if err != nil {
		return nil, err
	}
	return client.DialAdmin(ctx, client.WithSocket(p.Admin))
}

// buildVersion returns the version with the commit it was built from.
func buildVersion() (v, commit, goVersion string) {
	v = version
	if info, ok := debug.ReadBuildInfo(); ok {
		goVersion = info.GoVersion
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				commit = s.Value
			}
		}
	}
	return v, commit, goVersion
}
