package policy

import (
	"os"
	"strings"
	"testing"
)

// Every example of the page is a policy, or a table of cases that hold for the policy
// before it.
func TestExamplesOfThePage(t *testing.T) {
	page, err := os.ReadFile("../../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	var p *Policy
	policies, cases := 0, 0
	for _, part := range strings.Split(string(page), "```toml\n")[1:] {
		text, _, _ := strings.Cut(part, "```")
		if !strings.Contains(text, "[[case]]") {
			if p, err = Parse(text); err != nil {
				t.Fatalf("%v in\n%s", err, text)
			}
			for _, f := range p.Lint(nil) {
				if f.Never {
					t.Errorf("%+v in\n%s", f, text)
				}
			}
			policies++
			continue
		}
		all, err := ParseCases(text, 1000)
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		for _, c := range all {
			cases++
			if got := c.Check(p); got != "" {
				t.Errorf("case %q: %s", c.Name, got)
			}
		}
	}
	if policies < 2 || cases < 7 {
		t.Errorf("the page has %d policies and %d cases", policies, cases)
	}
}

// FuzzParseCases: no text makes the reader panic, and an error says where it is.
func FuzzParseCases(f *testing.F) {
	f.Add("[[case]]\nprofile = \"a\"\nenvironment = \"sandbox\"\ndo = \"GET https://h/a?b#c\"\nas = \"uid=1,claim.x=y\"\nat = \"2026-11-27T10:00:00Z\"\nwant = \"deny\"\n")
	f.Fuzz(func(t *testing.T, text string) {
		cases, err := ParseCases(text, 7)
		if (err == nil) != (len(cases) > 0) {
			t.Fatalf("got %+v, %v", cases, err)
		}
	})
}
