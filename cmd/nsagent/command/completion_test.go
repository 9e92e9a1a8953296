package command

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func TestChoices(t *testing.T) {
	for usage, want := range map[string]string{
		"what opens the vault: `MODE` is keyring, passphrase or keyring+passphrase": "keyring passphrase keyring+passphrase",
		"what a try costs: `COST` is default (256 MiB) or low (19 MiB)":             "default low",
		"only this `OUTCOME`: ok, denied or failed":                                 "ok denied failed",
		"only this `EVENT`, such as sign or profile.add":                            "",
		"the Content-Type of the request is `TYPE`":                                 "",
		"read the JSON from `FILE`, or - for stdin":                                 "",
		"": "",
	} {
		if got := strings.Join(choices(usage), " "); got != want {
			t.Errorf("%q: got %q, want %q", usage, got, want)
		}
	}
}

// TestEverythingCompletes walks all commands: no argument and no flag is left to the
// shell's own guess, which would be names of files.
func TestEverythingCompletes(t *testing.T) {
	e := testEnv(&bytes.Buffer{})
	root := newRoot(e)
	addCompletions(e, root)
	with := 0
	walk(root, func(c *cobra.Command) {
		if !c.HasSubCommands() && c.ValidArgsFunction == nil && len(c.ValidArgs) == 0 {
			t.Errorf("%s completes no arguments", c.CommandPath())
		}
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Value.Type() == "bool" {
				return
			}
			complete, has := c.GetFlagCompletionFunc(f.Name)
			if !has {
				t.Errorf("%s completes no values of --%s", c.CommandPath(), f.Name)
			} else if values, _ := complete(c, nil, ""); len(values) > 1 {
				with++
			}
		})
	})
	if with < 4 {
		t.Errorf("%d flags have values to choose from", with)
	}
}

// TestCompletionOfFlagsIsWhatTheyTake runs what completes --unlock and the like
// against the commands' own checks, for lists of which both know.
func TestCompletionOfFlagsIsWhatTheyTake(t *testing.T) {
	var out bytes.Buffer
	e := testEnv(&out)
	root := newRoot(e)
	addCompletions(e, root)
	for command, flags := range map[string][]string{"init": {"unlock", "kdf"}, "sign": {"format"}, "passport": {"format"}} {
		c, _, err := root.Find([]string{command})
		if err != nil {
			t.Fatal(err)
		}
		for _, flag := range flags {
			complete, has := c.GetFlagCompletionFunc(flag)
			if !has {
				t.Fatalf("%s --%s does not complete", command, flag)
			}
			if values, _ := complete(c, nil, ""); len(values) < 2 || slices.Contains(values, "") {
				t.Errorf("%s --%s completes to %q", command, flag, values)
			}
		}
	}
}
