package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

const (
	scoreHead    = "| package | changes | noticed | lived | not tried | score |\n|---|---|---|---|---|---|\n"
	survivorHead = "| file | change | line | why it does no harm |\n|---|---|---|---|\n"
)

// page is docs/mutation.md.
type page struct {
	before, between, after string            // around the two tables
	scores                 map[string]string // rows, by their first cell
	rows                   []survivor
}

// survivor is a row that says why a change lives.
type survivor struct {
	text, key, file, kind string
	seen                  bool
}

// left reports whether the change left out a check.
func (s *survivor) left() bool { return strings.HasPrefix(s.kind, "without ") }

func parsePage(text string) (*page, error) {
	p := &page{scores: map[string]string{}}
	var rest string
	var ok, also bool
	p.before, rest, ok = strings.Cut(text, scoreHead)
	scores, rest := table(rest)
	p.between, rest, also = strings.Cut(rest, survivorHead)
	survivors, after := table(rest)
	if !ok || !also {
		return nil, errors.New("the page lacks one of its tables")
	}
	p.after = after
	for _, row := range scores {
		p.scores[cells(row)[0]] = row
	}
	for _, row := range survivors {
		c := cells(row)
		if len(c) != 4 || c[3] == "" {
			return nil, fmt.Errorf("a row of survivors needs four cells: %s", row)
		}
		file := strings.Trim(c[0], "`")
		p.rows = append(p.rows, survivor{text: row, file: file, kind: c[1], key: mutant{file: file, kind: c[1], line: unquote(c[2])}.key()})
	}
	return p, nil
}

// table returns the rows at the start of text, and what follows them.
func table(text string) (rows []string, rest string) {
	for strings.HasPrefix(text, "|") {
		row, after, _ := strings.Cut(text, "\n")
		rows, text = append(rows, row+"\n"), after
	}
	return rows, text
}

// cells returns the cells of a row. A bar in a cell is written \|.
func cells(row string) []string {
	row = strings.ReplaceAll(strings.TrimSpace(row), `\|`, "\x00")
	out := strings.Split(strings.Trim(row, "|"), "|")
	for i := range out {
		out[i] = strings.ReplaceAll(strings.TrimSpace(out[i]), "\x00", "|")
	}
	return out
}

// quote writes a source line as a cell, unquote reads it.
func quote(line string) string {
	line = strings.ReplaceAll(line, "|", `\|`)
	if strings.Contains(line, "`") {
		return "`` " + line + " ``"
	}
	return "`" + line + "`"
}

func unquote(cell string) string { return strings.TrimSpace(strings.Trim(cell, "`")) }

// judge returns what is wrong between a report and the page: a line for each change
// that lives without a reason, as a row to fill in, and for each reason without one.
func (p *page) judge(r report) []string {
	var wrong []string
	for _, m := range r.lived {
		if !m.tried {
			continue
		}
		// A row is for one change: lines of a file may be alike.
		i := slices.IndexFunc(p.rows, func(s survivor) bool { return s.key == m.key() && !s.seen })
		if i >= 0 {
			p.rows[i].seen = true
		} else {
			wrong = append(wrong, fmt.Sprintf("| `%s` | %s | %s | %d: no reason given |", m.file, strings.ReplaceAll(m.kind, "|", `\|`), quote(m.line), m.number))
		}
	}
	for _, s := range p.rows {
		if r.covers(&s) && !s.seen {
			wrong = append(wrong, "lives no longer: "+strings.TrimSpace(s.text))
		}
	}
	return wrong
}

// String returns the page as it is now.
func (p *page) String() string {
	var out strings.Builder
	out.WriteString(p.before + scoreHead)
	for _, pkg := range slices.Sorted(maps.Keys(p.scores)) {
		out.WriteString(p.scores[pkg])
	}
	out.WriteString(p.between + survivorHead)
	for _, s := range p.rows {
		out.WriteString(s.text)
	}
	out.WriteString(p.after)
	return out.String()
}
