package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

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

// installed is a unit file that is to be there, and what is there now.
type installed struct {
	systemd.Unit
	path  string
	there []byte // nil: nothing
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
	case p.RuntimeFallback:
		return p, usage("XDG_RUNTIME_DIR is not set", "your systemd puts the sockets there", "set it:  export XDG_RUNTIME_DIR=/run/user/$(id -u)")
	}
	return p, nil
}

// units returns the unit files as they should be, and as they are. It refuses where
// one of them is somebody else's.
func (e *env) units(p socketpath.Paths) ([]installed, error) {
	exe, err := os.Executable()
	if err == nil {
		_, err = os.Stat(exe)
	}
	if err != nil {
		return nil, agentFailure("the program cannot be found", err)
	}
	var set []string
	for _, name := range []string{"NSAGENT_CONFIG", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"} {
		if value := e.getenv(name); filepath.IsAbs(value) {
			set = append(set, name+"="+value)
		}
	}
	texts, err := systemd.Units(exe, set)
	if err != nil {
		return nil, usage("the unit cannot be written", plain(err), "install nsagent, and put its directories, under a plain path")
	}
	// Where systemd looks: beside our own directory, under the same rules.
	dir := filepath.Join(filepath.Dir(p.ConfigDir), "systemd", "user")
	var units []installed
	for _, u := range texts {
		i := installed{Unit: u, path: filepath.Join(dir, u.Name)}
		fi, err := os.Lstat(i.path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, agentFailure("the unit cannot be looked at", err)
		case !fi.Mode().IsRegular():
			return nil, foreign(i.path)
		default:
			if i.there, err = os.ReadFile(i.path); err != nil {
				return nil, agentFailure("the unit cannot be read", err)
			}
			if !systemd.Ours(i.there) {
				return nil, foreign(i.path)
			}
		}
		units = append(units, i)
	}
	return units, nil
}

func foreign(path string) error {
	return &client.Error{
		Code: pb.CodeExists, Message: "there is a unit that nsagent did not write", Why: path + " is left as it is",
		Next: "move it away, or keep it and do without agent install",
	}
}

func paths(units []installed) []string {
	var all []string
	for _, u := range units {
		all = append(all, u.path)
	}
	return all
}

// writeUnit replaces a unit file as a whole.
func writeUnit(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { // #nosec G301 -- no secret; as systemctl makes it
		return fmt.Errorf("making a directory: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".nsagent-*")
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("writing %s: %w", path, err), os.Remove(f.Name()))
	}
	return nil
}

// unlink removes a file that may be gone already.
func unlink(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing %s: %w", path, err)
	}
	return nil
}

// manager is the systemd of this user.
type manager struct {
	systemctl string
	answers   bool
}

// managerTime bounds one command of it.
const managerTime = 30 * time.Second

func findManager(ctx context.Context) manager {
	path, err := exec.LookPath("systemctl")
	if err != nil {
		return manager{}
	}
	m := manager{systemctl: path, answers: true}
	m.answers = m.do(ctx, "show-environment") == nil
	return m
}

// do gives one command.
func (m manager) do(ctx context.Context, args ...string) error {
	if !m.answers {
		return errors.New("no systemd of this user answers")
	}
	ctx, cancel := context.WithTimeout(ctx, managerTime)
	defer cancel()
	c := exec.CommandContext(ctx, m.systemctl, append([]string{"--user"}, args...)...) // #nosec G204 -- fixed words
	var said bytes.Buffer
	c.Stderr = &said
	if err := c.Run(); err != nil {
		line, _, _ := strings.Cut(strings.TrimSpace(said.String()), "\n")
		return &client.Error{
			Code: pb.CodeInternal, Message: "systemd did not do what it was asked to", Why: line,
			Next: "see:  systemctl --user " + strings.Join(args, " "),
		}
	}
	return nil
}

// all gives commands until one fails.
func (m manager) all(ctx context.Context, commands [][]string) error {
	for _, c := range commands {
		if err := m.do(ctx, c...); err != nil {
			return err
		}
	}
	return nil
}
