package policy

import (
	"fmt"
	"slices"
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
		got := rules(t, "effect = \""+c.effect+"\"\nwhat = "+c.what).Lint(nil)
		if (len(got) == 0) != (c.want == "") || len(got) > 0 && (got[0].Text != c.want || !got[0].Never || len(got) > 1) {
			t.Errorf("%s %s: got %+v", c.effect, c.what, got)
		}
	}
}

// A rule that denies takes back nothing of what a rule before it gives, and is told so, with
// what is left to it and what to do.
func TestLintOfDenyingBehind(t *testing.T) {
	const (
		all     = "what = \"*\"\n"
		deletes = "what = \"DELETE /**\"\n"
		in      = "environment = \"%s\"\n"
		who     = "who = { exe = \"/a\" }\n"
		users   = "who = { uid = [7, 8] }\n"
		never   = `it never decides: rule "r0" before it takes all that it would`
		writes  = "writes in production, "
		rest    = "other users and what cannot be told"
		advice  = "; for it to deny that, put it first"
		overlap = `it overlaps with rule "r0", which allows: where both match, that one decides`
	)
	sandbox, production := fmt.Sprintf(in, "sandbox"), fmt.Sprintf(in, "production")
	rule := func(effect string, parts ...string) string {
		return "effect = \"" + effect + "\"\n" + strings.Join(parts, "")
	}
	for name, c := range map[string]struct {
		rules []string
		// of is what is said of the last rule but those that are behind it, and note that it
		// decides all the same.
		of   string
		note bool
		n    int
	}{
		"the same":                        {[]string{rule("allow", all, sandbox), rule("deny", all, sandbox)}, never + ", but for " + rest + advice, false, 1},
		"the same that asks":              {[]string{rule("ask", all, sandbox), rule("deny", all, sandbox)}, never + ", but for other users" + advice, false, 1},
		"the same of users":               {[]string{rule("allow", all, sandbox, users), rule("deny", all, sandbox, users)}, never + ", but for what cannot be told" + advice, false, 1},
		"one that covers":                 {[]string{rule("allow", all, production), rule("deny", deletes, production, who)}, never + ", but for " + rest + advice, false, 1},
		"without environment":             {[]string{rule("allow", all), rule("deny", all)}, never + ", but for " + writes + rest + advice, false, 1},
		"writes without environment":      {[]string{rule("allow", all), rule("deny", deletes)}, never + ", but for " + writes + rest + advice, false, 1},
		"in production, without":          {[]string{rule("allow", all), rule("deny", all, production)}, never + ", but for " + writes + rest + advice, false, 1},
		"one for each environment":        {[]string{rule("allow", all, sandbox), rule("ask", all, production), rule("deny", deletes)}, `it never decides: rules "r0" and "r1" before it take all that it would, but for ` + rest + advice, false, 2},
		"one for each, and all":           {[]string{rule("allow", all, sandbox), rule("deny", all, production), rule("ask", all)}, `it never decides: rules "r0" and "r1" before it take all that it would, but for what cannot be told`, false, 2},
		"what a rule behind would allow":  {[]string{rule("allow", all), rule("deny", deletes), rule("ask", all, production)}, never + ", but for " + writes + rest + advice, true, 1},
		"what one behind denies, too":     {[]string{rule("allow", all), rule("deny", deletes), rule("deny", all, production)}, never + ", but for " + writes + rest + advice, false, 1},
		"what no rule behind speaks of":   {[]string{rule("allow", all), rule("deny", deletes), rule("ask", "what = \"token\"\n", production)}, never + ", but for " + writes + rest + advice, false, 1},
		"what one behind leaves, too":     {[]string{rule("allow", all), rule("deny", deletes), rule("ask", all, users)}, never + ", but for " + writes + rest + advice, false, 1},
		"another that denies":             {[]string{rule("deny", all), rule("deny", deletes)}, never, false, 1},
		"one that asks behind":            {[]string{rule("allow", all), rule("ask", all)}, never + ", but for what cannot be told", false, 1},
		"one that allows behind":          {[]string{rule("deny", all), rule("allow", deletes)}, never, false, 1},
		"more in production":              {[]string{rule("allow", all), rule("allow", all, production)}, "", false, 1},
		"in production, behind sandboxes": {[]string{rule("allow", all, sandbox), rule("deny", all, production)}, "", false, 1},
		"everything, behind sandboxes":    {[]string{rule("allow", all, sandbox), rule("deny", all)}, "", false, 1},
		"writes, behind sandboxes":        {[]string{rule("allow", all, sandbox), rule("deny", deletes)}, overlap, true, 1},
		"more than was allowed":           {[]string{rule("allow", deletes), rule("deny", all)}, "", false, 1},
		"in another spelling":             {[]string{rule("allow", "what = \"GET /a/%21x\"\n"), rule("deny", "what = \"GET /a/!x*\"\n"+who)}, overlap, true, 1},
		"before":                          {[]string{rule("deny", deletes), rule("allow", all)}, "", false, 0},
		"for other programs, too":         {[]string{rule("allow", all, who), rule("deny", deletes)}, overlap, true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			p := rules(t, c.rules...)
			var got []Finding
			for _, f := range p.Lint(nil) {
				if f.Rule == fmt.Sprintf("r%d", c.n) {
					got = append(got, f)
				}
			}
			want := []Finding{{p.Rules[c.n].Line, p.Rules[c.n].Name, !c.note, c.of}}
			if c.of == "" {
				want = nil
			}
			if !slices.Equal(got, want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

// A policy without a rule is well formed, and hardly meant.
func TestLintOfNoRules(t *testing.T) {
	p, err := Parse("version = 1\n")
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Lint(nil); len(got) != 1 || got[0].Rule != "" || got[0].Never || !strings.Contains(got[0].Text, "denies everything") {
		t.Errorf("got %+v", got)
	}
}

// A claim is compared as a whole, so that a rule for branches by a pattern is for no job: one
// that denies by it denies nothing.
func TestLintOfBranchesByAPattern(t *testing.T) {
	const issuer = "version = 1\n[[issuer]]\nurl = \"https://i\"\n"
	for claims, found := range map[string]bool{
		`ref = "refs/heads/*"`: true, `ref_path = ["refs/heads/main", "refs/tags/*"]`: true,
		`ref = "refs/heads/main"`: false, `environment = "prod*"`: false,
	} {
		p, err := Parse(issuer + "[[rule]]\nname = \"a\"\neffect = \"deny\"\nwhat = \"*\"\nwho = { oidc = { issuer = \"https://i\", " + claims + " } }\n")
		if err != nil {
			t.Fatal(err)
		}
		got := p.Lint(nil)
		if len(got) == 1 != found || found && (!got[0].Never || !strings.Contains(got[0].Text, "fits no job: claims are compared as a whole")) {
			t.Errorf("%s: got %+v", claims, got)
		}
	}
}

// A rule for jobs of an issuer that is known anyway matches without an [[issuer]]; one for any
// other does not.
func TestLintOfKnownIssuers(t *testing.T) {
	for issuer, never := range map[string]bool{"https://gitlab.com": false, "https://gitlab.com/": true, "https://i": true} {
		got := rules(t, "effect = \"allow\"\nwhat = \"*\"\nwho = { oidc = { issuer = \""+issuer+"\", project_id = \"1\" } }").Lint([]string{"https://github", "https://gitlab.com"})
		if len(got) == 1 != never || never && (!got[0].Never || got[0].Text != "it never matches: "+issuer+" is not an [[issuer]] of this policy; add that, or correct the name") {
			t.Errorf("%s: got %+v", issuer, got)
		}
	}
}

// A method that NetSuite does not take and a unit without its kind are named: a rule with them
// does nothing, whatever its effect.
func TestLintOfMisspelt(t *testing.T) {
	for rest, want := range map[string]string{
		`what = "DELTE /**"`:                                                      `in "DELTE /**", DELTE is no method that NetSuite takes; did you mean DELETE?`,
		`what = ["GET /a", "PUT,UPDATES /**"]`:                                    `in "PUT,UPDATES /**", UPDATES is no method that NetSuite takes: its own are GET, HEAD, POST, PUT, PATCH and DELETE`,
		`what = "GET,HEAD,POST,PUT /a"`:                                           "",
		`what = "DELETE,PATCH,OPTIONS /a"`:                                        "",
		`what = ["TRACE,CONNECT /**", "* /a/*"]`:                                  "",
		`what = ["soap delte", "restlet 1/*"]`:                                    "",
		"what = \"GET /a\"\nwho = { unit = \"nightly\" }":                         `"nightly" fits no unit: the name of one ends in .service or .scope, as in nightly.service`,
		"what = \"GET /a\"\nwho = { unit = [\"a.service\", \"a*.timer\"] }":       `"a*.timer" fits no unit: the name of one ends in .service or .scope, as in a*.timer.service`,
		"what = \"GET /a\"\nwho = { unit = [\"a.service\", \"b.scope\"] }":        "",
		"what = \"GET /a\"\nwho = { unit = [\"*\", \"a*\", \"a*ice\", \"*pe\"] }": "",
	} {
		for _, effect := range []string{"allow", "ask", "deny"} {
			if effect == "allow" && strings.Contains(rest, "soap") {
				continue // which allows nothing anyway
			}
			got := rules(t, "effect = \""+effect+"\"\n"+rest).Lint(nil)
			if (len(got) == 0) != (want == "") || len(got) > 0 && (got[0].Text != want || !got[0].Never || len(got) > 1) {
				t.Errorf("%s %s: got %+v, want %q", effect, rest, got, want)
			}
		}
	}
}
