package policy

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/nsagent/nsagent/internal/pathglob"
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

// MaxFindings is how many findings are told.
const MaxFindings = 200

// Lint returns what is hardly meant, in the order of the rules: rules and parts of rules
// that can never match, and rules of different effects that overlap, where their order
// decides and the first is not plainly an exception. At most MaxFindings are told. known are
// the URLs of the issuers that count where a policy does not name them.
func (p *Policy) Lint(known []string) []Finding {
	var out []Finding
	if len(p.Rules) == 0 {
		out = append(out, Finding{1, "", false, "it has no rule, so that it denies everything, with every profile"})
	}
	near := make(neighbours)
	for i := range p.Rules {
		l := &p.Rules[i]
		if text := p.idle(l, known); text != "" {
			out = append(out, Finding{l.Line, l.Name, true, text})
		}
		out = append(out, p.behind(i, near.of(l))...)
		if len(out) >= MaxFindings {
			return out[:MaxFindings]
		}
		near.add(i, l)
	}
	return out
}

// behind holds rule n against those before it, whose order decides and not their effect:
// a rule that denies takes back nothing of what one before it allows.
func (p *Policy) behind(n int, before []int) (out []Finding) {
	l := &p.Rules[n]
	takers, open := p.takers(l, before)
	switch {
	case open == 0:
		return []Finding{{l.Line, l.Name, true, taken(l, takers)}}
	case l.Effect == Deny && slices.ContainsFunc(takers, func(r *Rule) bool { return r.Environment == "" }):
		// What is open are the writes in production that such a rule leaves out: nobody who
		// reads the two sees that they differ there.
		never := !slices.ContainsFunc(p.Rules[n+1:], func(r Rule) bool { return r.environments() == inProduction && r.Effect != Deny && r.overlaps(l) })
		out = append(out, Finding{l.Line, l.Name, never, taken(l, takers, "writes in production")})
	default:
		takers = nil
	}
	for _, i := range before {
		r := &p.Rules[i]
		if len(out) < MaxFindings && r.Effect != l.Effect && !slices.Contains(takers, r) && r.overlaps(l) && !r.excepts(l) {
			out = append(out, Finding{l.Line, l.Name, false, fmt.Sprintf("it overlaps with rule %q, which %s: where both match, that one decides", r.Name, r.Effect.does())})
		}
	}
	return out
}

// excepts reports whether r is plainly an exception from l, which stands behind it: what it
// is about is of l as well, wherever they meet. It is none plainly where its reads are taken
// from a rule for production and its writes are left to that: neither rule says so.
func (r *Rule) excepts(l *Rule) bool {
	return l.coversBeside(r) && (l.Environment != "production" || !r.splits())
}

// takers returns the rules that take, in some environment, all that is plainly of l, and
// what they leave open together.
func (p *Policy) takers(l *Rule, before []int) (takers []*Rule, open reach) {
	open = l.reach()
	for _, i := range before {
		r := &p.Rules[i]
		if left := open &^ r.environments(); left != open && r.coversBeside(l) {
			takers, open = append(takers, r), left
		}
	}
	return takers, open
}

// taken says which rules take what would be of l, what they leave to it, beginning with
// left, and what to do where it denies.
func taken(l *Rule, takers []*Rule, left ...string) string {
	one := func(is func(r *Rule) bool) bool { return slices.ContainsFunc(takers, is) }
	if l.Effect == Deny && one(func(r *Rule) bool { return r.Effect != Deny && r.Who.UIDs == nil }) {
		left = append(left, "other users")
	}
	if l.Effect != Allow && one(func(r *Rule) bool { return r.Effect == Allow }) {
		left = append(left, "what cannot be told")
	}
	text := fmt.Sprintf("it never decides: rule %q before it takes all that it would", takers[0].Name)
	if len(takers) > 1 {
		var names []string
		for _, r := range takers {
			names = append(names, strconv.Quote(r.Name))
		}
		text = "it never decides: rules " + listed(names) + " before it take all that it would"
	}
	if left != nil {
		text += ", but for " + listed(left)
	}
	if l.Effect == Deny && one(func(r *Rule) bool { return r.Effect != Deny }) {
		text += "; for it to deny that, put it first"
	}
	return text
}

// listed joins words to a list in a sentence.
func listed(words []string) string {
	last := len(words) - 1
	if last == 0 {
		return words[0]
	}
	return strings.Join(words[:last], ", ") + " and " + words[last]
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

// idle says which part of a rule never matches, whatever the other rules; known is as for
// Lint.
func (p *Policy) idle(r *Rule, known []string) string {
	if o := r.Who.OIDC; o != nil && !slices.ContainsFunc(p.issuers(known), func(i Issuer) bool { return i.URL == o.Issuer }) {
		return fmt.Sprintf("it never matches: %s is not an [[issuer]] of this policy; add that, or correct the name", o.Issuer)
	}
	if ref := r.Who.OIDC.patternOfRefs(); ref != "" {
		return fmt.Sprintf("%q fits no job: claims are compared as a whole, and git lets no branch and no tag have a *; name each", ref)
	}
	if unit := r.Who.unitOfNoKind(); unit != "" {
		return fmt.Sprintf("%q fits no unit: the name of one ends in .service or .scope, as in %s.service", unit, unit)
	}
	for _, o := range r.What {
		if text := o.strange(); text != "" {
			return fmt.Sprintf("in %.60q, %s", o.text, text)
		}
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

// strange says which of the methods of o NetSuite does not take; "" where it takes each.
func (o *Operation) strange() string {
	if o.form != formPath {
		return ""
	}
	for _, m := range o.names {
		if text := StrangeMethod(m); text != "" {
			return text
		}
	}
	return ""
}

// unitOfNoKind returns a unit of w that lacks the end that the name of each unit has; "" where
// there is none.
func (w *Who) unitOfNoKind() string {
	for _, u := range w.Units {
		if !slices.ContainsFunc([]string{"*.service", "*.scope"}, func(s string) bool {
			kind, _ := pathglob.CompileWord(s) // a pattern of ours
			return u.Overlaps(kind)
		}) {
			return u.String()
		}
	}
	return ""
}

// patternOfRefs returns a value of i that is meant as a pattern of branches or tags; "" where
// there is none.
func (i *Identity) patternOfRefs() string {
	if i == nil {
		return ""
	}
	for _, c := range i.Claims {
		if !slices.Contains([]string{"ref", "ref_path", "base_ref", "head_ref"}, c.Name) {
			continue
		}
		for _, v := range c.Values {
			if strings.Contains(v, "*") {
				return v
			}
		}
	}
	return ""
}
