package nstest

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
)

const (
	restletURL = "https://123456-sb1.restlets.api.netsuite.com/app/site/hosting/restlet.nl?script=6&deploy=1"
	recordURL  = "https://123456-sb1.suitetalk.api.netsuite.com/services/rest/record/v1/customer/1"
	listURL    = "https://123456-sb1.suitetalk.api.netsuite.com/services/rest/record/v1/customer"
)

// TestRefusals breaks one thing at a time and wants it named.
func TestRefusals(t *testing.T) {
	blocked := Integration{Name: "old", ConsumerKey: "blocked", ConsumerSecret: "s", State: "blocked"}
	sb1 := account1()
	sb1.Integrations = append(sb1.Integrations, blocked, Integration{Name: "other", ConsumerKey: "other", ConsumerSecret: "s"})
	for _, token := range []Token{
		{TokenID: "inactive", Inactive: true}, {TokenID: "revoked", Revoked: true},
		{TokenID: "locked", Locked: true}, {TokenID: "norole", NoPermission: true},
	} {
		token.ConsumerKey, token.TokenSecret = keyA, "s"
		sb1.Tokens = append(sb1.Tokens, token)
	}
	n := start(t, Config{Accounts: []Account{sb1, {ID: "7654321"}, {ID: "NOTBA", Integrations: sb1.Integrations, TBADisabled: true}}})

	for _, tc := range []struct {
		what    string
		edit    func(*order)
		reason  Reason
		mistake string
	}{
		{"realm in lower case", func(o *order) { o.realm = "123456_sb1" }, ReasonTokenRejected, "realm-spelling"},
		{"realm with a hyphen", func(o *order) { o.realm = "123456-SB1" }, ReasonTokenRejected, "realm-spelling"},
		{"realm of another account", func(o *order) { o.realm = "7654321" }, ReasonTokenRejected, "realm-of-another-account"},
		{"realm of nobody", func(o *order) { o.realm = "999" }, ReasonTokenRejected, "realm-of-another-account"},
		{"unknown consumer", func(o *order) { o.consumer = "nobody" }, ReasonConsumerKeyUnknown, ""},
		{"blocked consumer", func(o *order) { o.consumer = "blocked" }, ReasonConsumerKeyRefused, ""},
		{"unknown token", func(o *order) { o.token = "nobody" }, ReasonTokenRejected, ""},
		{"token of another integration", func(o *order) { o.consumer, o.csecret = "other", "s" }, ReasonTokenRejected, "token-of-another-integration"},
		{"inactive token", func(o *order) { o.token, o.tsecret = "inactive", "s" }, ReasonTokenRejected, ""},
		{"revoked token", func(o *order) { o.token, o.tsecret = "revoked", "s" }, ReasonTokenRejected, ""},
		{"locked user", func(o *order) { o.token, o.tsecret = "locked", "s" }, ReasonTemporaryLocked, ""},
		{"role without permission", func(o *order) { o.token, o.tsecret = "norole", "s" }, ReasonPermissionDenied, ""},
		{"feature off", func(o *order) { o.realm, o.url = "NOTBA", "https://notba.suitetalk.api.netsuite.com/x" }, ReasonFeatureDisabled, ""},
		{"no token", func(o *order) { o.token = "" }, ReasonMissingFields, ""},
		{"short nonce", func(o *order) { o.nonce = "abcde" }, ReasonNonceRejected, ""},
		{"too old", func(o *order) { o.timestamp = pinned - 301 }, ReasonInvalidTimestamp, "clock-behind"},
		{"too new", func(o *order) { o.timestamp = pinned + 301 }, ReasonInvalidTimestamp, "clock-ahead"},
		{"zero time", func(o *order) { o.timestamp = 0 }, ReasonInvalidTimestamp, ""},
		{"negative time", func(o *order) { o.timestamp = -pinned }, ReasonInvalidTimestamp, ""},
		{"query in the header", func(o *order) { o.extra = []pair{{"script", "6"}} }, ReasonParameterRejected, "query-in-header"},
		{"wrong secret", func(o *order) { o.csecret = "x" }, ReasonInvalidSignature, ""},
		{"secret with a line break", func(o *order) { o.tsecret += "\n" }, ReasonInvalidSignature, "secret-with-line-break"},
		{"consumer secret left out", func(o *order) { o.csecret = "" }, ReasonInvalidSignature, "key-token-only"},
	} {
		o := orderFor(recordURL).fresh()
		tc.edit(&o)
		s := n.do(o)
		s.expect(t, tc.what, 401, tc.reason, tc.mistake)
		if s.verdict.Explanation == "" || !strings.Contains(s.body, `"o:errorCode":"INVALID_LOGIN"`) || strings.Contains(s.body, string(tc.reason)) {
			t.Errorf("%s: explained as %q, answered with %s", tc.what, s.verdict.Explanation, s.body)
		}
		challenge := s.header.Get("WWW-Authenticate")
		if !strings.Contains(challenge, `error="`+s.verdict.Detail+`"`) || !strings.HasPrefix(challenge, "OAuth realm=") {
			t.Errorf("%s: WWW-Authenticate is %q", tc.what, challenge)
		}
	}
	for _, edge := range []int64{pinned - 300, pinned + 300} {
		o := orderFor(recordURL).fresh()
		o.timestamp = edge
		n.do(o).expect(t, "at the edge of five minutes", 200, "", "")
	}
}

