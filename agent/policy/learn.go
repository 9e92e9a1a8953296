package policy

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nsagent/nsagent/internal/pathglob"
)

// Seen is something that was attempted, as the audit log tells it.
type Seen struct {
	Profile, Environment string
	Kind                 Kind
	Method, Path         string
	// Script is the RESTlet that the request was for, as in Attempt; empty: not known.
	Script string
	// Exe is the program that asked; empty: not known.
	Exe string
	// Grant is the grant of the unlock token that it was asked with; empty: none.
	Grant string
}

// Learn returns the text of a policy that allows what was seen and little more: a rule
// for each profile, program and grant, in which ids in paths are "*", with those for fewer
// callers first: behind those for more they would not decide. What a rule could not say
// is left out and named in a comment, and so is a RESTlet that the log does not name. The text is
// a proposal for a person to read.
func Learn(seen []Seen) string {
	type key struct{ profile, environment, exe, grant string }
	wide := func(k key) int { // the fewer may ask, the smaller
		n := 0
		if k.grant == "" {
			n += 2
		}
		if k.exe == "" {
			n++
		}
		return n
	}
	var order []key
	what := make(map[key][]string)
	var left []string
	for _, s := range seen {
		o, ok := s.operation()
		if !ok || !plainName(s.Profile) || s.Environment != "production" && s.Environment != "sandbox" {
			text := printable(fmt.Sprintf("%s %s %s with profile %s", s.Kind, s.Method, s.Path, s.Profile))
			if s.restlet() {
				text += "; the log does not say which: write it as restlet SCRIPT/DEPLOY"
			} else if why := StrangeMethod(s.Method); why != "" && s.Method != "" {
				text += "; " + printable(why)
			}
			left = appendNew(left, text)
			continue
		}
		k := key{s.Profile, s.Environment, s.Exe, s.Grant}
		if !plainExe(k.exe) {
			k.exe = ""
		}
		if !plainGrant(k.grant) {
			k.grant = ""
		}
		if what[k] == nil {
			order = append(order, k)
		}
		what[k] = appendNew(what[k], o)
	}
	slices.SortStableFunc(order, func(a, b key) int { return wide(a) - wide(b) })
	var b strings.Builder
	b.WriteString("# What the log shows, as rules. Read it, narrow it, then adopt it:  nsagent policy edit\nversion = 1\n")
	n := 0
	for _, k := range order {
		for part := range slices.Chunk(uncovered(what[k]), maxList) {
			n++
			fmt.Fprintf(&b, "\n[[rule]]\nname = \"learned %d\"\neffect = \"allow\"\nprofiles = [%q]\nenvironment = %q\n", n, k.profile, k.environment)
			switch {
			case k.grant != "" && k.exe != "":
				fmt.Fprintf(&b, "who = { grant = %q, exe = %q }\n", k.grant, k.exe)
			case k.grant != "":
				fmt.Fprintf(&b, "who = { grant = %q }\n", k.grant)
			case k.exe != "":
				fmt.Fprintf(&b, "who = { exe = %q }\n", k.exe)
			default:
				b.WriteString("# for any program: the log shows none that a rule can name\n")
			}
			b.WriteString("what = [\n")
			for _, o := range part {
				fmt.Fprintf(&b, "  %q,\n", o)
			}
			b.WriteString("]\n")
		}
	}
	for _, l := range left {
		b.WriteString("\n# left out: " + l)
	}
	if len(left) > 0 {
		b.WriteString("\n")
	}
	return b.String()
}

func appendNew(list []string, s string) []string {
	if slices.Contains(list, s) {
		return list
	}
	return append(list, s)
}

// uncovered leaves out the operations that another one of the list has in it: in a rule behind
// that of the other, they would not decide.
func uncovered(list []string) (out []string) {
	all := make([]Operation, len(list))
	for i, s := range list {
		all[i], _ = parseOperation(s) // one of Seen.operation
	}
	for _, o := range all {
		if !slices.ContainsFunc(all, func(other Operation) bool { return other.text != o.text && other.covers(o, false) }) {
			out = append(out, o.text)
		}
	}
	return out
}

func plainExe(s string) bool {
	return len(s) <= maxString && filepath.IsAbs(s) && filepath.Clean(s) == s && !strings.HasSuffix(s, deleted) && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' })
}

// plainGrant reports whether s is the name of one grant.
func plainGrant(s string) bool {
	_, err := parseGrant(s)
	return err == nil && !strings.Contains(s, "*")
}

// restlet reports whether s is a request for a RESTlet. Where the log does not say for which, a
// rule with its path would allow all of them.
func (s *Seen) restlet() bool { return strings.EqualFold(s.Path, RESTletPath) }

// operation returns the entry of what that allows s.
func (s *Seen) operation() (string, bool) {
	switch s.Kind {
	case KindConnectPassword:
		return "connect", true
	case KindPassport, KindAssertion, KindToken:
		return string(s.Kind), true
	case KindSign, KindSend:
	default:
		return "", false
	}
	if s.Method == "POST" && s.Path == SuiteQLPath {
		return "suiteql", true
	}
	if script, deploy, _ := strings.Cut(s.Script, "/"); s.Path == RESTletPath && namesScript(script) && namesScript(deploy) {
		return "restlet " + s.Script, true
	}
	if s.restlet() || StrangeMethod(s.Method) != "" || !pathglob.Plain(s.Path) || strings.Contains(s.Path, "*") {
		return "", false
	}
	segments := strings.Split(s.Path, "/")
	for i, part := range segments {
		if part != "" && (isNumber(part) || strings.HasPrefix(pathglob.Fold(part), "eid:")) {
			segments[i] = "*"
		}
	}
	o := s.Method + " " + strings.Join(segments, "/")
	return o, len(o) <= maxString
}
