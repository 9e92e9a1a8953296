package policy

import (
	"os"
	"strings"
	"testing"
)

// Every example of the pages is a whole policy, in which no rule is idle, or a table of cases
// that hold for the policy before it. Otherwise its first line says what it is.
func TestExamplesOfThePages(t *testing.T) {
	for name, want := range map[string]struct{ policies, parts, cases int }{
		"policy":    {2, 0, 7},
		"approvals": {1, 1, 0},
		"ci/README": {0, 1, 0},
	} {
		page, err := os.ReadFile("../../docs/" + name + ".md")
		if err != nil {
			t.Fatal(err)
		}
		var p *Policy
		policies, parts, cases := 0, 0, 0
		for _, example := range strings.Split(string(page), "```toml\n")[1:] {
			text, _, _ := strings.Cut(example, "```")
			switch first := strings.TrimSpace(strings.SplitN(text, "\n", 2)[0]); {
			case first == "# config.toml":
			case first == "# a part of the policy":
				parts++
				mustLint(t, "version = 1\n"+text+"\n[[rule]]\nname = \"a\"\neffect = \"allow\"\nwhat = \"*\"\n")
			case first == "[[case]]":
				cases += mustHold(t, p, text)
			default:
				policies++
				p = mustLint(t, text)
			}
		}
		if policies < want.policies || parts < want.parts || cases < want.cases {
			t.Errorf("%s.md has %d policies, %d parts of one and %d cases", name, policies, parts, cases)
		}
		if name == "approvals" { // who begins with it is warned of nothing, and the rules do what their names say
			for _, f := range p.Lint(nil) {
				t.Errorf("%+v", f)
			}
			mustHold(t, p, `
[[case]]
profile = "a"
environment = "production"
do = "GET /services/rest/record/v1/customer/1"
want = "allow"
rule = "reads"

[[case]]
profile = "a"
environment = "production"
do = "suiteql"
want = "allow"
rule = "queries"

[[case]]
profile = "a"
environment = "production"
do = "POST /services/rest/record/v1/customer"
want = "ask"
rule = "writes in production"

[[case]]
profile = "a"
environment = "production"
do = "token"
want = "ask"
rule = "writes in production"

[[case]]
profile = "a"
environment = "sandbox"
do = "DELETE /services/rest/record/v1/customer/1"
want = "allow"
rule = "sandboxes"
`)
		}
	}
}

// mustLint returns the policy of text, whose rules all decide something.
func mustLint(t *testing.T, text string) *Policy {
	t.Helper()
	p, err := Parse(text)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	for _, f := range p.Lint(nil) {
		if f.Never {
			t.Errorf("%+v in\n%s", f, text)
		}
	}
	return p
}

// mustHold returns how many cases text has, each of which holds for p.
func mustHold(t *testing.T, p *Policy, text string) int {
	t.Helper()
	all, err := ParseCases(text, 1000)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	for _, c := range all {
		if got := c.Check(p); got != "" {
			t.Errorf("case %q, %s: %s", c.Name, c.Do, got)
		}
	}
	return len(all)
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
