package nstest

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

const (
	pageURL    = "https://123456-sb1.app.netsuite.com" + authorizePath
	revokeURL  = "https://123456-sb1.suitetalk.api.netsuite.com/services/rest/auth/oauth2/v1/revoke"
	callbackA  = "https://app.example.com/cb?from=netsuite"
	verifierA  = "abcdefghijklmnopqrstuvwxyz0123456789-._~ABCDEF"
	stateA     = "state-of-at-least-22-characters"
	secretCode = "code grant secret"
)

// codeAccount has a confidential client "conf", a public one "pub" and one for
// the AI Connector Service, "ai".
func codeAccount() Account {
	a := account1()
	a.Integrations = append(a.Integrations,
		Integration{Name: "Confidential <app>", ConsumerKey: "conf", ConsumerSecret: secretCode, RedirectURIs: []string{callbackA, "myapp://callback"}, Scopes: []string{"restlets", "rest_webservices"}},
		Integration{Name: "Public app", ConsumerKey: "pub", Public: true, RedirectURIs: []string{callbackA}},
		Integration{Name: "AI", ConsumerKey: "ai", ConsumerSecret: "s", RedirectURIs: []string{callbackA}, Scopes: []string{"mcp"}},
	)
	return a
}

// query is a right request of step one for a client, with PKCE.
func query(client string) url.Values {
	sum := sha256.Sum256([]byte(verifierA))
	return url.Values{
		"response_type": {"code"}, "client_id": {client}, "redirect_uri": {callbackA}, "scope": {"rest_webservices"}, "state": {stateA},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}
}

// agree asks for the page and agrees at once.
func (n *netsuite) agree(q url.Values) (sent, url.Values) {
	n.t.Helper()
	s := n.send("GET", pageURL+"?"+q.Encode()+"&nstest_allow=1", "", nil)
	back, err := url.Parse(s.header.Get("Location"))
	if err != nil {
		n.t.Fatal(err)
	}
	return s, back.Query()
}

// freshCode logs in and returns the code.
func (n *netsuite) freshCode(client string) string {
	n.t.Helper()
	q := query(client)
	q.Set("state", stateA+randomHex())
	s, back := n.agree(q)
	s.expect(n.t, "step one", 302, "", "")
	return back.Get("code")
}

func codeForm(code string) url.Values {
	return url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callbackA}, "code_verifier": {verifierA}}
}

func refreshForm(token string) url.Values {
	return url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}
}

// basic posts a form as a client that authenticates by Basic.
func (n *netsuite) basic(to string, form url.Values, id, secret string) sent {
	n.t.Helper()
	return n.send("POST", to, form.Encode(), http.Header{
		"Content-Type":  {"application/x-www-form-urlencoded"},
		"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret)))},
	})
}

// as names the client in the body.
func as(client string, form url.Values) url.Values {
	form.Set("client_id", client)
	return form
}

func (n *netsuite) api(what, access string, status int, reason Reason, mistake string) {
	n.t.Helper()
	n.send("GET", recordURL, "", http.Header{"Authorization": {"Bearer " + access}}).expect(n.t, what, status, reason, mistake)
}

// member is a text in a JSON answer.
func member(t *testing.T, s sent, name string) string {
	t.Helper()
	out, _ := decode(t, s.body)[name].(string)
	return out
}

