package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestExplain(t *testing.T) {
	p := rules(t,
		"effect = \"deny\"\nwhat = \"*\"\nprofiles = \"other\"",
		"effect = \"allow\"\nwhat = \"*\"\nenvironment = \"sandbox\"",
		"effect = \"allow\"\nwhat = [\"suiteql\", \"GET /**\"]",
		"effect = \"allow\"\nwhat = \"*\"",
		"effect = \"allow\"\nwhat = \"*\"\nenvironment = \"production\"\nhours = \"Mon 00:00-01:00 UTC\"",
		"effect = \"allow\"\nwhat = \"*\"\nwho = { uid = [8, 9], exe = \"/a\", tty = false, oidc = { issuer = \"https://i\", ref = [\"a\", \"b\"] } }",
		"effect = \"allow\"\nwhat = \"*\"\nenvironment = \"production\"\nwho = { exe = \"/a\" }",
		"effect = \"ask\"\nwhat = \"DELETE /**\"\nenvironment = \"production\"")
	a := with(writer("DELETE", customers), func(a *Attempt) { a.Environment = "production" })
	d, steps := p.Explain(a)
	want := []string{
		"it is for profile other", "it is for sandbox", "it is about suiteql or GET /**", `it would be a write in production, and the rule has no environment = "production"`,
		"it holds Mon 00:00-01:00 UTC", "it is for uid 8 or 9 and program /a and a process without a terminal and jobs of https://i ref=a|b", "it wants to know more: exe is not said (add exe=PATH)",
	}
	if d.Effect != Ask || d.Index != 7 || len(steps) != len(want) {
		t.Fatalf("got %+v, %+v", d, steps)
	}
	for i, s := range steps {
		if s.Index != i || s.Rule != fmt.Sprintf("r%d", i) || s.Why != want[i] {
			t.Errorf("step %d: got %+v, want %s", i, s, want[i])
		}
	}
	a.UID = 10
	if d, steps := p.Explain(a); d.Effect != Deny || len(steps) != len(p.Rules) || steps[7].Why != "it names no user, and so is for uid 7 and for grants" {
		t.Errorf("got %+v, %+v", d, steps)
	}
	odd := with(writer("GET", "/a/../b"), func(a *Attempt) { a.Profile = "acme" })
	if _, steps := rules(t, "effect = \"allow\"\nwhat = \"GET /**\"").Explain(odd); len(steps) != 1 || steps[0].Why != "it matches no path that could be read in two ways" {
		t.Errorf("got %+v", steps)
	}
	a.Access = Read
	if d, steps := p.Explain(a); d.Effect != Deny || steps != nil {
		t.Errorf("a limit of the profile: got %+v, %+v", d, steps)
	}
	if d, steps := (*Policy)(nil).Explain(writer("GET", "/")); d.Effect != Allow || steps != nil {
		t.Errorf("no policy: got %+v, %+v", d, steps)
	}
}

