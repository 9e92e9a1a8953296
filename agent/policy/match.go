package policy

import "github.com/nsagent/nsagent/internal/pathglob"

// fit is how well a rule, or a part of it, matches; the worst part counts.
type fit int8

const (
	no fit = iota
	// unclear means that it cannot be told.
	unclear
	yes
)

func fits(ok bool) fit {
	if ok {
		return yes
	}
	return no
}

// miss is the part of a rule that did not match.
type miss int8

const (
	missNothing miss = iota
	missProfile
	missEnvironment
	// missProduction: it would be a write on a production profile.
	missProduction
	missWhat
	missHours
	missWho
	// missOwner: another user asks, without a grant, and the rule names no user.
	missOwner
)

// sight is an attempt with what follows from it.
type sight struct {
	*Attempt
	// request says that a request is signed or sent; plain that its path has one reading.
	request, plain bool
	// folded is what all spellings of a plain path have in common; empty for others.
	folded string
	// writes says that a profile limited to reading may not do it.
	writes bool
}

func see(a *Attempt) sight {
	s := sight{Attempt: a, request: a.Kind == KindSign || a.Kind == KindSend}
	s.plain = s.request && pathglob.Plain(a.Path)
	if s.plain {
		s.folded = pathglob.Fold(a.Path)
	}
	s.writes = whyNotReading(a) != ""
	return s
}

// fits reports how well r matches, and where it does not, for which part. A rule that
// allows has to match exactly; others are generous.
func (r *Rule) fits(s *sight) (fit, miss) {
	generous := r.Effect != Allow
	switch {
	case !r.ofProfile(s.Profile):
		return no, missProfile
	case r.Environment != "" && r.Environment != s.Environment:
		return no, missEnvironment
	}
	// Who is cheap to tell, and paths are not.
	f := r.Who.fits(s.Attempt, generous)
	switch {
	case f == no:
		return no, missWho
	case r.Effect != Deny && s.UID != s.Owner && s.Grant == "" && !s.Entrusted && r.Who.UIDs == nil:
		return no, missOwner
	}
	if f = min(f, r.operation(s, generous)); f == no {
		return no, missWhat
	}
	if !r.open(s) {
		return no, missHours
	}
	// What is not sure to be a sandbox counts as production.
	if r.Effect != Deny && r.Environment == "" && s.writes && s.Environment != "sandbox" {
		return no, missProduction
	}
	return f, missNothing
}

func (r *Rule) ofProfile(name string) bool {
	for _, w := range r.Profiles {
		if w.Match(name) {
			return true
		}
	}
	return r.Profiles == nil
}

// operation reports how well the best of the operations matches.
func (r *Rule) operation(s *sight, generous bool) fit {
	best := no
	for i := range r.What {
		if best = max(best, r.What[i].fits(s, generous)); best == yes {
			break
		}
	}
	return best
}

func (r *Rule) open(s *sight) bool {
	for i := range r.Hours {
		if r.Hours[i].holds(s.Time) {
			return true
		}
	}
	return r.Hours == nil
}