// TestConfidentialClient logs in, and refreshes for seven days with one refresh
// token that is not replaced.
func TestConfidentialClient(t *testing.T) {
	n := start(t, Config{Accounts: []Account{codeAccount()}})
	s, back := n.agree(query("conf"))
	s.expect(t, "step one", 302, "", "")
	if back.Get("from") != "netsuite" || back.Get("state") != stateA || back.Get("company") != "123456_SB1" || back.Get("role") != "3" || back.Get("entity") != "-5" {
		t.Errorf("sent back with %v", back)
	}
	s = n.basic(tokenURL, codeForm(back.Get("code")), "conf", secretCode)
	s.expect(t, "step two", 200, "", "")
	first := decode(t, s.body)
	refresh, access := member(t, s, "refresh_token"), member(t, s, "access_token")
	if first["expires_in"] != 3600.0 || first["token_type"] != "bearer" || len(first) != 4 || s.header.Get("Cache-Control") != "no-store" || s.verdict.User != "-5" {
		t.Errorf("answered %s, %s", s.body, s.verdict)
	}
	n.api("with the access token", access, 200, "", "")
	n.send("GET", restletURL, "", http.Header{"Authorization": {"Bearer " + access}}).expect(t, "a scope not asked for", 401, ReasonScopeMismatched, "")
	n.api("with the refresh token", refresh, 401, ReasonInvalidTokenType, "refresh-token-as-access-token")
	n.clock.seconds.Add(3600)
	n.api("an hour later", access, 401, ReasonAccessTokenExpired, "")
	for range 2 {
		s = n.basic(tokenURL, refreshForm(refresh), "conf", secretCode)
		s.expect(t, "refresh", 200, "", "")
		if got := decode(t, s.body); got["refresh_token"] != nil || len(got) != 3 {
			t.Errorf("refresh answered %s", s.body)
		}
		n.api("with the next access token", member(t, s, "access_token"), 200, "", "")
	}
	n.clock.seconds.Add(7*86400 - 3600 - 1)
	n.basic(tokenURL, refreshForm(refresh), "conf", secretCode).expect(t, "in the last second of seven days", 200, "", "")
	n.clock.seconds.Add(1)
	s = n.basic(tokenURL, refreshForm(refresh), "conf", secretCode)
	s.expect(t, "after seven days", 400, ReasonRefreshTokenExpired, "")
	if s.body != `{"error":"invalid_grant"}`+"\n" {
		t.Errorf("answered %s", s.body)
	}
}

// TestPublicClient gets a new refresh token with every refresh, each good once.
func TestPublicClient(t *testing.T) {
	n := start(t, Config{Accounts: []Account{codeAccount()}})
	s := n.exchange(tokenURL, as("pub", codeForm(n.freshCode("pub"))))
	s.expect(t, "step two", 200, "", "")
	first := member(t, s, "refresh_token")
	// Basic with an empty password serves as well.
	s = n.basic(tokenURL, refreshForm(first), "pub", "")
	s.expect(t, "refresh", 200, "", "")
	second, access := member(t, s, "refresh_token"), member(t, s, "access_token")
	if second == "" || second == first {
		t.Fatal("the refresh token was not replaced")
	}
	n.clock.seconds.Add(48*3600 - 1)
	s = n.exchange(tokenURL, as("pub", refreshForm(second)))
	s.expect(t, "in the last second of 48 hours", 200, "", "")
	third := member(t, s, "refresh_token")
	n.clock.seconds.Add(48 * 3600)
	n.exchange(tokenURL, as("pub", refreshForm(third))).expect(t, "after 48 hours", 400, ReasonRefreshTokenExpired, "")
	n.api("its access token, as old", access, 401, ReasonAccessTokenExpired, "")
}

// TestRefreshTokenReuse sends a refresh token of a public client twice: all that
// came from this login ends.
func TestRefreshTokenReuse(t *testing.T) {
	n := start(t, Config{Accounts: []Account{codeAccount()}})
	s := n.exchange(tokenURL, as("pub", codeForm(n.freshCode("pub"))))
	first := member(t, s, "refresh_token")
	s = n.exchange(tokenURL, as("pub", refreshForm(first)))
	second, access := member(t, s, "refresh_token"), member(t, s, "access_token")
	n.api("before", access, 200, "", "")
	s = n.exchange(tokenURL, as("pub", refreshForm(first)))
	s.expect(t, "the first again", 400, ReasonTokenBlocked, "refresh-token-used-twice")
	if member(t, s, "error") != "invalid_grant" {
		t.Errorf("answered %s", s.body)
	}
	n.exchange(tokenURL, as("pub", refreshForm(second))).expect(t, "the second", 400, ReasonTokenBlocked, "authorization-ended")
	n.api("the access token", access, 401, ReasonTokenBlocked, "authorization-ended")
}

