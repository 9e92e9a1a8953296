package policy

import "fmt"

// Step says of a rule that was tried before the one that decided why it did not.
type Step struct {
	Index int
	Rule  string
	Why   string
}

// Explain decides a as Decide does, and says of every rule before the one that decided
// why it did not match. Where it cannot be told whether a rule matches, it says what As takes
// to tell it. Where the limits of the profile decide there are no steps.
func (p *Policy) Explain(a Attempt) (Decision, []Step) {
	d := p.Decide(a)
	if p == nil || limits(&a) != nil {
		return d, nil
	}
	s, last := see(&a), d.Index
	if last < 0 {
		last = len(p.Rules)
	} else if fit, _ := p.Rules[last].fits(&s); fit == unclear {
		d.Err.Why += ": " + p.Rules[last].doubt(&s)
	}
	var steps []Step
	for i := range p.Rules[:last] {
		r := &p.Rules[i]
		_, miss := r.fits(&s)
		steps = append(steps, Step{Index: i, Rule: r.Name, Why: r.why(miss, &s)})
	}
	return d, steps
}

// why says why r does not match.
func (r *Rule) why(m miss, s *sight) string {
	switch m {
	case missProfile:
		return fmt.Sprintf("it is for profile %s", joined(r.Profiles))
	case missEnvironment:
		return fmt.Sprintf("it is for %s", r.Environment)
	case missProduction:
		return `it would be a write in production, and the rule has no environment = "production"`
	case missWhat:
		return fmt.Sprintf("it is about %s", joined(r.What))
	case missHours:
		return fmt.Sprintf("it holds %s", joined(r.Hours))
	case missWho:
		return fmt.Sprintf("it is for %s", r.Who.String())
	case missOwner:
		return fmt.Sprintf("it names no user, and so is for uid %d and for grants", s.Owner)
	}
	if s.request && !s.plain {
		return "it matches no path that could be read in two ways"
	}
	return "it wants to know more: " + r.doubt(s)
}
