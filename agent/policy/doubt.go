package policy

import (
	"slices"
	"strings"
)

// doubt says why it cannot be told whether r matches, and what As takes to tell it.
func (r *Rule) doubt(s *sight) string {
	var parts []string
	if names, forms := r.Who.unsaid(s.Attempt); names != nil {
		is := " is"
		if len(names) > 1 {
			is = " are"
		}
		parts = append(parts, listed(names)+is+" not said (add "+strings.Join(forms, ", ")+")")
	}
	if r.operation(s, r.Effect != Allow) == unclear {
		parts = append(parts, s.unread())
	}
	return listed(parts)
}

// unsaid returns the facts and claims that w asks for and a does not tell, and how As says
// them.
func (w *Who) unsaid(a *Attempt) (names, forms []string) {
	add := func(asked bool, name, form string) {
		if asked {
			names, forms = append(names, name), append(forms, form)
		}
	}
	unknown := func(fact Facts) bool { return a.Evidence.Known&fact == 0 }
	add(w.Exes != nil && unknown(FactExe), "exe", "exe=PATH")
	add(w.Hashes != nil && unknown(FactHash), "exe_sha256", "exe_sha256=HEX")
	add(w.Units != nil && unknown(FactCgroup), "unit", "unit=NAME")
	add(w.Containers != nil && unknown(FactCgroup), "container", "container=NAME")
	add(w.TTY != "" && unknown(FactTTY), "tty", "tty=yes or tty=no")
	if w.OIDC != nil && w.OIDC.Issuer == a.Issuer {
		for _, c := range w.OIDC.Claims {
			_, told := a.Claims[c.Name]
			add(!told, "claim."+c.Name, "claim."+c.Name+"=VALUE")
		}
	}
	return names, forms
}

// unread says of an attempt what cannot be told of its operation.
func (s *sight) unread() string {
	switch {
	case s.request && !s.plain:
		return "its path could be read in two ways"
	case s.request && strings.EqualFold(s.Path, RESTletPath):
		return "an id and a name may mean the same RESTlet"
	case slices.Contains([]Kind{KindPassport, KindConnectPassword}, s.Kind):
		return "a TokenPassport does not say for which operation it is"
	}
	return "its SOAP operation is not known"
}
