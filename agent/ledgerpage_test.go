package agent

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Each kind of ledger entry has one meaning, and is in the table of docs/vault-format.md.
func TestLedgerKindsAreDocumented(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	kinds := make(map[string]string) // name by number
	for _, file := range files {
		b, err := os.ReadFile(file) // #nosec G304 -- of this package
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^\t?(?:const )?(\w+)\s+store\.Kind\s*=\s*(\d+)`).FindAllStringSubmatch(string(b), -1) {
			if kinds[m[2]] != "" {
				t.Errorf("%s and %s are both kind %s", kinds[m[2]], m[1], m[2])
			}
			kinds[m[2]] = m[1]
		}
	}
	page, err := os.ReadFile("../docs/vault-format.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n| kind | about | value |\n")
	section, _, _ = strings.Cut(section, "\n\n")
	var documented []string
	for _, row := range regexp.MustCompile(`(?m)^\| ([0-9, ]+) \|`).FindAllStringSubmatch(section, -1) {
		documented = append(documented, strings.Split(row[1], ", ")...)
	}
	byNumber := func(a, b string) int { x, _ := strconv.Atoi(a); y, _ := strconv.Atoi(b); return x - y }
	want := slices.SortedFunc(maps.Keys(kinds), byNumber)
	if !slices.Equal(documented, want) || len(want) < 15 {
		t.Errorf("the page has %v, want %v (%v)", documented, want, kinds)
	}
}
