package agent

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/client/nstest"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// A login brings a refresh token into the vault and gives access tokens, for each kind of
// client; NetSuite has checked PKCE, redirect URI and client authentication.
func TestLoginByCode(t *testing.T) {
	w := startCode(t)
	mcp := client.Login{Flow: "pkce", Profile: w.codeProfile("mcp", mcpID(), "mcp")}
	for name, test := range map[string]struct {
		login    client.Login
		client   string
		versions int
	}{
		"public":       {w.public("public"), "public", 1},
		"confidential": {w.confidential("confidential"), "confidential", 1},
		"mcp":          {mcp, "public", 1},
	} {
		begun := w.begin(test.login)
		page, err := url.Parse(begun.GetAuthorizeUrl())
		if err != nil || page.Path != "/app/login/oauth2/authorize.nl" || strings.Contains(page.RawQuery, "+") {
			t.Errorf("%s: page %s, %v", name, page, err)
		}
		for key, want := range map[string]string{
			"response_type": "code", "client_id": test.login.Profile.GetClientId(), "redirect_uri": testRedirect, "code_challenge_method": "S256",
			"scope": strings.Join(test.login.Profile.GetScopes(), " "), "state": begun.GetState(),
		} {
			if got := page.Query().Get(key); got != want || want == "" {
				t.Errorf("%s: %s is %q, want %q", name, key, got, want)
			}
		}
		if begun.GetExpiresIn() != 600 || begun.GetAccount() != "1234567_SB1" || begun.GetEnvironment() != "sandbox" {
			t.Errorf("%s: begun %v", name, begun)
		}
		if _, err := w.admin.ShowProfile(t.Context(), name); !errors.Is(err, client.ErrNoProfile) {
			t.Errorf("%s: there is a profile before anybody allowed it: %v", name, err)
		}
		q := w.browse(t, begun.GetAuthorizeUrl(), "allow")
		p, err := w.admin.FinishLogin(t.Context(), w.answer(name, begun.GetId(), q))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if p.GetClient() != test.client || p.GetRole() != "1042" || p.GetEntity() != "17" || p.GetConsent() != "" || p.GetRedirectUri() != testRedirect ||
			time.Since(time.Unix(p.GetAuthorizedAt(), 0)).Abs() > time.Minute || len(p.GetVersions()) != test.versions {
			t.Errorf("%s: stored %v", name, p)
		}
		before := w.exchanges("/token")
		token := w.mustToken(name)
		if w.exchanges("/token") != before {
			t.Errorf("%s: the access token of the login is not used", name)
		}
		if name != "mcp" {
			w.accepted(t, token)
		}
		if _, err := w.admin.FinishLogin(t.Context(), w.answer(name, begun.GetId(), q)); !is(err, pb.CodeNotFound) {
			t.Errorf("%s: a second answer: got %v", name, err)
		}
	}
	var steps []string
	exchanges := 0
	for _, e := range w.entries() {
		switch e.Event {
		case audit.EventLogin:
			steps = append(steps, string(e.Outcome)+" "+e.Detail)
		case audit.EventExchange:
			exchanges++
		}
	}
	if text := strings.Join(steps, ", "); strings.Count(text, "ok flow=pkce step=begin") != 3 || strings.Count(text, "ok flow=pkce step=finish access=write") != 3 || exchanges != 3 {
		t.Errorf("on record: %s; %d exchanges", text, exchanges)
	}
}

// is reports whether err has a code that has no sentinel.
func is(err error, code pb.Code) bool {
	e := (*client.Error)(nil)
	return errors.As(err, &e) && e.Code == code
}

