//go:build !race

// These tests look at the product from outside, or at its memory, which has no race
// detector: one run of them is enough.

package agent

import (
	"errors"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/client/nstest"
	"github.com/nsagent/nsagent/internal/needs"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// TestLoginCutAnywhere cuts each answer of logins, refreshes and revocations after each
// byte. Whatever comes of it the vault is whole, and a credential works as it did before, or
// says that somebody has to allow it again.
func TestLoginCutAnywhere(t *testing.T) {
	const oauth2 = "/services/rest/auth/oauth2/v1/"
	steps := 5
	if needs.Long() {
		steps = 1000
	}
	again := func(flow, name string) client.Login {
		return client.Login{Flow: flow, Profile: &pb.Profile{Name: name}, RedirectURI: "http://localhost:7777/callback", Role: "1042"}
	}
	for name, test := range map[string]struct {
		fault  nstest.Fault
		length int // of the answer, and a little more
		do     func(w *codeWorld) error
		// lost allows that the refresh token is gone with the answer.
		lost bool
	}{
		"a code": {nstest.Fault{Grant: "authorization_code"}, 1300, func(w *codeWorld) error {
			return w.tryLogin(client.Login{Flow: "pkce", Profile: &pb.Profile{Name: "p"}})
		}, false},
		"a refresh of a public client": {nstest.Fault{Grant: "refresh_token"}, 1300, func(w *codeWorld) error {
			w.aged()
			_, err := w.tokenOf("p")
			return err
		}, true},
		"a refresh of a confidential client": {nstest.Fault{Grant: "refresh_token"}, 700, func(w *codeWorld) error {
			w.aged()
			_, err := w.tokenOf("q")
			return err
		}, false},
		"a request token": {nstest.Fault{Path: "/rest/requesttoken"}, 260, func(w *codeWorld) error { return w.tryLogin(again("3sa", "t")) }, false},
		"a token":         {nstest.Fault{Path: "/rest/accesstoken"}, 190, func(w *codeWorld) error { return w.tryLogin(again("3sa", "t")) }, false},
		"a revocation":    {nstest.Fault{Path: oauth2 + "revoke"}, 40, func(w *codeWorld) error { return w.revoke("p") }, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := startLoggedIn(t)
			done, failed := 0, 0
			for after := 0; after < test.length; after += max(1, test.length/steps) {
				f := test.fault
				f.Kind, f.After, f.Times = "cut", after, -1
				if n := done + failed; n > 0 && n%300 == 0 {
					w = startLoggedIn(t) // a NetSuite of ours remembers so many logins and no more
				}
				if (done+failed)%6 == 0 {
					w.unlock() // the clock goes fast here, and the hard limit is near
				}
				w.inject(t, f)
				if err := test.do(w); err != nil {
					failed++
					if strings.Contains(err.Error(), "eyJ") {
						t.Fatalf("after %d bytes: a token is in %v", after, err)
					}
				} else {
					done++
				}
				w.server.ClearFaults()
				w.clock.Add(int64(longestPause))
				w.goesOn(t, after, test.lost)
			}
			t.Logf("%d done, %d failed", done, failed)
			r, err := w.admin.CheckVault(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got := found(t, r.GetChecks()); strings.Contains(got, "problem") {
				t.Errorf("the vault: %s", got)
			}
			if err := w.admin.Lock(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.unlock()
			w.goesOn(t, test.length, test.lost)
		})
	}
}

// startLoggedIn starts an agent with a credential of each kind that a login brings.
func startLoggedIn(t *testing.T) *codeWorld {
	t.Helper()
	w := startCode(t)
	for _, l := range []client.Login{w.public("p"), w.confidential("q"), w.tba("t")} {
		w.login(l)
	}
	return w
}

// goesOn uses each credential. A public client that has lost its refresh token logs in.
func (w *codeWorld) goesOn(t *testing.T, after int, lost bool) {
	t.Helper()
	for _, name := range []string{"p", "q"} {
		r, err := w.tokenOf(name)
		if name == "p" && lost && errors.Is(err, client.ErrConsent) {
			if err = w.tryLogin(client.Login{Flow: "pkce", Profile: &pb.Profile{Name: "p"}}); err == nil {
				r, err = w.tokenOf(name)
			}
		}
		if err != nil {
			t.Fatalf("after %d bytes: the access token of %s: %v", after, name, err)
		}
		if !lost || name == "q" { // a chain that was revoked may have an access token that is kept
			w.accepted(t, r.GetAccessToken())
		}
	}
	u := w.ep.URL + "/services/rest/record/v1/customer/1"
	signed, err := w.signer.Sign(t.Context(), client.Request{Profile: "t", URL: u})
	if err != nil {
		t.Fatalf("after %d bytes: %v", after, err)
	}
	if status := w.get(t, u, signed.GetAuthorization()); status != 200 {
		t.Fatalf("after %d bytes: NetSuite answers %d to the signature of t", after, status)
	}
}