// TestHeaderSyntax sends Authorization headers that are wrong as such.
func TestHeaderSyntax(t *testing.T) {
	n := start(t, Config{Accounts: []Account{account1()}})
	right := func() string { o := orderFor(restletURL).fresh(); return o.authorization(o.signature()) }
	replace := func(old, with string) string { return strings.Replace(right(), old, with, 1) }
	for _, tc := range []struct {
		what, header string
		status       int
		reason       Reason
		mistake      string
	}{
		{"as it should be", right(), 200, "", ""},
		{"scheme in another case, no blanks", strings.Replace(strings.ReplaceAll(right(), ", ", ","), "OAuth", "oauth", 1), 200, "", ""},
		{"no quotes", strings.ReplaceAll(right(), `"`, ""), 400, ReasonParameterRejected, "value-not-quoted"},
		{"a raw base64 signature", func() string {
			o := orderFor(restletURL).fresh()
			return strings.Replace(o.authorization(o.signature()), percentEncode(o.signature()), o.signature(), 1)
		}(), 400, ReasonParameterRejected, "value-not-encoded"},
		{"lower-case hex", replace("%3D", "%3d"), 400, ReasonParameterRejected, "value-not-encoded"},
		{"an escape too many", replace("123456_SB1", "123456%5FSB1"), 400, ReasonParameterRejected, "value-not-encoded"},
		{"bad escape", replace("%3D", "%3G"), 400, ReasonParameterRejected, ""},
		{"cut escape", replace(`%3D"`, `%3"`), 400, ReasonParameterRejected, ""},
		{"nonce twice", right() + `, oauth_nonce="abcdefgh"`, 400, ReasonParameterRejected, ""},
		{"realm twice", right() + `, realm="123456_SB1"`, 400, ReasonParameterRejected, ""},
		{"an empty value", replace(`realm="123456_SB1"`, `realm=""`), 400, ReasonParameterRejected, ""},
		{"no realm", replace(`realm="123456_SB1", `, ""), 401, ReasonMissingFields, "realm-missing"},
		{"version 1.1", replace(`oauth_version="1.0"`, `oauth_version="1.1"`), 400, ReasonVersionRejected, ""},
		{"version left out, signed", replace(`oauth_version="1.0", `, ""), 401, ReasonInvalidSignature, "version-not-signed"},
		{"underscore algorithm", replace("HMAC-SHA256", "HMAC_SHA256"), 400, ReasonUnknownAlgorithm, ""},
		{"PLAINTEXT", replace("HMAC-SHA256", "PLAINTEXT"), 400, ReasonUnknownAlgorithm, ""},
		{"no signature", replace("oauth_signature=", "oauth_other="), 401, ReasonMissingFields, ""},
		{"no method", replace(`oauth_signature_method="HMAC-SHA256", `, ""), 401, ReasonMissingFields, ""},
		{"time with a leading zero", replace(`oauth_timestamp="`, `oauth_timestamp="0`), 400, ReasonInvalidTimestamp, ""},
		{"time with a fraction", replace(`1700000000"`, `1700000000.5"`), 400, ReasonInvalidTimestamp, ""},
		{"trailing comma", right() + ",", 400, ReasonParameterRejected, ""},
		{"open quote", strings.TrimSuffix(right(), `"`), 400, ReasonParameterRejected, ""},
		{"semicolons", strings.ReplaceAll(right(), ",", ";"), 400, ReasonParameterRejected, ""},
		{"no parameters", "OAuth ", 401, ReasonMissingFields, ""},
		{"NLAuth", "NLAuth nlauth_account=1", 401, ReasonMissingFields, ""},
		{"Basic", "Basic YTpi", 401, ReasonMissingFields, ""},
	} {
		s := n.send("GET", restletURL, "", http.Header{"Authorization": {tc.header}, "Content-Type": {"application/json"}})
		s.expect(t, tc.what, tc.status, tc.reason, tc.mistake)
		code := map[int]string{400: "INVALID_REQUEST", 401: "INVALID_LOGIN_ATTEMPT"}[tc.status]
		if tc.status != 200 && !strings.Contains(s.body, `"code":"`+code+`"`) {
			t.Errorf("%s: answered with %s", tc.what, s.body)
		}
	}
	n.send("GET", restletURL, "", nil).expect(t, "no header", 401, ReasonMissingFields, "")
	n.send("GET", restletURL, "", http.Header{"Authorization": {right(), right()}}).expect(t, "two headers", 401, ReasonMissingFields, "")
}

