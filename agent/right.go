package agent

import (
	"errors"
	"time"
)

// right is what a caller may do: all that the owner may, or what a grant says. The zero
// right gives nothing, so that a caller who was given none by mistake is refused.
type right struct {
	owner bool
	// grant is that of an unlock token; it stands in the place of the owner's right, and
	// takes from it.
	grant *granted
}

// errNoRight means that a caller was given no right, which is a fault of the agent.
var errNoRight = errors.New("agent: a caller without a right")

// ofOwner returns the owner's own right.
func ofOwner() right { return right{owner: true} }

// of returns the right that a grant gives.
func of(g *granted) right { return right{grant: g} }

// whole reports whether r is all that the owner may.
func (r right) whole() bool { return r.owner && r.grant == nil }

// good returns an error where r gives nothing, or not any more, and the time by which that
// is judged.
func (a *Agent) good(r right, now time.Time) (time.Time, error) {
	switch {
	case r.grant != nil:
		return a.goodAt(r.grant, now)
	case r.whole():
		return now, nil
	}
	return now, errNoRight
}

// may reports whether r is for the profile p of s. All are the owner's.
func (r right) may(s *session, p *live) bool {
	if r.grant != nil {
		return r.grant.may(s, p)
	}
	return r.whole()
}
