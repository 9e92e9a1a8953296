package policy

import (
	"slices"
	"strings"

	"github.com/nsagent/nsagent/internal/pathglob"
)

// reach says where a rule matches: on which profiles what reads, and what writes; a set of
// bits.
type reach uint8

const (
	sandboxReads reach = 1 << iota
	sandboxWrites
	productionReads
	productionWrites

	inSandbox    = sandboxReads | sandboxWrites
	inProduction = productionReads | productionWrites
	reading      = sandboxReads | productionReads
	writing      = sandboxWrites | productionWrites
)

// environments returns where r matches, whatever it is about. Without an environment, a
// rule that does not deny leaves out writes in production.
func (r *Rule) environments() reach {
	switch {
	case r.Environment == "sandbox":
		return inSandbox
	case r.Environment == "production":
		return inProduction
	case r.Effect == Deny:
		return inSandbox | inProduction
	}
	return inSandbox | productionReads
}

// reach returns where r matches something that it is plainly about. One that asks denies
// in production, of what only reads, what may be meant and cannot be told.
func (r *Rule) reach() reach {
	var kinds reach
	for _, o := range r.What {
		if o.reads() || r.Effect == Ask && o.form == formPath {
			kinds |= reading
		}
		if o.writes() {
			kinds |= writing
		}
	}
	return kinds & r.environments()
}

// reads reports whether o may be something that a profile limited to reading may do.
func (o Operation) reads() bool {
	switch o.form {
	case formKind:
		return false
	case formPath:
		return o.names == nil || slices.ContainsFunc(o.names, func(m string) bool {
			return m == "GET" || m == "HEAD" || m == "POST" && o.path.MatchFold(SuiteQLPath)
		})
	}
	return true
}

// writes reports whether o may be something that a profile limited to reading may not do.
func (o Operation) writes() bool {
	return o.changes() || mayIssueTokens(o.path)
}

// changes is writes by what o says, but for the paths to which a GET writes.
func (o Operation) changes() bool {
	if o.form != formPath {
		return o.form != formSuiteQL
	}
	return o.names == nil || slices.ContainsFunc(o.names, func(m string) bool {
		return m != "GET" && m != "HEAD" && (m != "POST" || o.path.Prefix() != SuiteQLPath || !o.path.Match(SuiteQLPath))
	})
}

// splits reports whether, of what r is about, only a part is r's in production, where it
// reads, and the other is not, where it writes.
func (r *Rule) splits() bool {
	return r.environments()&inProduction == productionReads && slices.ContainsFunc(r.What, Operation.changes)
}

// mayIssueTokens reports whether a path that fits p is one that issues or revokes tokens,
// which a GET does as well.
func mayIssueTokens(p pathglob.Pattern) bool {
	return slices.ContainsFunc(tokenEndpoints(), func(path string) bool { return fitsSpelling(p, "", path) })
}

// fitsSpelling reports whether done and some spelling of rest, in letters of either case, fit
// p. Besides its capital, two letters have another that folds to them, which is escaped in a
// path.
func fitsSpelling(p pathglob.Pattern, done, rest string) bool {
	i := strings.IndexAny(rest, "sk")
	if i < 0 {
		return p.MatchFold(done + rest)
	}
	escaped := map[byte]string{'s': "%C5%BF", 'k': "%E2%84%AA"}[rest[i]]
	return fitsSpelling(p, done+rest[:i+1], rest[i+1:]) || fitsSpelling(p, done+rest[:i]+escaped, rest[i+1:])
}
