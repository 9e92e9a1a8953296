package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// spelled are entries of what with characters that may be escaped, or not.
var spelled = []string{"* " + customers + "/eid:A!/x", "GET " + customers + "/eid%3AA%21/**", "* " + customers + "/eid%3Aa*/x"}

// anyRule draws the table of a rule from what is near to what anyRuleAttempt draws.
func anyRule(t *rapid.T) string {
	pick := func(label string, some ...string) string { return rapid.SampledFrom(some).Draw(t, label) }
	text := "effect = \"" + pick("effect", "allow", "allow", "deny", "ask") + "\"\n"
	what := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{
		"*", "suiteql", "restlet 1/1", "restlet 12/1", "restlet 1*/1", "restlet customscript_a/*", "restlet customscript_B/2", "restlet */*", "soap get", "passport", "connect", "assertion", "token",
		"GET /**", "* /services/**", "GET,PUT /services/rest/record/v1/customer/*", "* /services/rest/record/v1/employee/**", "POST /services/rest/record/v1/cust*",
		spelled[0], spelled[1], spelled[2], "* /a/b/c/d/e/f/g/h/i/j/k/l/m/n/**", "* /a/b/c/d/e/f/g/h/i/j/k/l/m/n/o",
	}), 1, 3, func(s string) string { return s }).Draw(t, "what")
	text += "what = [\"" + strings.Join(what, "\", \"") + "\"]\n"
	if p := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"acme", "acme-prod", "acme-*", "*", "other"}), 0, 3, func(s string) string { return s }).Draw(t, "profiles"); len(p) > 0 {
		text += "profiles = [\"" + strings.Join(p, "\", \"") + "\"]\n"
	}
	text += pick("environment", "", "environment = \"production\"\n", "environment = \"sandbox\"\n")
	text += pick("hours", "", "", "hours = \"Mon-Fri 08:00-18:00 UTC\"\n")
	text += pick("who", "", "", "who = { uid = 7 }\n", "who = { uid = 8 }\n", "who = { exe = \"/a\" }\n", "who = { grant = \"*\", tty = true }\n", "who = { unit = \"a*\" }\n", "who = { container = \"a.service\" }\n", "who = { unit = \"a.service\", container = [\"b\", \"c\"] }\n",
		"who = { oidc = { issuer = \"https://i\", ref = \"main\" } }\n", "who = { oidc = { issuer = \"https://j\", ref = [\"dev\", \"main\"], x = \"1\" } }\n",
		"who = { uid = [7, 8], grant = \"g_aaaaaaaaaaaaaaaaaaaaaaaaaa\", exe = \"/a\", oidc = { issuer = \"https://i\", x = [\"1\", \"2\"], y = \"1\" } }\n",
		// Claims that only rules of one value name are beyond those of the index.
		"who = { oidc = { issuer = \"https://i\", y = [\"1\", \"2\"] } }\n", "who = { oidc = { issuer = \"https://i\", z = [\"1\", \"2\"] } }\n", "who = { oidc = { issuer = \"https://i\", zz = \"1\" } }\n")
	return text
}

