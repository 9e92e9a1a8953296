package command

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// testEnv is an env that touches nothing of the world.
func testEnv(stdout *bytes.Buffer) *env {
	return &env{
		stdin: strings.NewReader(""), stdout: &sink{w: stdout}, stderr: &bytes.Buffer{}, output: "text",
		getenv: func(string) string { return "" },
	}
}

// walk calls f for every command that people see.
func walk(c *cobra.Command, f func(*cobra.Command)) {
	f(c)
	for _, sub := range c.Commands() {
		if !sub.Hidden {
			walk(sub, f)
		}
	}
}

// TestHelpHasOneShape walks the help of every command.
func TestHelpHasOneShape(t *testing.T) {
	var out bytes.Buffer
	seen := 0
	walk(newRoot(testEnv(&out)), func(c *cobra.Command) {
		seen++
		name := c.CommandPath()
		if !c.Runnable() && !c.HasSubCommands() {
			t.Errorf("%s does nothing", name)
		}
		checkShort(t, name, c.Short)
		if c.HasParent() && len(c.Long) > 0 && strings.HasSuffix(strings.TrimSpace(c.Long), ":") {
			t.Errorf("%s: the long help ends in the middle", name)
		}
		out.Reset()
		printHelp(&out, c)
		for line := range strings.Lines(out.String()) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 80 {
				t.Errorf("%s: a line of the help has %d characters: %q", name, n, line)
			}
			if strings.TrimRight(line, " \n") != strings.TrimRight(line, "\n") {
				t.Errorf("%s: a line of the help ends in blanks: %q", name, line)
			}
		}
		checkFlags(t, c)
	})
	if seen < 20 {
		t.Errorf("walked %d commands only", seen)
	}
}

// TestHelpOnEveryCommand asks for help on every command by name, also on those that have
// the name of an error code, such as key and NSA-KEY.
func TestHelpOnEveryCommand(t *testing.T) {
	var got, want bytes.Buffer
	e := testEnv(&got)
	root := newRoot(e)
	help, _, err := root.Find([]string{"help"})
	if err != nil {
		t.Fatal(err)
	}
	walk(root, func(c *cobra.Command) {
		if c == root {
			return
		}
		got.Reset()
		want.Reset()
		printHelp(&want, c)
		if err := help.RunE(help, strings.Fields(c.CommandPath())[1:]); err != nil || got.String() != want.String() {
			t.Errorf("help on %s: got %v and\n%s", c.CommandPath(), err, &got)
		}
	})
}

func checkShort(t *testing.T, name, short string) {
	t.Helper()
	first, _ := utf8.DecodeRuneInString(short)
	switch {
	case short == "":
		t.Errorf("%s has no short help", name)
	case !unicode.IsUpper(first):
		t.Errorf("%s: %q does not begin with a capital", name, short)
	case strings.HasSuffix(short, "."):
		t.Errorf("%s: %q ends with a dot", name, short)
	case strings.Contains(short, "\n"):
		t.Errorf("%s: %q has more than one line", name, short)
	}
}

// checkFlags wants a sentence for every flag, without capital and final dot.
func checkFlags(t *testing.T, c *cobra.Command) {
	t.Helper()
	usages := c.LocalFlags().FlagUsages()
	c.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if f.Value.Type() != "bool" && strings.Count(f.Usage, "`") != 2 {
			t.Errorf("%s: --%s does not name its value: %q", c.CommandPath(), f.Name, f.Usage)
		}
	})
	if strings.Contains(usages, "(default [])") {
		t.Errorf("%s: an empty list is shown as a default:\n%s", c.CommandPath(), usages)
	}
	for line := range strings.Lines(usages) {
		fields := strings.SplitN(strings.TrimSpace(line), "   ", 2)
		if len(fields) != 2 || len(strings.Fields(fields[1])) < 2 {
			t.Errorf("%s: flag without a sentence: %q", c.CommandPath(), line)
			continue
		}
		text := strings.TrimSpace(fields[1])
		first, _ := utf8.DecodeRuneInString(text)
		if unicode.IsUpper(first) || strings.HasSuffix(text, ".") {
			t.Errorf("%s: %q: a flag's sentence has no capital and no final dot", c.CommandPath(), text)
		}
	}
}

// TestMainCommandsHaveExamples names the commands that people begin with.
func TestMainCommandsHaveExamples(t *testing.T) {
	var out bytes.Buffer
	var with []string
	walk(newRoot(testEnv(&out)), func(c *cobra.Command) {
		if c.HasExample() {
			with = append(with, c.CommandPath())
			for line := range strings.Lines(c.Example) {
				if !strings.HasPrefix(line, "  ") {
					t.Errorf("%s: an example is not indented: %q", c.CommandPath(), line)
				}
			}
		}
	})
	for _, want := range []string{
		"nsagent", "nsagent init", "nsagent doctor", "nsagent unlock", "nsagent profile add", "nsagent sign", "nsagent passport",
		"nsagent connect-password", "nsagent assertion", "nsagent audit query", "nsagent mock", "nsagent explain", "nsagent help",
	} {
		if !slices.Contains(with, want) {
			t.Errorf("%s has no example", want)
		}
	}
}

// TestExamplesAreCommands runs the flag parser over every example, so that none
// shows what does not exist.
func TestExamplesAreCommands(t *testing.T) {
	var out bytes.Buffer
	var examples []string
	walk(newRoot(testEnv(&out)), func(c *cobra.Command) {
		for line := range strings.Lines(c.Example) {
			_, after, ok := strings.Cut(line, "nsagent ")
			if ok && !strings.Contains(line, "$(") {
				after, _, _ = strings.Cut(after, "   ") // a remark
				examples = append(examples, strings.TrimSpace(after))
			}
		}
	})
	if len(examples) < 10 {
		t.Fatalf("found %d examples", len(examples))
	}
	for _, example := range examples {
		c, rest, err := newRoot(testEnv(&out)).Find(strings.Fields(example))
		if err == nil {
			err = c.ParseFlags(rest)
		}
		if err == nil && c.Name() != "help" {
			err = c.ValidateArgs(c.Flags().Args())
		}
		if err != nil {
			t.Errorf("nsagent %s: %v", example, err)
		}
	}
}

// TestTopics wants every topic of the contract, in lines that fit.
func TestTopics(t *testing.T) {
	var names []string
	for _, topic := range topics() {
		names = append(names, topic.name)
		for line := range strings.Lines(topic.text()) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 82 {
				t.Errorf("%s: a line has %d characters: %q", topic.name, n, line)
			}
		}
	}
	slices.Sort(names)
	if want := []string{"ci", "clients", "environment", "exit-codes", "json", "modes", "security", "trouble"}; !slices.Equal(names, want) {
		t.Errorf("got the topics %v, want %v", names, want)
	}
}
