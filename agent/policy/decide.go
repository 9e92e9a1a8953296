package policy

import (
	"fmt"
	"strings"
)

// byDefault decides where no policy is adopted.
func byDefault(a *Attempt) Decision {
	d := Decision{Effect: Allow, Index: -1}
	if a.UID != a.Owner && a.Grant == "" && !a.Entrusted {
		d.Err = deny(a, CodeDenied,
			fmt.Sprintf("only its owner, uid %d, may use this agent, and the caller is uid %d", a.Owner, a.UID),
			fmt.Sprintf("run it as uid %d, or keep a vault of your own:  nsagent init", a.Owner))
	} else {
		d.Err = limits(a)
	}
	if d.Err != nil {
		d.Effect = Deny
	}
	return d
}

// limits returns nil if the limits of the profile allow a.
func limits(a *Attempt) *Denied {
	switch {
	case a.Profile == "":
		return deny(a, CodeDenied, "it names no profile", "list them:  nsagent profile ls")
	case !known(a.Kind):
		return deny(a, CodeDenied, "this agent does not know that permission", "see what there is:  nsagent help")
	}
	switch a.Access {
	case Write:
		return nil
	case Read:
		if why := whyNotReading(a); why != "" {
			return deny(a, CodeReadOnly, "its access is read"+why, widen(a))
		}
		return nil
	}
	return deny(a, CodeDenied, "the access of the profile is neither read nor write", widen(a))
}

// BeyondReading returns why a profile whose access is read does not do a, to go on after
// "its access is read"; empty if a only reads.
func BeyondReading(a Attempt) string { return whyNotReading(&a) }

// whyNotReading returns why a does more than read, to go on after "its access is read";
// empty if it only reads.
func whyNotReading(a *Attempt) string {
	switch a.Kind {
	case KindPassport, KindConnectPassword:
		return ", and this would carry the whole role"
	case KindAssertion, KindToken:
		return ", and this would buy a token that can write"
	}
	switch a.Method {
	case "GET", "HEAD":
		if isTokenEndpoint(a.Path) {
			return ", and this path is, or may be taken for, one that issues or revokes tokens"
		}
		return ""
	case "POST":
		if a.Path == SuiteQLPath {
			return ""
		}
		return ": GET, HEAD, and POST to exactly " + SuiteQLPath
	}
	return ": GET, HEAD and SuiteQL"
}

// noRule refuses what no rule matched. production says that a rule would have matched on
// another profile than one of production.
func noRule(a *Attempt, production bool) *Denied {
	why := "no rule of the policy allows it"
	if production {
		why = `the rule that would allow it is not for production: it needs environment = "production"`
	}
	return deny(a, CodeDenied, why, explain(a))
}

func deniedBy(a *Attempt, r *Rule) *Denied {
	return deny(a, CodeDenied, fmt.Sprintf("rule %q of the policy denies it", r.Name), explain(a))
}

func unclearTo(a *Attempt, r *Rule) *Denied {
	return deny(a, CodeDenied, fmt.Sprintf("rule %q of the policy may be meant for it, and that cannot be told", r.Name), explain(a))
}

// explain is the command that says which rule decides and why.
func explain(a *Attempt) string {
	if !plainName(a.Profile) {
		return "see the policy:  nsagent policy show"
	}
	return "see which rule decides:  nsagent policy explain -p " + a.Profile + " …"
}

func known(k Kind) bool {
	switch k {
	case KindSign, KindSend, KindPassport, KindConnectPassword, KindAssertion, KindToken:
		return true
	}
	return false
}

func deny(a *Attempt, code, why, next string) *Denied {
	return &Denied{Code: code, What: what(a), Why: why, Next: next}
}

// what names the attempt. Nothing of it comes from the caller unchecked.
func what(a *Attempt) string {
	var s string
	switch a.Environment {
	case "production", "sandbox":
		s = a.Environment + " "
	}
	s += "profile"
	if plainName(a.Profile) {
		s += ` "` + a.Profile + `"`
	}
	s += " may not "
	switch a.Kind {
	case KindSign, KindSend:
		s += string(a.Kind) + " this "
		if plainMethod(a.Method) {
			s += a.Method + " "
		}
		return s + "request"
	case KindPassport:
		return s + "make a TokenPassport"
	case KindConnectPassword:
		return s + "make a Connect password"
	case KindAssertion:
		return s + "make a client assertion"
	case KindToken:
		return s + "get an access token"
	}
	return s + "do this"
}

// widen is the command by which the owner gives the profile more.
func widen(a *Attempt) string {
	name := "NAME"
	if plainName(a.Profile) {
		name = a.Profile
	}
	return fmt.Sprintf("if it should:  nsagent profile edit %s --access write", name)
}

// plainName reports whether s has the form of a profile's name, so that it can stand in
// a command.
func plainName(s string) bool {
	if s == "" || len(s) > 63 || strings.Contains(s, "..") {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
		case i > 0 && (c == '.' || c == '_' || c == '-'):
		default:
			return false
		}
	}
	return true
}

func plainMethod(s string) bool {
	for i := range len(s) {
		if s[i] < 'A' || s[i] > 'Z' {
			return false
		}
	}
	return s != "" && len(s) <= 16
}
