package policy

import (
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Case is one line of a test of a policy: an attempt, and what is to become of it.
type Case struct {
	Name string
	Line int
	// Do is what is attempted, As who attempts it and At when, as it stands in the table.
	Do, As, At string
	Attempt    Attempt
	Want       Effect
	// Rule is the name of the rule that is to decide; empty: any, or none.
	Rule string
}

// ParseCases reads the text of a test of a policy, as strictly as Parse. owner is the user
// who asks where a case does not say. The error is a *SyntaxError.
func ParseCases(text string, owner uint32) ([]Case, error) {
	top, err := decode(text)
	if err != nil {
		return nil, err
	}
	var out []Case
	for _, t := range top.subs("case", maxRules) {
		c := Case{Line: t.places.line(t.path), Attempt: Attempt{UID: owner, Owner: owner}}
		a := &c.Attempt
		if c.Name = t.text("name"); c.Name != "" {
			t.title = fmt.Sprintf("case %.64q", c.Name)
		}
		for _, key := range []string{"profile", "environment", "do", "want"} {
			t.must(key)
		}
		a.Profile = t.text("profile")
		a.Environment = t.word("environment", "production", "sandbox")
		if a.Access = Access(t.word("access", string(Read), string(Write))); a.Access == "" {
			a.Access = Write
		}
		if c.Do = t.text("do"); c.Do != "" {
			if err := a.Do(c.Do); err != nil {
				t.fail("do", "%v", err)
			}
		}
		if c.As = t.text("as"); c.As != "" {
			if err := a.As(c.As); err != nil {
				t.fail("as", "%v", err)
			}
		}
		if c.At = t.text("at"); c.At != "" {
			if a.Time, err = time.Parse(time.RFC3339, c.At); err != nil {
				t.fail("at", "it looks like 2026-11-27T10:00:00+01:00")
			}
		}
		c.Want = Effect(t.word("want", string(Allow), string(Deny), string(Ask)))
		c.Rule = t.text("rule")
		t.end()
		out = append(out, c)
	}
	top.end()
	if len(out) == 0 {
		top.fail("", "it has no [[case]]")
	}
	if *top.err != nil {
		return nil, *top.err
	}
	return out, nil
}

// Check decides the case, and says what came otherwise; empty: nothing.
func (c *Case) Check(p *Policy) string {
	d := p.Decide(c.Attempt)
	by := fmt.Sprintf("rule %q", d.Rule)
	if d.Index < 0 {
		by = "no rule"
	}
	switch {
	case d.Effect != c.Want:
		return fmt.Sprintf("got %s by %s, want %s", d.Effect, by, c.Want)
	case c.Rule != "" && c.Rule != d.Rule:
		return fmt.Sprintf("got %s by %s, want rule %q", d.Effect, by, c.Rule)
	}
	return ""
}

// Do sets what is attempted: "METHOD URL" or "METHOD /path", or one of "suiteql",
// "passport", "connect", "assertion" and "token".
func (a *Attempt) Do(text string) error {
	a.Kind, a.Method, a.Host, a.Path, a.Script = KindSign, "", "", "", ""
	switch text {
	case "suiteql":
		a.Method, a.Path = "POST", SuiteQLPath
		return nil
	case "connect":
		a.Kind = KindConnectPassword
		return nil
	case string(KindConnectPassword):
		return errConnect
	case "passport", "assertion", "token":
		a.Kind = Kind(text)
		return nil
	}
	method, target, _ := strings.Cut(text, " ")
	u, err := url.Parse(target)
	if err != nil || !plainMethod(method) || !strings.HasPrefix(u.EscapedPath(), "/") {
		return fmt.Errorf(`%.80q is no "METHOD URL", and none of suiteql, passport, connect, assertion, token`, text)
	}
	// The path counts as it is written, not as it could be.
	path, _, _ := strings.Cut(target, "#")
	path, _, _ = strings.Cut(path, "?")
	if u.Host != "" {
		_, path, _ = strings.Cut(path, "//")
		_, path, _ = strings.Cut(path, "/")
		path = "/" + path
	}
	a.Method, a.Host, a.Path, a.Script = method, strings.ToLower(u.Hostname()), path, Script(path, u.RawQuery)
	return nil
}
