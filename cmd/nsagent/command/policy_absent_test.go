package command

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/agent/policy"
)

// A rule for profiles that are not there names what is meant, or what there is; without any
// profile it may be for those to come.
func TestAbsentProfiles(t *testing.T) {
	many := make([]string, 12)
	for i := range many {
		many[i] = fmt.Sprintf("p%d", i)
	}
	for _, c := range []struct {
		profiles string
		have     []string
		want     string
	}{
		{`"acme"`, []string{"acme", "prod"}, ""},
		{`["a*", "*d", "*"]`, []string{"acme", "prod"}, ""},
		{`["acme", "prdo"]`, []string{"acme", "prod"}, `"prdo" fits no profile; did you mean prod?`},
		{`"acme-sb"`, []string{"acme-sb1"}, `"acme-sb" fits no profile; did you mean acme-sb1?`},
		{`"load*"`, []string{"acme", "prod"}, `"load*" fits no profile; you have acme, prod`},
		{`"load*"`, many, `"load*" fits no profile; you have p0, p1, p2, p3, p4, p5, p6, p7, p8, p9, …`},
		{`"acme"`, nil, ""},
	} {
		p, err := policy.Parse("version = 1\n[[rule]]\nname = \"all\"\neffect = \"deny\"\nwhat = \"GET /\"\n[[rule]]\nname = \"a\"\neffect = \"allow\"\nwhat = \"*\"\nprofiles = " + c.profiles)
		if err != nil {
			t.Fatal(err)
		}
		got := absentProfiles(p, c.have)
		if len(got) == 0 != (c.want == "") || len(got) > 0 && (len(got) > 1 || got[0] != policy.Finding{Line: 6, Rule: "a", Text: c.want}) {
			t.Errorf("%s of %v: got %+v, want %q", c.profiles, c.have, got, c.want)
		}
	}
	p, err := policy.Parse("version = 1\n" + manyRules(policy.MaxFindings+1))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(absentProfiles(p, many)); n != policy.MaxFindings {
		t.Errorf("got %d findings", n)
	}
}

func manyRules(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "\n[[rule]]\nname = \"%d\"\neffect = \"allow\"\nwhat = \"*\"\nprofiles = \"load\"\n", i)
	}
	return b.String()
}
