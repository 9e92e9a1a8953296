package agent

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/client/nstest"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// An edit keeps the consent where what was allowed stays the same, and ends it elsewhere.
func TestEditOfConsent(t *testing.T) {
	w := startCode(t)
	edit := func(e client.ProfileEdit) error {
		_, err := w.admin.EditProfile(t.Context(), "p", e)
		return err
	}
	for name, test := range map[string]struct {
		login func(string) client.Login
		edit  client.ProfileEdit
		want  string
	}{
		"a note":              {w.public, client.ProfileEdit{Profile: &pb.Profile{Note: "n"}, Fields: []string{"note"}}, ""},
		"a redirect URI":      {w.public, client.ProfileEdit{Profile: &pb.Profile{RedirectUri: "myapp://cb"}, Fields: []string{"redirect_uri"}}, ""},
		"its secret anew":     {w.confidential, client.ProfileEdit{Secrets: map[string]client.Sealer{"client_secret": w.sealer(w.clientSecret)}}, ""},
		"fewer scopes":        {w.public, client.ProfileEdit{Profile: &pb.Profile{Scopes: []string{"restlets"}}, Fields: []string{"scopes"}}, "changed"},
		"another client":      {w.public, client.ProfileEdit{Profile: &pb.Profile{ClientId: "x"}, Fields: []string{"client_id"}}, "changed"},
		"another account":     {w.public, client.ProfileEdit{Profile: &pb.Profile{Account: "1234567"}, Fields: []string{"account"}}, "changed"},
		"a secret at last":    {w.public, client.ProfileEdit{Secrets: map[string]client.Sealer{"client_secret": w.sealer(w.clientSecret)}}, "changed"},
		"a client and secret": {w.confidential, client.ProfileEdit{Profile: &pb.Profile{Account: "1234567"}, Fields: []string{"account"}, Secrets: map[string]client.Sealer{"client_secret": w.sealer(w.clientSecret)}}, "changed"},
	} {
		w.login(test.login("p"))
		if err := edit(test.edit); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		w.consent("p", test.want)
		p, err := w.admin.ShowProfile(t.Context(), "p")
		if err != nil || len(p.GetVersions()) != 1 || (p.GetAuthorizedAt() == 0) != (test.want != "") {
			t.Errorf("%s: got %v, %v", name, p, err)
		}
		if test.want == "" {
			w.accepted(t, w.mustToken("p"))
		}
		if err := w.admin.RemoveProfile(t.Context(), "p"); err != nil {
			t.Fatal(err)
		}
	}
	w.login(w.confidential("p"))
	if err := edit(client.ProfileEdit{Profile: &pb.Profile{Endpoint: "https://evil.example"}, Fields: []string{"endpoint"}}); !errors.Is(err, client.ErrCredential) {
		t.Errorf("the stored client secret to another place: got %v", err)
	}
	if err := edit(client.ProfileEdit{Profile: &pb.Profile{Scopes: []string{"rest_webservices", "restlets"}}, Fields: []string{"scopes"}}); !errors.Is(err, client.ErrProof) {
		t.Errorf("more scopes: got %v", err)
	}
	if err := edit(client.ProfileEdit{UsePrevious: true}); !is(err, pb.CodeNotFound) {
		t.Errorf("the previous version: got %v", err)
	}
	if err := edit(client.ProfileEdit{Secrets: map[string]client.Sealer{"client_secret": w.sealer(w.clientSecret)}, Overlap: 2 * time.Hour}); !errors.Is(err, client.ErrRequest) {
		t.Errorf("an overlap: got %v", err)
	}
}