// An answer of the browser that is not for this login, or brings nothing, stores nothing.
func TestLoginRefused(t *testing.T) {
	w := startCode(t)
	finish := func(change func(*client.LoginAnswer)) error {
		t.Helper()
		begun := w.begin(w.public("p"))
		a := w.answer("p", begun.GetId(), w.browse(t, begun.GetAuthorizeUrl(), "allow"))
		change(&a)
		_, err := w.admin.FinishLogin(t.Context(), a)
		return err
	}
	for name, test := range map[string]struct {
		change func(*client.LoginAnswer)
		code   pb.Code
		says   string
	}{
		"another state":        {func(a *client.LoginAnswer) { a.State = strings.Repeat("A", 26) }, pb.CodeDenied, "does not belong"},
		"no state":             {func(a *client.LoginAnswer) { a.State = "" }, pb.CodeDenied, "does not belong"},
		"another login":        {func(a *client.LoginAnswer) { a.ID = []byte("x") }, pb.CodeNotFound, "no login waits"},
		"no code":              {func(a *client.LoginAnswer) { a.Code = nil }, pb.CodeRequest, "has no code"},
		"another account":      {func(a *client.LoginAnswer) { a.Company = "7654321" }, pb.CodeDenied, "7654321"},
		"no account":           {func(a *client.LoginAnswer) { a.Company = "../x" }, pb.CodeDenied, "logged in to account"},
		"a no":                 {func(a *client.LoginAnswer) { a.Error = "access_denied" }, pb.CodeDeclined, "said no"},
		"a wrong scope":        {func(a *client.LoginAnswer) { a.Error = "invalid_scope" }, pb.CodeNetSuite, "lacks one of rest_webservices, restlets"},
		"a blocked record":     {func(a *client.LoginAnswer) { a.Error = "unauthorized_client" }, pb.CodeNetSuite, "is blocked"},
		"an error of hostiles": {func(a *client.LoginAnswer) { a.Error = "visit evil.example" }, pb.CodeNetSuite, "does not document"},
		"an invented code":     {func(a *client.LoginAnswer) { a.Code = w.sealer("0123456789") }, pb.CodeNetSuite, "invalid_grant"},
		"a code without end":   {func(a *client.LoginAnswer) { a.Code = w.sealer(strings.Repeat("c", 5000)) }, pb.CodeCredential, "too long"},
		"a code for others":    {func(a *client.LoginAnswer) { a.Profile = "q" }, pb.CodeRequest, "cannot be opened"},
	} {
		err := finish(test.change)
		if !is(err, test.code) || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "evil") {
			t.Errorf("%s: got %v, want %s with %q", name, err, test.code, test.says)
		}
	}
	if _, err := w.admin.ShowProfile(t.Context(), "p"); !errors.Is(err, client.ErrNoProfile) {
		t.Errorf("something was stored: %v", err)
	}
	denied := 0
	for _, e := range w.entries() {
		if e.Event == audit.EventLogin && e.Outcome == audit.OutcomeDenied {
			denied++
		}
	}
	if denied != 13 {
		t.Errorf("%d refusals on record, want 13", denied)
	}
}

// A page that guesses neither gets through nor ends a login, until it has guessed often.
func TestWrongStateLeavesLogin(t *testing.T) {
	w := startCode(t)
	begun := w.begin(w.public("p"))
	a := w.answer("p", begun.GetId(), w.browse(t, begun.GetAuthorizeUrl(), "allow"))
	wrong := a
	wrong.State = strings.Repeat("B", 26)
	if _, err := w.admin.FinishLogin(t.Context(), wrong); !errors.Is(err, client.ErrDenied) {
		t.Fatalf("got %v", err)
	}
	if _, err := w.admin.FinishLogin(t.Context(), a); err != nil {
		t.Errorf("the right answer after a wrong one: %v", err)
	}
	begun = w.begin(w.public("q"))
	for range maxStates {
		wrong.ID = begun.GetId()
		if _, err := w.admin.FinishLogin(t.Context(), wrong); !errors.Is(err, client.ErrDenied) {
			t.Fatalf("got %v", err)
		}
	}
	wrong.State = begun.GetState()
	if _, err := w.admin.FinishLogin(t.Context(), wrong); !is(err, pb.CodeNotFound) {
		t.Errorf("after %d wrong ones: got %v", maxStates, err)
	}
}

