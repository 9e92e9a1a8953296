package policy

import "testing"

// A change of one rule is said to widen nothing where that is sure, and only there.
func TestChangesThatMayWiden(t *testing.T) {
	const (
		suiteql = "what = \"suiteql\"\n"
		all     = "what = \"*\"\n"
		allow   = "effect = \"allow\"\n"
		ask     = "effect = \"ask\"\n"
		deny    = "effect = \"deny\"\n"
	)
	for name, c := range map[string]struct {
		old, next string
		wider     bool
	}{
		"allowed, then asked":                {allow + all, ask + suiteql, true},
		"asked, then allowed":                {ask + all, allow + all, true},
		"denied, then allowed":               {deny + all, allow + suiteql, true},
		"asked for less, and more often":     {ask + all, ask + suiteql, true},
		"asked for more":                     {ask + suiteql, ask + all, true},
		"asked for the same, under a limit":  {ask + all, ask + all + "max_uses = 1", false},
		"asked for more, under a limit":      {ask + suiteql, ask + all + "max_uses = 1", true},
		"allowed more, under the same limit": {allow + suiteql + "max_uses = 1", allow + all + "max_uses = 1", true},
		"denied, then asked":                 {deny + all, ask + all, true},
		"asked, then denied":                 {ask + suiteql, deny + all, false},
		"a use more":                         {allow + all + "max_uses = 1", allow + all + "max_uses = 2", true},
		"a use less":                         {allow + all + "max_uses = 2", allow + all + "max_uses = 1", false},
		"the same uses, by another rate":     {allow + all + "max_uses = 2\nrate = \"5/h\"", allow + all + "max_uses = 2\nrate = \"6/h\"", true},
		"a lower rate":                       {allow + all + "rate = \"6/h\"", allow + all + "rate = \"5/h\"", false},
		"a rate where there was none":        {allow + all + "max_uses = 2", allow + all + "max_uses = 2\nrate = \"5/h\"", false},
		"no rate where there was one":        {allow + all + "max_uses = 2\nrate = \"5/h\"", allow + all + "max_uses = 2", true},
		"one more at once":                   {allow + all + "concurrency = 1", allow + all + "concurrency = 2", true},
		"one less at once":                   {allow + all + "concurrency = 2", allow + all + "concurrency = 1", false},
		"without a code":                     {allow + all + "max_uses = 2\ntotp = true", allow + all + "max_uses = 1", true},
		"with a code as before":              {allow + all + "max_uses = 2\ntotp = true", allow + all + "max_uses = 1\ntotp = true", false},
		"with a code":                        {allow + all + "max_uses = 2", allow + all + "max_uses = 2\ntotp = true", false},

		// A rule that denies suiteql denies its path with any method.
		"denied by its method":               {deny + suiteql, deny + "what = \"POST " + SuiteQLPath + "\"", true},
		"denied by its path":                 {deny + suiteql, deny + "what = \"* " + SuiteQLPath + "\"", false},
		"allowed by its name":                {allow + "what = \"POST " + SuiteQLPath + "\"", allow + suiteql, false},
		"asked for by its name":              {ask + "what = \"POST " + SuiteQLPath + "\"", ask + "what = [\"POST " + SuiteQLPath + "\", \"suiteql\"]", true},
		"tokens in production":               {allow + "what = \"GET /**\"", allow + "what = \"GET /rest/*\"\nenvironment = \"production\"", true},
		"records in production":              {allow + "what = \"GET /**\"", allow + "what = \"GET /services/**\"\nenvironment = \"production\"", false},
		"all reading, production":            {allow + "what = \"GET /**\"", allow + "what = \"GET /**\"\nenvironment = \"production\"", true},
		"SuiteQL by its path, in production": {allow + all, allow + "what = \"POST " + SuiteQLPath + "\"\nenvironment = \"production\"", false},
		"paths beside /rest, in production":  {allow + "what = \"GET /**\"", allow + "what = \"GET /rest/record/**\"\nenvironment = \"production\"", false},

		// What only writes is for sandboxes without an environment as well.
		"in sandboxes by name":        {allow + "what = \"passport\"\nenvironment = \"sandbox\"", allow + "what = \"passport\"", false},
		"reading in sandboxes, then":  {allow + "what = \"GET /a\"\nenvironment = \"sandbox\"", allow + "what = \"GET /a\"", true},
		"writing, denied there":       {allow + "max_uses = 1\nwhat = \"PUT /a\"", deny + "what = \"PUT /a\"\nenvironment = \"sandbox\"", false},
		"reading, denied in one":      {allow + "max_uses = 1\nwhat = \"GET /a\"", deny + "what = \"GET /a\"\nenvironment = \"sandbox\"", true},
		"asked for, denied in one":    {ask + "what = \"PUT /a\"", deny + "what = \"PUT /a\"\nenvironment = \"sandbox\"", true},
		"denied in one only":          {deny + all, deny + all + "environment = \"production\"", true},
		"allowed, then denied in one": {allow + all, deny + all + "environment = \"production\"", false},
		"a few, then others denied":   {allow + all + "max_uses = 2", deny + suiteql, true},
		"another user":                {allow + all, allow + all + "who = { uid = 8 }", true},
	} {
		got := Diff(rules(t, c.old), rules(t, c.next), nil)
		if len(got) != 1 || got[0].Wider != c.wider {
			t.Errorf("%s: got %+v, want wider %t", name, got, c.wider)
		}
	}
}