func anyRuleAttempt(t *rapid.T) Attempt {
	a := anyAttempt(t)
	pick := func(label string, some ...string) string { return rapid.SampledFrom(some).Draw(t, label) }
	if rapid.Bool().Draw(t, "likely") {
		a.UID, a.Owner, a.Access = uint32(rapid.IntRange(7, 8).Draw(t, "uid7")), 7, Write
		a.Profile = pick("profile7", "acme", "acme-prod", "other", "x")
		a.Environment = pick("environment7", "production", "sandbox")
		a.Method = pick("method7", "GET", "POST", "PUT", "get")
		a.Path = pick("path7", SuiteQLPath, RESTletPath, strings.ToUpper(RESTletPath), "/services/rest/record/v1/customer/1", "/services/rest/record/v1/Customer/1", "/services/rest/record/v1/employee/1/x",
			"/services/rest/record/v1/customer", "/services/rest/record/v1/customer/../employee/1", "/services//rest", "/", customers+"/eid:A!/x", customers+"/eid%3AA!/x", customers+"/eid%3aa%21/x", "/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o", "/services/NetSuitePort_2025_2")
		a.Script = pick("script", "", "1/1", "12/2", "CUSTOMSCRIPT_A/1", "customscript_a/2", "customscript_b/2")
		a.Operation = pick("operation", "", "get", "GET", "delete")
		a.Grant = pick("grant", "", "", "g_aaaaaaaaaaaaaaaaaaaaaaaaaa")
		a.Issuer = pick("issuer", "", "https://i", "https://i", "https://j")
		a.Claims = rapid.MapOfN(rapid.SampledFrom([]string{"ref", "x", "y", "z", "zz"}), rapid.SampledFrom([]string{"main", "dev", "1", "2"}), 0, 5).Draw(t, "claims")
		a.Evidence = Evidence{
			Known: Facts(rapid.IntRange(0, 15).Draw(t, "known")), Exe: pick("exe", "/a", "/b", "/a (deleted)"),
			Unit: pick("unit", "", "a.service", "b.service"), Container: pick("container", "", "a.service", "b"), TTY: rapid.Bool().Draw(t, "tty"),
		}
	}
	return a
}

func anyPolicy(t *rapid.T) []string {
	return rapid.SliceOfN(rapid.Custom(anyRule), 0, 6).Draw(t, "rules")
}

// plainly decides rule by rule, without the index.
func (p *Policy) plainly(a Attempt) Decision {
	if err := limits(&a); err != nil {
		return Decision{Effect: Deny, Index: -1}
	}
	s := see(&a)
	for i := range p.Rules {
		f, _ := p.Rules[i].fits(&s)
		if d, ok := p.decided(i, f, &a); ok {
			return d
		}
	}
	return Decision{Effect: Deny, Index: -1}
}

// The index changes nothing but the time.
func TestIndexDecidesAsTheListDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, err := Parse(textOf(anyPolicy(t)...))
		if err != nil {
			t.Fatal(err)
		}
		a := anyRuleAttempt(t)
		got, want := p.Decide(a), p.plainly(a)
		if got.Effect != want.Effect || got.Index != want.Index {
			t.Fatalf("%+v\ngot  %+v\nwant %+v", a, got, want)
		}
	})
}

// A RESTlet is found by its script, whatever the rule and the request call it.
func TestRESTletsAreFound(t *testing.T) {
	scripts := []string{"", "1", "/1", "1/1", "1/2", "12/1", "12/customdeploy1", "customscript_a/1", "CUSTOMSCRIPT_A/1", "customscript_a/2", "a/1", "A/customdeploy1"}
	what := []string{"1/1", "1/*", "1/customdeploy1", "12/1", "1*/1", "*1/1", "customscript_a/1", "customscript_A/*", "customscript_*/1", "a/1", "A/1", "*/*", "*/1"}
	for _, effect := range []string{"allow", "deny", "ask"} {
		for i, first := range what {
			for _, second := range what[i:] {
				rule := "effect = %q\nwhat = \"restlet %s\"\n"
				p := rules(t, fmt.Sprintf(rule, effect, first)+"profiles = [\"acme\", \"b\"]", fmt.Sprintf(rule, "ask", second), "effect = \"allow\"\nwhat = \"* /app/**\"")
				for _, script := range scripts {
					for _, path := range []string{RESTletPath, strings.ToUpper(RESTletPath), RESTletPath + "/x", RESTletPath + "//"} {
						a := with(writer("POST", path), func(a *Attempt) { a.Script = script })
						if got, want := p.Decide(a), p.plainly(a); got.Effect != want.Effect || got.Index != want.Index {
							t.Errorf("%s %s, then %s: %s of %q: got %+v, want %+v", effect, first, second, path, script, got, want)
						}
					}
				}
			}
		}
	}
	for _, c := range []struct {
		path, script string
		want         int // rules
	}{
		{RESTletPath, "customscript3/1", 1}, {RESTletPath, "other/1", 0}, {RESTletPath, "3/1", 9}, {RESTletPath, "", 9}, {customers, "3/1", 0},
	} {
		p := rules(t, many(9, "effect = \"deny\"\nwhat = \"restlet customscript#/1\"")...)
		a := with(writer("POST", c.path), func(a *Attempt) { a.Script = c.script })
		s, n := see(&a), 0
		var found candidates
		for found.find(&p.index, &s); ; n++ {
			if _, more := found.next(); !more {
				break
			}
		}
		if n != c.want {
			t.Errorf("%s of %q: got %d rules to try, want %d", c.path, c.script, n, c.want)
		}
	}
	p := rules(t, many(9, "what = \"restlet Customscript#/1\"")...)
	if b := p.index.buckets[""]["customscript3"]; b == nil || !slices.Equal(b.any, []uint16{3}) || p.index.buckets[""][RESTletPath] != nil {
		t.Errorf("got %+v", p.index.buckets[""])
	}
}

