package nstest

import (
	"context"
	"net/url"
	"strings"
	"testing"
)

const stepBase = "https://123456-sb1.restlets.api.netsuite.com/rest/"

func threeStepAccount() Account {
	a := account1()
	a.Integrations[0].Callbacks = []string{"https://my.example.com/cb?x=1", "http://localhost:*", "https://*.example.org/cb"}
	a.Integrations = append(a.Integrations, Integration{Name: "no flow", ConsumerKey: "noflow", ConsumerSecret: "s"})
	return a
}

func stepOne(callback string) order {
	o := orderFor(stepBase + "requesttoken").fresh()
	o.method, o.token, o.tsecret = "POST", "", ""
	o.extra = []pair{{"oauth_callback", callback}, {"role", "45678"}}
	return o
}

func form(t *testing.T, body string) url.Values {
	t.Helper()
	values, err := url.ParseQuery(body)
	if err != nil {
		t.Fatal(err)
	}
	return values
}

// TestThreeStepFlow goes all the way to a token that signs an API call.
func TestThreeStepFlow(t *testing.T) {
	n := start(t, Config{Accounts: []Account{threeStepAccount()}})
	s := n.do(stepOne("https://my.example.com/cb?x=1"))
	s.expect(t, "step one", 200, "", "")
	first := form(t, s.body)
	if first.Get("oauth_callback_confirmed") != "true" || first.Get("role") != "45678" || len(first.Get("oauth_token_secret")) != 64 {
		t.Fatalf("step one answered %s", s.body)
	}
	page := "https://123456-sb1.app.netsuite.com/app/login/secure/authorizetoken.nl?oauth_token=" + first.Get("oauth_token")
	last := orderFor(stepBase + "accesstoken").fresh()
	last.method, last.token, last.tsecret = "POST", first.Get("oauth_token"), first.Get("oauth_token_secret")
	early := last
	early.extra = []pair{{"oauth_verifier", n.accounts[0].asked[0].Verifier}}
	n.do(early).expect(t, "step three before step two", 401, ReasonInvalidVerifier, "nobody-agreed")

	denied := n.send("GET", page+"&nstest_deny=1&state=abc", "", nil)
	denied.expect(t, "a no", 302, ReasonExplicitlyDenied, "")
	no := form(t, strings.TrimPrefix(denied.header.Get("Location"), "https://my.example.com/cb?"))
	if !no.Has("oauth_verifier") || no.Get("oauth_verifier") != "" || no.Get("state") != "abc" {
		t.Errorf("a no is sent to %s", denied.header.Get("Location"))
	}
	s = n.send("GET", page+"&state=abcXYZ09&nstest_allow=1", "", nil)
	s.expect(t, "step two", 302, "", "")
	if s.verdict.Role != "45678" || s.verdict.Integration != "ERP sync" {
		t.Errorf("the verdict is %s", s.verdict)
	}
	n.send("GET", page+"&nstest_allow=1", "", nil).expect(t, "step two again", 400, ReasonTokenRejected, "")
	back, err := url.Parse(s.header.Get("Location"))
	if err != nil || back.Host != "my.example.com" {
		t.Fatalf("sent to %v, %v", back, err)
	}
	q := back.Query()
	if q.Get("x") != "1" || q.Get("company") != "123456_SB1" || q.Get("state") != "abcXYZ09" || q.Get("role") != "45678" {
		t.Errorf("sent to %s", back)
	}
	n.send("GET", page+"&state=a-b", "", nil).expect(t, "a bad state", 400, ReasonParameterRejected, "state-form")

	wrong := last
	wrong.extra = []pair{{"oauth_verifier", "x"}}
	n.do(wrong).expect(t, "a wrong verifier", 401, ReasonInvalidVerifier, "")
	last.extra = []pair{{"oauth_verifier", q.Get("oauth_verifier")}}
	s = n.do(last)
	s.expect(t, "step three", 200, "", "")
	pair := form(t, s.body)
	n.do(last).expect(t, "step three again", 401, ReasonTokenRejected, "")

	o := orderFor(recordURL).fresh()
	o.token, o.tsecret = pair.Get("oauth_token"), pair.Get("oauth_token_secret")
	n.do(o).expect(t, "with the new token", 200, "", "")
}

