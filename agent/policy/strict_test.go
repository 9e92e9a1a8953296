package policy

import (
	"errors"
	"strings"
	"testing"
)

// oneRule is a policy whose only rule a test goes on with, from line 6 on.
const oneRule = "version = 1\n[[rule]]\nname = \"a\"\neffect = \"allow\"\nwhat = \"*\"\n"

// refusals parses each text, and wants of each the message it stands with.
func refusals(t *testing.T, wants map[string]string) {
	t.Helper()
	for text, want := range wants {
		p, err := Parse(text)
		if e := new(SyntaxError); p != nil || !errors.As(err, &e) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.200q:\ngot  %.300v\nwant %s", text, err, want)
		}
	}
}

// A value is of its type, not empty, and no longer than it may be: nothing is cut off or
// taken for zero.
func TestValuesHaveTheirForm(t *testing.T) {
	refusals(t, map[string]string{
		oneRule + "environment = 1":                                                  `line 6, rule "a", "environment": it is a text`,
		oneRule + "environment = true":                                               `it is a text`,
		oneRule + "environment = [\"production\"]":                                   `it is a text`,
		oneRule + "environment = 2026-11-30":                                         `it is a text`,
		oneRule + "who = { unit = \"a\\tb\" }":                                       `"unit": it is a text`,
		oneRule + "who = { unit = \"a\\u0000\" }":                                    `"unit": it is a text`,
		oneRule + "who = { unit = \"a\\u007f\" }":                                    `"unit": it is a text`,
		oneRule + "who = { exe = \"/" + strings.Repeat("a", maxString) + "\" }":      `"exe": it is a text of 1 to 1024`,
		oneRule + "who = { uid = [" + strings.Repeat("1,", maxList) + "2] }":         `"uid": the list has 1 to 64 entries`,
		oneRule + "who = { exe = [] }":                                               `"exe": the list has 1 to 64 entries`,
		oneRule + "who = { exe = [[\"/a\"]] }":                                       `"exe": it is a text`,
		oneRule + "who = { exe_sha256 = \"ab\" }":                                    `64 digits`,
		oneRule + "who = { exe_sha256 = \"" + strings.Repeat("A", 64) + "\" }":       `64 digits`,
		oneRule + "who = { exe_sha256 = \"" + strings.Repeat("a", 65) + "\" }":       `64 digits`,
		oneRule + "who = { oidc = { issuer = \"https://i\", ref = [] } }":            `"ref": the list has 1 to 64 entries`,
		oneRule + "who = { oidc = { issuer = \"https://i\", ref = [\"a\", 1.5] } }":  `"ref": it is a text`,
		oneRule + "who = { oidc = { issuer = [\"https://i\"], ref = \"main\" } }":    `"issuer": it is a text`,
		oneRule + "max_uses = \"1\"":                                                 `it is a whole number`,
		oneRule + "max_uses = 1000000000001":                                         `it is a whole number from 1 to 1000000000000`,
		oneRule + "totp = 0":                                                         `it is true or false`,
		oneRule + "rate = \"x/h\"":                                                   `it looks like "200/h"`,
		oneRule + "rate = \"/h\"":                                                    `it looks like "200/h"`,
		oneRule + "rate = \"-1/h\"":                                                  `it looks like "200/h"`,
		oneRule + "rate = \"99999999999999999999/h\"":                                `it looks like "200/h"`,
		oneRule + "rate = \"5/h/d\"":                                                 `it looks like "200/h"`,
		"version = 1\n[approval]\ntimeout = \"2\"":                                   `line 3, "timeout": it is a time`,
		"version = 1\n[approval]\ntimeout = \"2m x\"":                                `line 3, "timeout": it is a time`,
		"version = 1\n[approval]\ntimeout = 2":                                       `line 3, "timeout": it is a text`,
		"version = 1\n[[issuer]]\nurl = \"https://i/%zz\"":                           `line 3, "url": it is the URL`,
		"version = 1\n[[issuer]]\nurl = \"https:///path\"":                           `line 3, "url": it is the URL`,
		"version = 1\n[[issuer]]\nurl = \"https://i#a\"":                             `line 3, "url": it is the URL`,
		"version = 1\n[[issuer]]\nurl = \"https://a:b@i\"":                           `line 3, "url": it is the URL`,
		"version = 1\n[[issuer]]\nurl = \"\"":                                        `line 3, "url": it is a text`,
		"version = 1\n[[issuer]]\nurl = \"https://i\"\njwks = \"\"":                  `line 4, "jwks": it is the JSON`,
		"version = 1\n[[issuer]]\nurl = \"https://i\"\njwks = 1":                     `line 4, "jwks": it is the JSON`,
		"version = 1\n[[issuer]]\nurl = \"https://i\"\njwks = { keys = [] }":         `line 4, "jwks": it is the JSON`,
		"version = 1\n[[rule]]\nname = \"a\"\neffect = \"Allow\"\nwhat = \"*\"":      `line 4, rule "a", "effect": it is one of allow, deny, ask`,
		"version = 1\n[[rule]]\nname = \"a\"\neffect = \"allow\"\nwhat = []":         `line 5, rule "a", "what": the list has 1 to 64 entries`,
		"version = 1\n[[rule]]\nname = \"a\"\neffect = \"allow\"\nwhat = [\"*\", 1]": `line 5, rule "a", "what": it is a text`,
	})
	long := "/" + strings.Repeat("a", maxString-1)
	if p := rules(t, "effect = \"allow\"\nwhat = \"*\"\nwho = { exe = \""+long+"\" }"); p.Rules[0].Who.Exes[0] != long {
		t.Errorf("the longest text: got %.40q", p.Rules[0].Who.Exes)
	}
}

