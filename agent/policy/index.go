package policy

import (
	"strings"

	"github.com/nsagent/nsagent/internal/pathglob"
)

// index finds the rules that can match an attempt, in their order: by profile, then by
// the operation, for which a path stands with its first segments, folded, and a RESTlet
// with its script, then by who asks.
//
// A rule whose profiles are patterns, or that has very many, is kept under no profile.
type index struct {
	buckets map[string]map[string]*bucket
	// claims are the names of the claims that keys speak of.
	claims []string
}

// bucket holds the numbers of rules, rising. One that is about somebody in particular is
// kept under who that is, all others in any.
type bucket struct {
	any []uint16
	who map[whoKey][]uint16
	// unsure are the rules of who that do not allow, by what they ask for: they may be
	// meant for a process, or a token, of which that is not known.
	unsure map[trait][]uint16
}

const (
	// maxRules is the most rules of a policy; their numbers fit the index.
	maxRules = 10_000
	// maxDepth is how many segments of a path count.
	maxDepth = 12
	// maxKeys is how many places of the index a rule may take.
	maxKeys = 256
	// maxLists is the most lists of an attempt: of two profiles, for everything, all
	// paths and each segment of a path, of anybody and of whoever it may be.
	maxLists = 2 * (2 + maxDepth) * (10 + maxClaims)

	keyAny = "*"
	// keyOdd holds the rules that do not allow: a path that is not plain may be meant by
	// any of them.
	keyOdd = "?"
	// keyIDs and keyNames hold the rules that do not allow, by whether they name a script by
	// its id or its name: they may be meant for one that is known by the other.
	keyIDs, keyNames = "#", "@"
)

func keyKind(k Kind) string { return "=" + string(k) }

func newIndex(rules []Rule) index {
	x := index{buckets: make(map[string]map[string]*bucket), claims: tellingClaims(rules)}
	shared := countKeys(rules, x.claims)
	for i := range rules {
		x.add(i, &rules[i], rules[i].Who.rarest(x.claims, shared))
	}
	return x
}

// add enters a rule that is about who; nil: about anybody.
func (x *index) add(n int, r *Rule, who []whoKey) {
	profiles := []string{""}
	if r.Profiles != nil && len(r.Profiles)*(len(r.What)+1) <= maxKeys {
		profiles = nil
		for _, w := range r.Profiles {
			name := ""
			if w.Literal() {
				name = w.String()
			}
			profiles = append(profiles, name)
		}
	}
	var keys []string
	for i := range r.What {
		o := &r.What[i]
		keys = append(keys, o.keys()...)
		if r.Effect != Allow {
			keys = append(keys, o.doubtKeys()...)
		}
	}
	for _, p := range profiles {
		if x.buckets[p] == nil {
			x.buckets[p] = make(map[string]*bucket)
		}
		for _, k := range keys {
			if x.buckets[p][k] == nil {
				x.buckets[p][k] = &bucket{}
			}
			x.buckets[p][k].add(uint16(n), who, r.Effect != Allow) // #nosec G115 -- at most maxRules
		}
	}
}

// add enters a rule under each of who, or under any where there is none.
func (b *bucket) add(n uint16, who []whoKey, unsure bool) {
	if who == nil {
		b.any = appendOnce(b.any, n)
		return
	}
	if b.who == nil {
		b.who = make(map[whoKey][]uint16)
	}
	for _, w := range who {
		b.who[w] = appendOnce(b.who[w], n)
	}
	if of := who[0].of; unsure && of != traitCertain {
		if b.unsure == nil {
			b.unsure = make(map[trait][]uint16)
		}
		b.unsure[of] = appendOnce(b.unsure[of], n)
	}
}

func appendOnce(list []uint16, n uint16) []uint16 {
	if len(list) > 0 && list[len(list)-1] == n {
		return list
	}
	return append(list, n)
}

// keys returns where o is found.
func (o *Operation) keys() []string {
	switch o.form {
	case formAny:
		return []string{keyAny}
	case formKind:
		return []string{keyKind(o.kind)}
	case formSuiteQL:
		return []string{SuiteQLPath}
	case formRESTlet:
		if o.script.Literal() {
			return []string{strings.ToLower(o.script.String())} // no other key looks like it
		}
		return []string{RESTletPath}
	case formSOAP:
		return []string{keyKind(KindPassport), keyKind(KindConnectPassword), "/services"}
	}
	prefix, end := pathglob.Fold(o.path.Prefix()), 0
	for depth := 0; depth < maxDepth && end < len(prefix); depth++ {
		end = segmentEnd(prefix, end)
	}
	return []string{prefix[:end]}
}

