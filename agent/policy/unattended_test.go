package policy

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Where nobody can approve anything, what a grant leaves is of use if a rule may allow a part
// of it by itself. Of what cannot be told, such as who asks, the best is taken.
func TestUnattended(t *testing.T) {
	const grant = "g_aaaaaaaaaaaaaaaaaaaaaaaaaa"
	post := Use{Grant: grant, Profile: "acme", Environment: "sandbox", Methods: []string{"POST"}}
	in := func(u Use, edit func(*Use)) Use { edit(&u); return u }
	for name, c := range map[string]struct {
		rule string
		use  Use
		want bool
	}{
		"it is allowed":               {`effect = "allow"` + "\n" + `what = "POST /**"`, post, true},
		"one of its methods":          {`effect = "allow"` + "\n" + `what = "PUT,POST /x"`, post, true},
		"SuiteQL posts":               {`effect = "allow"` + "\n" + `what = "suiteql"`, post, true},
		"everything":                  {`effect = "allow"` + "\n" + `what = "*"`, post, true},
		"it is asked about":           {`effect = "ask"` + "\n" + `what = "POST /**"`, post, false},
		"with a code":                 {`effect = "allow"` + "\n" + `what = "POST /**"` + "\ntotp = true", post, false},
		"other methods":               {`effect = "allow"` + "\n" + `what = "GET,PUT /**"`, post, false},
		"no request":                  {`effect = "allow"` + "\n" + `what = ["passport", "token"]`, post, false},
		"another profile":             {`effect = "allow"` + "\n" + `what = "*"` + "\n" + `profiles = "other*"`, post, false},
		"another environment":         {`effect = "allow"` + "\n" + `what = "*"` + "\n" + `environment = "production"`, post, false},
		"another grant":               {`effect = "allow"` + "\n" + `what = "*"` + "\n" + `who = { grant = "g_b*" }`, post, false},
		"this grant":                  {`effect = "allow"` + "\n" + `what = "*"` + "\n" + `who = { grant = "g_a*" }`, post, true},
		"some program":                {`effect = "allow"` + "\n" + `what = "*"` + "\n" + `who = { exe = "/a", tty = true }`, post, true},
		"a write that is not named":   {`effect = "allow"` + "\n" + `what = "POST /x"`, in(post, func(u *Use) { u.Environment = "production" }), false},
		"a query in production":       {`effect = "allow"` + "\n" + `what = "suiteql"`, in(post, func(u *Use) { u.Environment = "production" }), true},
		"its path":                    {`effect = "allow"` + "\n" + `what = "* /a/*"`, in(post, func(u *Use) { u.Paths = []string{"/b", "/a/**"} }), true},
		"another path":                {`effect = "allow"` + "\n" + `what = "* /c/**"`, in(post, func(u *Use) { u.Paths = []string{"/b", "/a/**"} }), false},
		"its RESTlet":                 {`effect = "allow"` + "\n" + `what = "restlet 1/*"`, in(post, func(u *Use) { u.Scripts = []string{"1/2"} }), true},
		"another RESTlet":             {`effect = "allow"` + "\n" + `what = "restlet 2/*"`, in(post, func(u *Use) { u.Scripts = []string{"1/2"} }), false},
		"no limit, and a passport":    {`effect = "allow"` + "\n" + `what = "passport"`, Use{Profile: "acme", Environment: "sandbox"}, true},
		"no limit, and the root":      {`effect = "allow"` + "\n" + `what = "GET /"`, Use{Profile: "acme", Environment: "sandbox"}, true},
		"a kind":                      {`effect = "allow"` + "\n" + `what = "connect"`, Use{Profile: "acme", Environment: "sandbox", Kinds: []string{"connect-password"}}, true},
		"another kind":                {`effect = "allow"` + "\n" + `what = ["connect", "GET /**"]`, Use{Profile: "acme", Environment: "sandbox", Kinds: []string{"passport"}}, false},
		"to sign, and a passport":     {`effect = "allow"` + "\n" + `what = "passport"`, Use{Profile: "acme", Environment: "sandbox", Kinds: []string{"sign"}}, false},
		"to send, and a passport":     {`effect = "allow"` + "\n" + `what = "passport"`, Use{Profile: "acme", Environment: "sandbox", Kinds: []string{"send"}}, false},
		"to send":                     {`effect = "allow"` + "\n" + `what = "POST /x"`, in(post, func(u *Use) { u.Kinds = []string{"send"} }), true},
		"a script that no rule names": {`effect = "allow"` + "\n" + `what = "GET /x"`, in(post, func(u *Use) { u.Scripts = []string{"1$/2"} }), true},
	} {
		if got := rules(t, c.rule).Unattended(c.use); got != c.want {
			t.Errorf("%s: got %t", name, got)
		}
		asks := name == "it is asked about" || name == "with a code"
		if got := rules(t, c.rule).Attended(c.use); got != (c.want || asks) {
			t.Errorf("%s, where somebody can approve: got %t", name, got)
		}
		if denies := strings.NewReplacer(`"allow"`, `"deny"`, `"ask"`, `"deny"`, "\ntotp = true", ""); rules(t, denies.Replace(c.rule)).Attended(c.use) {
			t.Errorf("%s, which is denied: got true", name)
		}
	}
	if (&Policy{}).Unattended(post) {
		t.Error("a policy without rules allows something")
	}
}

// Whatever a rule allows by itself is of use to a grant that leaves it.
func TestUnattendedMissesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, err := Parse(textOf(anyRule(t), anyRule(t)))
		if err != nil {
			t.Fatal(err)
		}
		a := anyRuleAttempt(t)
		u := Use{Grant: a.Grant, Profile: a.Profile, Environment: a.Environment, Kinds: []string{string(a.Kind)}}
		if a.Kind == KindSign || a.Kind == KindSend {
			u.Methods = []string{a.Method}
		}
		if d := p.Decide(a); d.Effect == Allow && !d.TOTP && !p.Unattended(u) {
			t.Fatalf("%+v is allowed by %q", a, d.Rule)
		}
	})
}
