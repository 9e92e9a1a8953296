package agent

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// grantOn returns the right of a token for these profiles with these limits beside.
func (f *fixture) grantOn(limits unlocktoken.Caveats, profiles ...string) *granted {
	f.t.Helper()
	for _, name := range profiles {
		f.agent.mu.RLock()
		id, ok := f.agent.session.vault.RecordID(name)
		f.agent.mu.RUnlock()
		if !ok {
			f.t.Fatalf("no record %q", name)
		}
		limits.Credentials = append(limits.Credentials, unlocktoken.ID(id))
	}
	now := time.Now().Unix()
	if limits.NotAfter == 0 {
		limits.NotAfter = now + 3600
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		f.t.Fatal(err)
	}
	a := unlocktoken.Authority{Vault: unlocktoken.ID{1}, Grant: unlocktoken.ID{2}, Mode: unlocktoken.Attached, IssuedAt: min(now, limits.NotAfter), Caveats: limits}
	chain, err := unlocktoken.NewChain(a, public, func(m []byte) ([]byte, error) { return ed25519.Sign(private, m), nil })
	if err != nil {
		f.t.Fatal(err)
	}
	g, err := chain.Read()
	if err != nil {
		f.t.Fatal(err)
	}
	right := f.agent.newGranted(g, f.agent.session.signer)
	right.vault = f.agent.session.vault
	return right
}

// refusedWith returns the code that callers get to see.
func refusedWith(err error) pb.Code {
	if err == nil {
		return pb.CodeOK
	}
	return refusalOf(err).Code
}

func TestGrantNarrows(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	f.addTBA("other")
	f.addTBA("prod", func(p *pb.Profile) { p.Account = "1234567" }) // read only
	peer := livePeer(t, f)
	restlet := "https://1234567-sb1.restlets.api.netsuite.com/app/site/hosting/restlet.nl?"
	for name, c := range map[string]struct {
		grant *granted
		q     *pb.SignRequest
		want  pb.Code
	}{
		"its profile":          {f.grantOn(unlocktoken.Caveats{}, "acme"), &pb.SignRequest{Profile: "acme", Url: sandboxURL}, pb.CodeOK},
		"the only one of its":  {f.grantOn(unlocktoken.Caveats{}, "acme"), &pb.SignRequest{Url: sandboxURL}, pb.CodeOK},
		"one of two":           {f.grantOn(unlocktoken.Caveats{}, "acme", "other"), &pb.SignRequest{Url: sandboxURL}, pb.CodeNoProfile},
		"another profile":      {f.grantOn(unlocktoken.Caveats{}, "acme"), &pb.SignRequest{Profile: "other", Url: sandboxURL}, pb.CodeGrantScope},
		"one that is not":      {f.grantOn(unlocktoken.Caveats{}, "acme"), &pb.SignRequest{Profile: "nobody", Url: sandboxURL}, pb.CodeGrantScope},
		"its method":           {f.grantOn(unlocktoken.Caveats{Methods: []string{"POST"}}, "acme"), &pb.SignRequest{Method: "post", Url: sandboxURL}, pb.CodeOK},
		"another method":       {f.grantOn(unlocktoken.Caveats{Methods: []string{"POST"}}, "acme"), &pb.SignRequest{Url: sandboxURL}, pb.CodeGrantScope},
		"never more than read": {f.grantOn(unlocktoken.Caveats{}, "prod"), &pb.SignRequest{Method: "POST", Url: "https://1234567.suitetalk.api.netsuite.com/services/rest/record/v1/customer"}, pb.CodeReadOnly},
		"no other account":     {f.grantOn(unlocktoken.Caveats{}, "acme"), &pb.SignRequest{Url: "https://7654321.suitetalk.api.netsuite.com/x"}, pb.CodeHost},
		"its script":           {f.grantOn(unlocktoken.Caveats{Scripts: []string{"123/1"}}, "acme"), &pb.SignRequest{Url: restlet + "script=123&deploy=1"}, pb.CodeOK},
		"another script":       {f.grantOn(unlocktoken.Caveats{Scripts: []string{"123/1"}}, "acme"), &pb.SignRequest{Url: restlet + "script=124&deploy=1"}, pb.CodeGrantScope},
		"a script and another": {f.grantOn(unlocktoken.Caveats{Scripts: []string{"123/1"}}, "acme"), &pb.SignRequest{Url: restlet + "script=123&deploy=1&script=124"}, pb.CodeGrantScope},
		"no script":            {f.grantOn(unlocktoken.Caveats{Scripts: []string{"123/1"}}, "acme"), &pb.SignRequest{Url: sandboxURL}, pb.CodeGrantScope},
		"over":                 {f.grantOn(unlocktoken.Caveats{NotAfter: time.Now().Unix() - 1}, "acme"), &pb.SignRequest{Url: sandboxURL}, pb.CodeExpired},
		"another process":      {f.grantOn(unlocktoken.Caveats{Peer: &unlocktoken.Peer{Executables: []string{"/usr/bin/nothing"}}}, "acme"), &pb.SignRequest{Url: sandboxURL}, pb.CodeGrantScope},
		"no identity":          {f.grantOn(unlocktoken.Caveats{Identities: []unlocktoken.Identity{{Issuer: "https://i", Claims: []unlocktoken.Claim{{Name: "repository_id", Values: []string{"1"}}}}}}, "acme"), &pb.SignRequest{Url: sandboxURL}, pb.CodeGrant},
	} {
		_, err := f.agent.sign(t.Context(), &caller{peer: peer, has: of(c.grant)}, c.q)
		if got := refusedWith(err); got != c.want {
			t.Errorf("%s: got %q (%v), want %q", name, got, err, c.want)
		}
	}
}