// A login ends after ten minutes and at a lock, and its verifier with it.
func TestLoginEnds(t *testing.T) {
	w := startCode(t)
	for name, end := range map[string]func(){
		"ten minutes": func() { w.clock.Add(int64(loginLife)) },
		"a lock": func() {
			if err := w.admin.Lock(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.unlock()
		},
	} {
		begun := w.begin(w.public("p"))
		a := w.answer("p", begun.GetId(), w.browse(t, begun.GetAuthorizeUrl(), "allow"))
		end()
		if _, err := w.admin.FinishLogin(t.Context(), a); !is(err, pb.CodeNotFound) {
			t.Errorf("after %s: got %v", name, err)
		}
	}
	if err := w.admin.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.admin.BeginLogin(t.Context(), w.public("p")); !errors.Is(err, client.ErrLocked) {
		t.Errorf("locked: got %v", err)
	}
	w.unlock()
	for range maxLogins {
		w.begin(w.public("p"))
	}
	if _, err := w.admin.BeginLogin(t.Context(), w.public("p")); !errors.Is(err, client.ErrLimited) {
		t.Errorf("one login too many: got %v", err)
	}
}

// What cannot become a login is refused before anybody is asked.
func TestLoginIsChecked(t *testing.T) {
	w := startCode(t)
	w.login(w.confidential("there"))
	w.addTBA("tba", func(p *pb.Profile) { p.Endpoint, p.Ca = w.ep.URL, string(w.ep.CAPEM) })
	change := func(l client.Login, f func(*client.Login)) client.Login { f(&l); return l }
	for name, test := range map[string]struct {
		login client.Login
		code  pb.Code
		says  string
	}{
		"no flow":                {change(w.public("p"), func(l *client.Login) { l.Flow = "implicit" }), pb.CodeRequest, "no flow"},
		"a role in OAuth 2.0":    {change(w.public("p"), func(l *client.Login) { l.Role = "3" }), pb.CodeRequest, "three-step flow only"},
		"a role that is none":    {change(w.tba("p"), func(l *client.Login) { l.Role = `3", x="` }), pb.CodeRequest, "not an internal ID"},
		"no name":                {change(w.public("p"), func(l *client.Login) { l.Profile.Name = "" }), pb.CodeRequest, "not a profile name"},
		"plain http":             {change(w.public("p"), func(l *client.Login) { l.RedirectURI = "http://127.0.0.1/cb" }), pb.CodeCredential, "plain http"},
		"a script":               {change(w.public("p"), func(l *client.Login) { l.RedirectURI = "javascript:alert(1)" }), pb.CodeCredential, "scheme"},
		"a fragment":             {change(w.public("p"), func(l *client.Login) { l.RedirectURI = "https://h.example/#x" }), pb.CodeCredential, "fragment"},
		"no redirect URI":        {change(w.public("p"), func(l *client.Login) { l.Profile.RedirectUri = "" }), pb.CodeCredential, "missing"},
		"mcp and more":           {change(w.public("p"), func(l *client.Login) { l.Profile.Scopes = []string{"mcp", "restlets"} }), pb.CodeCredential, "no other scope"},
		"a scope of openid":      {change(w.public("p"), func(l *client.Login) { l.Profile.Scopes = []string{"openid"} }), pb.CodeCredential, "unknown scope"},
		"no scopes":              {change(w.public("p"), func(l *client.Login) { l.Profile.Scopes = nil }), pb.CodeCredential, "scopes are missing"},
		"another auth":           {change(w.public("p"), func(l *client.Login) { l.Profile.Auth = "m2m" }), pb.CodeRequest, "this flow is for authcode"},
		"a consumer secret":      {change(w.public("p"), func(l *client.Login) { l.Secrets = w.tba("p").Secrets }), pb.CodeCredential, "does not belong"},
		"a secret with a blank":  {change(w.confidential("p"), func(l *client.Login) { l.Secrets["client_secret"] = w.sealer("a b") }), pb.CodeCredential, "character"},
		"no consumer secret":     {change(w.tba("p"), func(l *client.Login) { l.Secrets = nil }), pb.CodeCredential, "consumer_secret is missing"},
		"a token ID":             {change(w.tba("p"), func(l *client.Login) { l.Profile.TokenId = sample(3) }), pb.CodeCredential, "token_id"},
		"no callback":            {change(w.tba("p"), func(l *client.Login) { l.RedirectURI = "" }), pb.CodeCredential, "missing"},
		"a callback elsewhere":   {change(w.tba("p"), func(l *client.Login) { l.RedirectURI = "http://evil.example/cb" }), pb.CodeCredential, "http://localhost"},
		"an unknown callback":    {change(w.tba("p"), func(l *client.Login) { l.RedirectURI = "https://other.example/cb" }), pb.CodeNetSuite, "callback"},
		"a wrong secret":         {change(w.tba("p"), func(l *client.Login) { l.Secrets["consumer_secret"] = w.sealer(sample(99)) }), pb.CodeNetSuite, "consumer secret"},
		"an unknown key":         {change(w.tba("p"), func(l *client.Login) { l.Profile.ConsumerKey = sample(98) }), pb.CodeNetSuite, "no integration record"},
		"a profile of its own":   {w.confidential("there"), pb.CodeExists, "exists already"},
		"more scopes":            {client.Login{Flow: "pkce", Profile: &pb.Profile{Name: "there", Scopes: []string{"restlets"}}}, pb.CodeDenied, "has no scope"},
		"the other flow":         {client.Login{Flow: "3sa", Profile: &pb.Profile{Name: "there"}, RedirectURI: "http://localhost:1/"}, pb.CodeRequest, "this flow is for tba"},
		"scopes for a TBA token": {client.Login{Flow: "3sa", Profile: &pb.Profile{Name: "tba", Scopes: []string{"restlets"}}, RedirectURI: "http://localhost:1/"}, pb.CodeCredential, "scopes do not belong"},
	} {
		_, err := w.admin.BeginLogin(t.Context(), test.login)
		if !is(err, test.code) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: got %v, want %s with %q", name, err, test.code, test.says)
		}
	}
}