// TestEncodingMistakes signs as libraries are known to do, over a request with
// all that goes wrong in encoding.
func TestEncodingMistakes(t *testing.T) {
	n := start(t, Config{Accounts: []Account{account1()}})
	const uri = "https://123456-sb1.restlets.api.netsuite.com/app/site/hosting/restlet.nl"
	key := signingKey(secretA, tsecA)
	over := func(query string, base func(o order) string) func(order) (string, string) {
		return func(o order) (string, string) { return query, sign(sha256.New, key, base(o)) }
	}
	pairsOf := func(o order, query ...pair) string { return normalize(append(o.params(), query...)) }
	for _, tc := range []struct {
		mistake string
		sign    func(order) (query, signature string)
	}{
		{"repeated-parameter-dropped", over("tag=z&tag=a", func(o order) string { return baseString("GET", uri, pairsOf(o, pair{"tag", "z"})) })},
		{"repeated-parameter-dropped", over("tag=z&tag=a", func(o order) string { return baseString("GET", uri, pairsOf(o, pair{"tag", "a"})) })},
		{"sub-delims-not-encoded", over("n=!*'()", func(o order) string {
			return baseString("GET", uri, strings.Replace(pairsOf(o, pair{"n", "N"}), "=N&", "=!*'()&", 1))
		})},
		{"space-as-plus", over("a=x%20y", func(o order) string {
			return baseString("GET", uri, strings.Replace(pairsOf(o, pair{"a", "x y"}), "%20", "+", 1))
		})},
		{"plus-not-decoded", over("a=x+y", func(o order) string { return baseString("GET", uri, pairsOf(o, pair{"a", "x+y"})) })},
		{"query-not-decoded", over("a=x%2Fy", func(o order) string { return baseString("GET", uri, pairsOf(o, pair{"a", "x%2Fy"})) })},
		{"lower-case-hex", over("a=x%2Fy", func(o order) string { return baseString("GET", uri, lowerHex(pairsOf(o, pair{"a", "x/y"}))) })},
		{"empty-parameter-dropped", over("a=&b=1", func(o order) string { return baseString("GET", uri, pairsOf(o, pair{"b", "1"})) })},
		{"wrong-scheme", over("a=1", func(o order) string {
			return baseString("GET", "http://"+strings.TrimPrefix(uri, "https://"), pairsOf(o, pair{"a", "1"}))
		})},
		{"port", over("a=1", func(o order) string {
			return baseString("GET", strings.Replace(uri, ".com/", ".com:443/", 1), pairsOf(o, pair{"a", "1"}))
		})},
		{"signed-for-netsuite-host", over("a=1", func(o order) string {
			return baseString("GET", strings.Replace(uri, "restlets.api", "suitetalk.api", 1), pairsOf(o, pair{"a", "1"}))
		})},
		{"token-not-signed", over("a=1", func(o order) string {
			return baseString("GET", uri, normalize(append(without(o.params(), "oauth_token"), pair{"a", "1"})))
		})},
		{"hex-digest", func(o order) (string, string) {
			return "a=1", hex.EncodeToString(digest(sha256.New, key, baseString("GET", uri, pairsOf(o, pair{"a", "1"}))))
		}},
		{"base64url", func(o order) (string, string) {
			return "a=1", base64.RawURLEncoding.EncodeToString(digest(sha256.New, key, baseString("GET", uri, pairsOf(o, pair{"a", "1"}))))
		}},
	} {
		o := orderFor("").fresh()
		query, signature := tc.sign(o)
		s := n.send("GET", uri+"?"+query, "", http.Header{"Authorization": {o.authorization(signature)}})
		s.expect(t, tc.mistake, 401, ReasonInvalidSignature, tc.mistake)
	}

	// A path with an escape, and bodies.
	o := orderFor("https://123456-sb1.suitetalk.api.netsuite.com/services/rest/record/v1/customer/eid:ACME 1").fresh()
	signature := o.signature()
	s := n.send("GET", strings.ReplaceAll(o.url, " ", "%20"), "", http.Header{"Authorization": {o.authorization(signature)}})
	s.expect(t, "path decoded", 401, ReasonInvalidSignature, "path-decoded")

	o = orderFor(restletURL).fresh()
	o.method, o.body, o.contentType = "POST", "a=1&b=2", "application/x-www-form-urlencoded"
	signature = o.signature()
	s = n.send("POST", o.url, o.body, http.Header{"Authorization": {o.authorization(signature)}, "Content-Type": {"text/plain"}})
	s.expect(t, "body signed that is no form", 401, ReasonInvalidSignature, "body-signed")

	o = orderFor(restletURL).fresh()
	o.method, o.body = "POST", "a=1&b=2"
	signature = o.signature()
	s = n.send("POST", o.url, o.body, http.Header{"Authorization": {o.authorization(signature)}, "Content-Type": {"application/x-www-form-urlencoded"}})
	s.expect(t, "form left out", 401, ReasonInvalidSignature, "form-left-out")

	n.send("GET", restletURL+"&a=%zz", "", orderFor(restletURL).fresh().header()).expect(t, "malformed query", 400, ReasonParameterRejected, "")
	n.send("GET", restletURL+"&oauth_nonce=abcdefgh", "", orderFor(restletURL).fresh().header()).expect(t, "oauth in the query", 400, ReasonParameterRejected, "")
}