// TestKeepAfterReuse refuses a refresh token that is used again and no more, where
// the settings say so.
func TestKeepAfterReuse(t *testing.T) {
	n := start(t, Config{Accounts: []Account{codeAccount()}, Settings: Settings{KeepAfterReuse: true}})
	first := member(t, n.exchange(tokenURL, as("pub", codeForm(n.freshCode("pub")))), "refresh_token")
	second := member(t, n.exchange(tokenURL, as("pub", refreshForm(first))), "refresh_token")
	n.exchange(tokenURL, as("pub", refreshForm(first))).expect(t, "the first again", 400, ReasonTokenBlocked, "refresh-token-used-twice")
	n.exchange(tokenURL, as("pub", refreshForm(second))).expect(t, "the second", 200, "", "")
}

// TestRotationEnds lets no chain of refresh tokens outlive what the record says.
func TestRotationEnds(t *testing.T) {
	a := codeAccount()
	a.Integrations[2].RefreshHours, a.Integrations[2].RotationHours = 2, 3
	n := start(t, Config{Accounts: []Account{a}})
	s := n.exchange(tokenURL, as("pub", codeForm(n.freshCode("pub"))))
	for range 2 {
		n.clock.seconds.Add(5000)
		s = n.exchange(tokenURL, as("pub", refreshForm(member(t, s, "refresh_token"))))
		s.expect(t, "refresh", 200, "", "")
	}
	n.clock.seconds.Add(800)
	n.exchange(tokenURL, as("pub", refreshForm(member(t, s, "refresh_token")))).expect(t, "after three hours", 400, ReasonRefreshTokenExpired, "")
}

func TestRevoke(t *testing.T) {
	n := start(t, Config{Accounts: []Account{codeAccount()}})
	s := n.basic(tokenURL, codeForm(n.freshCode("conf")), "conf", secretCode)
	refresh, access := member(t, s, "refresh_token"), member(t, s, "access_token")
	token := func(text string) url.Values { return url.Values{"token": {text}} }
	n.basic(revokeURL, token(refresh), "conf", "x").expect(t, "a wrong secret", 401, ReasonClientAuthentication, "client-secret-wrong")
	n.exchange(revokeURL, as("pub", token(refresh))).expect(t, "another client", 400, ReasonClientIDMismatch, "")
	n.basic(revokeURL, token(access), "conf", secretCode).expect(t, "an access token", 400, ReasonInvalidRefreshToken, "access-token-as-refresh-token")
	n.basic(revokeURL, token(""), "conf", secretCode).expect(t, "nothing", 400, ReasonInvalidRequest, "")
	n.basic(revokeURL, token("x.y.z"), "conf", secretCode).expect(t, "no token", 400, ReasonInvalidSignature, "")
	n.api("nothing is revoked yet", access, 200, "", "")
	for range 2 {
		if s := n.basic(revokeURL, token(refresh), "conf", secretCode); s.status != 200 || s.body != "" || !s.verdict.OK {
			t.Errorf("revoke answered %d %s; %s", s.status, s.body, s.verdict)
		}
	}
	n.api("revoked", access, 401, ReasonTokenBlocked, "authorization-ended")
	n.basic(tokenURL, refreshForm(refresh), "conf", secretCode).expect(t, "refresh", 400, ReasonTokenBlocked, "authorization-ended")
}

