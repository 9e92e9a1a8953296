package command

import (
	"slices"
	"strings"
)

// columns are the widths of a table's columns, in columns of a terminal.
type columns []int

// columnsFor returns the widths that rows need.
func columnsFor(rows [][]string) columns {
	var c columns
	for _, r := range rows {
		c.fit(r)
	}
	return c
}

// fit widens the columns for a row.
func (c *columns) fit(row []string) {
	for len(*c) < len(row) {
		*c = append(*c, 0)
	}
	for i, cell := range row {
		(*c)[i] = max((*c)[i], columnsOf(oneLine(cell)))
	}
}

// line returns a row with its cells under each other, two blanks apart. What comes
// from elsewhere cannot move the cursor.
func (c columns) line(row []string) string {
	var b strings.Builder
	for i, cell := range row {
		b.WriteString(pad(oneLine(cell), c[i]) + "  ")
	}
	return strings.TrimRight(b.String(), " ")
}

// total returns how many columns of a terminal a line takes.
func (c columns) total() int {
	total := 2 * (len(c) - 1)
	for _, n := range c {
		total += n
	}
	return total
}

// shrink narrows the widest columns, none below its least width, until a line takes at
// most this many, and reports whether it does.
func (c columns) shrink(most int, least columns) bool {
	for total := c.total(); total > most; total-- {
		widest := -1
		for i, n := range c {
			if n > least[i] && (widest < 0 || n > c[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			return false
		}
		c[widest]--
	}
	return true
}

const (
	// leastCut is how narrow a cell may get that is cut. Dates, states and the like are
	// no wider, and stay whole.
	leastCut = 16
	// leastHead is how narrow a head may get.
	leastHead = 4
)

// leastColumns returns how narrow the columns of rows may get, the first of which are
// heads: these may be cut where what is under them is short.
func leastColumns(rows [][]string) columns {
	var least columns
	for _, head := range rows[0] {
		least = append(least, min(columnsOf(head), leastHead))
	}
	for _, r := range rows[1:] {
		least.fit(r)
	}
	for i := range least {
		least[i] = min(least[i], leastCut)
	}
	return least
}

// table writes rows in columns, the first row as their heads. The first column names a
// row, and is what other commands take. On a terminal the table is no wider than that, and
// names are never cut: other columns are, as far as they can be told apart; then a name
// gets a line of its own; and where that is too wide, too, each cell does.
func (e *env) table(rows [][]string) error {
	c := columnsFor(rows)
	if most := e.screen.columns; most > 0 {
		least := leastColumns(rows)
		least[0] = c[0]
		if !c.shrink(most, least) {
			return e.stacked(rows, most)
		}
	}
	for i, r := range rows {
		if err := e.printRow(c, r, i == 0); err != nil {
			return err
		}
	}
	return nil
}

// indent is what stands before that which belongs to the name above.
const indent = "  "

// stacked writes a table whose names have lines of their own.
func (e *env) stacked(rows [][]string, most int) error {
	rest := make([][]string, len(rows))
	for i, r := range rows {
		rest[i] = r[1:]
	}
	c := columnsFor(rest)
	if !c.shrink(most-len(indent), leastColumns(rest)) {
		return e.blocks(rows, most)
	}
	for i, r := range rows {
		if err := e.printBroken(r[0], "", most, i == 0); err != nil {
			return err
		}
		if err := e.printRow(append(columns{0}, c...), append([]string{""}, rest[i]...), i == 0); err != nil {
			return err
		}
	}
	return nil
}

// blocks writes each cell of a table on lines of its own, beside its head, and leaves out
// the empty ones. Nothing is cut.
func (e *env) blocks(rows [][]string, most int) error {
	heads := rows[0]
	width := 0
	for _, h := range heads[1:] {
		width = max(width, columnsOf(h))
	}
	for _, r := range rows[1:] {
		if err := e.printBroken(r[0], "", most, true); err != nil {
			return err
		}
		for i, cell := range r[1:] {
			if cell == "" {
				continue
			}
			if err := e.printBroken(cell, indent+pad(strings.ToLower(heads[i+1]), width)+"  ", most, false); err != nil {
				return err
			}
		}
	}
	return nil
}

// printRow writes one row of a table, which may be its heads. On a terminal, cells are cut
// to their columns.
func (e *env) printRow(c columns, row []string, heads bool) error {
	if e.screen.columns > 0 {
		row = slices.Clone(row)
		for i, cell := range row {
			row[i] = cut(oneLine(cell), c[i])
		}
	}
	line := c.line(row)
	if heads {
		line = e.screen.paint(bold, line)
	}
	return e.print(line)
}

// printBroken writes text after a margin, over as many lines as it needs.
func (e *env) printBroken(text, margin string, most int, heads bool) error {
	for _, line := range breakUp(oneLine(text), most-columnsOf(margin)) {
		line = strings.TrimRight(margin+line, " ")
		if heads {
			line = e.screen.paint(bold, line)
		}
		if err := e.print(line); err != nil {
			return err
		}
		margin = strings.Repeat(" ", columnsOf(margin))
	}
	return nil
}

// breakUp breaks s into lines of at most width columns: between words and, where a word
// is longer, within it. A line has room for eight columns at least.
func breakUp(s string, width int) []string {
	width = max(width, 8)
	var out []string
	for _, line := range wrap(s, width) {
		for columnsOf(line) > width {
			n, at := 0, 0
			for i, r := range line {
				if n += columnsOfRune(r); n > width {
					at = i
					break
				}
			}
			out = append(out, line[:at])
			line = line[at:]
		}
		out = append(out, line)
	}
	return out
}