// TestThreeStepPage agrees on the page, as the one user who has the role that
// step one asked for.
func TestThreeStepPage(t *testing.T) {
	a := threeStepAccount()
	a.Users = []User{{Name: "Ada", Entity: "5", Role: "3"}, {Name: "Bob", Entity: "6", Role: "45678"}, {Name: "Eve", Entity: "7", Role: "45678", Disabled: true}}
	n := start(t, Config{Accounts: []Account{a}})
	const page = "https://123456-sb1.app.netsuite.com" + authorizeTokenPath + "?state=abc&oauth_token="
	ask := func(o order) url.Values {
		s := n.do(o)
		s.expect(t, "step one", 200, "", "")
		return form(t, s.body)
	}
	first := ask(stepOne("http://localhost:1234/done"))
	s := n.send("GET", page+first.Get("oauth_token"), "", nil)
	if s.status != 200 || !strings.Contains(s.body, "ERP sync asks for access") || !strings.Contains(s.body, "Bob") || strings.Contains(s.body, "Ada") {
		t.Errorf("the page is %s", s.body)
	}
	at, err := Visit(context.Background(), n.client, page+first.Get("oauth_token"), Decision{Allow: true})
	if err != nil {
		t.Fatal(err)
	}
	q := at.Query()
	if at.Host != "localhost:1234" || q.Get("entity") != "6" || q.Get("role") != "45678" || q.Get("state") != "abc" || q.Get("company") != "123456_SB1" {
		t.Errorf("sent to %s", at)
	}
	o := orderFor(stepBase + "accesstoken").fresh()
	o.method, o.token, o.tsecret = "POST", first.Get("oauth_token"), first.Get("oauth_token_secret")
	o.extra = []pair{{"oauth_verifier", q.Get("oauth_verifier")}}
	s = n.do(o)
	if s.expect(t, "step three", 200, "", ""); s.verdict.User != "6" || s.verdict.Role != "45678" {
		t.Errorf("the token is for %s", s.verdict)
	}

	at, err = Visit(context.Background(), n.client, page+ask(stepOne("http://localhost:1/")).Get("oauth_token"), Decision{Allow: true, User: 1})
	if err != nil || at.Query().Get("oauth_verifier") != "" {
		t.Errorf("a disabled user is sent to %s, %v", at, err)
	}
	o = stepOne("http://localhost:1/")
	o.extra = []pair{{"oauth_callback", "http://localhost:1/"}, {"role", "99"}}
	n.send("GET", page+ask(o).Get("oauth_token"), "", nil).expect(t, "a role of nobody", 400, ReasonEntityOrRole, "")
}

// TestRevokeToken lets a token revoke itself, where the settings serve that.
func TestRevokeToken(t *testing.T) {
	n := start(t, Config{Accounts: []Account{account1()}, Settings: Settings{RevokeToken: true}})
	n.do(orderFor(stepBase+"revoketoken?consumerKey="+keyA+"&token=other").fresh()).expect(t, "another token", 400, ReasonParameterRejected, "")
	o := orderFor(stepBase + "revoketoken").fresh()
	o.tsecret = "x"
	n.do(o).expect(t, "wrongly signed", 401, ReasonInvalidSignature, "")
	o = orderFor(stepBase + "revoketoken").fresh()
	o.method = "PUT"
	n.do(o).expect(t, "PUT", 400, ReasonBadRequest, "")
	n.do(orderFor(recordURL).fresh()).expect(t, "before", 200, "", "")
	n.do(orderFor(stepBase+"revoketoken?consumerKey="+keyA+"&token="+tokenA).fresh()).expect(t, "itself", 200, "", "")
	n.do(orderFor(recordURL).fresh()).expect(t, "after", 401, ReasonTokenRejected, "")

	n = start(t, Config{Accounts: []Account{account1()}})
	n.do(orderFor(stepBase+"revoketoken").fresh()).expect(t, "not served", 404, "", "")
}

