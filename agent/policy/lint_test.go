package policy

import "testing"

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