// NetSuite refuses a client that is not what it says it is; the message says what to look
// at.
func TestWrongClient(t *testing.T) {
	w := startCode(t)
	confidential := w.confidential("p")
	for name, test := range map[string]struct {
		change func(*client.Login)
		says   string
	}{
		"a wrong secret":               {func(l *client.Login) { l.Secrets = map[string]client.Sealer{"client_secret": w.sealer(sample(90))} }, "invalid_client"},
		"a secret for a public client": {func(l *client.Login) { l.Profile.ClientId = publicID22() }, "client secret"},
		"none for a confidential one":  {func(l *client.Login) { l.Secrets = nil }, "invalid_client"},
	} {
		l := client.Login{Flow: confidential.Flow, Profile: w.codeProfile("p", confidentialID(), "rest_webservices"), Secrets: confidential.Secrets}
		test.change(&l)
		begun := w.begin(l)
		_, err := w.admin.FinishLogin(t.Context(), w.answer("p", begun.GetId(), w.browse(t, begun.GetAuthorizeUrl(), "allow")))
		if !errors.Is(err, client.ErrNetSuite) || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), sample(90)) {
			t.Errorf("%s: got %v, want %q", name, err, test.says)
		}
	}
}

// Somebody who said no has said it to both flows.
func TestDenied(t *testing.T) {
	w := startCode(t)
	for _, l := range []client.Login{w.public("p"), w.tba("q")} {
		begun := w.begin(l)
		q := w.browse(t, begun.GetAuthorizeUrl(), "deny")
		name := l.Profile.GetName()
		if _, err := w.admin.FinishLogin(t.Context(), w.answer(name, begun.GetId(), q)); !errors.Is(err, client.ErrDeclined) || !strings.Contains(err.Error(), "said no") {
			t.Errorf("%s: got %v", l.Flow, err)
		}
	}
}

// Who logs in again gets a consent in the place of the one before; a profile that changed
// meanwhile does not.
func TestLoginAgain(t *testing.T) {
	w := startCode(t)
	first := w.login(w.public("p"))
	again := client.Login{Flow: "pkce", Profile: &pb.Profile{Name: "p", Scopes: []string{"restlets"}}}
	p := w.login(again)
	if p.GetCreatedAt() != first.GetCreatedAt() || len(p.GetVersions()) != 1 || p.GetVersions()[0].GetNumber() != 2 || strings.Join(p.GetScopes(), " ") != "restlets" {
		t.Errorf("after another login: %v", p)
	}
	w.mustToken("p")

	begun := w.begin(client.Login{Flow: "pkce", Profile: &pb.Profile{Name: "p"}})
	if _, err := w.admin.EditProfile(t.Context(), "p", client.ProfileEdit{Profile: &pb.Profile{ClientId: mcpID()}, Fields: []string{"client_id"}}); err != nil {
		t.Fatal(err)
	}
	_, err := w.admin.FinishLogin(t.Context(), w.answer("p", begun.GetId(), w.browse(t, begun.GetAuthorizeUrl(), "allow")))
	if !errors.Is(err, client.ErrLimited) || !strings.Contains(err.Error(), "was changed during the login") {
		t.Errorf("changed meanwhile: got %v", err)
	}
}