func TestLint(t *testing.T) {
	const all = "what = \"*\"\n"
	p, err := Parse(strings.Replace(textOf(
		"effect = \"allow\"\nwhat = \"* /services/**\"\nprofiles = \"acme-*\"",
		"effect = \"deny\"\nwhat = \"DELETE /services/rest/record/**\"\nprofiles = \"acme-prod\"\nenvironment = \"sandbox\"", // shadowed by r0
		"effect = \"deny\"\nwhat = \"DELETE /services/rest/record/**\"\nprofiles = \"acme-prod\"",                            // in production r0 leaves writes
		"effect = \"allow\"\nwhat = [\"suiteql\", \"GET /services/x\"]\nprofiles = \"acme-sb\"",                              // shadowed by r0
		"effect = \"ask\"\nwhat = [\"restlet 1/1\", \"restlet 2/*\"]\nprofiles = \"other\"",
		"effect = \"allow\"\nwhat = \"restlet 2/3\"\nprofiles = \"other\"", // shadowed by r4
		"effect = \"allow\"\nwhat = \"soap get\"\nprofiles = \"other\"",    // no call tells its operation
		"effect = \"deny\"\nwhat = \"passport\"\nprofiles = \"p\"",         // and not connect
		"effect = \"allow\"\nwho = { oidc = { issuer = \"https://j\", ref = \"main\" } }\nprofiles = \"q\"\n"+all,
		"effect = \"allow\"\nwho = { oidc = { issuer = \"https://i\", ref = [\"main\", \"dev\"] } }\nprofiles = \"r\"\n"+all,
		"effect = \"allow\"\nwho = { oidc = { issuer = \"https://i\", ref = \"main\", x = \"y\" } }\nprofiles = \"r\"\n"+all, // shadowed by r9
		"effect = \"allow\"\nwho = { uid = 8 }\nhours = [\"Mon 01:00-02:00 UTC\", \"Tue 01:00-02:00 UTC\"]\nprofiles = \"s\"\n"+all,
		"effect = \"allow\"\nwho = { uid = 8, exe = \"/a\" }\nhours = \"Tue 01:00-02:00 UTC\"\nprofiles = \"s\"\n"+all, // shadowed by r11
		"effect = \"allow\"\nwho = { exe = \"/a\" }\nhours = \"Tue 01:00-02:00 UTC\"\nprofiles = \"s\"\n"+all,
		"effect = \"deny\"\n"+all,
	), "[[rule]]", "[[issuer]]\nurl = \"https://i\"\n[[rule]]", 1))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range p.Lint(nil) {
		got = append(got, fmt.Sprintf("%s %t %s", f.Rule, f.Never, f.Text))
	}
	const never = "it never decides: rule %q before it takes all that it would"
	want := []string{
		"r1 true " + fmt.Sprintf(never, "r0") + ", but for other users and what cannot be told; for it to deny that, put it first",
		"r2 true " + fmt.Sprintf(never, "r0") + ", but for writes in production, other users and what cannot be told; for it to deny that, put it first",
		"r3 true " + fmt.Sprintf(never, "r0"),
		"r5 true " + fmt.Sprintf(never, "r4"),
		"r6 true soap allows nothing there: a TokenPassport does not say for which operation it is; allow passport, or leave it out",
		"r7 true it denies one of passport and connect, and either can be made into the other: deny both",
		"r8 true it never matches: https://j is not an [[issuer]] of this policy; add that, or correct the name",
		"r10 true " + fmt.Sprintf(never, "r9"),
		"r12 true " + fmt.Sprintf(never, "r11"),
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if n := len(rules(t, many(1000, "what = \"*\"")...).Lint(nil)); n != MaxFindings {
		t.Errorf("%d findings", n)
	}
	if n := len(rules(t, many(10_000, "profiles = \"p#\"\nwhat = \"suiteql\"")...).Lint(nil)); n != 0 {
		t.Errorf("10,000 rules that do not meet: %d findings", n)
	}
}

// A rule that is covered never decides, whatever is attempted, other spellings aside.
func TestCoveredRuleNeverDecides(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, err := Parse(textOf(anyRule(t), anyRule(t)))
		if err != nil {
			t.Fatal(err)
		}
		r, l := &p.Rules[0], &p.Rules[1]
		a := anyRuleAttempt(t)
		a.Path, a.Operation = strings.ToLower(a.Path), strings.ToLower(a.Operation)
		a.Method = strings.ToUpper(a.Method)
		s := see(&a)
		f, _ := r.fits(&s)
		g, _ := l.fits(&s)
		if !s.plain && s.request || a.Script == "" && s.plain {
			return
		}
		if r.covers(l) && g == yes && f == no && !strings.Contains(a.Path, "/eid") {
			t.Fatalf("%s\ncovers\n%s\nand not %+v", r, l, a)
		}
		if f == yes && g == yes && !r.overlaps(l) {
			t.Fatalf("%s\nand\n%s\nmeet in %+v", r, l, a)
		}
	})
}

