package nstest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestConsentPage goes through the page as a browser without scripts does.
func TestConsentPage(t *testing.T) {
	a := codeAccount()
	a.Users = []User{
		{Name: "Ada & Bob", Entity: "5", Role: "3", RoleName: "Integration"}, {Name: "Eve", Entity: "6", Role: "1001"},
		{Name: "Old", Entity: "7", Role: "3", Disabled: true},
	}
	n := start(t, Config{Accounts: []Account{a}})
	q := query("conf")
	q.Set("scope", "restlets rest_webservices")
	s := n.send("GET", pageURL+"?"+q.Encode(), "", nil)
	s.expect(t, "the page", 200, "", "")
	for _, want := range []string{"Confidential &lt;app&gt;", "account 123456_SB1", "call RESTlets", "use REST web services", "Ada &amp; Bob, Integration", "Eve, role 1001", "app.example.com"} {
		if !strings.Contains(s.body, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	policy := s.header.Get("Content-Security-Policy")
	if strings.Contains(s.body, "<script") || !strings.HasPrefix(policy, "default-src 'none'; style-src 'sha256-") || strings.Contains(policy, "form-action") || s.header.Get("Cache-Control") != "no-store" {
		t.Errorf("the page comes with %v", s.header)
	}

	at, err := Visit(context.Background(), n.client, pageURL+"?"+q.Encode(), Decision{Allow: true, User: 1})
	if err != nil {
		t.Fatal(err)
	}
	back := at.Query()
	if at.Host != "app.example.com" || back.Get("entity") != "6" || back.Get("role") != "1001" || back.Get("state") != stateA || back.Get("code") == "" {
		t.Errorf("sent to %s", at)
	}
	if last := n.Verdicts()[len(n.Verdicts())-1]; !last.OK || last.User != "6" || last.Integration != "Confidential <app>" || last.Channel != ChannelAuthorize {
		t.Errorf("the verdict is %s", last)
	}
	for what, tc := range map[string]struct {
		decision Decision
		code     string
		detail   string
	}{
		"a no":            {Decision{}, "access_denied", "AuthorizationExplicitlyDenied"},
		"a disabled user": {Decision{Allow: true, User: 2}, "access_denied", "EntityOrRoleDisabled"},
	} {
		q.Set("state", stateA+randomHex())
		at, err := Visit(context.Background(), n.client, pageURL+"?"+q.Encode(), tc.decision)
		if err != nil {
			t.Fatal(err)
		}
		if got := at.Query(); got.Get("error") != tc.code || got.Get("state") != q.Get("state") || got.Has("code") {
			t.Errorf("%s: sent to %s", what, at)
		}
		if last := n.Verdicts()[len(n.Verdicts())-1]; last.OK || last.Detail != tc.detail || last.Status != 302 {
			t.Errorf("%s: %s", what, last)
		}
	}
	if _, err := Visit(context.Background(), n.client, pageURL, Decision{}); !errors.Is(err, ErrPage) {
		t.Errorf("an error page: %v", err)
	}
}

// TestConsentForm sends what the page's form would, and what it would not.
func TestConsentForm(t *testing.T) {
	n := start(t, Config{Accounts: []Account{codeAccount()}})
	open := func() string {
		id, ok := between(n.send("GET", pageURL+"?"+query("conf").Encode(), "", nil).body, `name="consent" value="`)
		if !ok {
			t.Fatal("there is no page")
		}
		return id
	}
	post := func(to string, f url.Values, origin string) sent {
		h := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
		if origin != "" {
			h.Set("Origin", origin)
		}
		return n.send("POST", to, f.Encode(), h)
	}
	decision := func(id, what, user string) url.Values {
		return url.Values{"consent": {id}, "decision": {what}, "user": {user}}
	}
	const own = "https://123456-sb1.app.netsuite.com"
	id := open()
	post(pageURL, decision(id, "allow", "0"), "https://evil.example").expect(t, "from another origin", 403, ReasonWrongHost, "")
	post(pageURL, decision(id, "allow", "0"), "null").expect(t, "from no origin", 403, ReasonWrongHost, "")
	post(own+authorizeTokenPath, decision(id, "allow", "0"), own).expect(t, "to the other page", 400, ReasonInvalidRequest, "page-decided-twice")
	post(pageURL, decision(id, "allow", "0"), own).expect(t, "as it should be", 302, "", "")
	post(pageURL, decision(id, "allow", "0"), own).expect(t, "again", 400, ReasonInvalidRequest, "page-decided-twice")
	post(pageURL, decision(open(), "allow", "0"), own).expect(t, "the state again", 302, ReasonInvalidState, "state-used-twice")
	post(pageURL, decision(open(), "allow", "1"), own).expect(t, "a user who is not there", 400, ReasonInvalidRequest, "")
	post(pageURL, decision(open(), "maybe", "0"), own).expect(t, "neither", 400, ReasonInvalidRequest, "")
	id = open()
	n.clock.seconds.Add(900)
	post(pageURL, decision(id, "allow", "0"), own).expect(t, "too late", 400, ReasonInvalidRequest, "page-decided-twice")
	s := n.send("GET", "https://123456-sb1.suitetalk.api.netsuite.com"+authorizePath, "", nil)
	s.expect(t, "another host", 403, ReasonWrongHost, "wrong-service-host")

	open()
	for i := range maxConsents - 1 {
		if _, ok := n.consents.add(consent{asked: n.clock.now()}); !ok {
			t.Fatalf("full at %d", i)
		}
	}
	n.send("GET", pageURL+"?"+query("conf").Encode(), "", nil).expect(t, "one page too many", 503, ReasonBusy, "")
}

// TestStepOneWithoutRedirect shows an error page where there is nobody to send
// the user back to.
func TestStepOneWithoutRedirect(t *testing.T) {
	n := start(t, Config{Accounts: []Account{codeAccount()}})
	for what, tc := range map[string]struct {
		edit    func(url.Values)
		reason  Reason
		mistake string
	}{
		"another client":        {func(q url.Values) { q.Set("client_id", "nobody") }, ReasonUnknownIntegration, ""},
		"no client":             {func(q url.Values) { q.Del("client_id") }, ReasonUnknownIntegration, ""},
		"another redirect URI":  {func(q url.Values) { q.Set("redirect_uri", callbackA+"&x=1") }, ReasonInvalidRedirectURI, ""},
		"plain http, localhost": {func(q url.Values) { q.Set("redirect_uri", "http://localhost:1/") }, ReasonInvalidRedirectURI, "redirect-uri-http"},
		"no redirect URI":       {func(q url.Values) { q.Del("redirect_uri") }, ReasonInvalidRedirectURI, ""},
		"a parameter twice":     {func(q url.Values) { q.Add("state", stateA) }, ReasonInvalidRequest, ""},
	} {
		q := query("conf")
		tc.edit(q)
		s := n.send("GET", pageURL+"?"+q.Encode(), "", nil)
		s.expect(t, what, 400, tc.reason, tc.mistake)
		if s.header.Get("Location") != "" || !strings.HasPrefix(s.header.Get("Content-Type"), "text/html") || !strings.Contains(s.body, string(tc.reason)) {
			t.Errorf("%s: answered %v %s", what, s.header, s.body)
		}
	}
}

func TestStepOneRefusals(t *testing.T) {
	a := codeAccount()
	a.Integrations = append(a.Integrations,
		Integration{ConsumerKey: "blocked", ConsumerSecret: "s", RedirectURIs: []string{callbackA}, State: "blocked"},
		Integration{ConsumerKey: "m2m", ConsumerSecret: "s", RedirectURIs: []string{callbackA}, GrantTypes: []string{"client_credentials"}})
	n := start(t, Config{Accounts: []Account{a}})
	for _, tc := range []struct {
		what, client string
		edit         func(url.Values)
		code         string
		reason       Reason
		mistake      string
	}{
		{"no state", "conf", func(q url.Values) { q.Del("state") }, "invalid_request", ReasonInvalidState, "state-form"},
		{"21 characters of state", "conf", func(q url.Values) { q.Set("state", stateA[:21]) }, "invalid_request", ReasonInvalidState, "state-form"},
		{"1025 characters of state", "conf", func(q url.Values) { q.Set("state", strings.Repeat("s", 1025)) }, "invalid_request", ReasonInvalidState, "state-form"},
		{"a state that does not print", "conf", func(q url.Values) { q.Set("state", stateA+"\n") }, "invalid_request", ReasonInvalidState, "state-form"},
		{"response type", "conf", func(q url.Values) { q.Set("response_type", "token") }, "unsupported_response_type", ReasonUnsupportedResponse, ""},
		{"no scope", "conf", func(q url.Values) { q.Del("scope") }, "invalid_scope", ReasonInvalidScope, ""},
		{"unknown scope", "conf", func(q url.Values) { q.Set("scope", "everything") }, "invalid_scope", ReasonInvalidScope, ""},
		{"scope twice", "conf", func(q url.Values) { q.Set("scope", "restlets restlets") }, "invalid_scope", ReasonInvalidScope, ""},
		{"scope of no box", "conf", func(q url.Values) { q.Set("scope", "suite_analytics") }, "invalid_scope", ReasonScopeMismatched, ""},
		{"mcp of no box", "conf", func(q url.Values) { q.Set("scope", "mcp") }, "invalid_scope", ReasonScopeMismatched, ""},
		{"mcp in company", "ai", func(q url.Values) { q.Set("scope", "mcp restlets") }, "invalid_scope", ReasonInvalidScope, "mcp-not-alone"},
		{"mcp without PKCE", "ai", func(q url.Values) { q.Set("scope", "mcp"); q.Del("code_challenge"); q.Del("code_challenge_method") }, "invalid_request", ReasonInvalidRequest, "pkce-missing"},
		{"mcp, prompt none", "ai", func(q url.Values) { q.Set("scope", "mcp"); q.Set("prompt", "none") }, "invalid_request", ReasonInvalidRequest, "prompt-none"},
		{"public without PKCE", "pub", func(q url.Values) { q.Del("code_challenge"); q.Del("code_challenge_method") }, "invalid_request", ReasonInvalidRequest, "pkce-missing"},
		{"plain PKCE", "conf", func(q url.Values) { q.Set("code_challenge_method", "plain") }, "invalid_request", ReasonInvalidRequest, "pkce-method"},
		{"PKCE without method", "conf", func(q url.Values) { q.Del("code_challenge_method") }, "invalid_request", ReasonInvalidRequest, "pkce-method"},
		{"a method alone", "conf", func(q url.Values) { q.Del("code_challenge") }, "invalid_request", ReasonInvalidRequest, "pkce-missing"},
		{"a challenge that is none", "conf", func(q url.Values) { q.Set("code_challenge", verifierA) }, "invalid_request", ReasonInvalidRequest, "pkce-challenge"},
		{"prompt", "conf", func(q url.Values) { q.Set("prompt", "consent login") }, "invalid_request", ReasonInvalidRequest, ""},
		{"blocked record", "blocked", func(url.Values) {}, "unauthorized_client", ReasonIntegrationBlocked, ""},
		{"record for machines", "m2m", func(url.Values) {}, "unauthorized_client", ReasonCodeGrantRequired, ""},
	} {
		q := query(tc.client)
		tc.edit(q)
		s := n.send("GET", pageURL+"?"+q.Encode(), "", nil)
		s.expect(t, tc.what, 302, tc.reason, tc.mistake)
		back, err := url.Parse(s.header.Get("Location"))
		if err != nil || back.Query().Get("error") != tc.code || back.Host != "app.example.com" || back.Query().Has("code") {
			t.Errorf("%s: sent to %s, want %s", tc.what, back, tc.code)
		}
		if echoed := back.Query().Get("state"); (tc.reason == ReasonInvalidState) == (echoed != "") || strings.Contains(s.header.Get("Location"), "%0A") {
			t.Errorf("%s: the state that comes back is %q", tc.what, echoed)
		}
	}
	for _, prompt := range []string{"login", "consent", "login consent"} {
		q := query("conf")
		q.Set("prompt", prompt)
		n.send("GET", pageURL+"?"+q.Encode(), "", nil).expect(t, prompt, 200, "", "")
		shared := strings.Replace(pageURL, "123456-sb1.app", "system", 1)
		want := map[bool]Reason{true: ReasonInvalidRequest}[strings.HasPrefix(prompt, "login")]
		if s := n.send("GET", shared+"?"+q.Encode(), "", nil); s.verdict.Reason != want {
			t.Errorf("%s on the shared domain: %s", prompt, s.verdict)
		}
	}
	n = start(t, Config{Accounts: []Account{a}, Settings: Settings{RequirePKCE: true}})
	q := query("conf")
	q.Del("code_challenge")
	q.Del("code_challenge_method")
	n.send("GET", pageURL+"?"+q.Encode(), "", nil).expect(t, "a confidential client in 2027", 302, ReasonInvalidRequest, "pkce-missing")
}

// TestCustomScheme redirects to an application's own scheme.
func TestCustomScheme(t *testing.T) {
	n := start(t, Config{Accounts: []Account{codeAccount()}})
	q := query("conf")
	q.Set("redirect_uri", "myapp://callback")
	s, back := n.agree(q)
	if !strings.HasPrefix(s.header.Get("Location"), "myapp://callback?state=") || back.Get("code") == "" {
		t.Errorf("sent to %s", s.header.Get("Location"))
	}
}

// TestMCP uses a token with the scope mcp, which opens nothing else.
func TestMCP(t *testing.T) {
	n := start(t, Config{Accounts: []Account{codeAccount()}})
	q := query("ai")
	q.Set("scope", "mcp")
	_, back := n.agree(q)
	s := n.basic(tokenURL, codeForm(back.Get("code")), "ai", "s")
	s.expect(t, "step two", 200, "", "")
	access := http.Header{"Authorization": {"Bearer " + member(t, s, "access_token")}}
	const all = "https://123456-sb1.suitetalk.api.netsuite.com/services/mcp/v1/all"
	s = n.send("POST", all, `{"jsonrpc":"2.0","id":7,"method":"initialize"}`, access)
	s.expect(t, "a call", 200, "", "")
	if got := decode(t, s.body); got["id"] != 7.0 || got["jsonrpc"] != "2.0" || got["result"] == nil {
		t.Errorf("answered %s", s.body)
	}
	n.send("POST", all, `{"jsonrpc":"2.0","method":"note"}`, access).expect(t, "a notification", 202, "", "")
	n.send("POST", all, `[]`, access).expect(t, "no call", 400, "", "")
	n.send("POST", all, "{}", orderFor(all).header()).expect(t, "OAuth 1.0", 401, ReasonInvalidRequest, "")
	n.send("GET", recordURL, "", access).expect(t, "records", 401, ReasonScopeMismatched, "")
	s = n.basic(tokenURL, codeForm(n.freshCode("conf")), "conf", secretCode)
	n.send("POST", all, "{}", http.Header{"Authorization": {"Bearer " + member(t, s, "access_token")}}).expect(t, "another scope", 401, ReasonScopeMismatched, "")
}

// TestKeys verifies an access token with the published key alone.
func TestKeys(t *testing.T) {
	n := start(t, Config{Accounts: []Account{codeAccount()}})
	const keysURL = "https://123456-sb1.suitetalk.api.netsuite.com/services/rest/auth/oauth2/v1/keys"
	s := n.send("GET", keysURL, "", nil)
	s.expect(t, "keys", 200, "", "")
	key := decode(t, s.body)["keys"].([]any)[0].(map[string]any)
	point := []byte{4}
	for _, name := range []string{"x", "y"} {
		b, err := base64.RawURLEncoding.DecodeString(key[name].(string))
		if err != nil || len(b) != 32 {
			t.Fatalf("%s is %v", name, key[name])
		}
		point = append(point, b...)
	}
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil || key["kty"] != "EC" || key["crv"] != "P-256" || key["alg"] != "ES256" || key["kid"] != "nstest" {
		t.Fatalf("the key is %v, %v", key, err)
	}
	j, err := parseJWT(member(t, n.basic(tokenURL, codeForm(n.freshCode("conf")), "conf", secretCode), "access_token"))
	if err != nil {
		t.Fatal(err)
	}
	alg, _ := findAlgorithm("ES256")
	if refused := verifyJWT(j, alg, public); refused != nil {
		t.Error(refused.explain)
	}
	n.send("POST", keysURL, "", nil).expect(t, "POST", 400, ReasonInvalidRequest, "")
}

func TestSwitchesOfOAuth2(t *testing.T) {
	a := codeAccount()
	a.Users = []User{{Name: "Ada", Entity: "5", Role: "3"}}
	n := start(t, Config{Accounts: []Account{a}, Settings: Settings{
		CodeSeconds: 5, AccessTokenSeconds: 120, RefreshTokenSeconds: 300, TokenType: "Bearer", ExpiresText: true, UnauthorizedClientStatus: 401,
	}})
	code := n.freshCode("conf")
	n.clock.seconds.Add(5)
	n.basic(tokenURL, codeForm(code), "conf", secretCode).expect(t, "five seconds later", 400, ReasonInvalidGrant, "code-expired")
	s := n.basic(tokenURL, codeForm(n.freshCode("conf")), "conf", secretCode)
	if got := decode(t, s.body); got["expires_in"] != "120" || got["token_type"] != "Bearer" {
		t.Errorf("answered %s", s.body)
	}
	access, refresh := member(t, s, "access_token"), member(t, s, "refresh_token")
	n.basic(tokenURL, codeForm("x"), keyA, secretA).expect(t, "unauthorized_client", 401, ReasonCodeGrantRequired, "")
	n.clock.seconds.Add(119)
	n.api("in its last second", access, 200, "", "")
	n.clock.seconds.Add(1)
	n.api("after it", access, 401, ReasonAccessTokenExpired, "")
	n.clock.seconds.Add(180)
	n.basic(tokenURL, refreshForm(refresh), "conf", secretCode).expect(t, "after 300 seconds", 400, ReasonRefreshTokenExpired, "")

	// What an administrator switches off while a login lives.
	s = n.basic(tokenURL, codeForm(n.freshCode("conf")), "conf", secretCode)
	access, refresh = member(t, s, "access_token"), member(t, s, "refresh_token")
	live := n.accounts[0]
	live.Users[0].Disabled = true
	n.api("a disabled user", access, 401, ReasonEntityOrRole, "")
	n.basic(tokenURL, refreshForm(refresh), "conf", secretCode).expect(t, "its refresh", 400, ReasonEntityOrRole, "")
	live.Users[0].Disabled, live.Integrations[1].Scopes = false, []string{"restlets"}
	n.basic(tokenURL, refreshForm(refresh), "conf", secretCode).expect(t, "a scope that went", 400, ReasonScopeMismatched, "")
	live.Integrations[1].State = "blocked"
	n.api("a blocked record", access, 401, ReasonIntegrationBlocked, "")
	n.basic(tokenURL, refreshForm(refresh), "conf", secretCode).expect(t, "its refresh", 400, ReasonIntegrationBlocked, "")
	live.OAuth2Disabled = true
	n.api("OAuth 2.0 off", access, 401, ReasonFeatureDisabled, "")
	s, back := n.agree(query("conf"))
	if s.verdict.Reason != ReasonFeatureDisabled || back.Get("error") != "unauthorized_client" {
		t.Errorf("step one: %s", s.verdict)
	}
}

func TestChainsAreBounded(t *testing.T) {
	a := newAccount(codeAccount(), Settings{})
	at := clockAt(pinned).now()
	for i := range maxCodes {
		if !a.addCode(&grantedCode{code: randomHex(), expires: at}, at) || !a.begin(&chain{id: randomHex(), ends: at}, "", at) {
			t.Fatalf("full at %d", i)
		}
	}
	if a.addCode(&grantedCode{code: "x"}, at) || a.begin(&chain{id: "x"}, "", at) {
		t.Error("not bounded")
	}
	later := at.AddDate(0, 2, 0)
	if !a.addCode(&grantedCode{code: "x", expires: later}, later) || !a.begin(&chain{id: "x", ends: later}, "", later) || len(a.codes) != 1 || len(a.chains) != 1 {
		t.Errorf("%d codes and %d chains are kept past their time", len(a.codes), len(a.chains))
	}
}

func TestIntegrationRules(t *testing.T) {
	for what, edit := range map[string]func(*Integration){
		"http":                   func(i *Integration) { i.RedirectURIs = []string{"http://localhost:1/"} },
		"a relative URI":         func(i *Integration) { i.RedirectURIs = []string{"/cb"} },
		"a fragment":             func(i *Integration) { i.RedirectURIs = []string{"https://a/#b"} },
		"mcp in company":         func(i *Integration) { i.Scopes = []string{"mcp", "restlets"} },
		"an unknown scope":       func(i *Integration) { i.Scopes = []string{"openid"} },
		"an unknown grant":       func(i *Integration) { i.GrantTypes = []string{"password"} },
		"no redirect URI":        func(i *Integration) { i.GrantTypes, i.RedirectURIs = []string{"authorization_code"}, nil },
		"public machines":        func(i *Integration) { i.Public, i.GrantTypes = true, []string{"client_credentials"} },
		"more than 720 hours":    func(i *Integration) { i.RefreshHours = 721 },
		"less than none":         func(i *Integration) { i.RotationHours = -1 },
		"no secret, yet private": func(i *Integration) { i.ConsumerSecret = "" },
	} {
		a := codeAccount()
		if err := (Config{Accounts: []Account{a}}).Check(); err != nil {
			t.Fatal(err)
		}
		edit(&a.Integrations[1])
		if err := (Config{Accounts: []Account{a}}).Check(); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", what, err)
		}
	}
	a := codeAccount()
	a.Users = []User{{Name: "Ada", Entity: "x", Role: "3"}}
	if err := (Config{Accounts: []Account{a}}).Check(); !errors.Is(err, ErrConfig) {
		t.Errorf("an entity that is no number: %v", err)
	}
}