// After a refresh of the sandbox nothing is used until somebody has logged in again.
func TestLoginAfterRefreshOfSandbox(t *testing.T) {
	w := startCode(t)
	w.login(w.public("p"))
	w.login(w.tba("t"))
	if _, err := w.admin.MarkRefreshed(t.Context(), "p", false); err != nil {
		t.Fatal(err)
	}
	if _, err := w.tokenOf("p"); !errors.Is(err, client.ErrStale) {
		t.Errorf("got %v", err)
	}
	for name, flow := range map[string]string{"p": "pkce", "t": "3sa"} {
		p := w.login(client.Login{Flow: flow, Profile: &pb.Profile{Name: name}, RedirectURI: map[string]string{"p": "", "t": "http://localhost:7777/callback"}[name]})
		if p.GetStaleSince() != 0 {
			t.Errorf("%s is stale after a login: %v", name, p)
		}
	}
	w.accepted(t, w.mustToken("p"))
	if _, err := w.signer.Sign(t.Context(), client.Request{Profile: "t", URL: w.ep.URL + "/x"}); err != nil {
		t.Error(err)
	}
}

// The three-step flow brings a token that signs, for the role that was asked for, and the
// next one keeps it for an hour.
func TestThreeStepLogin(t *testing.T) {
	w := startCode(t)
	p := w.login(w.tba("p"))
	if p.GetAuth() != "tba" || len(p.GetTokenId()) != 64 || p.GetRole() != "1042" || p.GetEntity() != "17" || p.GetAuthorizedAt() == 0 || p.GetRedirectUri() != "" {
		t.Errorf("stored %v", p)
	}
	works := func() {
		t.Helper()
		u := w.ep.URL + "/services/rest/record/v1/customer/1"
		s, err := w.signer.Sign(t.Context(), client.Request{Profile: "p", URL: u})
		if err != nil {
			t.Fatal(err)
		}
		if status := w.get(t, u, s.GetAuthorization()); status != 200 {
			t.Errorf("NetSuite answers %d", status)
		}
	}
	works()
	q := w.login(client.Login{Flow: "3sa", Profile: &pb.Profile{Name: "p"}, RedirectURI: "http://localhost:7777/callback"})
	if q.GetTokenId() == p.GetTokenId() || len(q.GetVersions()) != 2 || q.GetVersions()[1].GetState() != "previous" || q.GetCreatedAt() != p.GetCreatedAt() {
		t.Errorf("after another login: %v", q)
	}
	works()
	begun := w.begin(w.tba("x"))
	a := w.answer("x", begun.GetId(), w.browse(t, begun.GetAuthorizeUrl(), "allow"))
	a.RequestToken = sample(1)
	if _, err := w.admin.FinishLogin(t.Context(), a); !errors.Is(err, client.ErrDenied) {
		t.Errorf("with another request token: got %v", err)
	}
	if got := w.exchanges("/rest/accesstoken"); got != 2 {
		t.Errorf("%d requests of step three, want 2", got)
	}
}

// Nothing of a hostile or broken answer is stored, whatever the step.
func TestLoginOverBadNetwork(t *testing.T) {
	w := startCode(t)
	faults := map[string]nstest.Fault{
		"a page": {Kind: "html"}, "a redirect": {Kind: "redirect", Location: "https://evil.example/"}, "a cut": {Kind: "cut", After: 30},
		"5xx": {Kind: "status", Status: 500}, "rate": {Kind: "rate"}, "no answer": {Kind: "drop"}, "half": {Kind: "status", Status: 200, Body: `{"access_token":"x","expires_in":3600}`},
	}
	for name, f := range faults {
		f.Path = "/services/rest/auth/oauth2/v1/token"
		w.inject(t, f)
		begun := w.begin(w.public("p"))
		_, err := w.admin.FinishLogin(t.Context(), w.answer("p", begun.GetId(), w.browse(t, begun.GetAuthorizeUrl(), "allow")))
		if !errors.Is(err, client.ErrNetSuite) && !errors.Is(err, client.ErrNetwork) {
			t.Errorf("%s in place of a token: got %v", name, err)
		}
		f.Path = "/rest/requesttoken"
		w.inject(t, f)
		if _, err := w.admin.BeginLogin(t.Context(), w.tba("q")); !errors.Is(err, client.ErrNetSuite) && !errors.Is(err, client.ErrNetwork) {
			t.Errorf("%s in place of a request token: got %v", name, err)
		}
	}
	r, err := w.signer.Profiles(t.Context())
	if err != nil || len(r.GetProfiles()) != 0 {
		t.Errorf("stored: %v, %v", r, err)
	}
}