// doubtKeys returns where o is found besides, of a rule that does not allow, by attempts of
// which it may be meant.
func (o *Operation) doubtKeys() []string {
	if o.form != formRESTlet {
		return []string{keyOdd}
	}
	return []string{keyOdd, scriptKey(isNumber(o.script.String()))}
}

// scriptKey is where the rules that may be meant are found of scripts that are named by id,
// or by name.
func scriptKey(id bool) string {
	if id {
		return keyIDs
	}
	return keyNames
}

// segmentEnd returns where the segment of path ends that begins with the slash at start.
func segmentEnd(path string, start int) int {
	if i := strings.IndexByte(path[start+1:], '/'); i >= 0 {
		return start + 1 + i
	}
	return len(path)
}

// candidates are the rules to try, as lists in order that are merged.
type candidates struct {
	lists [maxLists][]uint16
	n     int
}

// find gathers the lists.
func (c *candidates) find(x *index, s *sight) {
	for _, profile := range [...]string{s.Profile, ""} {
		keys := x.buckets[profile]
		c.take(keys[keyAny], s.Attempt, x.claims)
		switch {
		case !s.request:
			c.take(keys[keyKind(s.Kind)], s.Attempt, x.claims)
		case !s.plain:
			c.take(keys[keyOdd], s.Attempt, x.claims)
		default:
			c.take(keys[""], s.Attempt, x.claims)
			for depth, end := 0, 0; depth < maxDepth && end < len(s.folded); depth++ {
				end = segmentEnd(s.folded, end)
				c.take(keys[s.folded[:end]], s.Attempt, x.claims)
			}
			c.takeScripts(keys, s, x.claims)
		}
	}
}

// takeScripts takes the rules about the one script that s is for, and those that may be
// meant for it. A path of RESTlets is short, so that the lists stay within maxLists.
func (c *candidates) takeScripts(keys map[string]*bucket, s *sight, claims []string) {
	if s.folded != RESTletPath {
		return
	}
	script, _, ok := strings.Cut(s.Script, "/")
	if !ok {
		c.take(keys[keyIDs], s.Attempt, claims)
		c.take(keys[keyNames], s.Attempt, claims)
		return
	}
	c.take(keys[scriptKey(!isNumber(script))], s.Attempt, claims)
	if script != "" { // which is the key of all paths
		c.take(keys[strings.ToLower(script)], s.Attempt, claims)
	}
}

func (c *candidates) take(b *bucket, a *Attempt, claims []string) {
	if b == nil {
		return
	}
	c.push(b.any)
	if b.who == nil {
		return
	}
	for of, list := range b.unsure {
		if of.unknown(a, claims) {
			c.push(list)
		}
	}
	e := &a.Evidence
	c.push(b.who[whoKey{of: trait(FactExe), text: e.Exe}])
	if exe, replaced := strings.CutSuffix(e.Exe, deleted); replaced {
		c.push(b.who[whoKey{of: trait(FactExe), text: exe}])
	}
	c.push(b.who[whoKey{of: trait(FactHash), text: e.SHA256}])
	c.push(b.who[whoKey{of: trait(FactCgroup), text: e.Unit}])
	c.push(b.who[whoKey{of: trait(FactCgroup), text: e.Container}])
	c.push(b.who[whoKey{text: a.Grant}])
	c.push(b.who[whoKey{uid: a.UID}])
	if a.Issuer == "" {
		return
	}
	for i, name := range claims {
		c.push(b.who[whoKey{of: ofClaim(i), text: a.Claims[name]}])
	}
}

func (c *candidates) push(list []uint16) {
	if len(list) > 0 {
		c.lists[c.n] = list
		c.n++
	}
}

// next returns the number of the next rule to try.
func (c *candidates) next() (int, bool) {
	if c.n == 0 {
		return 0, false
	}
	first := c.lists[0][0]
	for _, l := range c.lists[1:c.n] {
		first = min(first, l[0])
	}
	for i := c.n - 1; i >= 0; i-- {
		if c.lists[i][0] != first {
			continue
		}
		if c.lists[i] = c.lists[i][1:]; len(c.lists[i]) == 0 {
			c.n--
			c.lists[i] = c.lists[c.n]
		}
	}
	return int(first), true
}
