package nstest

import (
	"bytes"
	"crypto"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// TestAssertionAlgorithms exchanges an assertion of each algorithm and uses the
// access token.
func TestAssertionAlgorithms(t *testing.T) {
	for _, tc := range []struct {
		alg  string
		hash crypto.Hash
		key  crypto.Signer
	}{
		{"ES256", crypto.SHA256, keyOf.ec256()}, {"ES384", crypto.SHA384, keyOf.ec384()}, {"ES512", crypto.SHA512, keyOf.ec521()},
		{"PS256", crypto.SHA256, keyOf.rsa3072()}, {"PS384", crypto.SHA384, keyOf.rsa3072()}, {"PS512", crypto.SHA512, keyOf.rsa3072()},
	} {
		t.Run(tc.alg, func(t *testing.T) {
			a := account1()
			a.Certificates = []Certificate{certificateOf(t, tc.key)}
			n := start(t, Config{Accounts: []Account{a}})
			jwt := newAssertion(tc.alg, tc.hash, tc.key, kidOf(a.Certificates[0])).compact(t)
			s := n.exchange(tokenURL, tokenForm(jwt))
			s.expect(t, "exchange", 200, "", "")
			got := decode(t, s.body)
			if got["expires_in"] != 3600.0 || got["token_type"] != "bearer" || s.verdict.User != "-5" || s.header.Get("Cache-Control") != "no-store" {
				t.Errorf("answered %s; %s", s.body, s.verdict)
			}
			n.exchange(tokenURL, tokenForm(jwt)).expect(t, "the same assertion", 400, ReasonTokenNotAcceptable, "assertion-sent-twice")
			bearer := http.Header{"Authorization": {"Bearer " + got["access_token"].(string)}}
			n.send("GET", recordURL, "", bearer).expect(t, "REST", 200, "", "")
			n.send("GET", restletURL, "", bearer).expect(t, "RESTlet", 200, "", "")
			n.clock.seconds.Add(3600)
			s = n.send("GET", recordURL, "", bearer)
			s.expect(t, "an hour later", 401, ReasonAccessTokenExpired, "")
			if got := s.header.Get("WWW-Authenticate"); got != `Bearer realm="123456_SB1", error="invalid_token", error_description="Invalid login attempt."` {
				t.Errorf("WWW-Authenticate is %q", got)
			}
		})
	}
}

func TestAssertionRefusals(t *testing.T) {
	ec, rsaSigner := keyOf.ec256(), keyOf.rsa3072()
	good, withRSA := certificateOf(t, ec), certificateOf(t, rsaSigner)
	revoked, old, narrow := certificateOf(t, keyOf.ec384()), certificateOf(t, keyOf.ec521()), certificateOf(t, ecKey(elliptic.P256()))
	revoked.Revoked = true
	old.PEM = certify(t, keyOf.ec521(), time.Unix(pinned, 0).AddDate(-2, 0, -1), 10) // cut to two years
	narrow.Scopes = []string{"restlets"}
	narrowKey := ecKey(elliptic.P256())
	narrow.PEM = certify(t, narrowKey, time.Unix(pinned-5, 0), 1)
	weak := certificateOf(t, keyOf.rsa2048())
	a := account1()
	a.Certificates = []Certificate{good, withRSA, revoked, old, narrow, weak}
	blocked := account1()
	blocked.ID = "BLOCKED"
	blocked.Integrations = []Integration{{ConsumerKey: clientA, ConsumerSecret: "x", State: "blocked"}}
	blocked.Certificates = []Certificate{good}
	n := start(t, Config{Accounts: []Account{a, blocked}})

	for _, tc := range []struct {
		what    string
		edit    func(*assertion)
		code    string
		reason  Reason
		mistake string
	}{
		{"alg RS256", func(a *assertion) {
			*a = newAssertion("RS256", crypto.SHA256, rsaSigner, kidOf(withRSA))
			a.pkcs1 = true
		}, "invalid_request", ReasonUnsupportedAlgo, ""},
		{"alg none", func(a *assertion) { a.header["alg"] = "none" }, "invalid_request", ReasonUnsupportedAlgo, ""},
		{"alg of another curve", func(a *assertion) { a.header["alg"] = "ES384" }, "invalid_request", ReasonUnsupportedAlgo, "algorithm-of-another-key"},
		{"alg of another kind", func(a *assertion) { a.header["alg"] = "PS256" }, "invalid_request", ReasonUnsupportedAlgo, "algorithm-of-another-key"},
		{"PKCS1 under PS256", func(a *assertion) {
			*a = newAssertion("PS256", crypto.SHA256, rsaSigner, kidOf(withRSA))
			a.pkcs1 = true
		}, "invalid_grant", ReasonSignatureValidation, "pkcs1-not-pss"},
		{"salt length", func(a *assertion) {
			*a = newAssertion("PS256", crypto.SHA256, rsaSigner, kidOf(withRSA))
			a.salt = 64
		}, "invalid_grant", ReasonSignatureValidation, "pss-salt-length"},
		{"ASN.1 signature", func(a *assertion) {
			a.mangle = func(rs []byte) []byte {
				r, s := new(big.Int).SetBytes(rs[:32]), new(big.Int).SetBytes(rs[32:])
				var b bytes.Buffer
				for _, n := range []*big.Int{r, s} {
					text := n.Bytes()
					if text[0] >= 0x80 {
						text = append([]byte{0}, text...)
					}
					b.Write(append([]byte{2, byte(len(text))}, text...))
				}
				return append([]byte{0x30, byte(b.Len())}, b.Bytes()...)
			}
		}, "invalid_grant", ReasonSignatureValidation, "asn1-signature"},
		{"flipped bit", func(a *assertion) { a.mangle = func(b []byte) []byte { b[40] ^= 1; return b } }, "invalid_grant", ReasonSignatureValidation, ""},
		{"other key", func(a *assertion) { a.key = ecKey(elliptic.P256()) }, "invalid_grant", ReasonSignatureValidation, ""},
		{"no kid", func(a *assertion) { delete(a.header, "kid") }, "invalid_request", ReasonMissingKeyID, ""},
		{"unknown kid", func(a *assertion) { a.header["kid"] = "nobody" }, "invalid_grant", ReasonMissingKey, ""},
		{"revoked certificate", func(a *assertion) { a.header["kid"] = kidOf(revoked) }, "invalid_grant", ReasonMissingKey, "certificate-revoked"},
		{"certificate past two years", func(a *assertion) { a.header["kid"] = kidOf(old) }, "invalid_grant", ReasonMissingKey, "certificate-expired"},
		{"weak key", func(a *assertion) { a.header["kid"] = kidOf(weak) }, "invalid_grant", ReasonMissingKey, ""},
		{"no typ", func(a *assertion) { delete(a.header, "typ") }, "invalid_request", ReasonInvalidRequest, ""},
		{"crit", func(a *assertion) { a.header["crit"] = []string{"x"} }, "invalid_request", ReasonInvalidRequest, ""},
		{"other issuer", func(a *assertion) { a.claims["iss"] = keyA }, "invalid_client", ReasonInvalidIssuer, ""},
		{"no issuer", func(a *assertion) { delete(a.claims, "iss") }, "invalid_client", ReasonInvalidIssuer, ""},
		{"other audience", func(a *assertion) { a.claims["aud"] = "https://evil.example/token" }, "invalid_grant", ReasonTokenNotAcceptable, "audience"},
		{"audience as array", func(a *assertion) { a.claims["aud"] = []string{tokenURL} }, "invalid_grant", ReasonTokenNotAcceptable, "audience"},
		{"an hour", func(a *assertion) { a.claims["iat"], a.claims["exp"] = pinned, pinned+3600 }, "invalid_grant", ReasonTokenValidityTooBroad, ""},
		{"issued in the future", func(a *assertion) { a.claims["iat"] = pinned + 1 }, "invalid_grant", ReasonTokenNotAcceptable, "clock-ahead"},
		{"expired", func(a *assertion) { a.claims["iat"], a.claims["exp"] = pinned-60, pinned }, "invalid_grant", ReasonTokenExpired, ""},
		{"exp before iat", func(a *assertion) { a.claims["exp"] = pinned - 5 }, "invalid_grant", ReasonTokenNotAcceptable, ""},
		{"time with a fraction", func(a *assertion) { a.claims["iat"] = float64(pinned) - 0.5 }, "invalid_grant", ReasonTokenNotAcceptable, ""},
		{"no exp", func(a *assertion) { delete(a.claims, "exp") }, "invalid_grant", ReasonTokenNotAcceptable, ""},
		{"no scope", func(a *assertion) { delete(a.claims, "scope") }, "invalid_scope", ReasonInvalidScope, ""},
		{"empty scope", func(a *assertion) { a.claims["scope"] = []string{} }, "invalid_scope", ReasonInvalidScope, ""},
		{"scope as text", func(a *assertion) { a.claims["scope"] = "restlets" }, "invalid_scope", ReasonInvalidScope, ""},
		{"scope mcp", func(a *assertion) { a.claims["scope"] = []string{"mcp"} }, "invalid_scope", ReasonInvalidScope, ""},
		{"scope twice", func(a *assertion) { a.claims["scope"] = []string{"restlets", "restlets"} }, "invalid_scope", ReasonInvalidScope, ""},
		{"scope not allowed", func(a *assertion) {
			a.key, a.header["kid"] = narrowKey, kidOf(narrow)
		}, "invalid_scope", ReasonScopeMismatched, ""},
		{"jti a number", func(a *assertion) { a.claims["jti"] = 7 }, "invalid_grant", ReasonTokenNotAcceptable, ""},
	} {
		jwt := newAssertion("ES256", crypto.SHA256, ec, kidOf(good))
		tc.edit(&jwt)
		s := n.exchange(tokenURL, tokenForm(jwt.compact(t)))
		status := 400
		if tc.code == "invalid_client" {
			status = 401
		}
		s.expect(t, tc.what, status, tc.reason, tc.mistake)
		if decode(t, s.body)["error"] != tc.code || len(decode(t, s.body)) != 1 {
			t.Errorf("%s: answered %s, want %s", tc.what, s.body, tc.code)
		}
		if status == 401 && s.header.Get("WWW-Authenticate") != `Basic realm="123456_SB1"` {
			t.Errorf("%s: WWW-Authenticate is %q", tc.what, s.header.Get("WWW-Authenticate"))
		}
	}

	jwt := newAssertion("ES256", crypto.SHA256, ec, kidOf(good))
	n.exchange(strings.Replace(tokenURL, "123456-sb1", "blocked", 1), tokenForm(jwt.compact(t))).expect(t, "blocked record", 400, ReasonIntegrationBlocked, "")

	for what, form := range map[string]func(url.Values){
		"no grant type":       func(f url.Values) { f.Del("grant_type") },
		"grant type twice":    func(f url.Values) { f.Add("grant_type", "client_credentials") },
		"no assertion type":   func(f url.Values) { f.Del("client_assertion_type") },
		"no assertion":        func(f url.Values) { f.Del("client_assertion") },
		"a client secret":     func(f url.Values) { f.Set("client_secret", "x") },
		"not a JWT":           func(f url.Values) { f.Set("client_assertion", "a.b.c") },
		"padding in the JWT":  func(f url.Values) { f.Set("client_assertion", f.Get("client_assertion")+"=") },
		"four parts":          func(f url.Values) { f.Set("client_assertion", f.Get("client_assertion")+".x") },
		"a break in the JWT":  func(f url.Values) { f.Set("client_assertion", f.Get("client_assertion")+"\n") },
		"an assertion so big": func(f url.Values) { f.Set("client_assertion", strings.Repeat("a", maxJWT+1)) },
	} {
		f := tokenForm(newAssertion("ES256", crypto.SHA256, ec, kidOf(good)).compact(t))
		form(f)
		s := n.exchange(tokenURL, f)
		s.expect(t, what, 400, ReasonInvalidRequest, "")
		if decode(t, s.body)["error"] != "invalid_request" {
			t.Errorf("%s: answered %s", what, s.body)
		}
	}
	f := tokenForm("x")
	f.Set("grant_type", "password")
	if s := n.exchange(tokenURL, f); decode(t, s.body)["error"] != "unsupported_grant_type" {
		t.Errorf("another grant: %s", s.body)
	}
	f = tokenForm(newAssertion("ES256", crypto.SHA256, ec, kidOf(good)).compact(t))
	f.Set("client_id", keyA)
	n.exchange(tokenURL, f).expect(t, "another client_id", 401, ReasonInvalidIssuer, "")
	n.send("GET", tokenURL, "", nil).expect(t, "GET", 400, ReasonInvalidRequest, "")
}

// TestAssertionOnEndpoint exchanges at a loopback address, where kid tells the
// account, and uses the access token there.
func TestAssertionOnEndpoint(t *testing.T) {
	c := DemoConfig()
	n := start(t, c)
	for _, a := range c.Accounts {
		block, _ := pem.Decode(DemoPrivateKey(a.ID))
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		n.clock.seconds.Store(1_790_000_000)
		jwt := newAssertion("ES256", crypto.SHA256, key.(crypto.Signer), kidOf(a.Certificates[0]))
		jwt.claims["aud"] = n.URL + tokenPath
		jwt.claims["iat"], jwt.claims["exp"] = 1_790_000_000, 1_790_000_300
		s := n.exchange(n.URL+tokenPath, tokenForm(jwt.compact(t)))
		s.expect(t, a.ID, 200, "", "")
		access := decode(t, s.body)["access_token"].(string)
		s = n.send("GET", n.URL+"/services/rest/record/v1/customer/1", "", http.Header{"Authorization": {"Bearer " + access}})
		s.expect(t, a.ID+", with the access token", 200, "", "")
		if s.verdict.Account != a.ID {
			t.Errorf("the account is %s, want %s", s.verdict.Account, a.ID)
		}
	}
	if DemoPrivateKey("999") != nil {
		t.Error("there is a key for an account that is not there")
	}
}

func TestBearerRefusals(t *testing.T) {
	key := keyOf.ec256()
	a, b := account1(), account1()
	b.ID = "7654321"
	a.Certificates = []Certificate{certificateOf(t, key)}
	n := start(t, Config{Accounts: []Account{a, b}, Settings: Settings{ExpiresText: true}})
	jwt := newAssertion("ES256", crypto.SHA256, key, kidOf(a.Certificates[0]))
	jwt.claims["scope"] = []string{"restlets"}
	compact := jwt.compact(t)
	answer := decode(t, n.exchange(tokenURL, tokenForm(compact)).body)
	access := answer["access_token"].(string)
	if answer["expires_in"] != "3600" {
		t.Errorf("expires_in is %v", answer["expires_in"])
	}
	at := strings.LastIndex(access, ".") + 10
	other := byte('A')
	if access[at] == 'A' {
		other = 'B'
	}
	for _, tc := range []struct {
		what, url, token string
		status           int
		reason           Reason
		mistake          string
	}{
		{"its scope", restletURL, access, 200, "", ""},
		{"another scope", recordURL, access, 401, ReasonScopeMismatched, ""},
		{"another account", strings.Replace(restletURL, "123456-sb1", "7654321", 1), access, 401, ReasonTokenRejected, "token-of-another-account"},
		{"altered", restletURL, access[:at] + string(other) + access[at+1:], 401, ReasonInvalidSignature, ""},
		{"no token at all", restletURL, "x", 400, ReasonInvalidRequest, ""},
		{"the assertion", restletURL, compact, 401, ReasonInvalidTokenType, "assertion-as-access-token"},
	} {
		s := n.send("GET", tc.url, "", http.Header{"Authorization": {"Bearer " + tc.token}})
		s.expect(t, tc.what, tc.status, tc.reason, tc.mistake)
		if tc.status != 200 && !strings.HasPrefix(s.header.Get("WWW-Authenticate"), "Bearer realm=") {
			t.Errorf("%s: WWW-Authenticate is %q", tc.what, s.header.Get("WWW-Authenticate"))
		}
	}
}

func TestSettingsOfAssertions(t *testing.T) {
	key := keyOf.ec256()
	a := account1()
	a.Certificates = []Certificate{certificateOf(t, key)}
	n := start(t, Config{Accounts: []Account{a}, Settings: Settings{
		AllowHourAssertion: true, AssertionLeeway: 10, ScopeText: true, Audience: "posted", AssertionError: "invalid_client",
	}})
	jwt := func() assertion { return newAssertion("ES256", crypto.SHA256, key, kidOf(a.Certificates[0])) }
	wide := jwt()
	wide.claims["iat"], wide.claims["exp"], wide.claims["scope"] = pinned+10, pinned+3610, "restlets,rest_webservices"
	n.exchange(tokenURL, tokenForm(wide.compact(t))).expect(t, "as wide as the settings allow", 200, "", "")
	broad := jwt()
	broad.claims["iat"], broad.claims["exp"] = pinned, pinned+3601
	n.exchange(tokenURL, tokenForm(broad.compact(t))).expect(t, "broader", 401, ReasonTokenValidityTooBroad, "")
	elsewhere := jwt()
	elsewhere.claims["aud"] = strings.Replace(tokenURL, "suitetalk", "restlets", 1)
	n.exchange(tokenURL, tokenForm(elsewhere.compact(t))).expect(t, "the other host as aud", 401, ReasonTokenNotAcceptable, "audience")

	n = start(t, Config{Accounts: []Account{a}, Settings: Settings{RequireClientID: true}})
	elsewhere = jwt()
	elsewhere.claims["aud"] = strings.Replace(tokenURL, "suitetalk", "restlets", 1)
	delete(elsewhere.claims, "jti")
	f := tokenForm(elsewhere.compact(t))
	n.exchange(tokenURL, f).expect(t, "without client_id", 400, ReasonInvalidRequest, "")
	f.Set("client_id", clientA)
	n.exchange(tokenURL, f).expect(t, "with client_id, the other host as aud, no jti", 200, "", "")
	n.exchange(tokenURL, f).expect(t, "again", 400, ReasonTokenNotAcceptable, "assertion-sent-twice")
}
