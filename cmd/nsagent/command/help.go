package command

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/internal/nearest"
)

// newHelp returns the help command, which knows topics beside the commands.
func newHelp(e *env, root *cobra.Command) *cobra.Command {
	var list strings.Builder
	for _, t := range topics() {
		fmt.Fprintf(&list, "\n  %-12s  %s", t.name, t.short)
	}
	return &cobra.Command{
		Use:   "help [COMMAND | TOPIC]",
		Short: "Show help on a command or a topic",
		Long:  "Show help on a command, or on one of these topics:\n" + list.String(),
		Example: `  nsagent help profile add
  nsagent help exit-codes`,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 {
				if t, known := findTopic(args[0]); known {
					return e.print(strings.TrimRight(t.text(), "\n"))
				}
			}
			if c, rest, err := root.Find(args); err == nil && len(rest) == 0 {
				return c.Help()
			}
			// Codes come last: some have the name of a command, such as NSA-KEY.
			if page, known := findPage(strings.Join(args, " ")); known {
				return e.explainCode(string(page.code))
			}
			return noHelp(root, args)
		},
	}
}

// noHelp says what there is help on.
func noHelp(root *cobra.Command, args []string) error {
	names := topicNames()
	for _, c := range root.Commands() {
		if !c.Hidden {
			names = append(names, c.Name())
		}
	}
	words := strings.Join(args, " ")
	why := didYouMean(nearest.Name(words, names))
	if why == "" {
		why = "topics are " + strings.Join(topicNames(), ", ")
	}
	return usage(fmt.Sprintf("no help on %.60q", words), why, "see:  nsagent help --help")
}

// helpWidth is how wide help is, in columns.
const helpWidth = 80

// printHelp writes the help of a command. Failures are kept by the writer.
func printHelp(w io.Writer, c *cobra.Command) {
	var b strings.Builder
	b.WriteString(longHelp(c) + "\n\nUsage:\n  " + usageLine(c) + "\n")
	if c.HasExample() {
		b.WriteString("\nExamples:\n" + strings.TrimRight(c.Example, "\n") + "\n")
	}
	if c.HasAvailableSubCommands() {
		b.WriteString("\nAvailable Commands:\n" + commandList(c))
	}
	b.WriteString("\nFlags:\n" + c.LocalNonPersistentFlags().FlagUsagesWrapped(helpWidth))
	if c.HasParent() {
		b.WriteString("\nFlags of every command:  nsagent --help\n")
	} else {
		b.WriteString("\nFlags of every command:\n" + c.PersistentFlags().FlagUsagesWrapped(helpWidth))
		b.WriteString("\nMore on a command:  nsagent COMMAND --help\n" +
			paragraph("More, by nsagent help TOPIC:  ", strings.Join(topicNames(), ", ")) + "\n")
	}
	_, _ = io.WriteString(w, b.String())
}

// longHelp returns what a command does, in sentences.
func longHelp(c *cobra.Command) string {
	if c.Long != "" {
		return c.Long
	}
	return c.Short + "."
}

func usageLine(c *cobra.Command) string {
	line := c.CommandPath()
	if _, arguments, ok := strings.Cut(c.Use, " "); ok {
		line += " " + arguments
	}
	if c.HasAvailableSubCommands() {
		return line + " COMMAND [flags]"
	}
	return line + " [flags]"
}

// inOrder returns the commands below c that people see, in the order of their group,
// or else by name.
func inOrder(c *cobra.Command) []*cobra.Command {
	all := slices.DeleteFunc(slices.Clone(c.Commands()), func(sub *cobra.Command) bool { return sub.Hidden })
	slices.SortStableFunc(all, func(a, b *cobra.Command) int {
		return strings.Compare(a.Annotations[orderInGroup], b.Annotations[orderInGroup])
	})
	return all
}

// commandList lists the commands below c by group, in the order of the groups.
func commandList(c *cobra.Command) string {
	groups := c.Groups()
	if len(groups) == 0 {
		groups = []*cobra.Group{{}}
	}
	width := 0
	for _, sub := range c.Commands() {
		width = max(width, len(sub.Name()))
	}
	var b strings.Builder
	for _, g := range groups {
		for _, sub := range inOrder(c) {
			if sub.GroupID == g.ID {
				fmt.Fprintf(&b, "  %-*s  %s\n", width, sub.Name(), sub.Short)
			}
		}
	}
	return b.String()
}