// A key that nobody knows is refused wherever it stands, one without a name too: a rule
// with a who of nothing but that would be for everybody.
func TestKeyWithoutName(t *testing.T) {
	refusals(t, map[string]string{
		"version = 1\n\"\" = 1":                                            `unknown key; there are version`,
		"version = 1\n[step_up]\n\"\" = true":                              `line 2: unknown key; there are admin`,
		"version = 1\n[[issuer]]\nurl = \"https://i\"\n\"\" = \"x\"":       `line 2: unknown key; there are url`,
		oneRule + "\"\" = 1":                                               `line 2, rule "a": unknown key; there are name`,
		oneRule + "who = { \"\" = 1 }":                                     `line 6, rule "a": unknown key; there are uid`,
		oneRule + "who = { oidc = { issuer = \"https://i\", \"\" = {} } }": `it is a text`,
	})
}

// An error is of the line at which its key stands, whatever looks like that key in the
// strings, lists and comments before it.
func TestLinesOfErrors(t *testing.T) {
	const half = "version = 1\n[[rule]]\nname = \"a\"\n"
	refusals(t, map[string]string{
		"# a policy\n\n":                    "line 1: it has no version",
		"version = 1\n# a = 1\n\"# a\" = 2": `line 3, "# a": unknown key`,
		"version = 1\n[step_up]\nadmin = true\n[step_up.other]\nx = 1":       `line 4, "other": unknown key`,
		half + "what = [\n  \"GET /x\",\neffect = 1\n]\neffect = 1":          "line 6:", // which is no TOML
		half + "what = [\n\"*\", '''\neffect = 1\n''' ]\neffect = \"yes\"":   `line 8, rule "a", "effect": it is one of`,
		half + "what = [\n\"effect=\", \"*\"\n]\neffect = \"yes\"":           `line 7, rule "a", "effect": it is one of`,
		half + "what = \"\"\"\neffect = 1\n\"\"\"\neffect = \"yes\"":         `line 7, rule "a", "effect": it is one of`,
		"version = 1\nz = 1\na = 1":                                          `line 2, "z": unknown key`,
		oneRule + "[rule]\nname = \"b\"":                                     "line 6: Key 'rule' has already been defined",
		oneRule + "who = { uid = 1, d = 1, a = 1, c = 1, b = 1, e = 1 }":     `line 6, rule "a", "a": unknown key; there are uid`,
		oneRule + "[rule.who]\nuid = 1\nb = 1\nd = 1\nc = 1\na = 1\ne = 1\n": `line 8, rule "a", "b": unknown key`,
	})
}

