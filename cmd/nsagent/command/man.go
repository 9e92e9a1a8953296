package command

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// newMan returns the command that writes the manual pages, for make man.
func newMan(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:    "man-pages DIR",
		Hidden: true,
		Args:   takes("DIR"),
		RunE: func(_ *cobra.Command, args []string) error {
			for name, text := range manPages(root) {
				if err := os.WriteFile(filepath.Join(args[0], name), []byte(text), 0o644); err != nil { // #nosec G306 -- for everybody to read
					return fmt.Errorf("writing a manual page: %w", err)
				}
			}
			return nil
		},
	}
}

// manPages returns the manual by file name: a page on the program with all topics,
// and one for each command below it, which has the commands below that. The text is
// that of the help.
func manPages(root *cobra.Command) map[string]string {
	pages := map[string]string{}
	var names []string
	for _, c := range root.Commands() {
		if !c.Hidden {
			names = append(names, manName(c))
			pages[manName(c)+".1"] = commandPage(c)
		}
	}
	m := newManPage(root)
	m.description(root)
	m.section("COMMANDS")
	for _, c := range root.Commands() {
		if !c.Hidden {
			m.tag(`\fB`+roff(manName(c))+`\fP(1)`, roff(c.Short)+".")
		}
	}
	m.section("OPTIONS")
	m.paragraph("Every command takes these.\n")
	m.flags(root.PersistentFlags())
	m.flags(root.LocalNonPersistentFlags())
	for _, t := range topics() {
		m.section(strings.ToUpper(strings.ReplaceAll(t.name, "-", " ")))
		m.text(t.text())
	}
	m.seeAlso(names)
	pages[manName(root)+".1"] = m.b.String()
	return pages
}

func commandPage(c *cobra.Command) string {
	m := newManPage(c)
	m.description(c)
	if !c.HasAvailableSubCommands() {
		m.section("OPTIONS")
		m.flags(c.LocalNonPersistentFlags())
	} else {
		m.section("COMMANDS")
		m.below(c)
	}
	m.section("EXIT STATUS")
	m.paragraph("0 where all went well. The other codes are in \\fBnsagent\\fP(1).\n")
	m.seeAlso([]string{manName(c.Root())})
	return m.b.String()
}

func manName(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }

// manPage is a page in the making, in the man macros of roff.
type manPage struct {
	b      strings.Builder
	headed bool // a heading was written last, behind which no paragraph is begun
}

func newManPage(c *cobra.Command) *manPage {
	m := &manPage{}
	fmt.Fprintf(&m.b, ".\\\" Written by make man from the help text; not to be edited.\n.TH %s 1 \"\" nsagent \"User Commands\"\n", strings.ToUpper(roff(manName(c))))
	m.section("NAME")
	m.raw(roff(manName(c)) + " \\- " + roff(strings.ToLower(c.Short[:1])+c.Short[1:]) + "\n")
	m.section("SYNOPSIS")
	m.synopsis(c)
	return m
}

func (m *manPage) raw(s string) {
	m.b.WriteString(s)
	m.headed = false
}

func (m *manPage) section(name string) {
	m.raw(".SH " + roff(name) + "\n")
	m.headed = true
}

// paragraph writes what is roff already as a paragraph.
func (m *manPage) paragraph(s string) {
	if !m.headed {
		m.raw(".PP\n")
	}
	m.raw(s)
}

func (m *manPage) synopsis(c *cobra.Command) {
	line := strings.TrimSuffix(usageLine(c), " [flags]")
	command := c.CommandPath()
	m.raw("\\fB" + roff(command) + "\\fP" + roff(strings.TrimPrefix(line, command)) + " [\\fIflags\\fP]\n")
}

// description writes the long help and the examples.
func (m *manPage) description(c *cobra.Command) {
	m.section("DESCRIPTION")
	m.text(longHelp(c))
	if c.HasExample() {
		m.section("EXAMPLES")
		m.text(c.Example)
	}
}

// below writes what is below c, a subsection each.
func (m *manPage) below(c *cobra.Command) {
	for _, sub := range c.Commands() {
		if sub.Hidden {
			continue
		}
		m.raw(".SS " + roff(sub.CommandPath()) + "\n")
		m.synopsis(sub)
		m.text(longHelp(sub))
		if sub.HasAvailableSubCommands() {
			m.below(sub)
			continue
		}
		m.flags(sub.LocalNonPersistentFlags())
		if sub.HasExample() {
			m.paragraph("Examples:\n")
			m.text(sub.Example)
		}
	}
}

// text writes paragraphs. Those with indented lines are kept as they stand.
func (m *manPage) text(s string) {
	for _, p := range strings.Split(strings.Trim(s, "\n"), "\n\n") {
		if strings.HasPrefix(p, " ") || strings.Contains(p, "\n ") {
			m.paragraph(".nf\n" + roff(p) + "\n.fi\n")
		} else {
			m.paragraph(roff(p) + "\n")
		}
	}
}

// tag writes a term and what it means.
func (m *manPage) tag(term, meaning string) { m.raw(".TP\n" + term + "\n" + meaning + "\n") }

func (m *manPage) flags(flags *pflag.FlagSet) {
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		value, text := pflag.UnquoteUsage(f)
		term := `\fB` + roff("--"+f.Name) + `\fP`
		if f.Shorthand != "" {
			term = `\fB` + roff("-"+f.Shorthand) + `\fP, ` + term
		}
		if value != "" {
			term += ` \fI` + roff(value) + `\fP`
		}
		m.tag(term, roff(text)+".")
	})
}

func (m *manPage) seeAlso(names []string) {
	m.section("SEE ALSO")
	for i, name := range names {
		end := ",\n"
		if i == len(names)-1 {
			end = "\n"
		}
		m.raw(`\fB` + roff(name) + `\fP(1)` + end)
	}
}

// roff returns text in which nothing is a macro or an escape.
func roff(s string) string {
	var b strings.Builder
	for i, line := range strings.Split(s, "\n") {
		if i > 0 {
			b.WriteByte('\n')
		}
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			b.WriteString(`\&`)
		}
		for _, r := range line {
			switch {
			case r == '\\':
				b.WriteString(`\e`)
			case r == '-':
				b.WriteString(`\-`)
			case r == '\'':
				b.WriteString(`\(aq`)
			case r == '^':
				b.WriteString(`\(ha`)
			case r == '~':
				b.WriteString(`\(ti`)
			case r == '`':
				b.WriteString(`\(ga`)
			case r > 0x7e:
				fmt.Fprintf(&b, `\[u%04X]`, r)
			default:
				b.WriteRune(r)
			}
		}
	}
	return b.String()
}