func TestDiff(t *testing.T) {
	const base = "effect = \"allow\"\nwhat = [\"GET /a/**\", \"suiteql\"]\nprofiles = [\"acme-*\"]\n"
	one := func(tables ...string) *Policy { return rules(t, tables...) }
	for name, c := range map[string]struct {
		old, next *Policy
		want      []string
	}{
		"nothing":   {nil, nil, nil},
		"same":      {one(base), one(base), nil},
		"the first": {nil, one(base), []string{"+ false whatever no rule allows is denied", `+ true rule "r0", which allows GET /a/** or suiteql, with profile acme-*`}},
		"none":      {one(base), nil, []string{"- true whatever no rule allows is denied", `- false rule "r0", which allows GET /a/** or suiteql, with profile acme-*`}},
		"narrower":  {one(base), one(strings.Replace(base, "acme-*", "acme-prod", 1)), []string{`~ false rule "r0": profiles is now acme-prod, was acme-*`}},
		"wider":     {one(base), one(base + "who = { uid = 8 }"), []string{`~ true rule "r0": who is now uid 8, was without limit`}},
		"hours":     {one(base), one(base + "hours = \"Mon 01:00-02:00 UTC\""), []string{`~ false rule "r0": hours is now Mon 01:00-02:00 UTC, was without limit`}},
		"limits": {one(base + "rate = \"5/h\"\nmax_uses = 9"), one(base + "rate = \"4/h\"\nmax_uses = 9\nconcurrency = 1\ntotp = true"),
			[]string{`~ false rule "r0": rate is now 4/h, was 5/h; concurrency is now 1 at once, was without limit; totp is now with a one-time code, was without limit`}},
		"looser limits": {one(base + "max_uses = 9"), one(base), []string{`~ true rule "r0": max_uses is now without limit, was 9 times in all`}},
		"other limits":  {one(base + "rate = \"5/h\""), one(base + "rate = \"5/m\""), []string{`~ true rule "r0": rate is now 5/m, was 5/h`}},
		"narrower under a limit": {one(base + "max_uses = 9"), one(strings.Replace(base, "acme-*", "acme-prod", 1) + "max_uses = 9"),
			[]string{`~ true rule "r0": profiles is now acme-prod, was acme-*`}},
		"denied": {one(base), one(strings.Replace(base, "allow", "deny", 1)), []string{`~ false rule "r0": it now denies, and allowed before`}},
		"deny less": {one("effect = \"deny\"\nwhat = \"*\""), one("effect = \"deny\"\nwhat = \"suiteql\""), []string{
			`~ true rule "r0": what is now suiteql, was *`}},
		"deny goes": {one(base, "effect = \"deny\"\nwhat = \"*\"\nwho = { uid = 8, tty = true }"), one(base), []string{`- true rule "r1", which denies *, for uid 8 and a process with a terminal`}},
	} {
		var got []string
		for _, ch := range Diff(c.old, c.next, nil) {
			got = append(got, fmt.Sprintf("%s %t %s", ch.Sign, ch.Wider, ch.Text))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
	named := func(names ...string) *Policy {
		text := "version = 1\n"
		for _, n := range names {
			text += fmt.Sprintf("[[rule]]\nname = %q\neffect = \"allow\"\nwhat = \"suiteql\"\n", n)
		}
		p, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	if got := Diff(named("a", "b", "c"), named("c", "a", "b"), nil); len(got) != 1 || got[0].Text != `rule "c" now stands at place 1` || !got[0].Wider {
		t.Errorf("moved: got %+v", got)
	}
	old, err1 := Parse("version = 1\n[step_up]\nadmin = true\n[[issuer]]\nurl = \"https://i\"\n")
	next, err2 := Parse("version = 1\n[approval]\ntimeout = \"2m\"\n[[issuer]]\nurl = \"https://j\"\n")
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	if got := fmt.Sprint(Diff(old, next, nil)); got != `[{- true proofs of administration want a one-time code} {- false jobs of https://i} {+ true jobs of https://j, known by keys that are fetched}]` {
		t.Errorf("settings: got %s", got)
	}
	for timeout, wider := range map[string]bool{"3s": false, "3m": true} {
		p, err := Parse("version = 1\n[approval]\ntimeout = \"" + timeout + "\"\n")
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			old, next *Policy
			want      Change
		}{
			{nil, p, Change{"~", wider, fmt.Sprintf("an approval comes within %v, was 2m0s", p.Approval.Timeout)}},
			{p, nil, Change{"~", !wider, fmt.Sprintf("an approval comes within 2m0s, was %v", p.Approval.Timeout)}},
		} {
			if got := Diff(c.old, c.next, nil); len(got) != 2 || got[1] != c.want {
				t.Errorf("timeout of %s: got %+v, want %+v", timeout, got, c.want)
			}
		}
	}
}

// What is said to widen nothing widens nothing.
func TestDiffTellsWhatWidens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tables := anyPolicy(t)
		other := slices.Clone(tables)
		switch n := len(tables); {
		case n > 0 && rapid.Bool().Draw(t, "change"):
			other[rapid.IntRange(0, n-1).Draw(t, "which")] = anyRule(t)
		case n > 0 && rapid.Bool().Draw(t, "drop"):
			other = other[:n-1]
		default:
			other = append(other, anyRule(t))
		}
		old, err1 := Parse(textOf(tables...))
		next, err2 := Parse(textOf(other...))
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		if slices.ContainsFunc(Diff(old, next, nil), func(c Change) bool { return c.Wider }) {
			return
		}
		a := anyRuleAttempt(t)
		if was, is := old.Decide(a), next.Decide(a); rank(is.Effect) > rank(was.Effect) {
			t.Fatalf("%v\n%+v\nwas %+v\nis  %+v", Diff(old, next, nil), a, was, is)
		}
	})
}

