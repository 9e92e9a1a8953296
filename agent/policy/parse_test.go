package policy

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

const full = `# who may do what
version = 1

[step_up]
admin = true

[approval]
timeout = "2m"

[[issuer]]
url = "https://token.actions.githubusercontent.com"
jwks_file = "/etc/nsagent/jwks.json"

[[rule]]
name = "nightly load"
effect = "allow"
profiles = ["acme-*", "other"]
environment = "production"
what = [
  "GET,HEAD /services/rest/record/v1/customer/**",  # reads
  "suiteql",
  "restlet 123/1",
]
who = { uid = 1000, exe = "/usr/bin/python3", unit = "nightly.service" }
hours = ["Mon-Fri 06:00-20:00 Europe/Berlin", "Sat 06:00-12:00 UTC"]
rate = "200/h"
max_uses = 1000
concurrency = 5
totp = true

[[rule]]
name = "the rest"
effect = "deny"
what = "*"

[rule.who]
oidc = { issuer = "https://token.actions.githubusercontent.com", repository_id = [1, "2"] }
`

func TestParse(t *testing.T) {
	p, err := Parse(full)
	if err != nil {
		t.Fatal(err)
	}
	if !p.StepUp.Admin || p.Approval != (Approval{2 * time.Minute}) || len(p.Issuers) != 1 || p.Issuers[0].JWKSFile != "/etc/nsagent/jwks.json" {
		t.Errorf("got %+v", p)
	}
	if len(p.Rules) != 2 {
		t.Fatalf("got %d rules", len(p.Rules))
	}
	r, last := p.Rules[0], p.Rules[1]
	if r.Name != "nightly load" || r.Line != 14 || r.Effect != Allow || r.Environment != "production" || len(r.Profiles) != 2 || len(r.What) != 3 || len(r.Hours) != 2 || r.Obligations != (Obligations{Rate{200, time.Hour}, 1000, 5, true}) {
		t.Errorf("got %+v", r)
	}
	if last.Line != 31 || len(last.What) != 1 || last.Who.OIDC == nil || fmt.Sprint(last.Who.OIDC.Claims) != "[{repository_id [1 2]}]" {
		t.Errorf("got %+v", last)
	}
	if _, err := Parse("version = 1\n[[issuer]]\nurl = \"https://i\"\njwks = '''{\n\"keys\": []}'''\n"); err != nil {
		t.Error(err)
	}
}

