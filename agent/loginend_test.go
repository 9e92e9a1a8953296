package agent

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/client/nstest"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// stepThree is the request of the three-step flow that makes a lasting token.
const stepThree = "/rest/accesstoken"

// TestRecordedBeforeSent guards P7: when NetSuite sees a request that gives tokens, or an
// answer of the browser, there is an entry for it already; what fails has a second one.
func TestRecordedBeforeSent(t *testing.T) {
	w := startCode(t)
	count := func(event, outcome, step string) (n int) {
		for _, e := range w.entries() {
			if e.Event == event && e.Outcome == outcome && strings.Contains(e.Detail, step) {
				n++
			}
		}
		return n
	}
	requests, answers := 0, 0
	w.onVerdict(func(v nstest.Verdict) {
		token := strings.HasSuffix(v.URL, "/token")
		if !token && !strings.Contains(v.URL, stepThree) && !strings.Contains(v.URL, "/rest/requesttoken") {
			return
		}
		requests++
		if got := count(audit.EventExchange, audit.OutcomeOK, ""); got != requests {
			t.Errorf("%s: %d exchanges on record, want %d", v.URL, got, requests)
		}
		if strings.Contains(v.URL, stepThree) || token && answers == 0 {
			answers++
			if got := count(audit.EventLogin, audit.OutcomeOK, "step=answer"); got != answers {
				t.Errorf("%s: %d answers on record, want %d", v.URL, got, answers)
			}
		}
	})
	w.login(w.public("p"))
	w.login(w.tba("t"))
	w.aged()
	w.mustToken("p")
	w.aged()
	w.inject(t, nstest.Fault{Kind: "status", Status: 500})
	if _, err := w.tokenOf("p"); err == nil || requests != 5 || answers != 2 {
		t.Errorf("got %v after %d requests and %d answers, want 5 and 2", err, requests, answers)
	}
	if got := count(audit.EventExchange, audit.OutcomeFailed, ""); got != 1 {
		t.Errorf("%d failed exchanges on record, want 1", got)
	}
}

// TestRotationRecordedBeforeSent is that for what the agent does by itself.
func TestRotationRecordedBeforeSent(t *testing.T) {
	requests := 0
	var w *certWorld
	w = startCert(t, func(c *nstest.Config) {
		c.Log = func(v nstest.Verdict) {
			if !strings.HasSuffix(v.URL, "/token") {
				return
			}
			requests++
			recorded := 0
			for _, e := range w.entries() {
				if e.Outcome == audit.OutcomeOK && (e.Event == audit.EventExchange || e.Event == audit.EventCertProbe) {
					recorded++
				}
			}
			if recorded != requests {
				t.Errorf("%d requests, and %d on record", requests, recorded)
			}
		}
	})
	if _, err := (&rotation{Agent: w.agent, name: "m2m", overlap: minOverlap, why: "by itself"}).run(asItself(t.Context())); err != nil || requests != 2 {
		t.Errorf("got %v after %d requests, want 2", err, requests)
	}
}

// TestLoginOutlivesItsCaller: whoever ends the command once the browser has answered keeps
// neither flow from being stored.
func TestLoginOutlivesItsCaller(t *testing.T) {
	w := startCode(t)
	for path, l := range map[string]client.Login{"/token": w.public("p"), stepThree: w.tba("t")} {
		ctx, interrupt := context.WithCancel(t.Context())
		w.onVerdict(func(v nstest.Verdict) {
			if strings.Contains(v.URL, path) {
				interrupt()
			}
		})
		name, begun := l.Profile.GetName(), w.begin(l)
		q := w.browse(t, begun.GetAuthorizeUrl(), "allow")
		if _, err := w.admin.FinishLogin(ctx, w.answer(name, begun.GetId(), q)); err == nil {
			t.Errorf("%s: control: nobody went away", path)
		}
		eventually(t, 10*time.Second, func() string {
			if _, err := w.admin.ShowProfile(t.Context(), name); err != nil {
				return err.Error()
			}
			return ""
		})
	}
	w.accepted(t, w.mustToken("p"))
}

// TestTokenThatIsNotStored: a token of the three-step flow that cannot be stored revokes
// itself; where that fails too, it is said that it is alive, and where to end it.
func TestTokenThatIsNotStored(t *testing.T) {
	for name, test := range map[string]struct {
		revokes    bool // the account lets tokens revoke themselves
		says, next string
	}{
		"revoked": {true, "is revoked", ""},
		"alive":   {false, "is alive at NetSuite", menuOfTokens},
	} {
		t.Run(name, func(t *testing.T) {
			w := startCode(t, func(c *nstest.Config) { c.Settings.RevokeToken = test.revokes })
			w.onVerdict(func(v nstest.Verdict) {
				if strings.Contains(v.URL, stepThree) {
					w.addTBA("t") // the name is taken when the token comes
				}
			})
			err := w.tryLogin(w.tba("t"))
			if !errors.Is(err, client.ErrExists) || !strings.Contains(err.Error(), test.says) || test.next != "" && nextOf(err) != test.next {
				t.Errorf("got %v, next %q", err, nextOf(err))
			}
			if got := w.exchanges("/rest/revoketoken"); got != 1 {
				t.Errorf("%d revocations, want 1", got)
			}
		})
	}
	// A consent that is not stored is told too.
	w := startCode(t)
	w.onVerdict(func(v nstest.Verdict) {
		if strings.HasSuffix(v.URL, "/token") {
			w.addTBA("p")
		}
	})
	if err := w.tryLogin(w.public("p")); !errors.Is(err, client.ErrExists) || !strings.Contains(err.Error(), "OAuth 2.0 Authorized Applications") {
		t.Errorf("got %v", err)
	}
}

// TestLoginKeepsNarrowing guards G-11: what was narrowed while the browser was open stays
// narrow; the login does not put back what it began with.
func TestLoginKeepsNarrowing(t *testing.T) {
	for field, to := range map[string]*pb.Profile{"scopes": {Scopes: []string{"restlets"}}, "redirect_uri": {RedirectUri: "https://127.0.0.1:9443/elsewhere"}} {
		w := startCode(t)
		w.login(w.public("p"))
		begun := w.begin(client.Login{Flow: "pkce", Profile: &pb.Profile{Name: "p"}})
		narrow, err := w.admin.EditProfile(t.Context(), "p", client.ProfileEdit{Profile: to, Fields: []string{field}})
		if err != nil {
			t.Fatalf("%s: %v", field, err)
		}
		_, err = w.admin.FinishLogin(t.Context(), w.answer("p", begun.GetId(), w.browse(t, begun.GetAuthorizeUrl(), "allow")))
		if !errors.Is(err, client.ErrLimited) || !strings.Contains(err.Error(), "was changed during the login") {
			t.Errorf("%s: got %v", field, err)
		}
		p, err := w.admin.ShowProfile(t.Context(), "p")
		if err != nil || strings.Join(p.GetScopes(), " ") != strings.Join(narrow.GetScopes(), " ") || p.GetRedirectUri() != narrow.GetRedirectUri() {
			t.Errorf("%s: got %v, %v", field, p, err)
		}
	}
}
