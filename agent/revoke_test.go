package agent

import (
	"errors"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/client/nstest"
)

// revoke has the agent revoke a profile, as who removes it does.
func (w *codeWorld) revoke(name string) error {
	w.t.Helper()
	_, err := w.agent.revokeProfile(w.t.Context(), name)
	return err
}

// What was revoked at NetSuite is worth nothing, whoever has a copy.
func TestRevokeAtNetSuite(t *testing.T) {
	w := startCode(t, func(c *nstest.Config) { c.Settings.RevokeToken = true })
	for _, l := range []client.Login{w.public("p"), w.confidential("q")} {
		name := l.Profile.GetName()
		w.login(l)
		token := w.mustToken(name)
		if err := w.revoke(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if status := w.get(t, w.ep.URL+"/services/rest/record/v1/customer/1", "Bearer "+token); status != 401 {
			t.Errorf("%s: NetSuite answers %d to a token that was revoked", name, status)
		}
		w.aged()
		if _, err := w.tokenOf(name); !errors.Is(err, client.ErrConsent) {
			t.Errorf("%s: got %v", name, err)
		}
		if err := w.revoke(name); err != nil {
			t.Errorf("%s, where there is nothing left: %v", name, err)
		}
	}
	w.login(w.tba("t"))
	if err := w.revoke("t"); err != nil {
		t.Error(err)
	}
	u := w.ep.URL + "/services/rest/record/v1/customer/1"
	signed, err := w.signer.Sign(t.Context(), client.Request{Profile: "t", URL: u})
	if err != nil {
		t.Fatal(err)
	}
	if status := w.get(t, u, signed.GetAuthorization()); status != 401 {
		t.Errorf("NetSuite answers %d to a TBA token that was revoked", status)
	}
}

// What NetSuite does not revoke is said to be good still.
func TestRevokeRefused(t *testing.T) {
	w := startCode(t)
	w.login(w.public("p"))
	w.login(w.tba("t"))
	for _, fault := range []nstest.Fault{{Kind: "rate"}, {Kind: "html"}, {Kind: "drop"}, {Kind: "status", Status: 400, Body: `{"error":"invalid_client"}`}} {
		fault.Times, fault.Path = -1, "/services/rest/auth/oauth2/v1/revoke"
		if fault.Kind == "html" {
			fault.Status = 404
		}
		w.inject(t, fault)
		if err := w.revoke("p"); !errors.Is(err, ErrNetSuite) && !errors.Is(err, ErrNetwork) || !strings.Contains(err.Error(), `"p" was not revoked`) {
			t.Errorf("%s: got %v", fault.Kind, err)
		}
		w.server.ClearFaults()
	}
	if err := w.revoke("t"); !errors.Is(err, ErrNetSuite) || !strings.Contains(err.Error(), `"t" was not revoked`) {
		t.Errorf("without the endpoint: got %v", err)
	}
	if _, err := w.admin.AddProfile(t.Context(), apiSecret("s"), map[string]client.Sealer{"value": w.sealer("v")}); err != nil {
		t.Fatal(err)
	}
	if err := w.revoke("s"); !errors.Is(err, ErrKind) {
		t.Errorf("an API secret: got %v", err)
	}
}