// A profile that nobody has logged in with says so, and is stored all the same.
func TestNewConsent(t *testing.T) {
	w := startCode(t)
	l := w.confidential("p")
	if _, err := w.admin.AddProfile(t.Context(), l.Profile, l.Secrets); err != nil {
		t.Fatal(err)
	}
	if _, err := w.tokenOf("p"); !errors.Is(err, client.ErrConsent) || !strings.Contains(err.Error(), "nobody has logged in") {
		t.Errorf("got %v", err)
	}
	w.consent("p", "new")
	if got := w.exchanges("/token"); got != 0 {
		t.Errorf("%d requests", got)
	}
	p := w.login(client.Login{Flow: "pkce", Profile: &pb.Profile{Name: "p"}})
	if p.GetClient() != "confidential" {
		t.Errorf("got %v", p)
	}
	r, err := w.signer.AccessToken(t.Context(), client.AccessTokenRequest{Profile: "p", Scopes: []string{"rest_webservices"}})
	if err != nil || strings.Join(r.GetScopes(), " ") != "rest_webservices" {
		t.Errorf("got %v, %v", r, err)
	}
	if _, err := w.signer.AccessToken(t.Context(), client.AccessTokenRequest{Profile: "p", Scopes: []string{"restlets"}}); !errors.Is(err, client.ErrDenied) {
		t.Errorf("a scope that it has not: got %v", err)
	}
	if _, err := w.signer.Assertion(t.Context(), client.AssertionRequest{Profile: "p"}); !errors.Is(err, client.ErrRequest) {
		t.Errorf("an assertion: got %v", err)
	}
	checks, err := w.admin.TestProfile(t.Context(), "p")
	if err != nil || checks.GetChecks()[2].GetName() != "client" || checks.GetChecks()[3].GetName() != "consent" || checks.GetChecks()[3].GetState() != "ok" {
		t.Errorf("got %v, %v", checks, err)
	}
}

// The consent of a confidential client ends after a week, and a day before that it is said.
func TestConsentEnds(t *testing.T) {
	w := startCode(t)
	w.login(w.confidential("p"))
	w.login(w.public("q")) // only its integration record says when
	w.agent.mu.RLock()
	defer w.agent.mu.RUnlock()
	for after, want := range map[time.Duration]int32{time.Hour: -1, 5 * day: -1, 6*day + time.Hour: 1, 7*day + time.Hour: 0} {
		got := int32(-1)
		for _, e := range w.agent.session.expiring(time.Now().Add(after)) {
			if e.GetProfile() != "p" || time.Until(time.Unix(e.GetExpiresAt(), 0)) > 7*day {
				t.Errorf("after %s: got %v", after, e)
			}
			got = e.GetWithinDays()
		}
		if got != want {
			t.Errorf("after %s: said to end within %d days, want %d", after, got, want)
		}
	}
}

// The new pair of an integration record reaches its confidential clients whole: the next
// login authenticates with it.
func TestRotatedClient(t *testing.T) {
	const id, key = "another-client-id", "another-client-secret"
	w := startCode(t, func(c *nstest.Config) {
		a := &c.Accounts[0]
		a.Integrations = append(a.Integrations, nstest.Integration{Name: "after the reset", ConsumerKey: id, ConsumerSecret: key, RedirectURIs: []string{testRedirect}})
	})
	w.login(w.confidential("p"))
	if _, err := w.admin.RotateIntegration(t.Context(), "p", id, nil, 0); !errors.Is(err, client.ErrCredential) {
		t.Errorf("without the secret: got %v", err)
	}
	rotated, err := w.admin.RotateIntegration(t.Context(), "p", id, w.sealer(key), 0)
	if err != nil || len(rotated) != 1 || rotated[0].GetClientId() != id || len(rotated[0].GetVersions()) != 1 {
		t.Fatalf("got %v, %v", rotated, err)
	}
	if _, err := w.tokenOf("p"); !errors.Is(err, client.ErrConsent) {
		t.Errorf("got %v", err)
	}
	w.login(client.Login{Flow: "pkce", Profile: &pb.Profile{Name: "p"}})
	w.accepted(t, w.mustToken("p"))
}
