// Package command is the command line: one file a command, each from flags to a
// call of the client to output. `nsagent help` and the tests of cmd/nsagent hold
// its contract of names, keys and exit codes.
package command

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/internal/harden"
	"github.com/nsagent/nsagent/internal/nearest"
)

// Main runs the command line and returns the exit code. It makes the process unreadable
// before it looks at an argument, and hardens it before a command runs; beKnown makes those
// readable again that use the agent, until they hold a secret.
func Main(args []string) int {
	if err := harden.Unreadable(); err != nil {
		fmt.Fprintln(os.Stderr, "nsagent:", err)
		return 1
	}
	harden.Name("nsagent")
	begun := time.Now()
	// A reader that has gone is a failed write, with an exit code. A command that
	// starts programs of other people has to give them the default back.
	signal.Ignore(syscall.SIGPIPE)
	e := &env{
		stdin: os.Stdin, stdout: &sink{w: os.Stdout}, stderr: os.Stderr, getenv: os.Getenv,
		screen: screenOf(os.Stdout, os.Getenv), errScreen: screenOf(os.Stderr, os.Getenv),
	}
	root := newRoot(e)
	if completes(args) {
		addCompletions(e, root)
	}
	root.SetArgs(dashedIDsLast(root, args))
	err := root.ExecuteContext(context.Background())
	e.detail("all of it took %s", time.Since(begun).Round(time.Millisecond/10)) // an error comes last
	return e.exit(err)
}

// interruptible returns a context that SIGINT and SIGTERM end, for commands that
// have something to put in order then. Any other command just dies.
func interruptible(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
}

// Groups of commands, in the order of the help.
const (
	groupStart = "start"
	groupUse   = "use"
	groupOther = "other"
)

// orderInGroup is the annotation of a command that says where it stands in its group:
// in the order in which people come to need it.
const orderInGroup = "order"

// newRoot returns the tree of commands.
func newRoot(e *env) *cobra.Command {
	var version bool
	root := &cobra.Command{
		Use:   "nsagent",
		Short: "Sign NetSuite requests without showing scripts a secret",
		Long: `nsagent keeps NetSuite credentials in an encrypted vault. An agent in the
background signs with them, so that scripts never see a secret.`,
		Example: `  nsagent init                   make the vault
  nsagent unlock                 open the vault; this starts the agent, too
  nsagent profile add acme-sb1   store a credential; it asks for the parts
  curl -H "$(nsagent sign "$URL")" "$URL"`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		PersistentPreRunE: func(c *cobra.Command, args []string) error {
			e.command, e.needsAgent = c.CommandPath(), needsAgent(c)
			if c.Name() != execName { // a program of other people would inherit it
				if err := harden.Process(); err != nil {
					return fmt.Errorf("hardening the process: %w", err)
				}
			}
			if err := refuseEmpty(c, args); err != nil {
				return err
			}
			if err := e.checkGlobals(); err != nil {
				return err
			}
			if e.needsAgent { // before package client reads it, and takes the variable away
				e.noteReadable(e.getenv("NSAGENT_TOKEN_FILE"))
			}
			return e.checkConfigNamed(c)
		},
		RunE: func(c *cobra.Command, args []string) error {
			if version && len(args) == 0 {
				return printVersion(e)
			}
			return runGroup(c, args)
		},
	}
	root.SetIn(e.stdin)
	root.SetOut(e.stdout)
	root.SetErr(e.stderr)
	f := root.PersistentFlags()
	f.StringVarP(&e.profile, "profile", "p", "", "use the profile `NAME` (else NSAGENT_PROFILE, default_profile, the only one)")
	f.StringVarP(&e.output, "output", "o", "text", "how to print: `FORMAT` is text, json or jsonl")
	f.BoolVarP(&e.quiet, "quiet", "q", false, "say nothing on stderr but errors")
	f.BoolVarP(&e.verbose, "verbose", "v", false, "say more on stderr: where the agent is, and how long it took")
	f.BoolVar(&e.noInput, "no-input", false, "never ask (also NSAGENT_NO_INPUT)")
	f.StringVar(&e.socket, "socket", "", "the agent's socket is `PATH` (else NSAGENT_SOCK)")
	root.Flags().BoolVar(&version, "version", false, "print the version")
	root.SetFlagErrorFunc(flagError)
	root.SetHelpFunc(func(c *cobra.Command, _ []string) { printHelp(e.stdout, c) })
	root.AddGroup(
		&cobra.Group{ID: groupStart}, &cobra.Group{ID: groupUse}, &cobra.Group{ID: groupOther},
	)
	add := func(group string, commands ...*cobra.Command) {
		for i, c := range commands {
			c.GroupID = group
			c.Annotations = map[string]string{orderInGroup: fmt.Sprintf("%02d", i)}
			root.AddCommand(c)
		}
	}
	add(groupStart, newInit(e), newUnlock(e), newProfile(e), newLogin(e), newStatus(e), newDoctor(e), newLock(e), newAgent(e), newKey(e), newPolicy(e), newIntegration(e), newRotate(e), newMigrate(e))
	add(groupUse, newSign(e), newPassport(e), newConnectPassword(e), newAssertion(e), newToken(e), newExec(e), newCert(e), newRequests(e), newApprove(e), newDeny(e), newGrant(e))
	help := newHelp(e, root)
	add(groupOther, newAudit(e), newVault(e), newMock(e), newDemo(e), newExplain(e), newCompletion(e, root), newVersion(e), help)
	root.SetHelpCommand(help)
	root.AddCommand(newKeyringHelper(e), newGateway(e), newExchanger(e), newPrompter(e), newMan(root))
	finish(e, root)
	return root
}

// finish gives every group of commands an answer to a name that it does not have,
// and every command a --help that speaks as the rest does, and a look for unlock tokens
// before its arguments are counted.
func finish(e *env, c *cobra.Command) {
	for _, sub := range c.Commands() {
		finish(e, sub)
	}
	c.InitDefaultHelpFlag()
	if f := c.Flags().Lookup("help"); f != nil {
		f.Usage = "show this help"
	}
	if c.HasSubCommands() {
		c.Args = cobra.ArbitraryArgs
		if c.RunE == nil {
			c.RunE = runGroup
		}
	}
	c.Args = e.tokensFirst(c.Args)
}

// runGroup is what a command does that has others below it: it explains itself.
func runGroup(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return c.Help()
	}
	return usage(fmt.Sprintf("unknown command %.40q", args[0]), suggestion(c, args[0]), "see:  "+c.CommandPath()+" --help")
}

// suggestion asks whether one of the commands below c was meant, or says which there are.
func suggestion(c *cobra.Command, name string) string {
	var names []string
	for _, sub := range c.Commands() {
		if !sub.Hidden {
			names = append(append(names, sub.Name()), sub.Aliases...)
		}
	}
	if meant := didYouMean(nearest.Name(name, names)); meant != "" || !c.HasParent() {
		return cmp.Or(meant, "none is called that")
	}
	return "it is " + oneOf(names)
}

// oneOf lists names of which one is meant.
func oneOf(names []string) string {
	last := len(names) - 1
	if last <= 0 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// didYouMean asks for a name, unless that is empty.
func didYouMean(name string) string {
	if name == "" {
		return ""
	}
	return "did you mean " + name + "?"
}
