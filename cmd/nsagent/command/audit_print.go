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

func (p *entryPrinter) print(x audit.Entry) error {
	first := !p.printed
	p.printed = true
	line := strings.TrimRight(string(x.AppendLine(nil)), "\n")
	switch {
	case p.e.output == "jsonl", p.e.output == "json" && p.endless:
		return p.e.print(line)
	case p.e.output == "json":
		if first {
			return p.e.print("[\n  " + line)
		}
		return p.e.print("  , " + line)
	}
	if first {
		p.toScreen()
		if err := p.e.printRow(p.columns, entryHead(), true); err != nil {
			return err
		}
	}
	return p.e.printRow(p.columns, entryRow(x), false)
}

// toScreen makes the columns fit a terminal. Numbers and times stay whole, and where
// nobody knows how long the last column gets, it takes what is left.
func (p *entryPrinter) toScreen() {
	width := p.e.screen.columns
	if width == 0 {
		return
	}
	const whole = 2
	if p.endless {
		p.columns[len(p.columns)-1] += max(0, width-p.columns.total())
	}
	p.columns.shrink(width, whole)
}

// end closes what print has opened.
func (p *entryPrinter) end() error {
	switch {
	case p.e.output == "json" && p.printed:
		return p.e.print("]")
	case p.e.output == "json":
		return p.e.print("[]")
	case !p.e.json() && !p.printed:
		p.e.say("no entry matches")
	}
	return nil
}
