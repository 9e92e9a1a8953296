package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// A rule is found by what it shares with the fewest others, whatever else it says.
func TestRarestPartOfWho(t *testing.T) {
	for _, c := range []struct{ name, table string }{
		{"grants", "who = { exe = \"/a\", grant = \"g_a#\", oidc = { issuer = \"i\", ref = \"main\" } }"},
		{"claims", "who = { exe = \"/a\", grant = \"g_aaaaaaaaaaaaaaaaaaaaaaaaaa\", uid = 7, oidc = { issuer = \"i\", ref = \"main\", x = [\"#\", \"o#\"] } }"},
		{"claims of a number", "who = { uid = 7, oidc = { issuer = \"i\", ref = \"main\", x = # } }"},
		{"programs", "who = { exe = \"/#\", grant = \"g_aaaaaaaaaaaaaaaaaaaaaaaaaa\", uid = 7 }"},
		{"users", "who = { exe = \"/a\", uid = # }"},
		{"hashes", "who = { exe = \"/a\", exe_sha256 = \"000000000000000000000000000000000000000000000000000000000000000#\" }"},
		{"containers", "who = { container = \"c#\", unit = \"u\" }"},
		{"units", "who = { unit = \"u#\", oidc = { issuer = \"i\", ref = \"main\" } }"},
	} {
		tables := many(9, c.table+"\nwhat = \"suiteql\"")
		if c.name == "grants" {
			for i := range tables {
				tables[i] = fmt.Sprintf("effect = \"allow\"\nwho = { exe = \"/a\", grant = \"g_%s\", oidc = { issuer = \"i\", ref = \"main\" } }\nwhat = \"suiteql\"", strings.Repeat(string(rune('a'+i)), grantLetters))
			}
		}
		b := rules(t, tables...).index.buckets[""][SuiteQLPath]
		if b.any != nil || len(b.who) < 9 {
			t.Errorf("%s: got %d rules under anybody, and %d keys", c.name, len(b.any), len(b.who))
		}
		for k, list := range b.who {
			if len(list) != 1 {
				t.Errorf("%s: got %d rules under %+v", c.name, len(list), k)
			}
		}
	}
}

// The index speaks of the claims of which rules name the most values; of a claim beyond
// them it knows nothing.
func TestClaimsOfTheIndex(t *testing.T) {
	var tables []string
	for i, name := range []string{"e", "d", "c", "b", "a"} {
		for n := range i + 1 {
			tables = append(tables, fmt.Sprintf("effect = \"deny\"\nwho.oidc = { issuer = \"i\", %s = \"%d\" }\nwhat = \"suiteql\"", name, n))
		}
	}
	p := rules(t, tables...)
	if want := []string{"a", "b", "c", "d"}; !slices.Equal(p.index.claims, want) {
		t.Errorf("got %v, want %v", p.index.claims, want)
	}
	b := p.index.buckets[""][SuiteQLPath]
	if !slices.Equal(b.any, []uint16{0}) || len(b.who) != len(tables)-1 || len(b.unsure) != maxClaims {
		t.Errorf("got %+v", b)
	}
}

// Who shows no token is not held up by the rules on jobs, even where they deny.
func TestNoIdentityTriesNoJobs(t *testing.T) {
	p := rules(t, many(9, "effect = \"deny\"\nwho.oidc = { issuer = \"i\", x = \"#\" }\nwhat = \"suiteql\"")...)
	for _, c := range []struct {
		a    Attempt
		want int // lists
	}{
		{writer("POST", SuiteQLPath), 0},
		{with(writer("POST", SuiteQLPath), func(a *Attempt) { a.Issuer = "i" }), 1}, // of all whose claim is not known
		{with(writer("POST", SuiteQLPath), func(a *Attempt) { a.Issuer, a.Claims = "i", map[string]string{"x": "other"} }), 0},
		{with(writer("POST", SuiteQLPath), func(a *Attempt) { a.Issuer, a.Claims = "i", map[string]string{"x": "3"} }), 1},
	} {
		s := see(&c.a)
		var found candidates
		if found.find(&p.index, &s); found.n != c.want {
			t.Errorf("%v: got %d lists, want %d", c.a.Claims, found.n, c.want)
		}
	}
}

// Nobody is held up by rules for other users and grants, nor, where nothing is known of the
// process, by those that allow others: only what does not allow could be meant for it.
func TestRulesForOthersAreNotTried(t *testing.T) {
	for table, want := range map[string]int{
		"effect = \"deny\"\nwho.uid = 1#": 0, "effect = \"allow\"\nwho.uid = 1#": 0, "effect = \"deny\"\nwho.grant = \"g_aaaaaaaaaaaaaaaaaaaaaaaaaa\"": 0,
		"effect = \"deny\"\nwho.exe = \"/#\"": 1, "effect = \"ask\"\nwho.exe = \"/#\"": 1, "effect = \"allow\"\nwho.exe = \"/#\"": 0,
	} {
		p := rules(t, many(3, table+"\nwhat = \"suiteql\"")...)
		a := writer("POST", SuiteQLPath)
		s := see(&a)
		var found candidates
		if found.find(&p.index, &s); found.n != want {
			t.Errorf("%s: got %d lists, want %d", table, found.n, want)
		}
	}
}

// A rule with more than one operation for a path stands there once.
func TestRuleStandsOnceUnderAPath(t *testing.T) {
	p := rules(t, many(2, "what = [\"GET /a/*\", \"PUT /a/*\"]")...)
	if got := p.index.buckets[""]["/a"].any; !slices.Equal(got, []uint16{0, 1}) {
		t.Errorf("got %v", got)
	}
	p = rules(t, many(2, "who.uid = 7\nwhat = [\"GET /a/*\", \"PUT /a/*\"]")...)
	if got := p.index.buckets[""]["/a"].who[whoKey{uid: 7}]; !slices.Equal(got, []uint16{0, 1}) {
		t.Errorf("of a user: got %v", got)
	}
}

// A rule for a pattern of units is found for every unit that fits.
func TestPatternIsNoKey(t *testing.T) {
	var tables []string
	for i := range 9 {
		tables = append(tables, fmt.Sprintf("effect = \"allow\"\nwho = { unit = \"u%d*\" }\nwhat = \"suiteql\"", i))
	}
	a := with(writer("POST", SuiteQLPath), func(a *Attempt) { a.Evidence = Evidence{Known: FactCgroup, Unit: "u3x"} })
	if d := rules(t, tables...).Decide(a); d.Effect != Allow || d.Index != 3 {
		t.Errorf("got %+v", d)
	}
}
