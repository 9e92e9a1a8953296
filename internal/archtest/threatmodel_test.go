package archtest

import (
	"go/ast"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestThreatModelNamesRealTests reads the last table of docs/threat-model.md: each
// requirement is shown by a test function, written `dir.TestName`, or by a script
// of the command line, written as its path. Every fuzz target stands in one row.
func TestThreatModelNamesRealTests(t *testing.T) {
	page, err := os.ReadFile("../../docs/threat-model.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(page), "| id | severity | requirement | shown by | result |\n|---|---|---|---|---|\n")
	if !found {
		t.Fatal("docs/threat-model.md has no table of requirements")
	}
	tests := testFunctions(t)
	rows := 0
	named := map[string]bool{}
	for line := range strings.Lines(table) {
		if !strings.HasPrefix(line, "|") {
			break
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 5 {
			t.Errorf("a row has %d cells: %s", len(cells), line)
			continue
		}
		rows++
		shown := quoted(cells[3])
		if len(shown) == 0 {
			t.Errorf("nothing shows %s", strings.TrimSpace(cells[0]))
		}
		for _, name := range shown {
			named[name] = true
			if strings.HasSuffix(name, ".txtar") {
				if _, err := os.Stat(filepath.Join("../..", name)); err != nil {
					t.Errorf("%s: there is no %s", strings.TrimSpace(cells[0]), name)
				}
			} else if !tests[name] {
				t.Errorf("%s: there is no test %s", strings.TrimSpace(cells[0]), name)
			}
		}
	}
	for name := range tests {
		if strings.Contains(name, ".Fuzz") && !named[name] {
			t.Errorf("no requirement names the fuzz target %s: add it to I-01", name)
		}
	}
	if rows < 20 {
		t.Errorf("the table has %d rows; the requirements of this stage are more", rows)
	}
}

// testFunctions returns the names of all tests and fuzz targets as dir.Name.
func testFunctions(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	for _, s := range sources(t) {
		for _, fn := range s.functions() {
			name := fn.Name.Name
			if s.test && fn.Recv == nil && (strings.HasPrefix(name, "Test") || strings.HasPrefix(name, "Fuzz")) && takesOne(fn) {
				all[s.pkg+"."+name] = true
			}
		}
	}
	return all
}

// takesOne reports whether fn has one parameter, as tests have.
func takesOne(fn *ast.FuncDecl) bool { return fn.Type.Params.NumFields() == 1 }
