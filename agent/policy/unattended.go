package policy

import (
	"cmp"
	"slices"
	"strings"

	"github.com/nsagent/nsagent/internal/pathglob"
)

// Use is what a grant leaves its holder of a profile, as far as rules speak of it. A list
// that is nil limits nothing.
type Use struct {
	Grant, Profile, Environment    string
	Kinds, Methods, Paths, Scripts []string
}

// Unattended reports whether some rule may allow a part of u while there is nobody to approve
// it or to give a code, as on a CI runner. Where it does not, no rule does.
func (p *Policy) Unattended(u Use) bool {
	return p.reaches(u, func(r *Rule) bool { return r.Effect == Allow && !r.TOTP })
}

// Attended reports whether some rule may allow a part of u, where need be once somebody has
// approved it.
func (p *Policy) Attended(u Use) bool {
	return p.reaches(u, func(r *Rule) bool { return r.Effect != Deny })
}

// reaches reports whether one of the rules of that sort may match a part of u.
func (p *Policy) reaches(u Use, of func(r *Rule) bool) bool {
	l := Rule{Effect: Allow, Environment: u.Environment, What: u.operations()}
	for _, of := range []struct {
		name string
		to   *[]pathglob.Word
	}{{u.Profile, &l.Profiles}, {u.Grant, &l.Who.Grants}} {
		if w, err := pathglob.CompileWord(of.name); err == nil {
			*of.to = []pathglob.Word{w}
		}
	}
	return slices.ContainsFunc(p.Rules, func(r Rule) bool { return of(&r) && r.overlaps(&l) })
}

// operations returns u in the form of a rule; everything where that cannot say it.
func (u Use) operations() (what []Operation) {
	kinds, onTarget := u.Kinds, len(u.Methods)+len(u.Paths)+len(u.Scripts) > 0
	if kinds == nil {
		kinds = []string{string(KindSign), string(KindSend), string(KindPassport), string(KindConnectPassword), string(KindAssertion), string(KindToken)}
	}
	for _, k := range kinds {
		texts := []string{strings.TrimSuffix(k, "-password")}
		switch {
		case k == string(KindSign), k == string(KindSend):
			texts = u.requests()
		case onTarget: // only requests are left
			continue
		}
		for _, text := range texts {
			o, err := parseOperation(text)
			if err != nil {
				return []Operation{{text: "*", form: formAny}}
			}
			what = append(what, o)
		}
	}
	return what
}

// requests returns the requests of u.
func (u Use) requests() (texts []string) {
	for _, s := range u.Scripts {
		texts = append(texts, "restlet "+s)
	}
	if texts != nil {
		return texts
	}
	paths := u.Paths
	if paths == nil {
		paths = []string{"/", "/**"}
	}
	for _, path := range paths {
		texts = append(texts, cmp.Or(strings.Join(u.Methods, ","), "*")+" "+path)
	}
	return texts
}
