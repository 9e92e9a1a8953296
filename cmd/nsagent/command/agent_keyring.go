package command

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/agent/supervise"
	"github.com/nsagent/nsagent/internal/harden"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/vault/keyring"
)

// keyringDoor returns the way to the OS keyring for a command that has no
// supervisor: it starts the helper itself.
func (e *env) keyringDoor(arena *secret.Arena) *keyring.Door {
	return keyring.New(arena, keyring.Launch(supervise.LaunchDirect(self, []string{"keyring-helper"}, os.Environ())))
}

func newKeyringHelper(*env) *cobra.Command {
	return &cobra.Command{
		Use:    "keyring-helper",
		Hidden: true,
		Args:   takes(),
		RunE: func(*cobra.Command, []string) error {
			conn, err := supervise.ParentConn()
			if err != nil {
				return usage("this command is for the agent", "the agent starts it, with descriptors that nobody else has", "start the agent:  nsagent agent run")
			}
			if _, err := harden.Helper(); err != nil {
				return fmt.Errorf("putting up the sandbox: %w", err)
			}
			return keyring.Serve(conn)
		},
	}
}
