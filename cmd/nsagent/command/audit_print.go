package command

import (
	"slices"
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
	beside  int  // how many columns stand beside each other; the others are below
	target  int  // how wide the last column is on a terminal, where it is beside
}

func newEntryPrinter(e *env) *entryPrinter {
	p := &entryPrinter{e: e}
	p.columns.fit(entryHead())
	return p
}

// entryHead names the columns. The zone of a time is told here: beside each there is no room.
func entryHead() []string {
	return []string{"SEQ", "TIME (local)", "OUTCOME", "EVENT", "PROFILE", "METHOD", "REASON", "TARGET"}
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
	row := entryRow(x)
	if p.endless && p.unforeseen(row) {
		p.toScreen()
	}
	return p.row(row, false)
}

// unforeseen makes room for a row of which a cell is wider than its column, and reports
// whether there was one. How wide the target is does not count.
func (p *entryPrinter) unforeseen(row []string) bool {
	last := len(row) - 1
	rest := p.columns[:last]
	before := slices.Clone(rest)
	rest.fit(row[:last])
	return !slices.Equal(before, rest)
}

// leastTarget is how much of a target is worth showing beside the other columns.
const leastTarget = 24

// toScreen makes the entries fit a terminal. The target, which comes last, is cut, if
// enough of it is left to be worth it. Nothing else is: the columns for which there is no
// room are below the others.
func (p *entryPrinter) toScreen() {
	width, last := p.e.screen.columns, len(p.columns)-1
	p.beside = len(p.columns)
	if width == 0 {
		return
	}
	left := width - p.columns[:last].total() - 2
	if left >= min(p.columns[last], leastTarget) {
		p.target = min(p.columns[last], left)
		if p.endless { // nobody knows how long it gets
			p.target = left
		}
		return
	}
	for p.beside = last; p.beside > 1 && p.columns[:p.beside].total() > width; p.beside-- {
	}
}

// row prints an entry, or the heads. What is below is broken between words.
func (p *entryPrinter) row(cells []string, heads bool) error {
	if p.beside == len(cells) {
		c := slices.Clone(p.columns)
		if p.e.screen.columns > 0 {
			c[len(c)-1] = p.target
		}
		return p.e.printRow(c, cells, heads)
	}
	below := slices.DeleteFunc(slices.Clone(cells[p.beside:]), func(cell string) bool { return cell == "-" })
	if err := p.e.printRow(p.columns[:p.beside], cells[:p.beside], heads); err != nil || heads || len(below) == 0 {
		return err
	}
	return p.e.printBroken(strings.Join(below, "  "), indent, p.e.screen.columns, false)
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
