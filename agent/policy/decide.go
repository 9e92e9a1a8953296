package policy

import (
	"fmt"
	"strings"
)

// Decide returns nil if the attempt may go ahead, and else a *Denied.
//
// With no policy adopted, the owner of the agent may use every profile within its
// limits, and nobody else anything.
func Decide(a Attempt) error {
	switch {
	case a.UID != a.Owner:
		return deny(a, CodeDenied,
			fmt.Sprintf("only its owner, uid %d, may use this agent, and the caller is uid %d", a.Owner, a.UID),
			fmt.Sprintf("run it as uid %d, or keep a vault of your own:  nsagent init", a.Owner))
	case a.Profile == "":
		return deny(a, CodeDenied, "it names no profile", "list them:  nsagent profile ls")
	case !known(a.Kind):
		return deny(a, CodeDenied, "this agent does not know that permission", "see what there is:  nsagent help")
	}
	switch a.Access {
	case Write:
		return nil
	case Read:
		return decideRead(a)
	}
	return deny(a, CodeDenied, "the access of the profile is neither read nor write", widen(a))
}

// decideRead decides for a profile that is limited to reading.
func decideRead(a Attempt) error {
	switch a.Kind {
	case KindPassport, KindConnectPassword:
		return deny(a, CodeReadOnly, "its access is read, and this would carry the whole role", widen(a))
	case KindAssertion, KindToken:
		return deny(a, CodeReadOnly, "its access is read, and this would buy a token that can write", widen(a))
	}
	switch a.Method {
	case "GET", "HEAD":
		if isTokenEndpoint(a.Path) {
			return deny(a, CodeReadOnly, "its access is read, and this path is, or may be taken for, one that issues or revokes tokens", widen(a))
		}
		return nil
	case "POST":
		if a.Path == SuiteQLPath {
			return nil
		}
		return deny(a, CodeReadOnly, "its access is read: GET, HEAD, and POST to exactly "+SuiteQLPath, widen(a))
	}
	return deny(a, CodeReadOnly, "its access is read: GET, HEAD and SuiteQL", widen(a))
}

func known(k Kind) bool {
	switch k {
	case KindSign, KindSend, KindPassport, KindConnectPassword, KindAssertion, KindToken:
		return true
	}
	return false
}

func deny(a Attempt, code, why, next string) error {
	return &Denied{Code: code, What: what(a), Why: why, Next: next}
}

// what names the attempt. Nothing of it comes from the caller unchecked.
func what(a Attempt) string {
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
func widen(a Attempt) string {
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
