package policy

import (
	"cmp"
	"maps"
	"slices"

	"github.com/nsagent/nsagent/internal/pathglob"
)

// maxClaims is how many claims tell rules apart in the index.
const maxClaims = 4

// trait is the part of Who that a key of the index speaks of: a fact, or a claim of the
// index by its place.
type trait uint8

const (
	// traitCertain is a user or a grant, which are always known.
	traitCertain trait = 0
	// traitClaim is the first claim; it is no bit of Facts.
	traitClaim trait = 1 << 6
)

func ofClaim(i int) trait { return traitClaim + trait(i) } // #nosec G115 -- less than maxClaims

// unknown reports whether a may be of any value in this. Without an issuer there is no
// identity that could be meant.
func (of trait) unknown(a *Attempt, claims []string) bool {
	if of < traitClaim {
		return a.Evidence.Known&Facts(of) == 0
	}
	_, ok := a.Claims[claims[of-traitClaim]]
	return !ok && a.Issuer != ""
}

// whoKey is one entry of a list of Who: a user, or what of says.
type whoKey struct {
	of   trait
	uid  uint32
	text string // empty for a user
}

// choices returns lists of keys, of each of which an attempt must have one for w to match.
func (w *Who) choices(claims []string) (lists [][]whoKey) {
	texts := func(of trait, list []string) {
		var keys []whoKey
		for _, s := range list {
			keys = append(keys, whoKey{of: of, text: s})
		}
		if keys != nil {
			lists = append(lists, keys)
		}
	}
	texts(trait(FactExe), w.Exes)
	texts(trait(FactHash), w.Hashes)
	texts(trait(FactCgroup), literal(w.Units))
	texts(trait(FactCgroup), literal(w.Containers)) // a unit of the same name does no harm
	texts(traitCertain, literal(w.Grants))
	if w.OIDC != nil {
		for _, c := range w.OIDC.Claims {
			if i := slices.Index(claims, c.Name); i >= 0 {
				texts(ofClaim(i), c.Values)
			}
		}
	}
	if w.UIDs != nil {
		var keys []whoKey
		for _, uid := range w.UIDs {
			keys = append(keys, whoKey{uid: uid})
		}
		lists = append(lists, keys)
	}
	return lists
}

// literal returns the text of a list of one that is no pattern; nil otherwise.
func literal(words []pathglob.Word) []string {
	if len(words) != 1 || !words[0].Literal() {
		return nil
	}
	return []string{words[0].String()}
}

// tellingClaims returns the names of the claims of which rules name the most values.
func tellingClaims(rules []Rule) []string {
	values := make(map[string]map[string]bool)
	for i := range rules {
		o := rules[i].Who.OIDC
		if o == nil {
			continue
		}
		for _, c := range o.Claims {
			if values[c.Name] == nil {
				values[c.Name] = make(map[string]bool)
			}
			for _, v := range c.Values {
				values[c.Name][v] = true
			}
		}
	}
	names := slices.SortedFunc(maps.Keys(values), func(a, b string) int {
		return cmp.Or(len(values[b])-len(values[a]), cmp.Compare(a, b))
	})
	return names[:min(len(names), maxClaims)]
}

// countKeys returns how many rules have each key.
func countKeys(rules []Rule, claims []string) map[whoKey]int {
	n := make(map[whoKey]int)
	for i := range rules {
		for _, keys := range rules[i].Who.choices(claims) {
			for _, k := range keys {
				n[k]++
			}
		}
	}
	return n
}

// rarest returns the keys of w that it shares with the fewest rules; nil where it has none.
// Rules of one program, or of one grant, differ in their claims, and the other way round.
func (w *Who) rarest(claims []string, rules map[whoKey]int) (best []whoKey) {
	fewest := 0
	for _, keys := range w.choices(claims) {
		most := 0
		for _, k := range keys {
			most = max(most, rules[k])
		}
		if best == nil || most < fewest {
			best, fewest = keys, most
		}
	}
	return best
}
