package command

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/term"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// runEditor has the person edit a file in the editor of VISUAL or EDITOR, else vi, on the
// terminal of this command.
func (e *env) runEditor(ctx context.Context, path string) error {
	t, err := e.terminal()
	if errors.Is(err, term.ErrNoTerminal) {
		return e.cannotAsk("edit", "adopt a file as it is:  nsagent policy edit --from FILE")
	}
	if err != nil {
		return err
	}
	_ = t.Close()
	editor := e.getenv("VISUAL")
	if editor == "" {
		editor = e.getenv("EDITOR")
	}
	if editor == "" {
		editor = "vi"
	}
	// As git and others do: the variable is a command with arguments.
	words := strings.Fields(editor)
	leaveTokens()
	c := exec.CommandContext(ctx, words[0], append(words[1:], path)...) // #nosec G204 -- the user's own editor
	c.Stdin, c.Stdout, c.Stderr = e.stdin, os.Stdout, e.stderr
	if err := c.Run(); err != nil {
		return &client.Error{Code: pb.CodeUsage, Message: "the editor failed, and nothing changes", Why: plain(err), Next: "set another one:  EDITOR=nano nsagent policy edit"}
	}
	return nil
}