func TestReplayAcrossChannels(t *testing.T) {
	n := start(t, Config{Accounts: []Account{account1()}})
	o := orderFor(recordURL).fresh()
	n.do(o).expect(t, "first", 200, "", "")
	s := n.do(o)
	s.expect(t, "again", 401, ReasonNonceUsed, "header-sent-twice")
	if s.verdict.Detail != "NonceUsed" || !strings.Contains(s.header.Get("WWW-Authenticate"), `error="NonceUsed"`) {
		t.Errorf("REST says %q and %q", s.verdict.Detail, s.header.Get("WWW-Authenticate"))
	}
	o.url = restletURL
	s = n.do(o)
	s.expect(t, "the same nonce for a RESTlet", 401, ReasonNonceUsed, "header-sent-twice")
	if s.verdict.Detail != "nonce_used" || s.header.Get("WWW-Authenticate") != "" {
		t.Errorf("a RESTlet says %q and %q", s.verdict.Detail, s.header.Get("WWW-Authenticate"))
	}
	o.timestamp++
	n.do(o).expect(t, "the same nonce at another time", 200, "", "")
	// Long after, the server has forgotten the nonce, and the time is too old.
	n.clock.seconds.Add(601)
	n.do(o).expect(t, "the same header after ten minutes", 400, ReasonInvalidTimestamp, "clock-behind")
	fresh := orderFor(recordURL).fresh()
	fresh.timestamp = n.clock.seconds.Load()
	n.do(fresh).expect(t, "later", 200, "", "")
	if got := n.nonces.size(); got != 1 {
		t.Errorf("%d nonces are remembered, want 1", got)
	}
}

