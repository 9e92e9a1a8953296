package policy

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nsagent/nsagent/internal/pathglob"
)

// String says in words what r does, in one line.
func (r *Rule) String() string {
	parts := []string{r.Effect.does() + " " + joined(r.What)}
	for _, p := range r.parts()[1:] {
		if p.text != "" {
			parts = append(parts, p.before+p.text)
		}
	}
	return strings.Join(parts, ", ")
}

// does is the word for what a rule of this effect does.
func (e Effect) does() string {
	if e == Deny {
		return "denies"
	}
	return string(e) + "s"
}

// part is one part of a rule in words.
type part struct {
	name, before, text string
}

// parts returns the parts of r beside its effect, in an order that is always the same.
// One that limits nothing has no text.
func (r *Rule) parts() []part {
	return []part{
		{"what", "", joined(r.What)},
		{"profiles", "with profile ", joined(r.Profiles)},
		{"environment", "in ", r.Environment},
		{"who", "for ", r.Who.String()},
		{"hours", "", joined(r.Hours)},
		{"rate", "at most ", r.Rate.String()},
		{"max_uses", "", unless(r.Uses == 0, fmt.Sprintf("%d times in all", r.Uses))},
		{"concurrency", "", unless(r.Concurrency == 0, fmt.Sprintf("%d at once", r.Concurrency))},
		{"totp", "", unless(!r.TOTP, "with a one-time code")},
	}
}

func unless(not bool, text string) string {
	if not {
		return ""
	}
	return text
}

// String says it as in the policy; empty: no limit.
func (r Rate) String() string {
	for unit, d := range map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour} {
		if r.Per == d {
			return fmt.Sprintf("%d/%s", r.Count, unit)
		}
	}
	return ""
}

// String says who w is; empty: everybody.
func (w *Who) String() string {
	var parts []string
	add := func(name, text string) {
		if text != "" {
			parts = append(parts, name+" "+text)
		}
	}
	var uids []string
	for _, uid := range w.UIDs {
		uids = append(uids, fmt.Sprint(uid))
	}
	add("uid", strings.Join(uids, " or "))
	add("program", strings.Join(quoted(w.Exes), " or "))
	add("program with SHA-256", strings.Join(w.Hashes, " or "))
	add("unit", joined(w.Units))
	add("container", joined(w.Containers))
	add("grant", joined(w.Grants))
	switch w.TTY {
	case "yes":
		add("a process with", "a terminal")
	case "no":
		add("a process without", "a terminal")
	}
	if w.OIDC != nil {
		text := quote(w.OIDC.Issuer)
		for _, c := range w.OIDC.Claims {
			text += " " + quote(c.Name) + "=" + strings.Join(quoted(c.Values), "|")
		}
		add("jobs of", text)
	}
	return strings.Join(parts, " and ")
}

// quote puts a text between quotation marks if its words could be taken for ours, or move
// the cursor: two rules that differ do not read the same.
func quote(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`"|=`, r) }) {
		return strconv.QuoteToASCII(s)
	}
	return s
}

func quoted(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = quote(s)
	}
	return out
}

// joined lists patterns, operations or hours.
func joined[T pathglob.Word | Operation | Hours](list []T) string {
	texts := make([]string, len(list))
	for i := range list {
		switch v := any(list[i]).(type) {
		case pathglob.Word:
			texts[i] = quote(v.String())
		case Operation:
			texts[i] = v.text
		case Hours:
			texts[i] = v.text
		}
	}
	return strings.Join(texts, " or ")
}
