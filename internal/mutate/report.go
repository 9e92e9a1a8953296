package main

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
)

// report is what became of the changes to one package.
type report struct {
	pkg    string   // its path in the module, such as signer
	files  []string // that were changed; none: all
	left   bool     // checks were left out
	killed int      // a test failed, or did not end
	lived  []mutant
}

// count notes what became of a change.
func (r *report) count(m mutant, v verdict) {
	if v == killed {
		r.killed++
	} else {
		r.lived = append(r.lived, m)
	}
}

// covers reports whether r would name a survivor if it lived.
func (r *report) covers(s *survivor) bool {
	dir, name := path.Split(s.file)
	return path.Clean(dir) == r.pkg && s.left() == r.left && (len(r.files) == 0 || slices.Contains(r.files, name))
}

// mutant is a change that lived. Its line stands for its place, since numbers of
// lines move with every edit.
type mutant struct {
	file string // from the root of the module
	kind string // as gremlins calls it, such as conditionals boundary
	line string // the source line, without the space around it
	// tried is false where Go's coverage does not say that a test runs the place, so
	// that gremlins did not try the change: it never does for the condition of a case.
	tried  bool
	number int // of the line, for who looks for it
}

// key is what the page knows a mutant by.
func (m mutant) key() string { return m.file + "\x00" + m.kind + "\x00" + m.line }

// parseReport reads the JSON that gremlins writes about a directory such as ./signer.
func parseReport(dir string, text []byte, source func(file string, n int) (string, error)) (report, error) {
	var all struct {
		Files []struct {
			Name      string `json:"file_name"`
			Mutations []struct {
				Type   string `json:"type"`
				Status string `json:"status"`
				Line   int    `json:"line"`
			} `json:"mutations"`
		} `json:"files"`
	}
	if err := json.Unmarshal(text, &all); err != nil {
		return report{}, fmt.Errorf("reading what gremlins wrote: %w", err)
	}
	r := report{pkg: path.Clean(dir)}
	for _, f := range all.Files {
		for _, m := range f.Mutations {
			switch m.Status {
			case "KILLED", "TIMED OUT":
				r.killed++
			case "LIVED", "NOT COVERED":
				file := f.Name
				if !strings.HasPrefix(file, r.pkg+"/") {
					file = path.Join(r.pkg, file)
				}
				line, err := source(file, m.Line)
				if err != nil {
					return report{}, err
				}
				kind := strings.ToLower(strings.ReplaceAll(m.Type, "_", " "))
				r.lived = append(r.lived, mutant{file, kind, line, m.Status == "LIVED", m.Line})
			}
		}
	}
	r.sort()
	if r.killed+len(r.lived) == 0 {
		return report{}, fmt.Errorf("gremlins changed nothing in %s", dir)
	}
	return r, nil
}

func (r *report) sort() {
	slices.SortFunc(r.lived, func(a, b mutant) int {
		return strings.Compare(fmt.Sprintf("%s %06d %s", a.file, a.number, a.kind), fmt.Sprintf("%s %06d %s", b.file, b.number, b.kind))
	})
}

// name is what the table of scores calls the changes.
func (r *report) name() string {
	name := quote(r.pkg)
	if len(r.files) > 0 {
		name = quote(r.pkg + "/{" + strings.Join(r.files, ",") + "}")
	}
	if r.left {
		name += ", a check left out"
	}
	return name
}

// score is the row of the package in the table of scores: of the changes that were
// tried, how many were noticed.
func (r report) score() string {
	lived := 0
	for _, m := range r.lived {
		if m.tried {
			lived++
		}
	}
	tried := r.killed + lived
	return fmt.Sprintf("| %s | %d | %d | %d | %d | %.1f %% |\n",
		r.name(), tried+len(r.lived)-lived, r.killed, lived, len(r.lived)-lived, 100*float64(r.killed)/float64(max(tried, 1)))
}

// nthLine returns line n of text, counted from 1, without the space around it.
func nthLine(text string, n int) (string, error) {
	lines := strings.Split(text, "\n")
	if n < 1 || n > len(lines) {
		return "", fmt.Errorf("there is no line %d", n)
	}
	return strings.TrimSpace(lines[n-1]), nil
}