// What rules refuse, or ask for, does not depend on the spelling of a path.
func TestSpellingsGetOneVerdict(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tables := append(anyPolicy(t), fmt.Sprintf("effect = %q\nwhat = %q", rapid.SampledFrom([]string{"deny", "ask"}).Draw(t, "effect7"), rapid.SampledFrom(spelled).Draw(t, "what7")))
		for i := range tables {
			tables[i] = strings.Replace(tables[i], `"allow"`, `"ask"`, 1)
		}
		p, err := Parse(textOf(append(tables, "effect = \"allow\"\nwhat = \"*\"")...))
		if err != nil {
			t.Fatal(err)
		}
		a := writer("GET", "")
		var first Decision
		for i, path := range []string{"/eid:A!/x", "/eid%3AA!/x", "/eid%3aA%21/x", "/eid:A%21/x", "/EID%3Aa!/x"} {
			a.Path = customers + path
			if d := p.Decide(a); i == 0 {
				first = d
			} else if d.Effect != first.Effect || d.Index != first.Index {
				t.Fatalf("%s: got %+v, and before %+v", path, d, first)
			}
		}
	})
}

// rank orders effects by how much they give.
func rank(e Effect) int { return map[Effect]int{Deny: 0, Ask: 1, Allow: 2}[e] }

// A rule that denies, put in front, never widens.
func TestDenyInFrontNarrows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tables := anyPolicy(t)
		deny := strings.NewReplacer(`"allow"`, `"deny"`, `"ask"`, `"deny"`).Replace(anyRule(t))
		before, err1 := Parse(textOf(tables...))
		after, err2 := Parse(textOf(append([]string{deny}, tables...)...))
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		a := anyRuleAttempt(t)
		if was, is := before.Decide(a), after.Decide(a); rank(is.Effect) > rank(was.Effect) {
			t.Fatalf("%+v\nwas %+v\nis  %+v", a, was, is)
		}
	})
}

