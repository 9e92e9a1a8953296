package command

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/socketpath"
	"github.com/nsagent/nsagent/internal/systemd"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

func newAgentInstall(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "install",
		Short: "Have systemd start the agent at the first connection",
		Long: `Have your own systemd start the agent at the first connection, whatever program
makes it. It writes nsagent.socket and nsagent.service to systemd/user in the
configuration directory and enables the socket. Doing it again does no harm;
after an upgrade it is how to renew them. A unit of that name that nsagent did
not write is left alone.`,
		Args: takes(),
		RunE: func(c *cobra.Command, _ []string) error { return installAgent(c.Context(), e) },
	}
}

func newAgentUninstall(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "uninstall",
		Short: "Undo agent install; the vault stays",
		Args:  takes(),
		RunE:  func(c *cobra.Command, _ []string) error { return uninstallAgent(c.Context(), e) },
	}
}

func installAgent(ctx context.Context, e *env) error {
	p, err := e.servicePaths()
	if err != nil {
		return err
	}
	units, err := e.units(p)
	if err != nil {
		return err
	}
	m := findManager(ctx)
	active := m.do(ctx, "is-active", "--quiet", systemd.ForSocket) == nil
	if !active && m.answers {
		// systemd would put its sockets in the place of those of an agent that runs.
		if _, err := agentPID(ctx, p.Agent); err == nil {
			return &client.Error{
				Code: pb.CodeRunning, Message: "an agent is running that systemd did not start", Why: "it has the sockets",
				Next: "stop it first:  nsagent agent stop && nsagent agent install",
			}
		}
	}
	changed := false
	for _, u := range units {
		if bytes.Equal(u.there, u.Text) {
			continue
		}
		changed = true
		if err := writeUnit(u.path, u.Text); err != nil {
			return agentFailure("the unit cannot be written", err)
		}
	}
	commands := [][]string{{"daemon-reload"}}
	if changed && active {
		commands = append(commands, []string{"stop", systemd.Service, systemd.ForSocket})
	}
	commands = append(commands, []string{"enable", "--now", systemd.ForSocket})
	if m.answers {
		if err := m.all(ctx, commands); err != nil {
			return err
		}
	}
	if e.json() {
		return e.printJSON(struct {
			Schema  string   `json:"schema"`
			Units   []string `json:"units"`
			Enabled bool     `json:"enabled"`
		}{"nsagent.agent-install/v1", paths(units), m.answers})
	}
	for _, path := range paths(units) {
		e.say("unit    %s", path)
	}
	if !m.answers {
		e.note("no systemd of yours answers here, so nothing is enabled yet; type where one does:")
		for _, c := range commands {
			e.say("  systemctl --user %s", strings.Join(c, " "))
		}
		return nil
	}
	e.say("next    nsagent unlock")
	return nil
}

func uninstallAgent(ctx context.Context, e *env) error {
	p, err := e.servicePaths()
	if err != nil {
		return err
	}
	units, err := e.units(p)
	if err != nil {
		return err
	}
	removed := []string{}
	m := findManager(ctx)
	for _, u := range units {
		if u.there != nil {
			removed = append(removed, u.path)
		}
	}
	if len(removed) > 0 {
		commands := [][]string{{"disable", "--now", systemd.ForSocket}, {"stop", systemd.Service}}
		if m.answers {
			if err := m.all(ctx, commands); err != nil {
				return err
			}
		} else if err := unlink(filepath.Join(filepath.Dir(units[0].path), "sockets.target.wants", systemd.ForSocket)); err != nil {
			return agentFailure("the unit cannot be removed", err)
		}
		for _, path := range removed {
			if err := unlink(path); err != nil {
				return agentFailure("the unit cannot be removed", err)
			}
		}
		if m.answers {
			if err := m.all(ctx, [][]string{{"daemon-reload"}}); err != nil {
				return err
			}
		}
	}
	if e.json() {
		return e.printJSON(struct {
			Schema  string   `json:"schema"`
			Removed []string `json:"removed"`
		}{"nsagent.agent-uninstall/v1", removed})
	}
	for _, path := range removed {
		e.say("removed %s", path)
	}
	if len(removed) == 0 {
		e.say("no unit of nsagent is installed")
	} else if !m.answers {
		e.note("no systemd of yours answers here; where one runs, type:  systemctl --user stop %s %s", systemd.ForSocket, systemd.Service)
	}
	return nil
}

// servicePaths returns where everything is, for a service: it serves the usual sockets.
func (e *env) servicePaths() (socketpath.Paths, error) {
	p, err := e.paths()
	switch {
	case err != nil:
		return p, err
	case p.SocketNamed || e.getenv("NSAGENT_ADMIN_SOCK") != "":
		return p, usage("the service has the usual sockets", "another one is named by --socket, NSAGENT_SOCK or NSAGENT_ADMIN_SOCK", "leave it out")
	case p.RuntimeFallback && managerIn(usualRuntimeDir(os.Geteuid())) != "":
		return p, usage("XDG_RUNTIME_DIR is not set", "your systemd puts the sockets there", "set it:  export XDG_RUNTIME_DIR=/run/user/$(id -u)")
	}
	return p, nil
}
