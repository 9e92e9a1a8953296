package command

import (
	"bytes"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// refusedAs returns the exit code of an error and the lines that it is shown in.
func refusedAs(err error) (int, []string) {
	var out, errs bytes.Buffer
	e := testEnv(&out)
	e.stderr = &errs
	code := e.exit(err)
	return code, strings.Split(strings.TrimRight(errs.String(), "\n"), "\n")
}

// TestWrongNumberOfArguments has every command refuse more arguments than it takes, and
// none where it needs one, as a command line that is not right. It guards against checks
// of cobra's own, whose errors have no code.
func TestWrongNumberOfArguments(t *testing.T) {
	var out bytes.Buffer
	refused := 0
	refuse := func(c *cobra.Command, args []string, err error) {
		code, lines := refusedAs(err)
		refused++
		if code != 2 || len(lines) != 3 || !strings.HasSuffix(lines[2], " [NSA-USAGE]") {
			t.Errorf("%s with %d arguments: got exit %d and %q, want 2 and three lines", c.CommandPath(), len(args), code, lines)
		}
	}
	many := strings.Fields("a b c d e f g h")
	walk(newRoot(testEnv(&out)), func(c *cobra.Command) {
		switch {
		case c.HasSubCommands(), c.Name() == "help":
			refuse(c, many, c.RunE(c, many))
		case c.Name() == execName: // what is too many is the program's
			refuse(c, nil, c.ValidateArgs(nil))
		default:
			refuse(c, many, c.ValidateArgs(many))
			if names := strings.Fields(c.Use)[1:]; len(names) > 0 && !strings.HasPrefix(names[0], "[") {
				refuse(c, nil, c.ValidateArgs(nil))
			}
		}
	})
	if refused < 70 {
		t.Errorf("called %d commands only", refused)
	}
}