// A rule that allows gives no more where its profiles, hours or who are narrowed, or
// where it is taken away.
func TestNarrowedRuleNarrows(t *testing.T) {
	narrower := []string{"profiles = \"acme\"\n", "hours = \"Sun 20:00-21:00 UTC\"\n", "who = { exe = \"/a\" }\n", "who = { uid = 7 }\n", "who = { grant = \"g_aaaaaaaaaaaaaaaaaaaaaaaaaa\" }\n", "who = { oidc = { issuer = \"https://i\", ref = \"main\" } }\n", "environment = \"sandbox\"\n", "gone"}
	rapid.Check(t, func(t *rapid.T) {
		tables := anyPolicy(t)
		wide := "effect = \"allow\"\nwhat = [\"*\", \"GET /services/**\", \"restlet 1/1\"]\n"
		add := rapid.SampledFrom(narrower).Draw(t, "narrower")
		if strings.HasPrefix(add, "environment") {
			wide = "environment = \"production\"\n" + wide
		}
		narrow := strings.TrimPrefix(wide, "environment = \"production\"\n") + add
		n := rapid.IntRange(0, len(tables)).Draw(t, "place")
		if strings.HasPrefix(add, "environment") || add == "gone" {
			narrow = "effect = \"allow\"\nwhat = \"soap nothing\"\n" // which is no rule at all
		}
		build := func(table string) *Policy {
			all := append(append(append([]string{}, tables[:n]...), table), tables[n:]...)
			p, err := Parse(textOf(all...))
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		a := anyRuleAttempt(t)
		a.Owner = 7 // a rule that names no user is for the owner
		if was, is := build(wide).Decide(a), build(narrow).Decide(a); rank(is.Effect) > rank(was.Effect) {
			t.Fatalf("%+v\nwas %+v\nis  %+v", a, was, is)
		}
	})
}

// A rule for a path that is deeper than the index looks is found.
func TestDeepPathIsFound(t *testing.T) {
	deep := strings.Repeat("/a", maxDepth+1)
	if d := rules(t, "effect = \"allow\"\nwhat = \"GET "+deep+"/*\"").Decide(writer("GET", deep+"/b")); d.Index != 0 {
		t.Errorf("got %+v", d)
	}
}

// Rules with very many profiles and operations stay within the index.
func TestIndexIsBounded(t *testing.T) {
	var names, what []string
	for i := range maxList {
		names, what = append(names, fmt.Sprintf("\"p%d\"", i)), append(what, fmt.Sprintf("\"GET /a/b%d\"", i))
	}
	p := rules(t, "effect = \"deny\"\nprofiles = ["+strings.Join(names, ",")+"]\nwhat = ["+strings.Join(what, ",")+"]\n")
	if len(p.index.buckets) != 1 || len(p.index.buckets[""]) != maxList+1 {
		t.Errorf("the rule stands under %d profiles and %d keys", len(p.index.buckets), len(p.index.buckets[""]))
	}
	if d := p.Decide(with(writer("GET", "/a/b63"), func(a *Attempt) { a.Profile = "p63" })); d.Index != 0 {
		t.Errorf("got %+v", d)
	}
}

// many returns the tables of n rules that allow one thing each.
func many(n int, table string) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = strings.ReplaceAll(table, "#", fmt.Sprint(i))
		if !strings.Contains(table, "effect") {
			out[i] = "effect = \"allow\"\n" + out[i]
		}
	}
	return out
}

