package policy

import (
	"strings"
	"testing"
)

// Rules about SOAP and TokenPassports that do not do what they say.
func TestLintOfPassports(t *testing.T) {
	const (
		nothing = "soap allows nothing there: a TokenPassport does not say for which operation it is; allow passport, or leave it out"
		half    = "it denies one of passport and connect, and either can be made into the other: deny both"
	)
	for _, c := range []struct{ effect, what, want string }{
		{"allow", `["soap get", "suiteql"]`, nothing}, {"ask", `"soap get"`, ""}, {"deny", `"soap get"`, ""},
		{"deny", `"passport"`, half}, {"deny", `["connect", "token"]`, half}, {"deny", `["passport", "connect"]`, ""},
		{"allow", `"passport"`, ""}, {"ask", `"connect"`, ""},
		{"deny", `["passport", "*"]`, ""}, {"deny", `"*"`, ""}, {"deny", `["passport", "soap get"]`, ""}, {"deny", `["token", "suiteql"]`, ""},
	} {
		got := rules(t, "effect = \""+c.effect+"\"\nwhat = "+c.what).Lint()
		if (len(got) == 0) != (c.want == "") || len(got) > 0 && (got[0].Text != c.want || !got[0].Never || len(got) > 1) {
			t.Errorf("%s %s: got %+v", c.effect, c.what, got)
		}
	}
}

// A rule that denies still denies something where it stands behind one for the same that
// allows or asks: what another user does, and what may be meant and cannot be told.
func TestLintOfDenyingBehind(t *testing.T) {
	const all = "environment = \"sandbox\"\nwhat = \"*\"\nwho = { exe = \"/a\" }\neffect = "
	for _, c := range []struct {
		first, second string
		leaves        bool
	}{{"allow", "deny", true}, {"ask", "deny", true}, {"allow", "allow", false}, {"deny", "deny", false}, {"deny", "allow", false}} {
		p := rules(t, all+`"`+c.first+`"`, all+`"`+c.second+`"`, "effect = \"allow\"\nwhat = \"*\"\nwho = { uid = [7, 8] }")
		got := p.Lint()
		if len(got) == 0 || !got[0].Never || strings.HasSuffix(got[0].Text, "but for other users and what cannot be told") != c.leaves {
			t.Errorf("%s, then %s: got %+v", c.first, c.second, got)
		}
		other := with(writer("GET", customers), func(a *Attempt) { a.UID, a.Evidence = 8, Evidence{Known: FactExe, Exe: "/a"} })
		if d := p.Decide(other); (d.Index == 1) != c.leaves {
			t.Errorf("%s, then %s: got %+v", c.first, c.second, d)
		}
	}
}
