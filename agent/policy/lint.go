package policy

import (
	"fmt"
	"maps"
	"slices"
)

// Finding is something in a policy that is allowed and hardly meant.
type Finding struct {
	// Line is that of the rule; Rule is its name.
	Line int
	Rule string
	// Never says that the rule, or a part of it, never decides anything of what it is
	// plainly about.
	Never bool
	// Text says it in words.
	Text string
}

// maxFindings is how many findings are told.
const maxFindings = 200

// Lint returns what is hardly meant, in the order of the rules: rules and parts of rules
// that can never match, and rules of different effects that overlap, where their order
// decides. At most 200 findings are told.
func (p *Policy) Lint() []Finding {
	var out []Finding
	near := make(neighbours)
	for i := range p.Rules {
		l := &p.Rules[i]
		if text := p.idle(l); text != "" {
			out = append(out, Finding{l.Line, l.Name, true, text})
		}
		out = append(out, p.behind(l, near.of(l))...)
		if len(out) >= maxFindings {
			return out[:maxFindings]
		}
		near.add(i, l)
	}
	return out
}

// behind holds a rule against those before it.
func (p *Policy) behind(l *Rule, before []int) (out []Finding) {
	for _, i := range before {
		r := &p.Rules[i]
		switch {
		case r.covers(l):
			text := fmt.Sprintf("it never decides: rule %q before it takes all that it would", r.Name)
			if l.Effect == Deny && r.Effect != Deny { // which leaves more to it
				text += ", but for other users and what cannot be told"
			}
			return append(out, Finding{l.Line, l.Name, true, text})
		case len(out) < maxFindings && r.Effect != l.Effect && r.overlaps(l) && !l.covers(r):
			out = append(out, Finding{l.Line, l.Name, false, fmt.Sprintf("it overlaps with rule %q, which %s: where both match, that one decides", r.Name, r.Effect.does())})
		}
	}
	return out
}

// neighbours are the numbers of rules by profile, so that not every rule is held against
// every other; those of patterns, or of all profiles, are under "".
type neighbours map[string][]int

func (n neighbours) add(i int, r *Rule) {
	for _, name := range r.names() {
		n[name] = append(n[name], i)
	}
}

// of returns the rules that may meet r, in their order.
func (n neighbours) of(r *Rule) []int {
	names := r.names()
	if names[0] == "" {
		names = slices.Collect(maps.Keys(n))
	}
	all := slices.Clone(n[""])
	for _, name := range names {
		all = append(all, n[name]...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// names returns the profiles of r, or "" for a pattern.
func (r *Rule) names() (names []string) {
	for _, w := range r.Profiles {
		if !w.Literal() {
			return []string{""}
		}
		names = append(names, w.String())
	}
	if names == nil {
		return []string{""}
	}
	return names
}

// idle says which part of a rule never matches, whatever the other rules.
func (p *Policy) idle(r *Rule) string {
	if o := r.Who.OIDC; o != nil && !slices.ContainsFunc(p.Issuers, func(i Issuer) bool { return i.URL == o.Issuer }) {
		return fmt.Sprintf("it never matches: %s is not an [[issuer]] of this policy", o.Issuer)
	}
	of := func(kind Kind) bool {
		return slices.ContainsFunc(r.What, func(o Operation) bool { return o.form == formAny || o.kind == kind })
	}
	soap := slices.ContainsFunc(r.What, func(o Operation) bool { return o.form == formSOAP })
	switch {
	case r.Effect == Allow && soap:
		return "soap allows nothing there: a TokenPassport does not say for which operation it is; allow passport, or leave it out"
	case r.Effect == Deny && !soap && of(KindPassport) != of(KindConnectPassword):
		return "it denies one of passport and connect, and either can be made into the other: deny both"
	}
	return ""
}