func TestClientAuthentication(t *testing.T) {
	n := start(t, Config{Accounts: []Account{codeAccount()}})
	post := func(form url.Values, authorization ...string) sent {
		return n.send("POST", tokenURL, form.Encode(), http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Authorization": authorization})
	}
	encode := base64.StdEncoding.EncodeToString
	withSecret := as("conf", codeForm("x"))
	withSecret.Set("client_secret", secretCode)
	for what, tc := range map[string]struct {
		s       sent
		code    string
		reason  Reason
		mistake string
	}{
		"nobody":                    {post(codeForm("x")), "invalid_client", ReasonClientAuthentication, "no-client-authentication"},
		"unknown":                   {post(as("nobody", codeForm("x"))), "invalid_client", ReasonClientAuthentication, "client-unknown"},
		"confidential, only named":  {post(as("conf", codeForm("x"))), "invalid_client", ReasonClientAuthentication, "confidential-client-without-secret"},
		"confidential, no password": {n.basic(tokenURL, codeForm("x"), "conf", ""), "invalid_client", ReasonClientAuthentication, "client-secret-wrong"},
		"secret in the body":        {post(withSecret), "invalid_client", ReasonClientAuthentication, "client-secret-in-body"},
		"public with a password":    {n.basic(tokenURL, codeForm("x"), "pub", "x"), "invalid_client", ReasonClientAuthentication, "public-client-with-secret"},
		"header and body":           {n.basic(tokenURL, as("pub", codeForm("x")), "pub", ""), "invalid_request", ReasonInvalidRequest, "two-client-authentications"},
		"two headers":               {post(codeForm("x"), "Basic cHViOg==", "Basic cHViOg=="), "invalid_request", ReasonInvalidRequest, ""},
		"not Basic":                 {post(codeForm("x"), "Bearer cHViOg=="), "invalid_client", ReasonClientAuthentication, ""},
		"without padding":           {post(codeForm("x"), "Basic cHViOg"), "invalid_client", ReasonClientAuthentication, ""},
		"without a colon":           {post(codeForm("x"), "Basic "+encode([]byte("pub"))), "invalid_client", ReasonClientAuthentication, ""},
		"no grant of that kind":     {n.basic(tokenURL, codeForm("x"), keyA, secretA), "unauthorized_client", ReasonCodeGrantRequired, ""},
		"a code of nobody":          {post(codeForm("x"), "basic "+encode([]byte("pub:"))), "invalid_grant", ReasonInvalidGrant, "code-unknown"},
	} {
		status := 400
		if tc.code == "invalid_client" {
			status = 401
			if got := tc.s.header.Get("WWW-Authenticate"); got != `Basic realm="123456_SB1"` && got != `Basic realm=""` {
				t.Errorf("%s: WWW-Authenticate is %q", what, got)
			}
		}
		tc.s.expect(t, what, status, tc.reason, tc.mistake)
		if tc.s.body != `{"error":"`+tc.code+`"}`+"\n" {
			t.Errorf("%s: answered %s", what, tc.s.body)
		}
	}
}

func TestCodeRefusals(t *testing.T) {
	n := start(t, Config{Accounts: []Account{codeAccount()}})
	for what, tc := range map[string]struct {
		edit    func(url.Values)
		code    string
		reason  Reason
		mistake string
	}{
		"another redirect URI": {func(f url.Values) { f.Set("redirect_uri", "myapp://callback") }, "invalid_grant", ReasonInvalidGrant, "redirect-uri-mismatch"},
		"no redirect URI":      {func(f url.Values) { f.Del("redirect_uri") }, "invalid_request", ReasonInvalidRequest, ""},
		"no code":              {func(f url.Values) { f.Del("code") }, "invalid_request", ReasonInvalidRequest, ""},
		"no verifier":          {func(f url.Values) { f.Del("code_verifier") }, "invalid_grant", ReasonInvalidGrant, "verifier-missing"},
		"another verifier":     {func(f url.Values) { f.Set("code_verifier", strings.ToUpper(verifierA)) }, "invalid_grant", ReasonInvalidGrant, "verifier-mismatch"},
		"a short verifier":     {func(f url.Values) { f.Set("code_verifier", verifierA[:42]) }, "invalid_grant", ReasonInvalidGrant, "verifier-form"},
		"the challenge":        {func(f url.Values) { f.Set("code_verifier", verifierA+"+") }, "invalid_grant", ReasonInvalidGrant, "verifier-form"},
		"another grant":        {func(f url.Values) { f.Set("grant_type", "implicit") }, "unsupported_grant_type", ReasonInvalidGrantType, ""},
		"the code twice":       {func(f url.Values) { f.Add("code", "x") }, "invalid_request", ReasonInvalidRequest, ""},
	} {
		form := codeForm(n.freshCode("conf"))
		tc.edit(form)
		s := n.basic(tokenURL, form, "conf", secretCode)
		s.expect(t, what, 400, tc.reason, tc.mistake)
		if member(t, s, "error") != tc.code {
			t.Errorf("%s: answered %s", what, s.body)
		}
	}
	n.exchange(tokenURL, as("pub", codeForm(n.freshCode("conf")))).expect(t, "another client's code", 400, ReasonClientIDMismatch, "")

	code := n.freshCode("conf")
	n.clock.seconds.Add(60)
	n.basic(tokenURL, codeForm(code), "conf", secretCode).expect(t, "after a minute", 400, ReasonInvalidGrant, "code-expired")

	// A code is good for one try, and a second one takes back what the first gave.
	code = n.freshCode("conf")
	s := n.basic(tokenURL, codeForm(code), "conf", secretCode)
	s.expect(t, "the first try", 200, "", "")
	n.basic(tokenURL, codeForm(code), "conf", secretCode).expect(t, "the second", 400, ReasonInvalidGrant, "code-used-twice")
	n.api("the first one's token", member(t, s, "access_token"), 401, ReasonTokenBlocked, "authorization-ended")

	// Without PKCE in step one there is no verifier in step two.
	q := query("conf")
	q.Del("code_challenge")
	q.Del("code_challenge_method")
	_, back := n.agree(q)
	n.basic(tokenURL, codeForm(back.Get("code")), "conf", secretCode).expect(t, "a verifier too many", 400, ReasonInvalidGrant, "verifier-without-challenge")
	q.Set("state", stateA+"2")
	_, back = n.agree(q)
	form := codeForm(back.Get("code"))
	form.Del("code_verifier")
	n.basic(tokenURL, form, "conf", secretCode).expect(t, "without PKCE", 200, "", "")
}

func TestRefreshRefusals(t *testing.T) {
	a := codeAccount()
	b := codeAccount()
	b.ID = "7654321"
	n := start(t, Config{Accounts: []Account{a, b}})
	s := n.basic(tokenURL, codeForm(n.freshCode("conf")), "conf", secretCode)
	refresh, access := member(t, s, "refresh_token"), member(t, s, "access_token")
	n.basic(tokenURL, refreshForm(access), "conf", secretCode).expect(t, "an access token", 400, ReasonInvalidRefreshToken, "access-token-as-refresh-token")
	n.basic(tokenURL, refreshForm(""), "conf", secretCode).expect(t, "none", 400, ReasonInvalidRequest, "")
	n.basic(tokenURL, refreshForm("x"), "conf", secretCode).expect(t, "not one", 400, ReasonInvalidSignature, "")
	n.exchange(tokenURL, as("pub", refreshForm(refresh))).expect(t, "another client", 400, ReasonClientIDMismatch, "")
	other := strings.Replace(tokenURL, "123456-sb1", "7654321", 1)
	n.basic(other, refreshForm(refresh), "conf", secretCode).expect(t, "another account", 400, ReasonInvalidGrant, "token-of-another-account")
	n.basic(n.URL+tokenPath, refreshForm(refresh), "conf", secretCode).expect(t, "on an endpoint, the token tells the account", 200, "", "")
	if !n.RefreshSandbox("123456_SB1") || n.RefreshSandbox("9") {
		t.Error("RefreshSandbox does not say which accounts there are")
	}
	n.basic(tokenURL, refreshForm(refresh), "conf", secretCode).expect(t, "after a sandbox refresh", 400, ReasonTokenBlocked, "authorization-ended")
}