// What stood behind a rule that goes may give more than it: where it allowed under a
// limit, asked or denied.
func TestRulesThatGo(t *testing.T) {
	for old, wider := range map[string]bool{
		"effect = \"allow\"\nwhat = \"*\"":               false,
		"effect = \"allow\"\nwhat = \"*\"\nmax_uses = 1": true,
		"effect = \"allow\"\nwhat = \"*\"\ntotp = true":  true,
		"effect = \"ask\"\nwhat = \"*\"":                 true,
		"effect = \"deny\"\nwhat = \"*\"":                true,
	} {
		if got := Diff(rules(t, old), rules(t), nil); len(got) != 1 || got[0].Sign != "-" || got[0].Wider != wider {
			t.Errorf("%s\ngot %+v, want wider %t", old, got, wider)
		}
	}
}

// Two rules that differ never read the same, so that no change is left out; and no text
// of a rule can be taken for another part of it.
func TestNoChangeHides(t *testing.T) {
	const all = "effect = \"allow\"\nwhat = \"*\"\nwho = "
	for _, c := range [][2]string{
		{`{ exe = "/a or /b" }`, `{ exe = ["/a", "/b"] }`},
		{`{ exe = "/a and unit b" }`, `{ exe = "/a", unit = "b" }`},
		{`{ unit = "\"a or b\"" }`, `{ unit = "a or b" }`},
		{`{ unit = "a or b" }`, `{ unit = ["a", "b"] }`},
		{`{ container = "a or b" }`, `{ container = ["a", "b"] }`},
		{`{ oidc = { issuer = "https://i", ref = "a|b" } }`, `{ oidc = { issuer = "https://i", ref = ["a", "b"] } }`},
		{`{ oidc = { issuer = "https://i", a = "b c=d" } }`, `{ oidc = { issuer = "https://i", a = "b", c = "d" } }`},
		{`{ oidc = { issuer = "https://i", a = "b=c" } }`, `{ oidc = { issuer = "https://i", "a=b" = "c" } }`},
		{`{ oidc = { issuer = "https://i a=b", c = "d" } }`, `{ oidc = { issuer = "https://i", a = "b", c = "d" } }`},
	} {
		for range 2 {
			if got := Diff(rules(t, all+c[0]), rules(t, all+c[1]), nil); len(got) != 1 {
				t.Errorf("%s, then %s: got %+v", c[0], c[1], got)
			}
			c[0], c[1] = c[1], c[0]
		}
	}
	text := rules(t, all+`{ oidc = { issuer = "https://i", "\u001b[2J" = "x", "a\u007f" = "y" } }`).Rules[0].String()
	if want := `allows *, for jobs of https://i "\x1b[2J"=x "a\x7f"=y`; text != want {
		t.Errorf("got %q, want %q", text, want)
	}
}
