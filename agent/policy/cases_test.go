package policy

import (
	"errors"
	"strings"
	"testing"
)

// A text that is not TOML is no table of cases.
func TestCasesAreTOML(t *testing.T) {
	for _, bad := range []string{"[[case]", "x = ", "[[case]]\nname = \"a"} {
		if got, err := ParseCases(bad, 7); got != nil || !errors.Is(err, ErrSyntax) {
			t.Errorf("%q: got %+v, %v", bad, got, err)
		}
	}
}

// Who asks is said in known names only, each with a value that it can have.
func TestAsRefuses(t *testing.T) {
	for _, bad := range []string{"", "uid", "uid=-1", "uid=4294967296", "tty=", "tty=1", "terminal=yes", "pid=no", "UID=7", "claim=a", "claim.=a", "exe=/a,"} {
		if err := new(Attempt).As(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
	// What nobody has matches no rule, and would look as if the rule did not.
	for bad, want := range map[string]string{
		"exe=python3": "absolute path", "exe=": "absolute path", "exe=/a/../b": "absolute path", "exe_sha256=ab": "64 digits",
		"tty=yes,tty=no": `"tty" is said twice`, "exe=/a, exe=/b": `"exe" is said twice`, "claim.x=1,issuer=https://i,claim.x=2": `"claim.x" is said twice`,
		"claim.x=1": "of which issuer", "issuer=https://i,colour=red": "none of", "issuer=https://i,claim.=x": "none of",
	} {
		if err := new(Attempt).As(bad); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", bad, err, want)
		}
	}
}

// A terminal is said as in words, or as in rules.
func TestTerminalIsSaid(t *testing.T) {
	for text, want := range map[string]bool{"tty=yes": true, "tty=true": true, "tty=no": false, "tty=false": false} {
		var a Attempt
		if err := a.As(text); err != nil || a.Evidence.TTY != want || a.Evidence.Known != FactTTY {
			t.Errorf("%s: got %+v, %v", text, a.Evidence, err)
		}
	}
}

// Where it cannot be told whether a rule matches, what would tell it is named: of a process
// what is not said, and of a request why it is not plain. A path counts only where one is
// asked for.
func TestExplainOfWhatIsNotKnown(t *testing.T) {
	const want = "it wants to know more: exe is not said (add exe=PATH)"
	p := rules(t, "effect = \"allow\"\nwhat = \"*\"\nwho = { exe = \"/a\" }")
	for name, a := range map[string]Attempt{"a request": writer("GET", customers), "no request": of(KindToken), "no request, with a path": with(of(KindToken), func(a *Attempt) { a.Path = "/a/../b" })} {
		if _, steps := p.Explain(a); len(steps) != 1 || steps[0].Why != want {
			t.Errorf("%s: got %+v", name, steps)
		}
	}
	job := with(writer("GET", customers), func(a *Attempt) { a.Issuer, a.Claims = "https://i", map[string]string{"x": "1"} })
	restlet := with(writer("GET", RESTletPath), func(a *Attempt) { a.Script = "12/1" })
	for _, c := range []struct {
		rule string
		a    Attempt
		why  string
	}{
		{"what = \"*\"\nwho = { tty = true }", of(KindToken), "tty is not said (add tty=yes or tty=no)"},
		{"what = \"*\"\nwho = { exe = \"/a\", exe_sha256 = \"" + strings.Repeat("0", 64) + "\", unit = \"u\", container = \"c\" }", of(KindToken),
			"exe, exe_sha256, unit and container are not said (add exe=PATH, exe_sha256=HEX, unit=NAME, container=NAME)"},
		{"what = \"*\"\nwho = { oidc = { issuer = \"https://i\", x = \"1\", ref = \"main\" } }", job, "claim.ref is not said (add claim.ref=VALUE)"},
		{"what = \"GET /x\"", writer("GET", "/a/../b"), "its path could be read in two ways"},
		{"what = \"GET /x\"\nwho = { tty = true }", writer("GET", "/a/../b"), "tty is not said (add tty=yes or tty=no) and its path could be read in two ways"},
		{"what = \"restlet customscript_a/1\"", restlet, "an id and a name may mean the same RESTlet"},
		{"what = \"soap get\"", of(KindPassport), "a TokenPassport does not say for which operation it is"},
		{"what = \"soap get\"", writer("POST", "/services/NetSuitePort_2025_2"), "its SOAP operation is not known"},
	} {
		d, _ := rules(t, "effect = \"deny\"\n"+c.rule).Explain(c.a)
		if want := `rule "r0" of the policy may be meant for it, and that cannot be told: ` + c.why; d.Effect != Deny || d.Err == nil || d.Err.Why != want {
			t.Errorf("%s: got %+v\nwant %s", c.rule, d.Err, want)
		}
	}
	if d, _ := rules(t, "effect = \"deny\"\nwhat = \"*\"").Explain(of(KindToken)); d.Err.Why != `rule "r0" of the policy denies it` {
		t.Errorf("of what is told: got %s", d.Err.Why)
	}
}
