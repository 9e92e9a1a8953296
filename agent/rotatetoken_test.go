package agent

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/client/nstest"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// rotate gives the profile "tba" a new token.
func (w *probeWorld) rotate(id, secret string, untested bool) (*pb.RotateProfileResponse, error) {
	return w.admin.RotateProfile(w.t.Context(), &pb.Profile{Name: "tba", TokenId: id}, map[string]client.Sealer{"token_secret": w.sealer(secret)}, 0, untested)
}

// withSecondToken adds another token to the account.
func withSecondToken(a *nstest.Account) {
	a.Tokens = append(a.Tokens, nstest.Token{TokenID: sample(5), TokenSecret: sample(6), ConsumerKey: sample(1), Name: "new", User: "u", Role: "r"})
}

// A new token takes its place once NetSuite has taken it; the old one is kept to go back to.
func TestRotateToken(t *testing.T) {
	w := startProbes(t, withSecondToken)
	begin := len(w.entries())
	r, err := w.rotate(sample(5), sample(6), false)
	if err != nil || r.GetTried().GetState() != stateWorks || r.GetProfile().GetTokenId() != sample(5) || len(r.GetProfile().GetVersions()) != 2 || r.GetProfile().GetAccess() != "write" {
		t.Fatalf("got %v, %v", r, err)
	}
	if !w.signsWith("tba", sample(2), sample(6)) {
		t.Error("it does not sign with the new token")
	}
	var events []string
	for _, e := range w.entries()[begin:] {
		if e.Event == audit.EventProfileRotate || e.Event == audit.EventSend {
			events = append(events, e.Event+" "+e.Outcome+" "+e.Profile+" "+e.Detail)
		}
	}
	if want := []string{"profile.rotate ok tba next", "send ok tba next", "profile.rotate ok tba secret=new"}; !slices.Equal(events, want) {
		t.Errorf("entries: got %q, want %q", events, want)
	}
	w.restart()
	w.unlock()
	if !w.signsWith("tba", sample(2), sample(6)) || w.agent.stagedFor(w.agent.session, "tba") != nil {
		t.Error("after a restart it is not as it was")
	}
	w.edit("tba", client.ProfileEdit{UsePrevious: true})
	if !w.signsWith("tba", sample(2), sample(4)) {
		t.Error("it does not go back")
	}
}

// What NetSuite does not take changes nothing, and neither does what is not whole; and the
// right token is taken after it.
func TestRotateTokenIsRefused(t *testing.T) {
	w := startProbes(t, withSecondToken)
	for name, c := range map[string]struct {
		id, secret string
		want       error
	}{
		"a token that is none":    {sample(70), sample(71), client.ErrNetSuite},
		"another token's secret":  {sample(5), sample(71), client.ErrNetSuite},
		"the token that there is": {sample(3), sample(4), client.ErrCredential},
		"no ID":                   {"", sample(6), client.ErrCredential},
		"an empty secret":         {sample(5), "", client.ErrCredential},
		"the consumer secret":     {sample(5), sample(2), client.ErrCredential},
	} {
		if _, err := w.rotate(c.id, c.secret, false); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		} else if c.want == client.ErrNetSuite && !strings.Contains(err.Error(), "callers go on with the present one") {
			t.Errorf("%s: %v", name, err)
		}
		if w.agent.stagedFor(w.agent.session, "tba") != nil || !w.signsWith("tba", sample(2), sample(4)) {
			t.Errorf("%s: something changed", name)
		}
	}
	if _, err := w.admin.RotateProfile(t.Context(), &pb.Profile{Name: "m2m", TokenId: sample(5)}, nil, 0, false); !errors.Is(err, client.ErrRequest) || !strings.Contains(err.Error(), "kind m2m") {
		t.Errorf("m2m: got %v", err)
	}
	if _, err := w.rotate(sample(5), sample(6), false); err != nil {
		t.Error(err)
	}
}