// What is in a string does not count as nesting, and what is behind one does: a string
// in single quotes has no escapes, and a long one may end in more quotes than three. Where
// that was not seen, a text without a proof brought the agent to its end.
func TestNestingIsCountedOutsideStrings(t *testing.T) {
	deep, tables := strings.Repeat("[", 12), strings.Repeat("{a=", 12)
	refusals(t, map[string]string{
		"version = 1\nx = \"\\\"" + deep + "\"":            `line 2, "x": unknown key`,
		"version = 1\nx = \"\\\\\"\ny = " + deep:           `line 3: it nests too deeply`,
		"version = 1\nx = ['\\', " + deep:                  `line 2: it nests too deeply`,
		"version = 1\nx = ['''\\''', " + deep:              `line 2: it nests too deeply`,
		"version = 1\nx = ['''\n\\''', " + deep:            `line 3: it nests too deeply`,
		"version = 1\nx = [\"\"\"\n\\\"\"\"\"," + deep:     `line 3: it nests too deeply`,
		"version = 1\nx = 1 # ' " + deep + "\ny = " + deep: `line 3: it nests too deeply`,
		"version = 1\nx = ['''a'''', " + tables:            `line 2: it nests too deeply`,
		"version = 1\nx = ['''a''''', " + tables:           `line 2: it nests too deeply`,
		"version = 1\nx = [\"\"\"a\"\"\"\", " + tables:     `line 2: it nests too deeply`,
	})
}

// A rule that names a grant names all of it, or says by a * that it does not: the start of a
// name, as commands take it, fits no grant, and a rule that denies by it would deny nothing.
func TestGrantsAreNamedWhole(t *testing.T) {
	letters := func(n int) string { return "g_" + strings.Repeat("a", n) }
	const want = `line 6, rule "a", "grant": `
	for _, name := range []string{"g_", "g_wjfphhzy", letters(25), letters(27), letters(26) + "*", "x*", "g*", "g_*8", "*a"} {
		refusals(t, map[string]string{oneRule + "who = { grant = \"" + name + "\" }": want})
		if err := new(Attempt).As("grant=" + name); err == nil {
			t.Errorf("who asks, grant %s: got no error", name)
		}
	}
	for name, meant := range map[string]bool{"*": true, "g_*": true, "g_a*": true, "g_*b": false, letters(25) + "*": true, letters(26): true} {
		p := rules(t, "effect = \"deny\"\nwhat = \"*\"\nwho = { grant = \""+name+"\" }", "effect = \"allow\"\nwhat = \"*\"")
		a := writer("GET", customers)
		if a.Grant = letters(26); p.Decide(a).Effect == Deny != meant {
			t.Errorf("grant %s: got %+v", name, p.Decide(a))
		}
	}
}

// Who mistypes a key is told which it is, at its line, and not that another one is missing.
func TestMistypedKeys(t *testing.T) {
	refusals(t, map[string]string{
		"version = 1\n[[rules]]\nname = \"a\"\n[[rules]]\nname = \"b\"":         `line 2, "rules": unknown key; did you mean rule?`,
		"version = 1\n[[rule]]\nname = \"a\"\nefect = \"deny\"\nwhat = \"*\"":   `line 4, rule "a", "efect": unknown key; did you mean effect?`,
		"version = 1\n[[rule]]\nnames = \"a\"\neffect = \"deny\"\nwhat = \"*\"": `line 3, "names": unknown key; did you mean name?`,
		"version = 1\n[[rule]]\nname = \"a\"\neffect = \"deny\"\ndo = \"*\"":    `line 5, rule "a", "do": unknown key; there are name, effect, environment,`,
		"version = 1\n[[issuer]]\nuri = \"https://i\"":                          `line 3, "uri": unknown key; did you mean url?`,
		"verson = 1":                                         `line 1, "verson": unknown key; did you mean version?`,
		"version = 2\nrules = 1":                             `line 1, "version": it is 1, the only one that there is`,
		oneRule + "env = \"production\"":                     `line 6, rule "a", "env": unknown key; did you mean environment?`,
		oneRule + "who = { executable = \"/a\" }":            `line 6, rule "a", "executable": unknown key; there are uid, exe,`,
		strings.Replace(oneRule, "*", "connect-password", 1): `line 5, rule "a", "what": "connect-password": that permission is called connect here`,
	})
	if err := new(Attempt).Do("connect-password"); err == nil || err.Error() != "that permission is called connect here" {
		t.Errorf("what is attempted: got %v", err)
	}
	if _, err := ParseCases("[[case]]\nprofile = \"a\"\nenvironment = \"sandbox\"\ndoes = \"token\"\nwant = \"deny\"", 7); err == nil || !strings.Contains(err.Error(), `line 4, "does": unknown key; there are name, profile,`) {
		t.Errorf("a case: got %v", err)
	}
}
