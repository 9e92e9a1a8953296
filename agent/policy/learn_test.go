package policy

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// What is learned of a request is its method and its path, with a star in place of each
// id, and nothing where a rule would allow more, or could not be read.
func TestLearnedRequests(t *testing.T) {
	long := func(n int) string { return "/" + strings.Repeat("a", n-len("GET /")) }
	for _, c := range []struct{ method, path, want string }{
		{"GET", customers + "/12", "GET " + customers + "/*"}, {"GET", customers + "/eid:ab", "GET " + customers + "/*"}, {"GET", customers + "/eid%3aA%26B", "GET " + customers + "/*"}, {"GET", customers + "/a12", "GET " + customers + "/a12"},
		{"GET", "/", "GET /"}, {"POST", SuiteQLPath, "suiteql"}, {"GET", SuiteQLPath, "GET " + SuiteQLPath},
		{"GET", long(maxString), "GET " + long(maxString)}, {"GET", long(maxString + 1), ""},
		{"GET,PUT", "/a", ""}, {"*", "/a", ""}, {"get", "/a", ""}, {"", "/a", ""},
		{"GET", "/a/*", ""}, {"GET", "/**", ""}, {"GET", "/a/../b", ""}, {"GET", "/a/eid:;b", ""}, {"GET", "/a//b", ""}, {"GET", "", ""},
		{"GET", RESTletPath, ""}, {"POST", strings.ToUpper(RESTletPath), ""},
	} {
		s := Seen{Profile: "acme", Environment: "sandbox", Kind: KindSign, Method: c.method, Path: c.path, Exe: "/a"}
		got, ok := s.operation()
		if ok != (c.want != "") || ok && got != c.want {
			t.Errorf("%s %s: got %q, %t", c.method, c.path, got, ok)
		}
		text := Learn([]Seen{s})
		p, err := Parse(text)
		if left := strings.Contains(text, "# left out: "); err != nil || left == ok || len(p.Rules) == 1 != ok {
			t.Errorf("%s %s: got %v of\n%s", c.method, c.path, err, text)
		}
		if hint := strings.Contains(text, "restlet SCRIPT/DEPLOY"); hint != s.restlet() {
			t.Errorf("%s %s: got\n%s", c.method, c.path, text)
		}
	}
}

// What is learned of a RESTlet is which it was, where the log says so in a form that a rule has.
func TestLearnedRESTlets(t *testing.T) {
	for script, want := range map[string]string{
		"12/1": "restlet 12/1", "customscript_load/customdeploy1": "restlet customscript_load/customdeploy1", "": "", "12": "", "012/1": "", "12/1*": "", "1/2/3": "", "_a/1": "", "a/-": "",
	} {
		for _, method := range []string{"GET", "POST"} {
			s := Seen{Profile: "acme", Environment: "production", Kind: KindSign, Method: method, Path: RESTletPath, Script: script, Exe: "/a"}
			text := Learn([]Seen{s})
			p, err := Parse(text)
			if err != nil || (want == "") != strings.Contains(text, "restlet SCRIPT/DEPLOY") {
				t.Errorf("%s %q: got %v of\n%s", method, script, err, text)
				continue
			}
			got := ""
			if len(p.Rules) == 1 {
				got = joined(p.Rules[0].What)
			}
			if got != want {
				t.Errorf("%s %q: got %q, want %q", method, script, got, want)
			}
		}
		other := Seen{Profile: "acme", Environment: "sandbox", Kind: KindSign, Method: "GET", Path: "/a", Script: script}
		if got, _ := other.operation(); got != "GET /a" {
			t.Errorf("%q at another path: got %q", script, got)
		}
	}
}

// A rule names the program that asked, or says that it is for any.
func TestLearnedPrograms(t *testing.T) {
	long := func(n int) string { return "/" + strings.Repeat("a", n-1) }
	for exe, named := range map[string]bool{
		"/usr/bin/python3": true, "/opt/a b/~": true, long(maxString): true, long(maxString + 1): false,
		"": false, "python3": false, "/a/../b": false, "/a" + deleted: false, "/a\"b": false, "/a\\b": false, "/a\nb": false, "/a\x7f": false, "/é": false,
	} {
		text := Learn([]Seen{{Profile: "acme", Environment: "sandbox", Kind: KindToken, Exe: exe}})
		p, err := Parse(text)
		if err != nil || len(p.Rules) != 1 {
			t.Errorf("%q: got %v of\n%s", exe, err, text)
			continue
		}
		exes := p.Rules[0].Who.Exes
		if (len(exes) == 1 && exes[0] == exe) != named || strings.Contains(text, "# for any program") != (exes == nil) {
			t.Errorf("%q: got\n%s", exe, text)
		}
	}
}

