package policy

import (
	"slices"

	"github.com/nsagent/nsagent/internal/pathglob"
)

// covers reports whether r matches whatever l matches, other spellings of a path aside:
// behind r, l never decides.
func (r *Rule) covers(l *Rule) bool {
	return l.reach()&^r.environments() == 0 && r.coversBeside(l)
}

// coversBeside is covers where r matches at all in the environment.
func (r *Rule) coversBeside(l *Rule) bool {
	return all(r.Profiles, l.Profiles, pathglob.Word.Covers) &&
		all(r.What, l.What, func(o, m Operation) bool { return o.covers(m, l.Effect != Allow) }) && all(r.Hours, l.Hours, func(a, b Hours) bool { return a.text == b.text }) &&
		r.Who.covers(&l.Who) && (r.Effect == Deny || r.Who.UIDs != nil || l.Who.UIDs == nil) // else it is for the owner
}

// overlaps reports whether some attempt may match both r and l.
func (r *Rule) overlaps(l *Rule) bool {
	in := r.environments() & l.environments()
	both := func(o, m Operation) bool {
		return (in&writing != 0 || in != 0 && o.reads() && m.reads()) && o.of(r.Effect).overlaps(m.of(l.Effect))
	}
	return some(r.Profiles, l.Profiles, pathglob.Word.Overlaps) && some(r.What, l.What, both) && r.Who.overlaps(&l.Who)
}

// all reports whether each of few is covered by one of many; none at all is everything.
func all[T any](many, few []T, covers func(a, b T) bool) bool {
	if many == nil || few == nil {
		return many == nil
	}
	for _, f := range few {
		if !slices.ContainsFunc(many, func(m T) bool { return covers(m, f) }) {
			return false
		}
	}
	return true
}

// some reports whether one of a meets one of b; none at all is everything.
func some[T any](a, b []T, meet func(a, b T) bool) bool {
	if a == nil || b == nil {
		return true
	}
	for _, x := range a {
		if slices.ContainsFunc(b, func(y T) bool { return meet(x, y) }) {
			return true
		}
	}
	return false
}

func same[T comparable](a, b T) bool { return a == b }

// covers reports whether whatever is of l is of o. Where l is of a rule that is generous,
// suiteql is its path with any method.
func (o Operation) covers(l Operation, generous bool) bool {
	switch {
	case o.form == formAny:
		return true
	case o.form == formPath:
		switch l.form {
		case formPath:
			return all(o.names, l.names, same) && o.path.Covers(l.path)
		case formSuiteQL:
			return (o.names == nil || !generous && slices.Contains(o.names, "POST")) && o.path.Match(SuiteQLPath)
		case formRESTlet:
			return o.names == nil && o.path.Match(RESTletPath)
		}
		return false
	case o.form != l.form:
		return false
	case o.form == formRESTlet:
		return o.script.Covers(l.script) && o.deploy.Covers(l.deploy)
	case o.form == formSOAP:
		return all(o.names, l.names, same)
	}
	return o.kind == l.kind
}

// of returns o with the methods that it stands for in a rule of this effect.
func (o Operation) of(e Effect) Operation {
	if o.form == formSuiteQL && e == Allow {
		o.names = []string{"POST"}
	}
	return o
}

// overlaps reports whether something may be of both.
func (o Operation) overlaps(l Operation) bool {
	if o.form > l.form {
		o, l = l, o
	}
	switch {
	case o.form == formAny:
		return true
	case o.form == formPath:
		switch l.form {
		case formPath:
			return some(o.names, l.names, same) && o.path.Overlaps(l.path)
		case formSuiteQL:
			return some(o.names, l.names, same) && o.path.MatchFold(SuiteQLPath)
		case formRESTlet:
			return o.path.MatchFold(RESTletPath)
		case formSOAP:
			return mayBeSOAP(o.path)
		}
		return false
	case o.form == formSOAP && l.form == formKind:
		return l.kind == KindPassport || l.kind == KindConnectPassword
	case o.form != l.form:
		return false
	case o.form == formRESTlet:
		return o.script.Overlaps(l.script) && o.deploy.Overlaps(l.deploy)
	case o.form == formSOAP:
		return some(o.names, l.names, same)
	}
	return o.kind == l.kind
}

// mayBeSOAP reports whether SOAP requests may go to a path that fits p.
func mayBeSOAP(p pathglob.Pattern) bool {
	return slices.ContainsFunc([]string{soapPaths + "*", soapPaths + "*/**"}, func(s string) bool {
		q, _ := pathglob.Compile(s) // a pattern of ours
		return p.Overlaps(q)
	})
}

// covers reports whether whoever is of v is of w.
func (w *Who) covers(v *Who) bool {
	return all(w.UIDs, v.UIDs, same) && all(w.Exes, v.Exes, same) && all(w.Hashes, v.Hashes, same) &&
		all(w.Units, v.Units, pathglob.Word.Covers) && all(w.Containers, v.Containers, pathglob.Word.Covers) && all(w.Grants, v.Grants, pathglob.Word.Covers) &&
		(w.TTY == "" || w.TTY == v.TTY) && (w.OIDC == nil || v.OIDC != nil && w.OIDC.covers(v.OIDC))
}

// overlaps reports whether somebody may be of both.
func (w *Who) overlaps(v *Who) bool {
	return some(w.UIDs, v.UIDs, same) && some(w.Exes, v.Exes, same) && some(w.Hashes, v.Hashes, same) &&
		some(w.Units, v.Units, pathglob.Word.Overlaps) && some(w.Containers, v.Containers, pathglob.Word.Overlaps) && some(w.Grants, v.Grants, pathglob.Word.Overlaps) &&
		(w.TTY == "" || v.TTY == "" || w.TTY == v.TTY) && (w.OIDC == nil || v.OIDC == nil || w.OIDC.Issuer == v.OIDC.Issuer)
}

// covers reports whether every claim of i is asked for by j, for no other values.
func (i *Identity) covers(j *Identity) bool {
	return i.Issuer == j.Issuer && !slices.ContainsFunc(i.Claims, func(c Claim) bool {
		return !slices.ContainsFunc(j.Claims, func(d Claim) bool { return c.Name == d.Name && all(c.Values, d.Values, same) })
	})
}