// TestGrantSaysWhatItAllows: a refusal names grant, request and profile, and all that may be
// asked for, in one line of bounded length and without the query.
func TestGrantSaysWhatItAllows(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	f.addTBA("other")
	f.addTBA("third")
	peer := livePeer(t, f)
	suiteql := unlocktoken.Caveats{Methods: []string{"POST"}, Paths: []string{"/services/rest/query/v1/suiteql"}}
	for name, c := range map[string]struct {
		grant              *granted
		q                  *pb.SignRequest
		doesNot, whyBegins string
	}{
		"another request": {f.grantOn(suiteql, "acme"), &pb.SignRequest{Url: sandboxURL + "?q=secret"},
			`does not allow "GET /services/rest/record/v1/customer/1" with profile "acme"`, "it allows POST /services/rest/query/v1/suiteql"},
		"another host": {f.grantOn(unlocktoken.Caveats{Methods: []string{"GET"}, Hosts: []string{"h"}}, "acme"), &pb.SignRequest{Url: sandboxURL},
			`does not allow "GET /services/rest/record/v1/customer/1" with profile "acme"`, "it allows GET at h"},
		"another process": {f.grantOn(unlocktoken.Caveats{Peer: &unlocktoken.Peer{Executables: []string{"/x"}}}, "acme"), &pb.SignRequest{Url: sandboxURL},
			`does not allow "GET /services/rest/record/v1/customer/1" with profile "acme"`, "it is for another process"},
		"another profile": {f.grantOn(unlocktoken.Caveats{}, "other", "acme"), &pb.SignRequest{Profile: "third", Url: sandboxURL},
			`is not for a profile "third"`, `it is for "acme", "other"`},
		"a profile of none that are there": {f.grantOn(unlocktoken.Caveats{Credentials: []unlocktoken.ID{{9}}}), &pb.SignRequest{Profile: "acme", Url: sandboxURL},
			`is not for a profile "acme"`, "none of its profiles is in this vault any more"},
		"a long path": {f.grantOn(suiteql, "acme"), &pb.SignRequest{Url: sandboxURL + strings.Repeat("/x", 2000)},
			`does not allow "GET /services/rest/record/v1/customer/1` + strings.Repeat("/x", 80) + `/" with profile "acme"`, "it allows POST /"},
	} {
		_, err := f.agent.sign(t.Context(), &caller{peer: peer, has: of(c.grant)}, c.q)
		r := refusalOf(err)
		if want := "grant " + c.grant.name + " " + c.doesNot; r.Message != want || !strings.HasPrefix(r.Why, c.whyBegins) {
			t.Errorf("%s: got %q, %q, want %q, %q", name, r.Message, r.Why, want, c.whyBegins)
		}
		if want := "have its owner look at it:  nsagent grant show " + c.grant.name; r.Next != want {
			t.Errorf("%s: got %q, want %q", name, r.Next, want)
		}
	}
	_, err := f.agent.passport(t.Context(), &caller{peer: peer, has: of(f.grantOn(suiteql, "acme"))}, &pb.PassportRequest{})
	if r := refusalOf(err); !strings.HasSuffix(r.Message, ` does not allow "passport" with profile "acme"`) {
		t.Errorf("a passport: got %q", r.Message)
	}
}

// What lies outside of a grant is refused in the same words, whether it is there or not.
func TestGrantIsNoOracle(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	f.addTBA("there")
	c := &caller{peer: livePeer(t, f), has: of(f.grantOn(unlocktoken.Caveats{}, "acme"))}
	_, there := f.agent.sign(t.Context(), c, &pb.SignRequest{Profile: "there", Url: sandboxURL})
	_, absent := f.agent.sign(t.Context(), c, &pb.SignRequest{Profile: "absent", Url: sandboxURL})
	a, b := refusalOf(there), refusalOf(absent)
	if strings.ReplaceAll(a.Message, "there", "absent") != b.Message || a.Why != b.Why || a.Next != b.Next {
		t.Errorf("got %+v and %+v", a, b)
	}
}

