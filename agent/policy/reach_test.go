package policy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/internal/pathglob"
)

// tried is a rule and which of the attempts of plainAttempts it matches.
type tried struct {
	Rule
	what    string
	matches []bool
}

// triedRules returns rules of these effects about each of operationsNearby, in either
// environment and without one, which come first.
func triedRules(t *testing.T, attempts []Attempt, effects ...Effect) (all []tried) {
	for _, environment := range []string{"", "environment = \"production\"", "environment = \"sandbox\""} {
		for _, effect := range effects {
			for _, what := range operationsNearby {
				r := tried{rules(t, fmt.Sprintf("effect = %q\nwhat = %q\n%s", effect, what, environment)).Rules[0], what, nil}
				for _, a := range attempts {
					s := see(&a)
					f, _ := r.fits(&s)
					r.matches = append(r.matches, f == yes)
				}
				all = append(all, r)
			}
		}
	}
	return all
}

// eachPair says of each pair of rules whether some attempt matches both.
func eachPair(before, behind []tried, say func(r, l *tried, both bool)) {
	for i := range before {
		for j := range behind {
			both := false
			for k, ok := range before[i].matches {
				both = both || ok && behind[j].matches[k]
			}
			say(&before[i], &behind[j], both)
		}
	}
}

// plainAttempts returns what rules are plainly about, by the owner, on profiles of both
// environments.
func plainAttempts() (all []Attempt) {
	for _, method := range []string{"GET", "HEAD", "POST", "PUT"} {
		for _, path := range []string{SuiteQLPath, customers, "/rest/issuetoken", "/rest/x", "/x", "/services/NetSuitePort_2025_2"} {
			all = append(all, writer(method, path), with(writer(method, path), func(a *Attempt) { a.Operation = "get" }))
		}
		for _, script := range []string{"", "1/1", "12/1", "31/1", "45/2", "customscript_a/1", "customscript_b/1"} {
			all = append(all, with(writer(method, RESTletPath), func(a *Attempt) { a.Script = script }))
		}
	}
	for _, kind := range []Kind{KindPassport, KindConnectPassword, KindAssertion, KindToken} {
		for _, operation := range []string{"get", "search", "add"} {
			all = append(all, with(of(kind), func(a *Attempt) { a.Operation = operation }))
		}
	}
	for _, a := range all {
		a.Environment = "production"
		all = append(all, a)
	}
	return all
}

// alike reports whether one is suiteql and the other its path: two ways to write one thing
// are not seen to cover each other.
func alike(r, l *tried) bool {
	return (r.what == "suiteql") != (l.what == "suiteql") && strings.Contains(r.what+l.what, SuiteQLPath)
}

// Two rules overlap where deciding finds that both match, whatever they are about and in
// whichever environment.
func TestRulesOverlapWhereBothMatch(t *testing.T) {
	attempts := plainAttempts()
	all := triedRules(t, attempts, Allow, Deny, Ask)
	known, meet := make(map[[2]string]bool), 0 // known: of operations, that an attempt is of both
	eachPair(all, all, func(r, l *tried, both bool) {
		known[[2]string{r.what, l.what}] = known[[2]string{r.what, l.what}] || both
	})
	eachPair(all, all, func(r, l *tried, both bool) {
		if both {
			meet++
		}
		if got := r.overlaps(&l.Rule); got != both && known[[2]string{r.what, l.what}] || both && !got || got != l.overlaps(&r.Rule) {
			t.Errorf("%s, and %s: both match: %t, got %t and %t", &r.Rule, &l.Rule, both, got, l.overlaps(&r.Rule))
		}
	})
	if meet < 1000 {
		t.Errorf("%d pairs", meet)
	}
}

// What lint says of a rule that denies is what deciding makes of it, whatever the two rules
// are about and in whichever environment.
func TestLintOfDenyingIsTrue(t *testing.T) {
	attempts := plainAttempts()
	before, behind := triedRules(t, attempts, Allow, Ask), triedRules(t, attempts, Deny)
	covers := make(map[[2]string]bool) // in sandboxes
	told := 0
	for i := range before {
		for j := range behind {
			r, l := &before[i], &behind[j]
			var takes, left, leftInSandbox, leftElse int
			for k, a := range attempts {
				s := see(&a)
				switch {
				case !l.matches[k] || l.what == "suiteql" && a.Method != "POST": // of which it is not plainly
				case r.matches[k]:
					takes++
				case s.writes && a.Environment == "production":
					left++
				case a.Environment == "sandbox":
					leftInSandbox++
				default:
					leftElse++
				}
			}
			two := [2]string{r.what, l.what}
			if r.Environment == "" && l.Environment == "" {
				covers[two] = leftInSandbox == 0
			}
			want := covers[two] && takes > 0 && leftInSandbox+leftElse == 0 && (left == 0 || r.Environment == "")
			got, writes := false, false
			r.Name, l.Name = "r", "l"
			for _, f := range (&Policy{Rules: []Rule{r.Rule, l.Rule}}).Lint(nil) {
				if f.Rule == "l" && strings.Contains(f.Text, `"r" before it takes all`) {
					got, writes = true, strings.Contains(f.Text, "writes in production")
					told++
				}
			}
			if !alike(r, l) && (got != want || got && writes != (left > 0)) {
				t.Errorf("%s, then %s: it takes %d and leaves %d writes in production, and %d: got %t, %t", &r.Rule, &l.Rule, takes, left, leftInSandbox+leftElse, got, writes)
			}
		}
	}
	if told < 500 {
		t.Errorf("%d pairs", told)
	}
}

