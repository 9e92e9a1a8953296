package archtest

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var requirement = regexp.MustCompile(`(?m)^\s+(\S+) v\S+$`) // without "// indirect"

// TestEveryDependencyHasAReason compares docs/deps.md with the direct
// requirements of go.mod.
func TestEveryDependencyHasAReason(t *testing.T) {
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/deps.md")
	if err != nil {
		t.Fatal(err)
	}
	var required, reasoned []string
	for _, m := range requirement.FindAllStringSubmatch(string(mod), -1) {
		required = append(required, m[1])
	}
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if name := quoted(cells[0]); strings.HasPrefix(line, "| `") && len(cells) == 2 && len(strings.Fields(cells[1])) > 2 {
			reasoned = append(reasoned, name...)
		}
	}
	if len(required) < 10 {
		t.Fatalf("found %d requirements in go.mod: the reading goes wrong", len(required))
	}
	for _, module := range required {
		if !slices.Contains(reasoned, module) {
			t.Errorf("docs/deps.md does not say why %s is there", module)
		}
	}
	for _, module := range reasoned {
		if !slices.Contains(required, module) {
			t.Errorf("docs/deps.md speaks of %s, which go.mod does not require", module)
		}
	}
}
