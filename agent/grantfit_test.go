package agent

import (
	"crypto/elliptic"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// Limits under which a profile can do nothing are refused with what stands against them;
// whatever leaves it something is taken.
func TestLimitsLeaveAUse(t *testing.T) {
	type caveats = unlocktoken.Caveats
	const (
		suitetalk = "1234567-sb1.suitetalk.api.netsuite.com"
		suiteql   = "/services/rest/query/v1/suiteql"
		restlet   = "/app/site/hosting/restlet.nl"
	)
	for name, c := range map[string]struct {
		profile string // auth, access and endpoint
		limits  caveats
		says    string // "" where a use is left
	}{
		"no limits":               {"tba write", caveats{}, ""},
		"read, no limits":         {"tba read", caveats{}, ""},
		"m2m, no limits":          {"m2m write", caveats{}, ""},
		"a token":                 {"m2m write", caveats{Kinds: []string{"token"}}, ""},
		"an assertion":            {"m2m write", caveats{Kinds: []string{"assertion", "sign"}}, ""},
		"a token of tba":          {"tba write", caveats{Kinds: []string{"token"}}, "the kinds are token, and it holds a TBA credential: it can sign, and make a passport or a connect-password|--kind sign"},
		"signing of m2m":          {"m2m write", caveats{Kinds: []string{"sign", "passport"}}, "the kinds are sign, passport, and it holds an M2M certificate: |--kind token"},
		"a method of m2m":         {"m2m write", caveats{Methods: []string{"POST"}}, "it can make an assertion, and get an access token, for which no host, method, path or script holds|leave those limits out:  --kind token"},
		"a path of m2m":           {"m2m write", caveats{Paths: []string{suiteql}}, "for which no host"},
		"m2m that reads":          {"m2m read", caveats{}, "its access is read, and this would buy a token that can write|nsagent profile edit acme --access write"},
		"a passport, and limits":  {"tba write", caveats{Kinds: []string{"passport"}, Hosts: []string{suitetalk}}, "for which no host"},
		"a passport":              {"tba write", caveats{Kinds: []string{"passport"}}, ""},
		"a passport of a reader":  {"tba read", caveats{Kinds: []string{"passport"}}, "its access is read, and this would carry the whole role"},
		"its host":                {"tba write", caveats{Hosts: []string{"other.example", suitetalk}}, ""},
		"hosts of others":         {"tba write", caveats{Hosts: []string{"other.example"}}, "none of the hosts is one of its own: " + suitetalk + "|--host " + suitetalk},
		"a URL":                   {"tba write", caveats{Hosts: []string{"https://" + suitetalk + "/"}}, "none of the hosts"},
		"its endpoint":            {"tba write https://127.0.0.1:8443", caveats{Hosts: []string{"127.0.0.1"}}, ""},
		"its account, beside it":  {"tba write https://127.0.0.1:8443", caveats{Hosts: []string{suitetalk}}, ""},
		"its endpoint with port":  {"tba write https://127.0.0.1:8443", caveats{Hosts: []string{"127.0.0.1:8443"}}, "own: 127.0.0.1, |--host 127.0.0.1"},
		"a RESTlet":               {"tba write", caveats{Scripts: []string{"1/1"}}, ""},
		"a RESTlet at its path":   {"tba write", caveats{Scripts: []string{"1/1"}, Paths: []string{"/a", restlet}}, ""},
		"a RESTlet elsewhere":     {"tba write", caveats{Scripts: []string{"1/1"}, Paths: []string{suiteql}}, "a RESTlet is called at " + restlet + ", which fits none of the paths"},
		"no id of a RESTlet":      {"tba write", caveats{Scripts: []string{"0123/1", "123/01", "a.b/1", "1&x/1"}}, "no request calls a RESTlet as the limits name it|without a zero in front:  --script 123/1"},
		"an id beside it":         {"tba write", caveats{Scripts: []string{"0123/1", "123/1"}}, ""},
		"a RESTlet that is read":  {"tba read", caveats{Scripts: []string{"1/1"}}, ""},
		"writing":                 {"tba write", caveats{Methods: []string{"DELETE"}}, ""},
		"reading":                 {"tba read", caveats{Methods: []string{"DELETE", "GET", "PUT"}}, ""},
		"a reader that writes":    {"tba read", caveats{Methods: []string{"DELETE", "PUT"}}, "its access is read: GET, HEAD and SuiteQL|--access write"},
		"a reader that posts":     {"tba read", caveats{Methods: []string{"POST"}}, ""}, // SuiteQL
		"a reader's query":        {"tba read", caveats{Methods: []string{"POST"}, Paths: []string{"/a", "/services/rest/query/**"}}, ""},
		"a reader posts a record": {"tba read", caveats{Methods: []string{"POST"}, Paths: []string{"/services/rest/record/**"}}, "its access is read: GET, HEAD, and POST to exactly " + suiteql},
		"a reader posts to one":   {"tba read", caveats{Methods: []string{"POST"}, Scripts: []string{"1/1"}}, "its access is read: GET, HEAD, and POST to exactly"},
	} {
		auth, rest, _ := strings.Cut(c.profile, " ")
		access, endpoint, _ := strings.Cut(rest, " ")
		p, err := describe(&profile{Name: "acme", Account: "1234567_SB1", Auth: auth, Access: access, bound: bound{Endpoint: endpoint}})
		if err != nil {
			t.Fatal(err)
		}
		err = leavesUse(p, c.limits)
		why, next, _ := strings.Cut(c.says, "|")
		switch {
		case c.says == "" && err == nil:
		case c.says == "" || err == nil:
			t.Errorf("%s: got %v", name, err)
		case refusedWith(err) != pb.CodeRequest || !strings.Contains(refusalOf(err).Why, why) || !strings.Contains(refusalOf(err).Next, next):
			t.Errorf("%s: got %+v, want %q and %q", name, refusalOf(err), why, next)
		}
	}
}

// What is no pattern fits nothing, also the root that a pattern of no segments fits.
func TestNoPatternFits(t *testing.T) {
	if fitsAny([]string{"no pattern"}, "/") || !fitsAny([]string{"no pattern", "/"}, "/") || !fitsAny(nil, "/") {
		t.Error("what is no pattern counts as one")
	}
}

// Nothing is made for a grant that could do nothing: it is refused before a certificate is,
// and before anybody is asked for a proof. Of several profiles, each has to have a use.
func TestNewGrantThatCouldDoNothing(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	key, cert := keyPair(t, elliptic.P256(), time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	(&tokenWorld{fixture: f}).addM2M("m2m", key, cert, "", "")
	claims := []*pb.GrantClaim{{Name: "repository_id", Values: []string{"1"}}}
	for says, edit := range map[string]func(*grantSpec){
		`the limits leave nothing that profile "m2m" can do`: func(s *grantSpec) {
			s.Profiles, s.Detached, s.Limits = []string{"acme", "m2m"}, true, &pb.GrantLimits{Methods: []string{"POST"}}
		},
		`no ID token of "https://ci.example" would be taken`: func(s *grantSpec) {
			s.Limits = &pb.GrantLimits{Identities: []*pb.GrantIdentity{{Issuer: "https://ci.example", Claims: claims}}}
		},
		"the socket would let nobody do anything": func(s *grantSpec) {
			s.Listen, s.Limits = filepath.Join(shortDir(t), "s"), &pb.GrantLimits{Identities: []*pb.GrantIdentity{{Issuer: "https://gitlab.com", Claims: []*pb.GrantClaim{{Name: "project_id", Values: []string{"1"}}}}}}
		},
	} {
		s := f.spec("acme")
		edit(s)
		if _, err := f.admin.NewGrant(t.Context(), client.Proof{}, s.NewGrant); !errors.Is(err, client.ErrRequest) || !strings.Contains(fmt.Sprint(err), says) {
			t.Errorf("want %q: got %v", says, err)
		}
	}
	s := f.spec("acme")
	s.Limits = &pb.GrantLimits{Identities: []*pb.GrantIdentity{{Issuer: "https://gitlab.com", Claims: []*pb.GrantClaim{{Name: "project_id", Values: []string{"1"}}}}}}
	if _, err := f.admin.NewGrant(t.Context(), f.passphrase(testPassphrase), s.NewGrant); err != nil {
		t.Errorf("of GitLab's: got %v", err)
	}
	f.adopt(all + "[[issuer]]\nurl = \"https://ci.example\"\n")
	s = f.spec("acme")
	s.Limits = &pb.GrantLimits{Identities: []*pb.GrantIdentity{{Issuer: "https://ci.example", Claims: claims}}}
	if _, err := f.admin.NewGrant(t.Context(), f.passphrase(testPassphrase), s.NewGrant); err != nil {
		t.Errorf("of an issuer of the policy: got %v", err)
	}
}