func BenchmarkPolicy(b *testing.B) {
	for _, c := range []struct{ name, table, profile, path string }{
		{"paths", "what = \"GET /services/rest/record/v1/type#/**\"", "acme", "/services/rest/record/v1/type#/1"},
		{"profiles", "profiles = \"p#\"\nwhat = [\"GET /services/rest/**\"]", "p#", customers + "/1"},
		{"programs", "profiles = \"a*\"\nwho.exe = \"/bin/#\"\nwhat = \"GET /ser*/**\"", "acme", "/services/1"},
		{"denials", "effect = \"deny\"\nprofiles = \"a*\"\nwho.exe = \"/bin/#\"\nwhat = \"GET /s*\"", "acme", "/s"},
		{"jobs", "who.oidc = { issuer = \"i\", r = \"#\" }\nwhat = \"GET /s*\"", "acme", "/s"},
		{"jobs of one grant and branch", "who={grant=\"g_a*\",oidc={issuer=\"i\",b=\"m\",r=\"#\"}}\nwhat=\"*\"", "acme", "/s"},
		{"jobs denied", "effect = \"deny\"\nwho.oidc = { issuer = \"i\", r = \"#\" }\nwhat = \"GET /s*\"", "acme", "/s"},
		{"restlets", "what = \"restlet #/1\"", "acme", RESTletPath},
		{"restlets denied", "effect = \"deny\"\nwhat = \"restlet customscript_#/1\"", "acme", RESTletPath},
		{"containers", "who.container = \"c#\"\nwhat = \"GET /s*\"", "acme", "/s"},
		{"profile patterns", "profiles = \"p#-*\"\nwhat = \"GET /s*\"", "p#-x", "/s"},
		{"ends of paths", "what = \"GET /*/r#\"", "acme", "/a/r#"},
		{"hours", "profiles = \"p#\"\nhours = \"Mon 01:00-23:00 Etc/UTC\"\nwhat = \"*\"", "p#", customers + "/1"},
	} {
		for _, n := range []int{100, 10_000} {
			p := rules(b, many(n, c.table)...)
			last := fmt.Sprint(n - 1)
			a := writer("GET", strings.ReplaceAll(c.path, "#", last))
			a.Profile = strings.ReplaceAll(c.profile, "#", last)
			a.Evidence = Evidence{Known: FactExe | FactCgroup, Exe: "/bin/" + last, Container: "c" + last}
			if a.Script = last + "/1"; strings.Contains(c.table, "customscript_") {
				a.Script = "customscript_" + a.Script
			}
			a.Grant, a.Issuer, a.Claims = "g_aaaaaaaaaaaaaaaaaaaaaaaaaa", "i", map[string]string{"r": last, "b": "m"}
			a.Time = a.Time.AddDate(0, 0, 1)
			b.Run(fmt.Sprintf("%s/%d", c.name, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if d := p.Decide(a); d.Index != n-1 {
						b.Fatal(d)
					}
				}
			})
		}
	}
}

func BenchmarkParse(b *testing.B) {
	text := textOf(many(10_000, "profiles = \"p#\"\nwhat = \"suiteql\"")...)
	for b.Loop() {
		if _, err := Parse(text); err != nil {
			b.Fatal(err)
		}
	}
}

// An attempt for which every list has something is decided too.
func TestEveryListAtOnce(t *testing.T) {
	var tables []string
	path := ""
	for i := range maxDepth + 2 {
		path += fmt.Sprintf("/%d", i)
		for _, who := range []string{"uid = 7", "exe = \"/a\"", "exe_sha256 = \"" + strings.Repeat("0", 64) + "\"", "unit = \"u\"", "container = \"c\"", "grant = \"g_aaaaaaaaaaaaaaaaaaaaaaaaaa\"", "uid = [7, 8]",
			"oidc = { issuer = \"i\", a = \"1\" }", "oidc = { issuer = \"i\", b = \"1\" }", "oidc = { issuer = \"i\", c = \"1\" }", "oidc = { issuer = \"i\", d = \"1\" }", "oidc = { issuer = \"i\", e = \"1\" }"} {
			for _, profile := range []string{"acme", "a*"} {
				tables = append(tables, fmt.Sprintf("effect = \"allow\"\nprofiles = %q\nwho = { %s }\nhours = \"Mon 00:00-00:01 UTC\"\nwhat = [\"*\", \"GET /*/**\", \"GET %s/**\"]", profile, who, path))
			}
		}
	}
	tables = append(tables, "effect = \"allow\"\nwhat = \"*\"")
	a := with(writer("GET", path+"/x"), func(a *Attempt) {
		a.Grant, a.Evidence = "g_aaaaaaaaaaaaaaaaaaaaaaaaaa", Evidence{Known: 15, Exe: "/a", SHA256: strings.Repeat("0", 64), Unit: "u", Container: "c"}
		a.Issuer, a.Claims = "i", map[string]string{"a": "1", "b": "1", "c": "1", "d": "1", "e": "1"}
	})
	if d := rules(t, tables...).Decide(a); d.Index != len(tables)-1 {
		t.Errorf("got %+v", d)
	}
}
