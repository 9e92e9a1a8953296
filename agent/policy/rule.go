package policy

import (
	"cmp"
	"time"

	"github.com/nsagent/nsagent/internal/pathglob"
)

// Effect is what a rule does with an attempt that it matches.
type Effect string

// The effects.
const (
	// Allow lets it go ahead, under the obligations of the rule.
	Allow Effect = "allow"
	// Deny refuses it.
	Deny Effect = "deny"
	// Ask lets it go ahead once a person has approved it.
	Ask Effect = "ask"
)

// Policy is a compiled policy. It is not changed any more, and safe for concurrent use.
// A nil Policy means that none was adopted.
type Policy struct {
	// StepUp says whether proofs of administration want a one-time code as well.
	StepUp StepUp
	// Approval says how long a person has, for rules that ask.
	Approval Approval
	// Issuers are those whose OIDC tokens count.
	Issuers []Issuer
	// Rules are in the order in which they are tried.
	Rules []Rule

	index index
	asks  Facts
}

// StepUp is the table step_up.
type StepUp struct{ Admin bool }

// Approval is the table approval.
type Approval struct {
	// Timeout is how long an attempt waits; zero means DefaultTimeout.
	Timeout time.Duration
}

// DefaultTimeout is how long an attempt waits for an approval where no policy says.
const DefaultTimeout = 2 * time.Minute

// Within returns how long an attempt waits.
func (a Approval) Within() time.Duration { return cmp.Or(a.Timeout, DefaultTimeout) }

// Rule is one rule: it matches an attempt where all of its parts do, and of each list
// one entry.
type Rule struct {
	Name string
	// Line is where the rule begins in the text.
	Line   int
	Effect Effect
	// Environment is "production" or "sandbox"; empty: either, except that the rule then
	// allows no write on a production profile.
	Environment string
	// Profiles are patterns of names; none: every profile.
	Profiles []pathglob.Word
	// What are the operations.
	What []Operation
	// Who is the process or the grant that asks.
	Who Who
	// Hours are times of the week; none: always.
	Hours []Hours
	Obligations
}

// Obligations are the limits that hold once a rule has allowed an attempt. Whoever keeps
// count has to check them. The zero value of each is no limit.
type Obligations struct {
	// Rate is how often in a time the rule may be used.
	Rate Rate
	// Uses is how often it may be used in all.
	Uses uint64
	// Concurrency is how many uses may be under way at once.
	Concurrency int
	// TOTP wants a one-time code.
	TOTP bool
}

// Rate is a bucket of Count uses that fills evenly within Per; zero: no limit.
type Rate struct {
	Count uint64
	Per   time.Duration
}

// Decision is the answer to an attempt.
type Decision struct {
	// Effect is Allow, Deny or Ask.
	Effect Effect
	// Rule is the name of the rule that decided, and Index its place, from 0 on. Where
	// none did, they are empty and -1.
	Rule  string
	Index int
	// Err says why it is denied. It is nil for the other effects.
	Err *Denied
	// Obligations are those of the rule, if it allows or asks.
	Obligations
}

// Asks returns which facts about the process that asks the rules want to know.
func (p *Policy) Asks() Facts {
	if p == nil {
		return 0
	}
	return p.asks
}

// Decide decides a: the limits of its profile first, then the rules in their order. The
// first rule that matches decides, and where none does a is denied.
//
// A rule that allows matches only what is known and exactly as it says. One that denies
// or asks is generous: paths match in any spelling, and where it cannot be told whether
// it matches (a path that could be read in two ways, a fact about the process that is
// not known), a is denied.
//
// A nil Policy lets the owner, and who holds a grant of the owner's, use every profile
// within its limits.
func (p *Policy) Decide(a Attempt) Decision {
	if p == nil {
		return byDefault(&a)
	}
	if err := limits(&a); err != nil {
		return Decision{Effect: Deny, Index: -1, Err: err}
	}
	s := see(&a)
	production := false
	var c candidates
	for c.find(&p.index, &s); ; {
		i, ok := c.next()
		if !ok {
			return Decision{Effect: Deny, Index: -1, Err: noRule(&a, production)}
		}
		fit, why := p.Rules[i].fits(&s)
		if d, decided := p.decided(i, fit, &a); decided {
			return d
		}
		production = production || why == missProduction
	}
}

// decided returns what rule i decides, if it matches so well.
func (p *Policy) decided(i int, fit fit, a *Attempt) (Decision, bool) {
	r := &p.Rules[i]
	d := Decision{Effect: r.Effect, Rule: r.Name, Index: i}
	switch {
	case fit == no || fit == unclear && r.Effect == Allow:
		return Decision{}, false
	case fit == unclear:
		d.Effect, d.Err = Deny, unclearTo(a, r)
	case r.Effect == Deny:
		d.Err = deniedBy(a, r)
	default:
		d.Obligations = r.Obligations
	}
	return d, true
}