func TestGrantShowsItsProfilesAlone(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	f.addTBA("other")
	c := &caller{peer: livePeer(t, f), has: of(f.grantOn(unlocktoken.Caveats{}, "acme"))}
	l, err := f.agent.listProfiles(c)
	if err != nil || len(l.GetProfiles()) != 1 || l.GetProfiles()[0].GetName() != "acme" {
		t.Errorf("got %v, %v", l.GetProfiles(), err)
	}
	s, err := f.agent.statusFor(c)
	if err != nil || s.GetProfiles() != 1 {
		t.Errorf("got %d profiles, %v", s.GetProfiles(), err)
	}
}

// The log names the grant, and a refusal of it with its code.
func TestGrantIsInTheLog(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	c := &caller{peer: livePeer(t, f), has: of(f.grantOn(unlocktoken.Caveats{Methods: []string{"GET"}}, "acme"))}
	if _, err := f.agent.sign(t.Context(), c, &pb.SignRequest{Url: sandboxURL}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.agent.sign(t.Context(), c, &pb.SignRequest{Method: "PUT", Url: sandboxURL}); !errors.Is(err, ErrGrantScope) {
		t.Fatal(err)
	}
	all := f.entries()
	ok, denied := all[len(all)-2], all[len(all)-1]
	if ok.Grant != "g_aiaaaaaaaaaaaaaaaaaaaaaaaa" || ok.Outcome != audit.OutcomeOK {
		t.Errorf("got %+v", ok)
	}
	if denied.Grant != ok.Grant || denied.Outcome != audit.OutcomeDenied || denied.Reason != string(pb.CodeGrantScope) || denied.Profile != "acme" {
		t.Errorf("got %+v", denied)
	}
}

// A grant that was revoked does nothing from the next call on, not even tell its state.
func TestRevokedGrantDoesNothing(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	c := &caller{peer: livePeer(t, f), has: of(f.grantOn(unlocktoken.Caveats{}, "acme"))}
	c.has.grant.revoked.Store(true)
	if _, err := f.agent.sign(t.Context(), c, &pb.SignRequest{Url: sandboxURL}); refusedWith(err) != pb.CodeRevoked {
		t.Errorf("sign: got %v", err)
	}
	if _, err := f.agent.listProfiles(c); refusedWith(err) != pb.CodeRevoked {
		t.Errorf("listProfiles: got %v", err)
	}
	if _, err := f.agent.statusFor(c); refusedWith(err) != pb.CodeRevoked {
		t.Errorf("status: got %v", err)
	}
}

// A token of several profiles, of which one has new keys: while the vault is locked, that is
// what is said, and not that the token was never for it.
func TestGrantOfWhichAProfileHasNewKeys(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	f.addTBA("other")
	_, gone := f.mustGrant("acme")
	spec := f.spec("acme", "other")
	r, err := f.admin.NewGrant(t.Context(), f.passphrase(testPassphrase), spec.NewGrant)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.admin.RevokeGrant(t.Context(), gone.GetId(), true); err != nil {
		t.Fatal(err)
	}
	f.lock()
	c := f.show(spec.token(t, r))
	_, err = c.Sign(t.Context(), client.Request{Profile: "acme", URL: sandboxURL})
	got := (*client.Error)(nil)
	if !errors.As(err, &got) || got.Code != pb.CodeGrantScope || !strings.Contains(got.Message, `does not open a profile "acme"`) || got.Why != `it opens "other"; its other profiles have new keys, or are gone` {
		t.Errorf("got %+v", err)
	}
	for _, named := range []string{"other", ""} {
		if _, err := c.Sign(t.Context(), client.Request{Profile: named, URL: sandboxURL}); err != nil {
			t.Errorf("the one that it opens, as %q: got %v", named, err)
		}
	}
	f.unlock()
	whole := f.mint(unlocktoken.Caveats{}, "acme", "other")
	third := func(name string, token *unlocktoken.Token) {
		t.Helper()
		if _, err := f.show(token).Sign(t.Context(), client.Request{Profile: "third", URL: sandboxURL}); !strings.Contains(fmt.Sprint(err), `is not for a profile "third"`) {
			t.Errorf("of a third, %s: got %v", name, err)
		}
	}
	third("unlocked", spec.token(t, r))
	f.lock()
	third("where it opens both", whole)
	f.unlock()
	if err := f.admin.RemoveProfile(t.Context(), "acme"); err != nil {
		t.Fatal(err)
	}
	third("where one of the profiles is gone", whole)
}

// TestHowToReplaceAGrant: who shows a token that is over is told how its owner makes another: of
// a bundle, a bundle.
func TestHowToReplaceAGrant(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	g := f.grantOn(unlocktoken.Caveats{}, "acme")
	for mode, want := range map[string]string{unlocktoken.Attached: "nsagent grant new", unlocktoken.Detached: "nsagent grant new --bundle FILE"} {
		g.Mode = mode
		for what, now := range map[string]int64{"before it was made": g.IssuedAt - 3600, "after its end": g.NotAfter() + 1} {
			if err := g.good(time.Unix(now, 0)); err == nil || !strings.HasSuffix(refusalOf(err).Next, "have its owner make another:  "+want) {
				t.Errorf("%s, %s: got %v", mode, what, err)
			}
		}
	}
}