// An exception before a rule is meant so, in whichever environment they meet. Where the two
// share what reads and what writes in production among them, neither says so.
func TestLintOfExceptions(t *testing.T) {
	const (
		allow, deny, ask    = "effect = \"allow\"\n", "effect = \"deny\"\n", "effect = \"ask\"\n"
		all, gets, deletes  = "what = \"*\"\n", "what = [\"GET /**\", \"suiteql\"]\n", "what = \"DELETE /**\"\n"
		sandbox, production = "environment = \"sandbox\"\n", "environment = \"production\"\n"
		services            = "what = \"* /services/**\"\n"
		query               = "what = \"POST " + SuiteQLPath + "\"\n"
	)
	for name, c := range map[string]struct {
		r, l string
		told bool
	}{
		"denied everywhere, allowed in sandboxes":       {deny + deletes, allow + all + sandbox, false},
		"denied everywhere, allowed in production":      {deny + deletes, allow + all + production, false},
		"denied in production, allowed everywhere":      {deny + gets + production, allow + all, false},
		"allowed in production, asked everywhere":       {allow + all + production, ask + all, false},
		"reading allowed, the rest asked in production": {allow + gets, ask + all + production, false},
		"a query allowed, the rest asked in production": {allow + query, ask + all + production, false},
		"writing allowed, denied in production":         {allow + deletes, deny + deletes + production, false},
		"tokens allowed, asked in production":           {allow + "what = \"token\"\n", ask + "what = \"token\"\n" + production, false},
		"one environment each":                          {allow + all + sandbox, ask + all + production, false},

		"all allowed, asked in production":         {allow + all, ask + all + production, true},
		"all asked, allowed in production":         {ask + all, allow + all + production, true},
		"a part asked, all allowed in production":  {ask + services, allow + all + production, true},
		"a part allowed, all denied in production": {allow + services, deny + all + production, true},
		"less denied than allowed":                 {allow + all + sandbox, deny + deletes, true},
		"less asked in production":                 {allow + gets, ask + "what = \"GET /services/**\"\nwho = { tty = true }\n" + production + "hours = \"Mon 01:00-02:00 UTC\"\n", false},
		"others, too":                              {deny + deletes, allow + all + sandbox + "who = { tty = true }\n", true},
	} {
		got := rules(t, c.r, c.l).Lint(nil)
		if told := len(got) == 1 && got[0].Text == "it overlaps with rule \"r0\", which "+rules(t, c.r).Rules[0].Effect.does()+": where both match, that one decides" && !got[0].Never; told != c.told || !told && len(got) > 0 && !got[0].Never {
			t.Errorf("%s: got %+v, want one: %t", name, got, c.told)
		}
	}
}

// A pattern may be of a path that issues tokens where one spelling of such a path fits it,
// and such a path is one.
func TestPatternsOfTokenPaths(t *testing.T) {
	for pattern, want := range map[string]string{
		"/**": "/rest/issuetoken", "/*/*": "/rest/issuetoken", "/rest/**": "/rest/revoketoken", "/rest/*": "/rest/requesttoken", "/rest/access*": "/rest/accesstoken",
		"/REST/RevokeToken": "/REST/RevokeToken", "/re%c5%bft/*": "/re%c5%bft/issuetoken", "/rest/*%E2%84%AAen": "/rest/revo%E2%84%AAeto%E2%84%AAen", "/re%C5*t/i*": "/re%C5%BFt/issuetoken", "/rest/i%C5%BFs*": "/rest/i%C5%BFsuetoken",
		"/*": "", "/rest": "", "/rest/*/**": "", "/rest/record/**": "", "/*/x": "", "/re*/x": "", "/services/**": "", "/rest/issuetokens": "", "/rest/issue": "", "/re%C5%BEt/*": "", "/re*Ft/i*": "", "/": "",
	} {
		p, err := pathglob.Compile(pattern)
		if err != nil {
			t.Fatal(err)
		}
		if got := mayIssueTokens(p); got != (want != "") {
			t.Errorf("%s: got %t", pattern, got)
		}
		if want != "" && !isTokenEndpoint(want) {
			t.Errorf("%s issues no tokens", want)
		}
		if want != "" && !p.Match(want) {
			t.Errorf("%s does not fit %s", want, pattern)
		}
	}
}