func TestThreeStepRefusals(t *testing.T) {
	n := start(t, Config{Accounts: []Account{threeStepAccount()}})
	for callback, good := range map[string]bool{
		"http://localhost:8080/done": true, "https://eu.example.org/cb": true,
		"http://localhost/done": false, "https://a.b.example.org/cb": false, "https://example.org/cb": false,
		"https://my.example.com/other": false, "http://127.0.0.1:8080/": false, "https://evil.example/?.example.org/cb": false, "x": false,
	} {
		s := n.do(stepOne(callback))
		if s.verdict.OK != good || (!good && (s.verdict.Reason != ReasonInvalidCallback || s.verdict.Detail != "InvalidCallback "+callback)) {
			t.Errorf("%s: %s", callback, s.verdict)
		}
	}
	o := stepOne("http://localhost:1/")
	o.consumer, o.csecret = "noflow", "s"
	n.do(o).expect(t, "a record without the flow", 401, ReasonAuthFlowRequired, "")
	o = stepOne("http://localhost:1/")
	o.extra = nil
	n.do(o).expect(t, "no callback", 400, ReasonMissingFields, "")
	o = stepOne("http://localhost:1/")
	o.token = tokenA
	n.do(o).expect(t, "with a token", 400, ReasonParameterRejected, "")
	o = stepOne("http://localhost:1/")
	o.tsecret = "x"
	s := n.do(o)
	s.expect(t, "wrong key", 401, ReasonInvalidSignature, "")
	o = stepOne("http://localhost:1/")
	n.do(o)
	s = n.do(o)
	s.expect(t, "sent twice", 401, ReasonNonceUsed, "header-sent-twice")
	if s.verdict.Detail != "NonceUsed" || s.body != "error=NonceUsed" {
		t.Errorf("%s, %s", s.verdict.Detail, s.body)
	}
	o = stepOne("http://localhost:1/")
	o.consumer = "nobody"
	if s := n.do(o); s.verdict.Detail != "UnknownIntegration" {
		t.Errorf("unknown consumer: %s", s.verdict)
	}

	// A request token lives 15 minutes.
	s = n.do(stepOne("http://localhost:1/"))
	id := form(t, s.body).Get("oauth_token")
	n.clock.seconds.Add(900)
	page := "https://123456-sb1.app.netsuite.com/app/login/secure/authorizetoken.nl?oauth_token=" + id
	n.send("GET", page, "", nil).expect(t, "too late", 400, ReasonTokenRejected, "")
}

func TestRequestTokensAreBounded(t *testing.T) {
	a := newAccount(account1(), Settings{})
	at := clockAt(pinned).now()
	for i := range maxAsked {
		if !a.ask(askedToken{RequestToken: RequestToken{TokenID: randomHex()}, expires: at.Add(requestTokenLife)}, at) {
			t.Fatalf("full at %d", i)
		}
	}
	if a.ask(askedToken{}, at) {
		t.Error("not bounded")
	}
	if !a.ask(askedToken{}, at.Add(requestTokenLife)) || len(a.asked) != 1 {
		t.Errorf("%d are kept past their time", len(a.asked))
	}
}

func TestSettingsOfThreeStep(t *testing.T) {
	n := start(t, Config{Accounts: []Account{threeStepAccount()}, Settings: Settings{RequestTokenSeconds: 5, ThreeStepJSON: true, ThreeStepStatus: 403}})
	s := n.do(stepOne("http://localhost:1/"))
	s.expect(t, "step one", 200, "", "")
	first := decode(t, s.body)
	if first["oauth_callback_confirmed"] != "true" || s.header.Get("Content-Type") != "application/json" {
		t.Fatalf("answered %s", s.body)
	}
	page := "https://123456-sb1.app.netsuite.com" + authorizeTokenPath + "?oauth_token=" + first["oauth_token"].(string)
	n.send("GET", page, "", nil).expect(t, "the page", 200, "", "")
	n.clock.seconds.Add(5)
	n.send("GET", page, "", nil).expect(t, "five seconds later", 400, ReasonTokenRejected, "")
	o := stepOne("http://localhost:1/")
	o.tsecret, o.timestamp = "x", pinned+5
	n.do(o).expect(t, "a wrong signature", 403, ReasonInvalidSignature, "")
}
