package pathglob

import "strings"

// Prefix returns the segments of p that stand before its first star, each behind a
// slash: every path that fits p starts with them. It is empty where the first segment
// has a star already.
func (p Pattern) Prefix() string {
	var b strings.Builder
	for _, s := range p.segments {
		if s.star {
			break
		}
		b.WriteByte('/')
		b.WriteString(s.before)
	}
	return b.String()
}

// Covers reports whether whatever fits q fits p.
func (p Pattern) Covers(q Pattern) bool {
	if len(p.segments) > len(q.segments) || len(p.segments) == 0 && !p.rest {
		return false
	}
	for i, s := range p.segments {
		if !s.Covers(q.segments[i]) || !p.folded[i].Covers(q.folded[i]) {
			return false
		}
	}
	if p.rest {
		return q.rest || len(q.segments) > len(p.segments)
	}
	return !q.rest && len(q.segments) == len(p.segments)
}

// Overlaps reports whether some path fits both in any spelling, as of MatchFold.
func (p Pattern) Overlaps(q Pattern) bool {
	if len(p.segments) > len(q.segments) {
		p, q = q, p
	}
	if len(p.segments) == 0 && !p.rest {
		return false
	}
	for i, s := range p.folded {
		if !s.overlaps(q.folded[i], false) {
			return false
		}
	}
	if len(p.segments) == len(q.segments) {
		return p.rest == q.rest
	}
	return p.rest
}
