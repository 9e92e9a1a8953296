package command

import (
	"strconv"
	"strings"

	"github.com/nsagent/nsagent/agent/audit"
)

// entryPrinter prints audit entries: as they stand in the log for programs, in
// columns for people.
type entryPrinter struct {
	e       *env
	columns columns
	printed bool
	endless bool // nobody knows what comes, or whether it ends
	below   bool // the target has a line of its own, since the terminal is narrow
}

func newEntryPrinter(e *env) *entryPrinter {
	p := &entryPrinter{e: e}
	p.columns.fit(entryHead())
	return p
}

func entryHead() []string {
	return []string{"SEQ", "TIME", "OUTCOME", "EVENT", "PROFILE", "METHOD", "REASON", "TARGET"}
}

// entryRow is an entry for people. What may be long comes last.
func entryRow(x audit.Entry) []string {
	row := []string{
		strconv.FormatUint(x.Seq, 10), x.Time.Local().Format("2006-01-02 15:04:05"), x.Outcome, x.Event,
		x.Profile, x.Method, x.Reason, strings.TrimSpace(x.Host + x.Path + " " + x.Detail),
	}
	for i, cell := range row {
		if cell == "" {
			row[i] = "-"
		}
	}
	return row
}

// stream prepares for entries that come one by one: columns have room for what is usual,
// and each is a JSON document of its own.
func (p *entryPrinter) stream() {
	p.endless = true
	p.columns.fit([]string{"1234567", "2006-01-02 15:04:05", "denied", "vault.unlock", "acme-production", "DELETE", "NSA-READONLY", ""})
}

// fit makes room for an entry that will be printed.
func (p *entryPrinter) fit(x audit.Entry) { p.columns.fit(entryRow(x)) }

// entriesHead is what a document with entries begins with. The entries are whole lines of
// the log, over which its hashes are, and have no schema of their own.
const entriesHead = `{
  "schema": "nsagent.audit-query/v1",
  "entries": [`

func (p *entryPrinter) print(x audit.Entry) error {
	first := !p.printed
	p.printed = true
	line := strings.TrimRight(string(x.AppendLine(nil)), "\n")
	switch {
	case p.e.output == "jsonl", p.e.output == "json" && p.endless:
		return p.e.print(line)
	case p.e.output == "json":
		if first {
			return p.e.print(entriesHead + "\n    " + line)
		}
		return p.e.print("  , " + line)
	}
	if first {
		p.toScreen()
		if err := p.row(entryHead(), true); err != nil {
			return err
		}
	}
	return p.row(entryRow(x), false)
}

// leastTarget is how much of a target is worth showing beside the other columns.
const leastTarget = 24

// toScreen makes the columns fit a terminal. Numbers and times stay whole, and where
// nobody knows how long the last column gets, it takes what is left.
func (p *entryPrinter) toScreen() {
	width := p.e.screen.columns
	if width == 0 {
		return
	}
	const whole = 2
	last := len(p.columns) - 1
	rest := p.columns[:last]
	left := width - rest.total() - 2
	p.below = left < min(p.columns[last], leastTarget)
	switch {
	case p.below:
		rest.shrink(width, whole)
		p.columns[last] = width - rest[0] - 2
	case p.endless:
		p.columns[last] = left
	default:
		p.columns[last] = min(p.columns[last], left)
	}
}

// row prints an entry, or the heads. Where the target is below, it stands under the time.
func (p *entryPrinter) row(cells []string, heads bool) error {
	if !p.below {
		return p.e.printRow(p.columns, cells, heads)
	}
	last := len(cells) - 1
	if err := p.e.printRow(p.columns[:last], cells[:last], heads); err != nil || heads || cells[last] == "-" {
		return err
	}
	return p.e.printRow(columns{p.columns[0], p.columns[last]}, []string{"", cells[last]}, false)
}

// end closes what print has opened.
func (p *entryPrinter) end() error {
	switch {
	case p.e.output == "json" && p.printed:
		return p.e.print("  ]\n}")
	case p.e.output == "json":
		return p.e.print(entriesHead + "]\n}")
	case !p.e.json() && !p.printed:
		p.e.say("no entry matches")
	}
	return nil
}