// Each of these texts is refused, and the message says where and why.
func TestParseRefuses(t *testing.T) {
	const rule = "version = 1\n[[rule]]\nname = \"a\"\neffect = \"allow\"\nwhat = \"*\"\n"
	for text, want := range map[string]string{
		"":                                    "line 1: it has no version",
		"version = 2":                         `line 1, "version": it is 1, the only one`,
		"version = \"1\"":                     `line 1, "version": it is 1, the only one`,
		"Version = 1":                         `line 1, "Version": unknown key; write it version`,
		"version = 1\nVersion = 1":            `line 2, "Version": unknown key; write it version`,
		"version = 1\nversion = 1":            "line 2: Key 'version' has already been defined",
		"version = 1\nrules = 1":              `line 2, "rules": unknown key; did you mean rule?`,
		"version":                             "line 1:",
		"version = 1\n\x00":                   "line 2:",
		"version = 1\nrule = 1":               `line 2, "rule": write each as [[rule]]`,
		"version = 1\n[rule]\nname = 'a'":     `line 2, "rule": write each as [[rule]]`,
		"version = 1\n[step_up]\nadmin = 1":   `line 3, "admin": it is true or false`,
		"version = 1\nstep_up = true":         `line 2, "step_up": it is a table`,
		"version = 1\n[step_up]\nadmn = true": `line 3, "admn": unknown key`,
		"version = 1\n[[issuer]]\nurl = \"https://i\"\njwks_file = \"p\"":                            `line 4, "jwks_file": it is an absolute path`,
		"version = 1\n[[issuer]]\nurl = \"https://i\"\njwks_file = \"/a/../b\"":                      `line 4, "jwks_file": it is an absolute path`,
		"version = 1\n[approval]\ntimeout = \"0s\"":                                                  `line 3, "timeout": it is a time`,
		"version = 1\n[approval]\ntimeout = \"61m\"":                                                 `line 3, "timeout": it is a time`,
		"version = 1\n[approval]\nask = 1":                                                           `line 3, "ask": unknown key`,
		"version = 1\n[[issuer]]\n":                                                                  `line 2: it has no url`,
		"version = 1\n[[issuer]]\nurl = \"ftp://x\"":                                                 `line 3, "url": it is the URL`,
		"version = 1\n[[issuer]]\nurl = \"https://x?a\"":                                             `line 3, "url": it is the URL`,
		"version = 1\n[[issuer]]\nurl = \"https://x\"\njwks = \"{}\"\njwks_file = \"/a\"":            `line 4, "jwks": it is the JSON`,
		"version = 1\n[[issuer]]\nurl = \"https://x\"\nkeys = 1":                                     `line 4, "keys": unknown key`,
		"version = 1\n[[rule]]\nname = \"a\"\nname = \"b\"":                                          "line 4: Key 'rule.name' has already been defined",
		"version = 1\n[[rule]]\neffect = \"allow\"\nwhat = \"*\"":                                    "line 2: it has no name",
		"version = 1\n[[rule]]\nname = \"a\"\nwhat = \"*\"":                                          `line 2, rule "a": it has no effect`,
		"version = 1\n[[rule]]\nname = \"a\"\neffect = \"deny\"":                                     `line 2, rule "a": it has no what`,
		"version = 1\n[[rule]]\nname = \"a\\\"\"\n":                                                  `line 3, "name": it has at most`,
		"version = 1\n[[rule]]\nname = \"" + strings.Repeat("a", 65) + "\"\n":                        `line 3, "name": it has at most`,
		"version = 1\n[[rule]]\nname = \"\u00e4\"\n":                                                 `line 3, "name": it is a text`,
		"version = 1\n[[rule]]\nname = \"a\"\nEffect = \"deny\"\neffect = \"deny\"":                  `line 4, rule "a", "Effect": unknown key; write it effect`,
		rule + "Effect = \"deny\"":                                                                   `line 6, rule "a", "Effect": unknown key; write it effect`,
		rule + "[[rule]]\nname = \"a\"\neffect = \"deny\"\nwhat = \"*\"":                             `line 7, rule "a", "name": the rule of line 2 has this name`,
		rule + "effects = 1\nallow = 1":                                                              `line 6, rule "a", "effects": unknown key`,
		rule + "profiles = []":                                                                       `line 6, rule "a", "profiles": the list has 1 to 64 entries`,
		rule + "profiles = [\"a\", \"a\"]":                                                           `"a" stands there twice`,
		rule + "profiles = \"A\"":                                                                    `it is the name of a profile`,
		rule + "profiles = \"a*b*\"":                                                                 `more than one *`,
		rule + "profiles = [1]":                                                                      `it is a text`,
		rule + "profiles = \"\"":                                                                     `it is a text`,
		rule + "environment = \"prod\"":                                                              `line 6, rule "a", "environment": it is one of production, sandbox`,
		rule + "hours = \"06:00-20:00\"":                                                             `hours look like`,
		rule + "hours = \"Mon 06:00-20:00 Mars/Olympus\"":                                            `there is no time zone "Mars/Olympus"`,
		rule + "hours = \"Mon 06:00-20:00 \"":                                                        `there is no time zone ""`,
		"version = 1\n[[issuer]]\nurl = \"http://issuer.example\"\n":                                 `it is the URL of an issuer: https`,
		rule + "hours = \"Mon 06:00-20:00 Local\"":                                                   `there is no time zone "Local"`,
		rule + "hours = \"Mon 06:00-20:00 ../etc/passwd\"":                                           `there is no time zone`,
		rule + "hours = \"Mon 06:00-06:00 UTC\"":                                                     `hours look like`,
		rule + "hours = \"Mon 24:00-06:00 UTC\"":                                                     `hours look like`,
		rule + "hours = \"Mon 6:00-07:00 UTC\"":                                                      `hours look like`,
		rule + "hours = \"Mon 06:00-25:00 UTC\"":                                                     `hours look like`,
		rule + "hours = \"Mon 06:00 UTC\"":                                                           `hours look like`,
		rule + "hours = \"Mon-Xyz 06:00-07:00 UTC\"":                                                 `hours look like`,
		rule + "hours = \"Mon-Wed,Tue 06:00-07:00 UTC\"":                                             `hours look like`,
		rule + "rate = \"0/h\"":                                                                      `it looks like "200/h"`,
		rule + "rate = \"1000001/h\"":                                                                `it looks like "200/h"`,
		rule + "rate = \"5/w\"":                                                                      `it looks like "200/h"`,
		rule + "rate = \"5\"":                                                                        `it looks like "200/h"`,
		rule + "rate = 5":                                                                            `it is a text`,
		rule + "max_uses = 0":                                                                        `it is a whole number from 1`,
		rule + "max_uses = -1":                                                                       `it is a whole number from 1`,
		rule + "max_uses = 1.5":                                                                      `it is a whole number from 1`,
		rule + "concurrency = 10001":                                                                 `it is a whole number from 1 to 10000`,
		rule + "totp = \"yes\"":                                                                      `it is true or false`,
		rule + "who = {}":                                                                            `line 6, rule "a": who names nobody`,
		rule + "who = \"me\"":                                                                        `line 6, rule "a", "who": it is a table`,
		rule + "who = { UID = 1 }":                                                                   `"UID": unknown key; write it uid`,
		rule + "who = { uid = -1 }":                                                                  `user IDs are whole numbers`,
		rule + "who = { uid = 4294967296 }":                                                          `user IDs are whole numbers`,
		rule + "who = { uid = [1, 1] }":                                                              `user IDs are whole numbers`,
		rule + "who = { uid = \"root\" }":                                                            `user IDs are whole numbers`,
		rule + "who = { exe = \"python3\" }":                                                         `it is an absolute path`,
		rule + "who = { exe = \"/usr//bin\" }":                                                       `it is an absolute path`,
		rule + "who = { exe_sha256 = \"AB\" }":                                                       `64 digits`,
		rule + "who = { unit = \"a*b*c\" }":                                                          `more than one *`,
		rule + "who = { grant = \"x\" }":                                                             `a grant is named whole`,
		rule + "who = { grant = \"g_1\" }":                                                           `a grant is named whole`,
		rule + "who = { oidc = { issuer = \"https://i\" } }":                                         `oidc needs at least one claim`,
		"version = 1\n[[rule]]\nname = \"r\"\nEffect = \"deny\"\nwhat = \"*\"":                       `line 4, rule "r", "Effect": unknown key; write it effect`,
		rule + "who = { oidc = { ref = \"main\" } }":                                                 `it has no issuer`,
		rule + "who = { oidc = { issuer = \"https://i\", ref = true } }":                             `"ref": it is a text`,
		rule + "who = { uid = 1, uid = 1 }":                                                          `already been defined`,
		rule + "[rule.who]\nuid = 1\nunits = \"a\"":                                                  `line 8, rule "a", "units": unknown key`,
		"version = 1\n[[rule]]\nname = \"d\"\neffect = \"deny\"\nwhat = \"*\"\ntotp = true":          `a rule that denies has no rate`,
		"version = 1\n[[rule]]\nname = \"d\"\neffect = \"deny\"\nwhat = \"*\"\nrate = \"1/s\"":       `a rule that denies has no rate`,
		"version = 1\nx = " + strings.Repeat("[", 100_000):                                           "line 2: it nests too deeply",
		"version = 1\nx = " + strings.Repeat("{a=", 100_000):                                         "line 2: it nests too deeply",
		"version = 1\n" + strings.Repeat("a.", 100_000) + "a = 1":                                    "line 2: it nests too deeply",
		"version = 1\nx = [\n" + strings.Repeat("[\n", 20):                                           "line 10: it nests too deeply",
		"version = 1 # " + strings.Repeat("a", maxText):                                              "line 1: it is larger than 1 MiB",
		"version = 1\n" + strings.Repeat("[[rule]]\n", maxRules+1):                                   "at most 10000",
		"version = 1\nx = \"\"\"\n[[[[[[[[[[[\n\"\"\"\ny = '''\n{{{{{{{{{{{{'''\nz=\"[[[[[[[[[[[[\"": `"x": unknown key`,
	} {
		p, err := Parse(text)
		if e := new(SyntaxError); p != nil || !errors.As(err, &e) || !strings.Contains(err.Error(), want) || strings.ContainsAny(err.Error(), "\n\x00") {
			t.Errorf("%.200q:\ngot  %.300v\nwant %s", text, err, want)
		}
	}
	for _, what := range []string{"", "get /x", "GET x", "GET", "GET  /x", "GET /x/../y", "GET /a/**/b", "GET,GET /x", "GET, /x", "suiteql x", "SuiteQL", "restlet", "restlet 1", "restlet 1/2/3", "restlet a b/1", "restlet */", "restlet a**/1", "restlet 0123/1", "restlet 1/01", "restlet 0*/1", "restlet 1a/1", "restlet -1/1", "restlet _*/1",
		"soap", "soap ", "soap get, search", "soap get,get", "soap *", "passports", "connect-password", "sign", "**", "* *", "* x"} {
		if _, err := Parse(fmt.Sprintf("version = 1\n[[rule]]\nname = \"a\"\neffect = \"deny\"\nwhat = [%q]\n", what)); !errors.Is(err, ErrSyntax) || !strings.Contains(err.Error(), `line 5, rule "a", "what"`) {
			t.Errorf("what %q: got %v", what, err)
		}
	}
}

// FuzzParse: no text makes the reader panic or go on for long, an error says where it
// is, and a policy that is read decides.
func FuzzParse(f *testing.F) {
	f.Add(full)
	f.Add("version = 1\n[[rule]]\nname = \"a\"\neffect = \"allow\"\nwhat = [\"*\", \"soap get\"]\nhours = \"Sat,Sun 22:00-06:00 UTC\"\n")
	f.Add(issuerWith("ca = '''\n" + testCA(f) + "'''\n"))
	f.Add(issuerWith("ca_file = \"/ca.pem\"\n[copied]\n\"/ca.pem\" = '''\n" + testCA(f) + "'''\n"))
	f.Add("a.b = {c = [1, {d = '''x''', \"e\" = \"\"\"\\\"\"\"\"}]}")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Parse(text)
		if e := new(SyntaxError); err != nil && (p != nil || !errors.As(err, &e) || e.Line < 1 || e.Why == "") {
			t.Fatalf("got %+v, %v", p, err)
		}
		if err == nil {
			p.Decide(writer("GET", customers+"/1"))
		}
	})
}
