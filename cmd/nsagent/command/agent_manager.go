package command

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nsagent/nsagent/agent/supervise"
	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/tokenenv"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// managerOf returns where the systemd is that starts services for whoever has this
// environment; "" if there is none.
func managerOf(getenv func(string) string) string {
	return managerIn(getenv("XDG_RUNTIME_DIR"))
}

// usualRuntimeDir returns where systemd has the runtime directory of a user.
func usualRuntimeDir(uid int) string { return filepath.Join("/run/user", strconv.Itoa(uid)) }

// managerIn is managerOf for a runtime directory.
func managerIn(runtime string) string {
	if !filepath.IsAbs(runtime) {
		return ""
	}
	dir := filepath.Join(runtime, "systemd")
	if _, err := os.Lstat(filepath.Join(dir, "private")); err != nil {
		return ""
	}
	return dir
}

// manager is the systemd of this user.
type manager struct {
	systemctl string
	answers   bool
}

// managerTime bounds one command of it.
const managerTime = 30 * time.Second

// findManager looks for it. Nothing that is started from then on is given an unlock token.
func findManager(ctx context.Context) manager {
	leaveTokens()
	path, err := exec.LookPath("systemctl")
	if err != nil {
		return manager{}
	}
	m := manager{systemctl: path, answers: true}
	m.answers = m.do(ctx, "show-environment") == nil
	return m
}

// leaveTokens keeps tokens of both kinds, which the command does not use, from the programs that
// it starts: by the environment, and by a descriptor that NSAGENT_TOKEN_FD may name.
func leaveTokens() {
	for _, kind := range []tokenenv.Kind{tokenenv.UnlockToken(), tokenenv.IDToken()} {
		_, _ = kind.Take() // what is wrong with them is of no matter here
	}
	supervise.KeepDescriptors()
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
