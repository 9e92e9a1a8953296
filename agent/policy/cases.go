package policy

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Case is one line of a test of a policy: an attempt, and what is to become of it.
type Case struct {
	Name string
	Line int
	// Do is what is attempted, as it stands in the table.
	Do      string
	Attempt Attempt
	Want    Effect
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
		if as := t.text("as"); as != "" {
			if err := a.As(as); err != nil {
				t.fail("as", "%v", err)
			}
		}
		if at := t.text("at"); at != "" {
			if a.Time, err = time.Parse(time.RFC3339, at); err != nil {
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

// As sets who attempts it, from a list such as "uid=1000,exe=/usr/bin/python3,tty=no": uid,
// exe, exe_sha256, unit, container (empty for none), tty (yes or no), grant, issuer, and
// claim.NAME for a claim of an OIDC token. What is not said about the process is not
// known.
func (a *Attempt) As(text string) error {
	for part := range strings.SplitSeq(text, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		claim, isClaim := strings.CutPrefix(name, "claim.")
		e := &a.Evidence
		switch {
		case !ok:
			return fmt.Errorf("%.60q is no NAME=VALUE", part)
		case name == "uid":
			n, err := strconv.ParseUint(value, 10, 32)
			if err != nil {
				return fmt.Errorf("%.60q is no user ID", value)
			}
			a.UID = uint32(n)
		case name == "exe":
			e.Exe, e.Known = value, e.Known|FactExe
		case name == "exe_sha256":
			e.SHA256, e.Known = value, e.Known|FactHash
		case name == "unit":
			e.Unit, e.Known = value, e.Known|FactCgroup
		case name == "container":
			e.Container, e.Known = value, e.Known|FactCgroup
		case name == "tty" && (value == "yes" || value == "no"):
			e.TTY, e.Known = value == "yes", e.Known|FactTTY
		case name == "grant":
			if !plainGrant(value) {
				return fmt.Errorf("%.60q is no grant: one is named whole, by g_ and %d letters and digits; see:  nsagent grant ls", value, grantLetters)
			}
			a.Grant = value
		case name == "issuer":
			a.Issuer = value
		case isClaim:
			if a.Claims == nil {
				a.Claims = make(map[string]string)
			}
			a.Claims[claim] = value
		default:
			return fmt.Errorf("%.60q is none of uid, exe, exe_sha256, unit, container, tty=yes|no, grant, issuer, claim.NAME", part)
		}
	}
	return nil
}