func TestLearn(t *testing.T) {
	text := Learn([]Seen{
		{"acme-prod", "production", KindSign, "GET", "/services/rest/record/v1/customer/123", "", "/usr/bin/python3", ""},
		{"acme-prod", "production", KindSign, "GET", "/services/rest/record/v1/customer/124", "", "/usr/bin/python3", ""},
		{"acme-prod", "production", KindSign, "POST", SuiteQLPath, "", "/usr/bin/python3", ""},
		{"acme-prod", "production", KindConnectPassword, "", "", "", "/usr/bin/isql", ""},
		{"acme-sb", "sandbox", KindPassport, "", "", "", "/tmp/x (deleted)", ""},
		{"acme-sb", "sandbox", KindSend, "GET", "/a/../b", "", "", ""},
		{"acme-sb", "sandbox", "raw\n", "GET", "/", "", "", ""},
	})
	p, err := Parse(text)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	var got []string
	for i := range p.Rules {
		got = append(got, p.Rules[i].String())
	}
	want := []string{
		"allows GET /services/rest/record/v1/customer/* or suiteql, with profile acme-prod, in production, for program /usr/bin/python3",
		"allows connect, with profile acme-prod, in production, for program /usr/bin/isql",
		"allows passport, with profile acme-sb, in sandbox",
	}
	if !slices.Equal(got, want) || strings.Count(text, "# left out: ") != 2 {
		t.Errorf("got\n%s\nof\n%s", strings.Join(got, "\n"), text)
	}
}

// What is learned can be read, and allows all that was seen and is not named as left out.
func TestLearnedAllows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		attempts := rapid.SliceOfN(rapid.Custom(anyRuleAttempt), 0, 70).Draw(t, "attempts")
		var seen []Seen
		for _, a := range attempts {
			seen = append(seen, Seen{a.Profile, a.Environment, a.Kind, a.Method, a.Path, a.Script, a.Evidence.Exe, a.Grant})
		}
		text := Learn(seen)
		p, err := Parse(text)
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		for i, a := range attempts {
			a.UID, a.Owner, a.Access, a.Evidence.Known = 7, 7, Write, FactExe
			_, ok := seen[i].operation()
			if ok = ok && plainName(a.Profile) && a.Environment != ""; ok && (a.Environment == "production" || a.Environment == "sandbox") && p.Decide(a).Effect != Allow {
				t.Fatalf("%+v is not allowed by\n%s", a, text)
			}
		}
	})
}