// What was asked with an unlock token is allowed to that grant, and to no other caller.
func TestLearnedGrants(t *testing.T) {
	name := "g_" + strings.Repeat("a", 26)
	for _, c := range []struct{ grant, exe, who string }{
		{name, "/a", `who = { grant = "` + name + `", exe = "/a" }`},
		{name, "", `who = { grant = "` + name + `" }`},
		{"", "/a", `who = { exe = "/a" }`},
		{"g_*", "/a", `who = { exe = "/a" }`},
		{"bogus", "", "# for any program"},
	} {
		s := Seen{Profile: "acme", Environment: "sandbox", Kind: KindToken, Exe: c.exe, Grant: c.grant}
		text := Learn([]Seen{s, {Profile: "acme", Environment: "sandbox", Kind: KindToken, Exe: "/other"}})
		p, err := Parse(text)
		if err != nil || len(p.Rules) != 2 || !strings.Contains(text, c.who) {
			t.Errorf("%+v: got %v of\n%s", c, err, text)
		}
	}
}

// Each rule that is proposed decides something: none stands behind one for more callers, and
// what one operation has in it is not said twice.
func TestLearnedRulesDecide(t *testing.T) {
	grant := func(letter string) string { return "g_" + strings.Repeat(letter, grantLetters) }
	const path = "/services/rest/record/v1/customer/7"
	seen := func(exe, grant string) Seen {
		return Seen{Profile: "acme", Environment: "sandbox", Kind: KindSign, Method: "GET", Path: path, Exe: exe, Grant: grant}
	}
	p := mustParse(t, Learn([]Seen{seen("", ""), seen("/a", ""), seen("", grant("a")), seen("/a", grant("a"))}))
	var who []string
	for i := range p.Rules {
		who = append(who, p.Rules[i].Who.String())
	}
	if got, want := strings.Join(who, "; "), "program /a and grant "+grant("a")+"; grant "+grant("a")+"; program /a; "; got != want {
		t.Fatalf("got rules for %s, want %s", got, want)
	}
	text := Learn([]Seen{{Profile: "acme", Environment: "sandbox", Kind: KindSign, Method: "DELTE", Path: "/a"}})
	if !strings.Contains(text, "# left out: sign DELTE /a with profile acme") || strings.Contains(text, "[[rule]]") {
		t.Fatalf("got\n%s", text)
	}
	rapid.Check(t, func(t *rapid.T) {
		one := rapid.Custom(func(t *rapid.T) Seen {
			return Seen{
				Profile: rapid.SampledFrom([]string{"acme", "prod"}).Draw(t, "profile"), Environment: rapid.SampledFrom([]string{"sandbox", "production"}).Draw(t, "environment"),
				Kind:   rapid.SampledFrom([]Kind{KindSign, KindPassport, KindConnectPassword}).Draw(t, "kind"),
				Method: rapid.SampledFrom([]string{"GET", "POST", "DELTE"}).Draw(t, "method"),
				Path:   rapid.SampledFrom([]string{"/a/7", "/a/8/b", "/a/x", "/a/x!", "/a/x%21", SuiteQLPath, "/b/11"}).Draw(t, "path") + rapid.StringMatching("(/[a-z]{2})?").Draw(t, "end"),
				Exe:    rapid.SampledFrom([]string{"", "/a", "/b"}).Draw(t, "exe"), Grant: rapid.SampledFrom([]string{"", grant("a"), grant("b")}).Draw(t, "grant"),
			}
		})
		text := Learn(rapid.SliceOfN(one, 1, 200).Draw(t, "seen"))
		p, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range p.Lint(nil) {
			if f.Never {
				t.Fatalf("rule %q: %s, of\n%s", f.Rule, f.Text, text)
			}
		}
	})
	// More than a rule has room for, of which one has another in it.
	many := []Seen{{Profile: "acme", Environment: "sandbox", Kind: KindSign, Method: "GET", Path: "/7"}}
	for i := range 63 {
		many = append(many, Seen{Profile: "acme", Environment: "sandbox", Kind: KindSign, Method: "GET", Path: "/a" + strings.Repeat("/b", i+1)})
	}
	many = append(many, Seen{Profile: "acme", Environment: "sandbox", Kind: KindSign, Method: "GET", Path: "/x"})
	if p := mustParse(t, Learn(many)); len(p.Rules) != 1 || len(p.Rules[0].What) != 64 {
		t.Errorf("got %d rules", len(p.Rules))
	}
}

// What is left out is named, and why where a method that NetSuite does not take is the reason.
func TestLearnSaysWhatIsLeftOut(t *testing.T) {
	for _, c := range []struct {
		seen Seen
		want string
	}{
		{Seen{Profile: "p", Environment: "sandbox", Kind: KindSign, Method: "DELTE", Path: "/a"}, "# left out: sign DELTE /a with profile p; DELTE is no method that NetSuite takes; did you mean DELETE?\n"},
		{Seen{Profile: "p", Environment: "sandbox", Kind: KindSign, Method: "GET", Path: "/a//b"}, "# left out: sign GET /a//b with profile p\n"},
		{Seen{Profile: "p", Environment: "moon", Kind: KindToken}, "# left out: token   with profile p\n"},
	} {
		if got := Learn([]Seen{c.seen}); !strings.Contains(got, c.want) {
			t.Errorf("%+v: got\n%s\nwithout %q", c.seen, got, c.want)
		}
	}
}
