package policy

import (
	"fmt"
	"slices"
	"strings"
)

// Change is one difference between two policies, in rights.
type Change struct {
	// Sign is "+" for what comes, "-" for what goes and "~" for what changes.
	Sign string
	// Wider says that somebody may be allowed more by it; it is set where that cannot be
	// told.
	Wider bool
	// Text says it in words.
	Text string
}

// Diff returns how the rights change when next takes the place of old; either may be
// nil, which is no policy. known are the URLs of the issuers that count, by keys that are
// fetched, where a policy does not name them.
func Diff(old, next *Policy, known []string) []Change {
	var d diff
	if old == nil || next == nil {
		if old == next {
			return nil
		}
		const none = "whatever no rule allows is denied"
		sign := map[bool]string{true: "+", false: "-"}[old == nil]
		d = append(d, Change{sign, next == nil, none})
		if old == nil {
			old = &Policy{}
		} else {
			next = &Policy{}
		}
	}
	d.settings(old, next)
	d.issuers(old.issuers(known), next.issuers(known))
	d.rules(old, next)
	return d
}

type diff []Change

func (d *diff) add(sign string, wider bool, format string, args ...any) {
	*d = append(*d, Change{sign, wider, fmt.Sprintf(format, args...)})
}

func (d *diff) settings(old, next *Policy) {
	if old.StepUp != next.StepUp {
		d.add(map[bool]string{true: "+", false: "-"}[next.StepUp.Admin], old.StepUp.Admin, "proofs of administration want a one-time code")
	}
	if was, is := old.Approval.Within(), next.Approval.Within(); was != is {
		d.add("~", is > was, "an approval comes within %v, was %v", is, was)
	}
}

// issuers compares whose tokens count, and by which keys: who has those says which job it
// is.
func (d *diff) issuers(old, next []Issuer) {
	without := func(all, other []Issuer) []Issuer {
		return slices.DeleteFunc(slices.Clone(all), func(i Issuer) bool { return slices.ContainsFunc(other, i.same) })
	}
	came := without(next, old)
	for _, i := range without(old, next) {
		n := slices.IndexFunc(came, func(c Issuer) bool { return c.URL == i.URL })
		if n < 0 {
			d.add("-", false, "jobs of %s", i.URL)
			continue
		}
		d.add("~", true, "jobs of %s are known %s, and were %s", i.URL, came[n].keys(), i.keys())
		came = slices.Delete(came, n, n+1)
	}
	for _, i := range came {
		d.add("+", true, "jobs of %s, known %s", i.URL, i.keys())
	}
}

func (d *diff) rules(old, next *Policy) {
	was, is := byName(old), byName(next)
	var kept []string // in the old order
	for i := range old.Rules {
		r := &old.Rules[i]
		if n := is[r.Name]; n == nil {
			// Behind a rule that allowed under a limit, another may allow without.
			d.add("-", r.Effect != Allow || r.Obligations != (Obligations{}), "rule %q, which %s", r.Name, r)
		} else {
			kept = append(kept, r.Name)
		}
	}
	place := 0
	for i := range next.Rules {
		r := &next.Rules[i]
		o := was[r.Name]
		if o == nil {
			d.add("+", r.Effect != Deny, "rule %q, which %s", r.Name, r)
			continue
		}
		if moved := kept[place] != r.Name; moved {
			d.add("~", true, "rule %q now stands at place %d", r.Name, i+1)
			kept = slices.DeleteFunc(kept, func(s string) bool { return s == r.Name })
		} else {
			place++
		}
		if how := changes(o, r); how != "" {
			d.add("~", !narrower(o, r), "rule %q: %s", r.Name, how)
		}
	}
}

func byName(p *Policy) map[string]*Rule {
	m := make(map[string]*Rule, len(p.Rules))
	for i := range p.Rules {
		m[p.Rules[i].Name] = &p.Rules[i]
	}
	return m
}

// changes says which parts differ.
func changes(o, n *Rule) string {
	var out []string
	if o.Effect != n.Effect {
		out = append(out, fmt.Sprintf("it now %s, and %s before", n.Effect.does(), map[Effect]string{Allow: "allowed", Deny: "denied", Ask: "asked"}[o.Effect]))
	}
	parts := o.parts()
	for i, p := range n.parts() {
		if q := parts[i]; p.text != q.text {
			out = append(out, fmt.Sprintf("%s is now %s, was %s", p.name, orAny(p.text), orAny(q.text)))
		}
	}
	return strings.Join(out, "; ")
}

func orAny(text string) string {
	if text == "" {
		return "without limit"
	}
	return text
}

// narrower reports whether n surely gives nothing that o did not: a rule that denies
// covers more, or one that allows covers less, under limits that are no looser. What
// leaves a rule that allowed under a limit may be allowed by another without it.
func narrower(o, n *Rule) bool {
	switch {
	case n.Effect == Deny: // behind what allowed without limit, no rule gives more
		return o.Effect == Allow && o.Obligations == (Obligations{}) || n.covers(o)
	case o.Effect == Allow && n.Effect == Allow && o.Obligations == (Obligations{}):
		return o.covers(n)
	case o.Effect == n.Effect && o.covers(n) && n.covers(o):
		return tighter(o.Obligations, n.Obligations)
	}
	return false
}

// tighter reports whether n limits at least as much as o.
func tighter(o, n Obligations) bool {
	within := func(o, n uint64) bool { return o == 0 || n != 0 && n <= o }
	rate := o.Rate.Per == 0 || o.Rate.Per == n.Rate.Per && n.Rate.Count <= o.Rate.Count
	return rate && within(o.Uses, n.Uses) && within(uint64(o.Concurrency), uint64(n.Concurrency)) && (n.TOTP || !o.TOTP) // #nosec G115 -- not negative
}
