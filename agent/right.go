package agent

import (
	"errors"
	"time"
)

// right is what a caller may do: all that the owner may, or what a grant says. The zero
// right gives nothing, so that a caller who was given none by mistake is refused.
type right struct {
	// owner is set in the owner's own right, and grant in that of a grant; never both.
	owner bool
	grant *granted
}

// errNoRight means that a caller was given no right, or the wrong one, which is a fault of
// the agent.
var errNoRight = errors.New("agent: a caller without the right that it should have")

// ofOwner returns the owner's own right.
func ofOwner() right { return right{owner: true} }

// of returns the right that a grant gives.
func of(g *granted) right { return right{grant: g} }

// good returns an error where r gives nothing, or not any more, and the time by which that
// is judged.
func (a *Agent) good(r right, now time.Time) (time.Time, error) {
	switch {
	case r.grant != nil:
		return a.goodAt(r.grant, now)
	case r.owner:
		return now, nil
	}
	return now, errNoRight
}

// may reports whether r is for the profile p. All are the owner's.
func (r right) may(p *live) bool {
	if r.grant != nil {
		return r.grant.may(p)
	}
	return r.owner
}

// admitOwner is admit for who may do all that the owner may.
func (a *Agent) admitOwner(c *caller) error {
	if err := a.admit(c); err != nil {
		return err
	}
	if c.right() != ofOwner() {
		return errNoRight
	}
	return nil
}
