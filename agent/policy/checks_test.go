package policy

import (
	"errors"
	"strings"
	"testing"
)

// Without a policy, another user gets in by a grant or by a socket that the owner made for
// one, and in no other way.
func TestOthersByDefault(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Attempt)
		ok     bool
	}{
		"the owner": {func(*Attempt) {}, true}, "another user": {func(a *Attempt) { a.UID = 8 }, false},
		"another user with a grant":    {func(a *Attempt) { a.UID, a.Grant = 8, "g_aaaaaaaaaaaaaaaaaaaaaaaaaa" }, true},
		"another user by a socket":     {func(a *Attempt) { a.UID, a.Entrusted = 8, true }, true},
		"a grant for no known profile": {func(a *Attempt) { a.UID, a.Grant, a.Profile = 8, "g_aaaaaaaaaaaaaaaaaaaaaaaaaa", "" }, false},
	} {
		a := attempt(c.change)
		if err := decide(a); (err == nil) != c.ok {
			t.Errorf("%s: got %v", name, err)
		}
		p := rules(t, "effect = \"allow\"\nenvironment = \"production\"\nwhat = \"*\"")
		if d := p.Decide(a); (d.Effect == Allow) != c.ok {
			t.Errorf("%s, by a rule for everybody: got %+v", name, d)
		}
	}
}

// What is said about a process counts only where it is known: else it is unclear, whatever
// stands there.
func TestUnknownFactsAreUnclear(t *testing.T) {
	hash := strings.Repeat("0", 64)
	for _, who := range []string{"exe = \"/a\"", "exe_sha256 = \"" + hash + "\"", "unit = \"u\"", "container = \"c\"", "tty = true"} {
		p := rules(t, "effect = \"deny\"\nwhat = \"*\"\nwho = { "+who+" }", "effect = \"allow\"\nwhat = \"*\"")
		a := writer("GET", customers)
		a.Evidence = Evidence{Exe: "/b", SHA256: "f", Unit: "v", Container: "d"}
		if d := p.Decide(a); d.Effect != Deny || d.Index != 0 {
			t.Errorf("%s, not known: got %+v", who, d)
		}
		a.Evidence.Known = FactExe | FactHash | FactCgroup | FactTTY
		if d := p.Decide(a); d.Effect != Allow || d.Index != 1 {
			t.Errorf("%s, known to be another: got %+v", who, d)
		}
	}
	if anyWord(rules(t, "effect = \"deny\"\nwhat = \"*\"\nwho = { grant = \"*\" }").Rules[0].Who.Grants, "") {
		t.Error("no grant is taken for any grant")
	}
}

// A refusal says what to look at: the environment that a rule would need, whichever rules
// come behind it, and no command with a name that is none.
func TestRefusalsSayWhatToDo(t *testing.T) {
	p := rules(t, "effect = \"allow\"\nwhat = \"*\"", "effect = \"allow\"\nwhat = \"*\"\nhours = \"Mon 00:00-00:01 UTC\"")
	d := p.Decide(attempt(func(a *Attempt) { a.Access, a.Method = Write, "PUT" }))
	if d.Err == nil || !errors.Is(d.Err, ErrDenied) || !strings.Contains(d.Err.Why, "environment") {
		t.Errorf("a write on production: got %+v", d)
	}
	d = p.Decide(attempt(func(a *Attempt) { a.Profile, a.Access, a.Method = "a b; rm", Write, "PUT" }))
	if d.Err == nil || strings.Contains(d.Err.Next, "rm") {
		t.Errorf("a name that is none: got %+v", d.Err)
	}
	for _, bad := range []string{"Xyz-Mon 08:00-18:00 UTC", "Mon-Xyz 08:00-18:00 UTC", "Xyz 08:00-18:00 UTC", "Mon 08:00 UTC"} {
		if _, err := parseHours(bad); !errors.Is(err, errHours) {
			t.Errorf("%s: got %v", bad, err)
		}
	}
}
