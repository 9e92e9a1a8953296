package archtest

import (
	"fmt"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// modulePath is the import path of the module, without the final slash.
const modulePath = "github.com/nsagent/nsagent"

// layout is what docs/layout.md says.
type layout struct {
	packages map[string]*row // by path inside the module
	files    []fileRule
	testOnly map[string][]string // module -> the packages whose tests may import it
	sockets  map[string]string   // package that opens IP sockets -> which, and why
}

// row is one package of the table.
type row struct {
	path, sentence      string
	ours, others, never []string
}

// fileRule gives some files of a package more than their package has.
type fileRule struct {
	patterns []string // path.Match patterns, from the root of the module
	allowed  []string // packages of ours and modules
}

// readLayout reads the page.
func readLayout(t *testing.T) layout {
	t.Helper()
	text, err := os.ReadFile("../../docs/layout.md")
	if err != nil {
		t.Fatal(err)
	}
	l, err := parseLayout(string(text))
	if err != nil {
		t.Fatalf("docs/layout.md: %v", err)
	}
	return l
}

// parseLayout takes the four tables by the first word of their head row.
func parseLayout(text string) (layout, error) {
	l := layout{packages: map[string]*row{}, testOnly: map[string][]string{}, sockets: map[string]string{}}
	kind := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") {
			kind = ""
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		switch {
		case kind == "":
			kind = cells[0]
		case strings.HasPrefix(cells[0], "---"):
		default:
			if err := l.add(kind, cells); err != nil {
				return layout{}, err
			}
		}
	}
	if len(l.packages) == 0 || len(l.files) == 0 || len(l.testOnly) == 0 {
		return layout{}, fmt.Errorf("found %d packages, %d file rules, %d modules for tests; want some of each",
			len(l.packages), len(l.files), len(l.testOnly))
	}
	return l, nil
}

// add takes one row of the table whose head starts with kind.
func (l *layout) add(kind string, cells []string) error {
	want := map[string]int{"package": 5, "files": 2, "module": 2, "opens IP sockets": 2}[kind]
	if want != len(cells) {
		return fmt.Errorf("a row of the table %q has %d cells, want %d: %q", kind, len(cells), want, cells)
	}
	name := quoted(cells[0])
	if len(name) == 0 {
		return fmt.Errorf("a row of the table %q names nothing: %q", kind, cells)
	}
	switch kind {
	case "package":
		if l.packages[name[0]] != nil {
			return fmt.Errorf("two rows for %s", name[0])
		}
		if len(strings.Fields(cells[1])) < 3 {
			return fmt.Errorf("%s has no sentence", name[0])
		}
		l.packages[name[0]] = &row{
			path: name[0], sentence: cells[1],
			ours: quoted(cells[2]), others: quoted(cells[3]), never: quoted(cells[4]),
		}
	case "files":
		rule := fileRule{allowed: quoted(cells[1])}
		for _, pattern := range name {
			rule.patterns = append(rule.patterns, expand(pattern)...)
		}
		l.files = append(l.files, rule)
	case "module":
		places := quoted(cells[1])
		if len(places) == 0 {
			return fmt.Errorf("%s: tests of what? %q", name[0], cells[1])
		}
		l.testOnly[name[0]] = places
	case "opens IP sockets":
		if len(strings.Fields(cells[1])) < 3 {
			return fmt.Errorf("%s opens IP sockets: which, and why? %q", name[0], cells[1])
		}
		l.sockets[name[0]] = cells[1]
	}
	return nil
}

var codeSpan = regexp.MustCompile("`([^`]+)`")

// quoted returns the code spans of a cell.
func quoted(cell string) []string {
	var out []string
	for _, m := range codeSpan.FindAllStringSubmatch(cell, -1) {
		out = append(out, m[1])
	}
	return out
}

// expand turns one {a,b} into two patterns.
func expand(pattern string) []string {
	before, rest, found := strings.Cut(pattern, "{")
	if !found {
		return []string{pattern}
	}
	choices, after, _ := strings.Cut(rest, "}")
	var out []string
	for choice := range strings.SplitSeq(choices, ",") {
		out = append(out, before+choice+after)
	}
	return out
}

// forFile returns what the file may import beyond its package.
func (l layout) forFile(file string) []string {
	var out []string
	for _, rule := range l.files {
		for _, pattern := range rule.patterns {
			if ok, err := path.Match(pattern, file); ok && err == nil {
				out = append(out, rule.allowed...)
			}
		}
	}
	return out
}

// within reports whether an import path is one of the modules, or below one.
func within(importPath string, modules []string) bool {
	return slices.ContainsFunc(modules, func(m string) bool {
		return importPath == m || strings.HasPrefix(importPath, m+"/")
	})
}

// ours returns the path inside the module, if the import is of this module.
func ours(importPath string) (string, bool) {
	if importPath == modulePath {
		return ".", true
	}
	return strings.CutPrefix(importPath, modulePath+"/")
}

// standard reports whether the import is of the standard library.
func standard(importPath string) bool {
	first, _, _ := strings.Cut(importPath, "/")
	return !strings.Contains(first, ".")
}
