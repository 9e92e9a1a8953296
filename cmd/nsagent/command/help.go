package command

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

const helpEnvironment = `Environment

  NSAGENT_SOCK         socket of the agent
  NSAGENT_ADMIN_SOCK   socket to manage it
  NSAGENT_SOCK_UID     user ID of a server to accept beside one's own
  NSAGENT_PROFILE      profile to use
  NSAGENT_CONFIG       configuration file
  NSAGENT_NO_INPUT     never ask

  $XDG_CONFIG_HOME/nsagent/config.toml     default_profile, memory, idle_lock, hard_lock
  $XDG_DATA_HOME/nsagent/vault.nsv         the vault
  $XDG_STATE_HOME/nsagent/audit/           the audit log
  $XDG_RUNTIME_DIR/nsagent/*.sock          the sockets

A flag wins over the environment, and that over the configuration file.`

// newHelp returns the help command, which knows topics beside the commands.
func newHelp(e *env, root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND | exit-codes | environment]",
		Short: "Show help on a command or a topic",
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 {
				switch args[0] {
				case "exit-codes":
					return e.print(exitCodesText())
				case "environment":
					return e.print(helpEnvironment)
				}
			}
			c, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return usage(fmt.Sprintf("no help on %.60q", strings.Join(args, " ")), "topics are exit-codes and environment", "see:  nsagent --help")
			}
			c.InitDefaultHelpFlag()
			return c.Help()
		},
	}
}

// exitCodesText lists exit codes and error codes from the one table.
func exitCodesText() string {
	exits := []string{
		0: "done", 1: "other failure", 2: "usage", 3: "not found", 4: "locked, or nothing to unlock with", 5: "denied by policy or grant",
		6: "approval declined or timed out", 7: "agent not reachable or too old", 8: "NetSuite refused", 9: "a check found problems", 10: "expired or revoked",
	}
	var b strings.Builder
	b.WriteString("Exit codes\n\n")
	for n, text := range exits {
		fmt.Fprintf(&b, "  %2d  %s\n", n, text)
	}
	b.WriteString("\nError codes\n\n")
	for _, m := range pb.Meanings() {
		fmt.Fprintf(&b, "  %-18s %2d  %s\n", m.Code, m.Exit, m.Text)
	}
	return strings.TrimRight(b.String(), "\n")
}
