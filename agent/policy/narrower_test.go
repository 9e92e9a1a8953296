package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// operationsNearby are entries of what that meet in some attempt of attemptsNearby.
var operationsNearby = []string{
	"*", "suiteql", "POST " + SuiteQLPath, "* " + SuiteQLPath, "GET /**", "GET,HEAD /rest/*", "* /services/**", "POST /services/NetSuitePort_2025_2", "* " + RESTletPath,
	"restlet 1/1", "restlet 12/1", "restlet 1*/1", "restlet *1/1", "restlet */*", "restlet customscript_a/1", "restlet customscript*/1", "soap get", "soap get,search", "passport", "connect", "token",
}

// attemptsNearby returns requests, and attempts of other kinds.
func attemptsNearby() (all []Attempt) {
	for _, path := range []string{SuiteQLPath, strings.ToUpper(SuiteQLPath), customers, "/rest/issuetoken", "/REST/issuetoken", "/x", "/x/!a", "/x/%21a", "/x/%21A", "/a/../b"} {
		for _, method := range []string{"GET", "POST", "post"} {
			all = append(all, writer(method, path))
		}
	}
	for _, path := range []string{RESTletPath, strings.ToUpper(RESTletPath)} {
		for _, script := range []string{"", "1/1", "12/1", "45/1", "customscript_a/1", "CUSTOMSCRIPT_A/1", "customscript1/1"} {
			all = append(all, with(writer("POST", path), func(a *Attempt) { a.Script = script }))
		}
	}
	for _, operation := range []string{"", "get", "GET", "add"} {
		for _, a := range []Attempt{writer("POST", "/services/NetSuitePort_2025_2"), writer("POST", "/services/netsuiteport_1"), of(KindPassport), of(KindConnectPassword)} {
			a.Operation = operation
			all = append(all, a)
		}
	}
	return append(all, of(KindToken))
}

// Of any two rules about operations nearby, in any environment, where the second is said
// to be the narrower: what it allows was allowed, what it asks for was asked for or
// allowed, and what was denied is denied.
func TestNarrowerRulesGiveNoMore(t *testing.T) {
	attempts := attemptsNearby()
	var all []*Policy
	for _, effect := range []Effect{Allow, Deny, Ask} {
		for _, environment := range []string{"", "environment = \"production\"", "environment = \"sandbox\""} {
			for _, what := range append(slices.Clone(operationsNearby), "GET /x/*", "* /x/!a", "GET,POST /x/%21a", "GET /x/*1a") {
				all = append(all, rules(t, fmt.Sprintf("effect = %q\nwhat = %q\n%s", effect, what, environment)))
			}
		}
	}
	// given says what a rule does with each attempt, on a profile of each environment: it
	// decides, or leaves it to the next.
	given := make([][]Decision, len(all))
	for i, p := range all {
		for _, a := range attempts {
			for _, a.Environment = range []string{"production", "sandbox"} {
				s := see(&a)
				f, _ := p.Rules[0].fits(&s)
				d, decided := p.decided(0, f, &a)
				if !decided {
					d.Index = -1
				}
				given[i] = append(given[i], d)
			}
		}
	}
	sure := 0
	for i, o := range all {
		for j, n := range all {
			if i == j || !narrower(&o.Rules[0], &n.Rules[0]) {
				continue
			}
			sure++
			for k, was := range given[i] {
				is := given[j][k]
				switch {
				case was.Index == is.Index && rank(is.Effect) <= rank(was.Effect), was.Index < 0 && is.Effect == Deny, was.Effect == Allow:
				default:
					t.Errorf("%s\nwas narrowed to\n%s\n%+v: was %+v, is %+v", o.Rules[0].String(), n.Rules[0].String(), attempts[k/2], was, is)
				}
			}
		}
	}
	if sure < 1000 {
		t.Errorf("%d pairs", sure)
	}
}
