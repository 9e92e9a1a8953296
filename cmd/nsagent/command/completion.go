package command

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/nearest"
	"github.com/nsagent/nsagent/internal/pattern"
	"github.com/nsagent/nsagent/internal/socketpath"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

func shells() []string { return []string{"bash", "zsh", "fish"} }

func newCompletion(e *env, root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "Print what completes nsagent in bash, zsh or fish",
		Long: `Print the script that completes commands, flags, their values and the names of
profiles in bash, zsh or fish. For the shell that runs, and for all to come:

  source <(nsagent completion bash)   in ~/.bashrc
  source <(nsagent completion zsh)    in ~/.zshrc, behind compinit
  nsagent completion fish | source    in config.fish

Names of profiles come from the agent while the vault is unlocked. Completing
never unlocks, asks or starts anything: while the vault is locked no name of it
is in clear anywhere, and the names in NSAGENT_PROFILE and config.toml remain.`,
		Example: `  nsagent completion bash
  nsagent completion zsh
  nsagent completion fish`,
		Args:      takes("SHELL"),
		ValidArgs: shells(),
		RunE: func(_ *cobra.Command, args []string) error {
			script, err := completionScript(root, args[0])
			if err != nil {
				return err
			}
			return e.print(strings.TrimRight(script, "\n"))
		},
	}
}

func completionScript(root *cobra.Command, shell string) (string, error) {
	var b bytes.Buffer
	var err error
	switch shell {
	case "bash":
		b.WriteString(bashWords)
		err = root.GenBashCompletionV2(&b, true)
	case "zsh":
		err = root.GenZshCompletion(&b)
	case "fish":
		err = root.GenFishCompletion(&b, true)
	default:
		why := didYouMean(nearest.Name(shell, shells()))
		if why == "" {
			why = "it is bash, zsh or fish"
		}
		return "", usage(fmt.Sprintf("no completion for %.20q", shell), why, "see:  nsagent completion --help")
	}
	return b.String(), err
}

// bashWords stands in for the package bash-completion where that is not installed.
const bashWords = `declare -F _get_comp_words_by_ref >/dev/null || _get_comp_words_by_ref() {
    words=("${COMP_WORDS[@]}")
    cword=$COMP_CWORD
    cur=${words[cword]}
    prev=${words[cword-1]}
}
`

// completes reports whether a shell asks for completions.
func completes(args []string) bool {
	return len(args) > 0 && (args[0] == cobra.ShellCompRequestCmd || args[0] == cobra.ShellCompNoDescRequestCmd)
}

// addCompletions says for every command below c what its arguments and the values of
// its flags can be. It goes by the help text, so that a new command needs nothing.
func addCompletions(e *env, c *cobra.Command) {
	for _, sub := range c.Commands() {
		addCompletions(e, sub)
	}
	c.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if f.Value.Type() != "bool" {
			// An error says that the flag has one already, as those of every command do.
			_ = c.RegisterFlagCompletionFunc(f.Name, completer(e, f.Name, f.Usage))
		}
	})
	if c.HasSubCommands() || len(c.ValidArgs) > 0 {
		return
	}
	words := strings.Fields(c.Use)[1:]
	known := c.HasParent() && c.Parent().Name() == "profile" && c.Name() != "add"
	c.ValidArgsFunction = func(_ *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		word := ""
		if len(args) < len(words) {
			word = strings.Trim(words[len(args)], "[]….")
		}
		switch {
		case (word == "NAME" || word == "OLD") && known:
			return e.knownProfiles(), cobra.ShellCompDirectiveNoFileComp
		case word == "CODE":
			return codeNames(), cobra.ShellCompDirectiveNoFileComp
		case word == "KIND":
			return slotKinds(), cobra.ShellCompDirectiveNoFileComp
		case c.Name() == "help":
			return helpNames(c.Root(), args), cobra.ShellCompDirectiveNoFileComp
		case word == "FILE" || word == "PATH" || word == "DIR":
			return nil, cobra.ShellCompDirectiveDefault
		default:
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
	}
}

// helpNames are the topics, and the commands below the ones that were typed.
func helpNames(root *cobra.Command, args []string) []string {
	var names []string
	if len(args) == 0 {
		names = topicNames()
	}
	c, rest, err := root.Find(args)
	if err != nil || len(rest) > 0 {
		return nil
	}
	for _, sub := range c.Commands() {
		if !sub.Hidden {
			names = append(names, sub.Name())
		}
	}
	return names
}

// completer returns what completes the value of a flag.
func completer(e *env, name, usage string) cobra.CompletionFunc {
	value, _ := pflag.UnquoteUsage(&pflag.Flag{Name: name, Usage: usage, Value: new(duration)})
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		switch {
		case name == "profile":
			return e.knownProfiles(), cobra.ShellCompDirectiveNoFileComp
		case value == "FILE" || value == "DIR" || name == "socket":
			return nil, cobra.ShellCompDirectiveDefault
		default:
			return choices(usage), cobra.ShellCompDirectiveNoFileComp
		}
	}
}

var (
	choiceList = pattern.New("`[A-Z]+`(?: is|:) ([a-z+_-]+(?:, [a-z+_-]+)* or [a-z+_-]+)")
	remark     = pattern.New(` \([^)]*\)`)
)

// choices returns the values that the sentence of a flag lists: "`MODE` is keyring,
// passphrase or keyring+passphrase".
func choices(usage string) []string {
	m := choiceList().FindStringSubmatch(remark().ReplaceAllString(usage, ""))
	if m == nil {
		return nil
	}
	return strings.Split(strings.ReplaceAll(m[1], " or ", ", "), ", ")
}

// nameTime bounds how long completion waits for the agent: who presses the key must
// not notice.
const nameTime = 300 * time.Millisecond

// knownProfiles returns the names of profiles that can be had without unlocking,
// asking or starting anything: those of an unlocked agent, and those that the user
// has written into the environment and the configuration.
//
// No name is kept for later: the vault promises that none is on the disk in clear.
func (e *env) knownProfiles() []string {
	p, err := e.paths()
	if err != nil {
		return nil
	}
	var names []string
	ctx, cancel := context.WithTimeout(context.Background(), nameTime)
	defer cancel()
	list, err := e.profilesOfAgent(ctx, p)
	if err == nil {
		for _, s := range list.GetProfiles() {
			names = append(names, s.GetName())
		}
		return names
	}
	if name := e.getenv("NSAGENT_PROFILE"); name != "" {
		names = append(names, name)
	}
	if c, err := e.config(p); err == nil && c.DefaultProfile != "" && !slices.Contains(names, c.DefaultProfile) {
		names = append(names, c.DefaultProfile)
	}
	return names
}

// profilesOfAgent asks an agent that runs.
func (e *env) profilesOfAgent(ctx context.Context, p socketpath.Paths) (*pb.ListProfilesResponse, error) {
	if err := e.asleep(p); err != nil {
		return nil, err
	}
	c, err := client.Dial(ctx, client.WithSocket(p.Agent))
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }()
	return c.Profiles(ctx)
}