func TestEndpointTakesAccountFromRealm(t *testing.T) {
	prod := account1()
	prod.ID = "123456"
	n := start(t, Config{Accounts: []Account{account1(), prod}})
	path := strings.TrimPrefix(recordURL, "https://123456-sb1.suitetalk.api.netsuite.com")
	for _, id := range []string{"123456_SB1", "123456"} {
		o := orderFor(n.URL + path).fresh()
		o.realm = id
		s := n.do(o)
		s.expect(t, id, 200, "", "")
		if s.verdict.Account != id {
			t.Errorf("the account is %s", s.verdict.Account)
		}
	}
	for realm, mistake := range map[string]string{"123456-sb1": "realm-spelling", "999": "unknown-account"} {
		o := orderFor(n.URL + path).fresh()
		o.realm = realm
		n.do(o).expect(t, realm, 401, ReasonTokenRejected, mistake)
	}
	o := orderFor(recordURL).fresh()
	s := n.send("GET", n.URL+path, "", o.header())
	s.expect(t, "signed for the real host", 401, ReasonInvalidSignature, "signed-for-netsuite-host")
}

func TestHosts(t *testing.T) {
	n := start(t, Config{Accounts: []Account{account1()}})
	_, address, _ := strings.Cut(n.URL, "://")
	for _, tc := range []struct {
		host, path, mistake string
		status              int
	}{
		{"123456_sb1.suitetalk.api.netsuite.com", "/services/rest/record/v1/customer", "underscore-host", 403},
		{"999.suitetalk.api.netsuite.com", "/services/rest/record/v1/customer", "", 403},
		{"evil.example", "/services/rest/record/v1/customer", "", 403},
		{"evil.example", "/nstest/verdicts", "", 403},
		{"suitetalk.api.netsuite.com", "/services/rest/record/v1/customer", "", 403},
		{"a.123456-sb1.suitetalk.api.netsuite.com", "/services/rest/record/v1/customer", "", 403},
		{"123456-sb1.restlets.api.netsuite.com", "/services/rest/record/v1/customer", "wrong-service-host", 403},
		{"123456-sb1.suitetalk.api.netsuite.com", "/app/site/hosting/restlet.nl", "wrong-service-host", 403},
		{"rest.netsuite.com", "/app/site/hosting/restlet.nl", "retired-host", 403},
	} {
		r, err := http.NewRequest("GET", "https://"+address+tc.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = tc.host
		resp, err := n.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		all := n.Verdicts()
		if v := all[len(all)-1]; resp.StatusCode != tc.status || v.Reason != ReasonWrongHost || v.Mistake != tc.mistake {
			t.Errorf("%s%s: status %d, %s", tc.host, tc.path, resp.StatusCode, v)
		}
	}
	origin := orderFor(recordURL).fresh().header()
	origin.Set("Origin", "https://evil.example")
	n.send("GET", recordURL, "", origin).expect(t, "from a web page", 403, ReasonWrongHost, "")
}
