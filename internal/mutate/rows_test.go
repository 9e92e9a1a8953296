package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestReadRows(t *testing.T) {
	const two = "[[row]]\nname = 'a'\npackage = 'p/a'\nfiles = ['f.go']\nrun = '^TestF'\n[[row]]\nname = 'b'\npackage = 'p/b'\ngremlins = true\n"
	for _, test := range []struct {
		text, names string
		want        string // the names of the rows, or what the error says
	}{
		{two, "", "a b"},
		{two, "b", "b"},
		{two, "b a", "a b"},
		{two, "c", `no row "c"`},
		{two + "file = 'g.go'\n", "", "no key row.file"},
		{two + "skip = '^TestG'\n", "", "gremlins changes a whole package"},
		{two + "[[row]]\nname = 'a'\npackage = 'p/c'\n", "", "a name of its own"},
		{"[[row]]\nname = 'a'\n", "", "needs a package"},
		{"[[row", "", "toml"},
	} {
		file := filepath.Join(t.TempDir(), "rows.toml")
		if err := os.WriteFile(file, []byte(test.text), 0o600); err != nil {
			t.Fatal(err)
		}
		rows, err := readRows(file, strings.Fields(test.names))
		var got []string
		for _, r := range rows {
			got = append(got, r.Name)
		}
		if err != nil && !strings.Contains(err.Error(), test.want) || err == nil && strings.Join(got, " ") != test.want {
			t.Errorf("%q of\n%s: got %v, %v; want %s", test.names, test.text, got, err, test.want)
		}
	}
}

// A file that has another name by now would not be tried, and its score be a good one.
func TestRowOfAFileThatIsGone(t *testing.T) {
	_, err := row{Name: "a", Package: ".", Files: []string{"main.go", "gone.go"}}.try(context.Background(), 1, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "gone.go") {
		t.Errorf("got %v", err)
	}
}

// TestRowsHaveScores reads the rows as they are: each has files that are there, no check is
// tried by two, each one of agent/policy is tried, and each row has a score on the page, which
// has no other, of as many changes as it would try now.
func TestRowsHaveScores(t *testing.T) {
	t.Chdir("../..")
	rows, err := readRows("tools/mutation.toml", nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("docs/mutation.md")
	if err != nil {
		t.Fatal(err)
	}
	p, err := parsePage(string(text))
	if err != nil {
		t.Fatal(err)
	}
	tried := map[string]string{}
	for _, r := range rows {
		if err := r.check(); err != nil {
			t.Error(err)
		}
		for _, f := range r.Files {
			f = r.Package + "/" + f
			if tried[f] != "" {
				t.Errorf("%s is in row %q and in %q", f, tried[f], r.Name)
			}
			tried[f] = r.Name
		}
		name := (&report{pkg: r.Package, files: r.Files, left: !r.Gremlins}).name()
		score, ok := p.scores[name]
		if !ok {
			t.Errorf("row %q has no score: make mutate ROWS=%s", r.Name, r.Name)
		} else if !r.Gremlins {
			all, err := removals(r.dir(), r.Files)
			if was := cells(score)[1]; err != nil || was != strconv.Itoa(len(all)) {
				t.Errorf("row %q tries %d changes (%v), its score is of %s: make mutate ROWS=%s", r.Name, len(all), err, was, r.Name)
			}
		}
		delete(p.scores, name)
	}
	all, err := removals("./agent/policy", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, check := range all {
		if tried[check.file] == "" {
			t.Errorf("%s is in no row, and has the check %s", check.file, check.line)
		}
	}
	for name := range p.scores {
		t.Errorf("the page has a score of %s, which no row tries", name)
	}
	if !slices.ContainsFunc(rows, func(r row) bool { return r.Package == "internal/unlocktoken" }) {
		t.Error("nobody tries the code of tokens")
	}
}

// A score is written once each change that lives has its reason, and not before.
func TestAccount(t *testing.T) {
	file := filepath.Join(t.TempDir(), "page.md")
	const page = "# Page\n\n" + scoreHead + "| `signer` | stale |\n\n" + survivorHead
	const reasons = "| `signer/a.go` | conditionals boundary | `if a < b {` | equal is fine |\n| `signer/a.go` | invert logical | `if a \\|\\| b {` | both hold |\n"
	for _, test := range []struct {
		page    string
		write   bool
		wrong   int
		written bool
	}{
		{page, true, 2, false},
		{page + reasons, false, 0, false},
		{page + reasons, true, 0, true},
	} {
		if err := os.WriteFile(file, []byte(test.page), 0o600); err != nil {
			t.Fatal(err)
		}
		wrong, err := account(file, sampleReport(t), test.write)
		if err != nil {
			t.Fatal(err)
		}
		after, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if len(wrong) != test.wrong || strings.Contains(string(after), "| 50.0 % |") != test.written || !test.written && string(after) != test.page {
			t.Errorf("got %q, and the page\n%s", wrong, after)
		}
	}
	if _, err := account(filepath.Join(t.TempDir(), "none"), sampleReport(t), true); err == nil {
		t.Error("a page that is not there passes")
	}
}