func TestCases(t *testing.T) {
	const text = `
[[case]]
name = "reads"
profile = "acme"
environment = "production"
do = "GET https://1234567.suitetalk.api.netsuite.com/services/rest/record/v1/customer/1?fields=id"
as = "uid=7,exe=/usr/bin/python3,exe_sha256=0101010101010101010101010101010101010101010101010101010101010101,unit=a.service,container=,tty=no,grant=g_aaaaaaaaaaaaaaaaaaaaaaaaaa,issuer=https://i,claim.ref=main"
at = "2026-11-27T10:00:00+01:00"
want = "allow"
rule = "r0"

[[case]]
profile = "acme"
environment = "sandbox"
access = "read"
do = "POST /app/site/hosting/restlet.nl?script=1&deploy=2"
want = "deny"
`
	cases, err := ParseCases(text, 5)
	if err != nil || len(cases) != 2 {
		t.Fatalf("got %+v, %v", cases, err)
	}
	at, _ := time.Parse(time.RFC3339, "2026-11-27T10:00:00+01:00")
	want := Attempt{
		UID: 7, Owner: 5, Grant: "g_aaaaaaaaaaaaaaaaaaaaaaaaaa", Issuer: "https://i", Claims: map[string]string{"ref": "main"}, Profile: "acme", Environment: "production", Access: Write, Kind: KindSign,
		Method: "GET", Host: "1234567.suitetalk.api.netsuite.com", Path: customers + "/1", Time: at,
		Evidence: Evidence{Known: 15, Exe: "/usr/bin/python3", SHA256: strings.Repeat("01", 32), Unit: "a.service"},
	}
	if fmt.Sprint(cases[0].Attempt) != fmt.Sprint(want) || cases[0].Line != 2 || cases[1].Attempt.Script != "1/2" || cases[1].Attempt.Access != Read || cases[1].Attempt.UID != 5 {
		t.Errorf("got  %+v\nwant %+v", cases, want)
	}
	p := rules(t, "effect = \"allow\"\nwhat = \"GET /**\"")
	if got := cases[0].Check(p); got != "" {
		t.Error(got)
	}
	cases[0].Rule = "r1"
	if got := cases[0].Check(p); got != `got allow by rule "r0", want rule "r1"` {
		t.Error(got)
	}
	cases[1].Want = Ask
	if got := cases[1].Check(p); got != `got deny by no rule, want ask` {
		t.Error(got)
	}
	for bad, want := range map[string]string{
		"":                                       "it has no [[case]]",
		"[[case]]":                               ": it has no profile",
		"[[case]]\nname = \"nightly\"":           `case "nightly": it has no profile`,
		strings.Replace(text, "as =", "As =", 1): `"As": unknown key; write it as`,
		strings.Replace(text, "want = \"allow\"", "want = \"yes\"", 1):                     `"want": it is one of`,
		strings.Replace(text, "tty=no", "tty=1", 1):                                        `"1" is neither yes nor no`,
		strings.Replace(text, "grant=g_aaaaaaaaaaaaaaaaaaaaaaaaaa", "grant=bogus", 1):      `"bogus" is no grant`,
		strings.Replace(text, "grant=g_aaaaaaaaaaaaaaaaaaaaaaaaaa", "grant=*", 1):          `"*" is no grant`,
		strings.Replace(text, "grant=g_aaaaaaaaaaaaaaaaaaaaaaaaaa", "grant=g_*", 1):        `"g_*" is no grant`,
		strings.Replace(text, "grant=g_aaaaaaaaaaaaaaaaaaaaaaaaaa", "grant=g_aaaaaaaa", 1): `"g_aaaaaaaa" is no grant: one is named whole`,
		strings.Replace(text, "uid=7", "uid=x", 1):                                         "is no user ID",
		strings.Replace(text, "uid=7", "uid", 1):                                           "is no NAME=VALUE",
		strings.Replace(text, "do = \"GET https", "do = \"get https", 1):                   "is no \\\"METHOD URL\\\"",
		strings.Replace(text, "+01:00", "", 1):                                             "it looks like 2026",
		strings.Replace(text, "\"read\"", "\"all\"", 1):                                    `"access": it is one of read, write`,
		text + "x = 1": `"x": unknown key`,
		"x = 1":        `"x": unknown key`,
	} {
		if _, err := ParseCases(bad, 5); err == nil || !strings.Contains(fmt.Sprintf("%s", err), strings.ReplaceAll(want, `\"`, `"`)) {
			t.Errorf("%q: got %v, want %s", bad, err, want)
		}
	}
}

// The path is taken as it is written.
func TestDo(t *testing.T) {
	for text, want := range map[string]string{
		"GET https://h/a%2e/../b?x#y": "/a%2e/../b", "GET https://h": "", "GET https://h/": "/", "GET /a//b": "/a//b", "GET //h/a": "/a",
		"suiteql": SuiteQLPath, "GET": "", "GET x": "", "GET https://h/%zz": "", "passports": "",
	} {
		var a Attempt
		if err := a.Do(text); (err != nil) != (want == "") || err == nil && a.Path != want {
			t.Errorf("%s: got %q, %v", text, a.Path, err)
		}
	}
	for text, want := range map[string]Kind{"passport": KindPassport, "connect": KindConnectPassword, "assertion": KindAssertion, "token": KindToken} {
		var a Attempt
		if err := a.Do(text); err != nil || a.Kind != want {
			t.Errorf("%s: got %q, %v", text, a.Kind, err)
		}
	}
}