// A rotation that ended in the middle with its agent is no obstacle to the next one.
func TestRotateTokenAfterACrash(t *testing.T) {
	w := startProbes(t, withSecondToken)
	s, old, end, err := w.agent.beginChangeOf(t.Context(), "tba")
	if err != nil {
		t.Fatal(err)
	}
	p := *old.profile
	p.TokenID = sample(50)
	m, err := newTBA(w.agent.arena, w.agentSecret(sample(2)), w.agentSecret(sample(51)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.agent.stage(t.Context(), s, old, &p, m, changeToken, audit.EventProfileRotate, "next"); err != nil {
		t.Fatal(err)
	}
	m.destroy()
	end()
	w.restart()
	w.unlock()
	if !w.signsWith("tba", sample(2), sample(4)) {
		t.Error("what was staged is used")
	}
	if _, err := w.rotate(sample(5), sample(6), false); err != nil || !w.signsWith("tba", sample(2), sample(6)) {
		t.Errorf("the next rotation: %v", err)
	}
}

// Nobody is asked where that is wanted; nothing changes where nobody answers.
func TestRotateTokenWithoutNetSuite(t *testing.T) {
	w := startProbes(t, nil)
	r, err := w.rotate(sample(90), sample(91), true)
	if err != nil || r.GetTried() != nil || !w.signsWith("tba", sample(2), sample(91)) {
		t.Errorf("untested: got %v, %v", r, err)
	}
	w.addTBA("away", func(p *pb.Profile) { p.Endpoint, p.Ca = "https://127.0.0.1:1", w.agent.session.profiles["tba"].CA })
	_, err = w.admin.RotateProfile(t.Context(), &pb.Profile{Name: "away", TokenId: sample(5)}, map[string]client.Sealer{"token_secret": w.sealer(sample(6))}, 2*time.Hour, false)
	if !errors.Is(err, client.ErrNetwork) || !w.signsWith("away", sample(2), sample(4)) {
		t.Errorf("away: got %v", err)
	}
}

// A profile is removed with what it has at NetSuite, or stays.
func TestRevokeAndRemove(t *testing.T) {
	w := startCode(t)
	w.login(w.public("p"))
	token := w.mustToken("p")
	if err := w.admin.RevokeProfile(t.Context(), "p"); err != nil {
		t.Fatal(err)
	}
	if status := w.get(t, w.ep.URL+"/services/rest/record/v1/customer/1", "Bearer "+token); status != 401 {
		t.Errorf("NetSuite answers %d to a token of it", status)
	}
	if _, err := w.admin.ShowProfile(t.Context(), "p"); !errors.Is(err, client.ErrNoProfile) {
		t.Errorf("it is there: %v", err)
	}
	// The account does not let a token revoke itself: nothing is removed.
	w.login(w.tba("t"))
	if err := w.admin.RevokeProfile(t.Context(), "t"); !errors.Is(err, client.ErrNetSuite) || !strings.Contains(err.Error(), "does not let a token revoke itself") {
		t.Errorf("got %v", err)
	}
	if _, err := w.admin.ShowProfile(t.Context(), "t"); err != nil {
		t.Errorf("it is gone: %v", err)
	}
	var events []string
	for _, e := range w.entries() {
		if e.Event == audit.EventProfileRevoke || e.Event == audit.EventProfileRemove {
			events = append(events, e.Event+" "+e.Outcome+" "+e.Profile+e.Reason)
		}
	}
	if want := []string{"profile.revoke ok p", "profile.remove ok p", "profile.revoke ok t", "profile.revoke failed tNSA-NETSUITE"}; !slices.Equal(events, want) {
		t.Errorf("entries: got %q, want %q", events, want)
	}
}

// A profile goes with the token before, which is good for its overlap, and with the one that
// is the way back of a migration.
func TestKillSwitchTakesTheTokenBefore(t *testing.T) {
	w := startCode(t, func(c *nstest.Config) { c.Settings.RevokeToken = true })
	w.login(w.tba("t"))
	u := w.ep.URL + "/services/rest/record/v1/customer/1"
	before, err := w.signer.Sign(t.Context(), client.Request{Profile: "t", URL: u})
	if err != nil {
		t.Fatal(err)
	}
	w.login(client.Login{Flow: "3sa", RedirectURI: w.tba("t").RedirectURI, Profile: &pb.Profile{Name: "t"}}) // NetSuite gives another one
	after, err := w.signer.Sign(t.Context(), client.Request{Profile: "t", URL: u})
	if err != nil {
		t.Fatal(err)
	}
	p, err := w.admin.ShowProfile(t.Context(), "t")
	if err != nil || len(p.GetVersions()) != 2 {
		t.Fatalf("nothing is kept of the token before: %v, %v", p, err)
	}
	if err := w.admin.RevokeProfile(t.Context(), "t"); err != nil {
		t.Fatal(err)
	}
	for name, header := range map[string]string{"before": before.GetAuthorization(), "after": after.GetAuthorization()} {
		if status := w.get(t, u, header); status != 401 {
			t.Errorf("NetSuite answers %d to the token %s", status, name)
		}
	}
}

// Of an M2M profile the certificate is revoked, if its role may do that.
func TestRevokeCertificateAndRemove(t *testing.T) {
	w := startProbes(t, func(a *nstest.Account) { a.Certificates[0].Manage = true })
	if err := w.admin.RevokeProfile(t.Context(), "m2m"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.admin.ShowProfile(t.Context(), "m2m"); !errors.Is(err, client.ErrNoProfile) {
		t.Errorf("it is there: %v", err)
	}
	revoked := false
	for _, v := range w.netsuite.Verdicts() {
		revoked = revoked || v.OK && strings.HasSuffix(v.URL, "/revoke")
	}
	if !revoked {
		t.Error("NetSuite was not asked to revoke it")
	}
	w = startProbes(t, nil)
	if err := w.admin.RevokeProfile(t.Context(), "m2m"); !errors.Is(err, client.ErrNetSuite) {
		t.Errorf("without the permission: got %v", err)
	}
	if _, err := w.token(); err != nil {
		t.Errorf("it is gone: %v", err)
	}
}
