package unlocktoken

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/nsagent/nsagent/internal/pathglob"
)

// restletPath is where RESTlets are called.
const restletPath = "/app/site/hosting/restlet.nl"

// Conflict returns why nothing is left of what g allows where c has to hold as well; empty
// where something may be left. What only a request can tell counts as left. c has to be one
// that Check takes.
func (g *Grant) Conflict(c Caveats) string {
	more, err := c.ready()
	if err != nil {
		return ""
	}
	begin, end := max(g.NotBefore(), c.NotBefore), g.NotAfter()
	if c.NotAfter != 0 {
		end = min(end, c.NotAfter)
	}
	if begin > end {
		// Who narrows is told in local time, unlike who is refused by an agent.
		local := func(t int64) string { return time.Unix(t, 0).Format("2006-01-02 15:04:05 MST") }
		return fmt.Sprintf("it would begin at %s and end at %s", local(begin), local(end))
	}
	for _, of := range lists() {
		had := common(g.limits, of.list)
		if had != nil && len(had) == 0 {
			return fmt.Sprintf("the token can do nothing already, as its limits have no %s in common", of.name)
		}
		if meet := common(append(g.limits[:len(g.limits):len(g.limits)], more), of.list); meet != nil && len(meet) == 0 {
			return fmt.Sprintf("of the %s the token allows %s, and not %s", of.name, listed(had), listed(of.list(more.Caveats)))
		}
	}
	for i := range g.limits {
		if why := g.limits[i].conflict(&more); why != "" {
			return why
		}
	}
	return kindConflict(append(g.limits[:len(g.limits):len(g.limits)], more))
}

// exact is a sort of limits of which entries are compared as a whole.
type exact struct {
	name string
	list func(Caveats) []string
}

func lists() []exact {
	peer := func(c Caveats) Peer {
		if c.Peer == nil {
			return Peer{}
		}
		return *c.Peer
	}
	return []exact{
		{"kinds", func(c Caveats) []string { return c.Kinds }}, {"hosts", func(c Caveats) []string { return c.Hosts }},
		{"methods", func(c Caveats) []string { return c.Methods }}, {"scripts", func(c Caveats) []string { return c.Scripts }},
		{"operations", func(c Caveats) []string { return c.Operations }}, {"programs", func(c Caveats) []string { return peer(c).Executables }},
		{"users", func(c Caveats) (ids []string) {
			for _, id := range peer(c).UIDs {
				ids = append(ids, fmt.Sprint(id))
			}
			return ids
		}},
	}
}

// common returns what is in the list of each block that has one; nil: none has.
func common(blocks []limit, list func(Caveats) []string) (all []string) {
	for _, b := range blocks {
		switch l := list(b.Caveats); {
		case l == nil:
		case all == nil:
			all = slices.Clone(l)
		default:
			all = slices.DeleteFunc(all, func(s string) bool { return !slices.Contains(l, s) })
		}
	}
	return all
}

// conflict returns why nothing fits both blocks, in what is not compared as a whole.
func (l *limit) conflict(more *limit) string {
	switch {
	case apart(l.paths, more.paths, pathglob.Pattern.Overlaps):
		return fmt.Sprintf("of the paths the token allows %s, and not %s", listed(l.Paths), listed(more.Paths))
	case l.Scripts != nil && more.paths != nil && !more.fitsPath(restletPath), more.Scripts != nil && l.paths != nil && !l.fitsPath(restletPath):
		return "a RESTlet is called at " + restletPath + ", which fits none of the paths"
	case apart(l.networks, more.networks, netip.Prefix.Overlaps):
		return fmt.Sprintf("of the networks the token allows %s, and not %s", listed(l.Networks), listed(more.Networks))
	case apart(l.Identities, more.Identities, Identity.meets):
		return "the token is for other jobs"
	}
	return ""
}

// apart reports whether none of a meets one of b; where one is nil, it limits nothing.
func apart[T any](a, b []T, meet func(a, b T) bool) bool {
	return a != nil && b != nil && !slices.ContainsFunc(a, func(x T) bool {
		return slices.ContainsFunc(b, func(y T) bool { return meet(x, y) })
	})
}

// meets reports whether some job may be both.
func (i Identity) meets(j Identity) bool {
	return i.Issuer == j.Issuer && !slices.ContainsFunc(i.Claims, func(c Claim) bool {
		return slices.ContainsFunc(j.Claims, func(d Claim) bool {
			return c.Name == d.Name && apart(c.Values, d.Values, func(a, b string) bool { return a == b })
		})
	})
}

// kindConflict returns why no kind is left where all blocks hold.
func kindConflict(blocks []limit) string {
	kinds := common(blocks, func(c Caveats) []string { return c.Kinds })
	if kinds == nil || slices.Contains(kinds, "sign") || slices.Contains(kinds, "send") || !slices.ContainsFunc(blocks, func(l limit) bool { return l.OnTarget() }) {
		return ""
	}
	return "where hosts, methods, paths or scripts are limited, sign and send alone are allowed, and of the kinds " + listed(kinds) + " is left"
}
