package nstest

import (
	"bytes"
	"crypto"
	"crypto/elliptic"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"strings"
	"testing"
	"time"
)

const certificatesURL = "https://123456-sb1.restlets.api.netsuite.com/services/rest/auth/oauth2/v1/clients/" + clientA + "/certificates"

// managed is an account whose certificate may manage those of its entity.
func managed(t *testing.T) (Account, crypto.Signer) {
	t.Helper()
	key := ecKey(elliptic.P256())
	a := account1()
	a.Certificates = []Certificate{certificateOf(t, key)}
	a.Certificates[0].Manage = true
	return a, key
}

// bearerFrom exchanges an assertion and returns the header with the access token.
func (n *netsuite) bearerFrom(jwt assertion) http.Header {
	n.t.Helper()
	s := n.exchange(tokenURL, tokenForm(jwt.compact(n.t)))
	s.expect(n.t, "exchange", 200, "", "")
	return http.Header{"Authorization": {"Bearer " + decode(n.t, s.body)["access_token"].(string)}}
}

func (n *netsuite) bearer(key crypto.Signer, kid string) http.Header {
	n.t.Helper()
	return n.bearerFrom(newAssertion("ES256", crypto.SHA256, key, kid))
}

// upload posts a certificate.
func (n *netsuite) upload(bearer http.Header, body any) sent {
	n.t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		n.t.Fatal(err)
	}
	h := bearer.Clone()
	h.Set("Content-Type", "application/json")
	return n.send("POST", certificatesURL, string(data), h)
}

func mapping(text string) map[string]any {
	return map[string]any{"fileContent": text, "role": 1000, "entity": "-5"}
}

func listOf(t *testing.T, s sent) []map[string]any {
	t.Helper()
	s.expect(t, "list", 200, "", "")
	var out []map[string]any
	if err := json.Unmarshal([]byte(s.body), &out); err != nil {
		t.Fatalf("%v in %s", err, s.body)
	}
	return out
}

// TestCertificateRotation renews a certificate the way an agent does: upload with
// the old one, a token with the new one, then the old one is revoked with that.
func TestCertificateRotation(t *testing.T) {
	a, old := managed(t)
	n := start(t, Config{Accounts: []Account{a}})
	bearer := n.bearer(old, kidOf(a.Certificates[0]))

	next := ecKey(elliptic.P384())
	text := certify(t, next, time.Unix(pinned-60, 0), 5)
	s := n.upload(bearer, mapping(text))
	s.expect(t, "create", 200, "", "")
	got := decode(t, s.body)
	id := newCertificate(Certificate{PEM: text}, false).id
	for name, want := range map[string]any{
		"certificate_id": id, "certificate": text, "algorithm": "EC", "created_at": "2023-11-14", "valid_from": "2023-11-14",
		"valid_until": "2025-11-14", "invalidated": false, "application_id": applicationID(clientA),
	} {
		if got[name] != want {
			t.Errorf("create: %s is %v, want %v", name, got[name], want)
		}
	}
	if ids := got["entity_role_id"].(map[string]any); ids["com"] != "123456_SB1" || ids["ent"] != "-5" || ids["rol"] != "1000" || len(got) != 9 {
		t.Errorf("create answered %s", s.body)
	}

	list := listOf(t, n.send("GET", certificatesURL+"?c=", "", bearer))
	if len(list) != 2 || list[1]["certificate_id"] != id || list[1]["revoked"] != false || list[1]["valid_until"] != "2025-11-14" || list[0]["created"] == nil {
		t.Fatalf("the list is %v", list)
	}
	if app := list[1]["application"].(map[string]any); app["application_id"] != applicationID(clientA) || app["id"] != "1" || len(list[1]) != 9 {
		t.Errorf("the list is %v", list)
	}
	if role := list[1]["role"].(map[string]any); role["id"] != "1000" || role["name"] == "" || role["url"] == "" {
		t.Errorf("the role is %v", role)
	}

	fresh := n.bearerFrom(newAssertion("ES384", crypto.SHA384, next, id))
	revoke := certificatesURL + "/" + kidOf(a.Certificates[0]) + "/revoke"
	s = n.send("POST", revoke, "", fresh)
	s.expect(t, "revoke", 200, "", "")
	if s.body != "Successfully revoked" || s.header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("revoke answered %q as %s", s.body, s.header.Get("Content-Type"))
	}
	jwt := newAssertion("ES256", crypto.SHA256, old, kidOf(a.Certificates[0]))
	n.exchange(tokenURL, tokenForm(jwt.compact(t))).expect(t, "the old one", 400, ReasonMissingKey, "certificate-revoked")
	n.send("POST", revoke, "", fresh).expect(t, "revoke again", 400, ReasonCertificate, "certificate-revoked")
	n.upload(fresh, mapping(a.Certificates[0].PEM)).expect(t, "use it again", 400, ReasonCertificate, "certificate-revoked")
	if list := listOf(t, n.send("GET", certificatesURL, "", fresh)); list[0]["revoked"] != true {
		t.Errorf("the list is %v", list)
	}
}

// TestCertificateSlots fills the five places of an integration record; revoked
// and expired certificates take none.
func TestCertificateSlots(t *testing.T) {
	a, key := managed(t)
	expired := certificateOf(t, ecKey(elliptic.P256()))
	expired.PEM = certify(t, ecKey(elliptic.P256()), time.Unix(pinned, 0).AddDate(-1, 0, -1), 1)
	a.Certificates = append(a.Certificates, expired)
	n := start(t, Config{Accounts: []Account{a}})
	bearer := n.bearer(key, kidOf(a.Certificates[0]))
	var last string
	for range 4 {
		s := n.upload(bearer, mapping(certificateOf(t, ecKey(elliptic.P256())).PEM))
		s.expect(t, "a free place", 200, "", "")
		last = decode(t, s.body)["certificate_id"].(string)
	}
	sixth := mapping(certificateOf(t, ecKey(elliptic.P256())).PEM)
	n.upload(bearer, sixth).expect(t, "the sixth", 400, ReasonCertificate, "certificate-slots-full")
	n.send("POST", certificatesURL+"/"+last+"/revoke", "", bearer).expect(t, "revoke", 200, "", "")
	n.upload(bearer, sixth).expect(t, "after a revocation", 200, "", "")
}

func TestCertificateRefusals(t *testing.T) {
	a, key := managed(t)
	other := certificateOf(t, ecKey(elliptic.P256()))
	other.Entity, other.Role = "77", "1001"
	plainKey := ecKey(elliptic.P256())
	plain := certificateOf(t, plainKey)
	plain.Entity = "88"
	a.Certificates = append(a.Certificates, other, plain)
	n := start(t, Config{Accounts: []Account{a}})
	bearer := n.bearer(key, kidOf(a.Certificates[0]))
	good := certificateOf(t, ecKey(elliptic.P256())).PEM
	der, _ := pem.Decode([]byte(good))

	for what, tc := range map[string]struct {
		edit    func(map[string]any)
		status  int
		reason  Reason
		mistake string
	}{
		"RSA 2048":           {func(m map[string]any) { m["fileContent"] = certificateOf(t, keyOf.rsa2048()).PEM }, 400, ReasonCertificate, "certificate-not-acceptable"},
		"EC 224":             {func(m map[string]any) { m["fileContent"] = certificateOf(t, ecKey(elliptic.P224())).PEM }, 400, ReasonCertificate, "certificate-not-acceptable"},
		"DER":                {func(m map[string]any) { m["fileContent"] = string(der.Bytes[:4]) }, 400, ReasonCertificate, "certificate-not-acceptable"},
		"two":                {func(m map[string]any) { m["fileContent"] = good + good }, 400, ReasonCertificate, "certificate-not-acceptable"},
		"a private key":      {func(m map[string]any) { m["fileContent"] = good + string(DemoPrivateKey("1234567")) }, 400, ReasonCertificate, "private-key-sent"},
		"broken DER":         {func(m map[string]any) { m["fileContent"] = strings.Replace(good, "MII", "MIX", 1) }, 400, ReasonCertificate, "certificate-not-acceptable"},
		"expired":            {func(m map[string]any) { m["fileContent"] = certify(t, key, time.Unix(pinned, 0).AddDate(-3, 0, 0), 5) }, 400, ReasonCertificate, "certificate-expired"},
		"mapped already":     {func(m map[string]any) { m["fileContent"] = a.Certificates[1].PEM }, 400, ReasonCertificate, "certificate-in-use"},
		"another's entity":   {func(m map[string]any) { m["entity"] = "77" }, 403, ReasonPermissionDenied, "certificate-of-another-entity"},
		"another role":       {func(m map[string]any) { m["role"] = 1001 }, 403, ReasonPermissionDenied, "certificate-of-another-role"},
		"no role":            {func(m map[string]any) { delete(m, "role") }, 400, ReasonBadRequest, ""},
		"a role by its name": {func(m map[string]any) { m["role"] = "admin" }, 400, ReasonBadRequest, ""},
		"a fraction":         {func(m map[string]any) { m["role"] = 1000.5 }, 400, ReasonBadRequest, ""},
		"one member more":    {func(m map[string]any) { m["name"] = "x" }, 400, ReasonBadRequest, ""},
		"no certificate":     {func(m map[string]any) { m["fileContent"] = nil }, 400, ReasonBadRequest, ""},
	} {
		body := mapping(good)
		tc.edit(body)
		s := n.upload(bearer, body)
		s.expect(t, what, tc.status, tc.reason, tc.mistake)
		if decode(t, s.body)["o:errorDetails"] == nil || strings.Contains(s.body, "PRIVATE") {
			t.Errorf("%s: answered %s", what, s.body)
		}
	}
	n.upload(n.bearer(plainKey, kidOf(plain)), mapping(good)).expect(t, "without the permission", 403, ReasonPermissionDenied, "certificate-permission")
	restlets := newAssertion("ES256", crypto.SHA256, key, kidOf(a.Certificates[0]))
	restlets.claims["scope"] = []string{"restlets"}
	n.send("GET", certificatesURL, "", n.bearerFrom(restlets)).expect(t, "without rest_webservices", 401, ReasonScopeMismatched, "")
	n.send("GET", certificatesURL, "", orderFor(certificatesURL).header()).expect(t, "with OAuth 1.0", 401, ReasonInvalidRequest, "")
	n.send("GET", certificatesURL, "", nil).expect(t, "without anything", 401, ReasonInvalidRequest, "")
	n.send("GET", strings.Replace(certificatesURL, "restlets", "suitetalk", 1), "", bearer).expect(t, "the other host", 403, ReasonWrongHost, "wrong-service-host")
	n.send("GET", strings.Replace(certificatesURL, clientA, keyA[1:], 1), "", bearer).expect(t, "another client ID", 404, ReasonNotFound, "")
	for _, end := range []string{"/x/revoke", "/x", "/", "/" + kidOf(a.Certificates[0]) + "/revoke/x"} {
		n.send("POST", certificatesURL+end, "", bearer).expect(t, end, 404, ReasonNotFound, "")
	}
	n.send("DELETE", certificatesURL, "", bearer).expect(t, "DELETE", 404, ReasonNotFound, "")
	n.send("POST", certificatesURL+"/"+kidOf(other)+"/revoke", "", bearer).expect(t, "another's", 403, ReasonPermissionDenied, "certificate-of-another-entity")
	n.send("POST", certificatesURL+"/"+kidOf(plain)+"/revoke", "{}", bearer).expect(t, "a body", 400, ReasonBadRequest, "")
	n.send("POST", certificatesURL, "{}", bearer).expect(t, "no content type", 400, ReasonBadRequest, "")
	if list := listOf(t, n.send("GET", certificatesURL, "", bearer)); len(list) != 3 {
		t.Errorf("%d are listed after refusals only, want 3", len(list))
	}
}

func TestSettingsOfCertificates(t *testing.T) {
	a, key := managed(t)
	other := certificateOf(t, ecKey(elliptic.P256()))
	other.Entity = "77"
	a.Certificates = append(a.Certificates, other)
	n := start(t, Config{Accounts: []Account{a}, Settings: Settings{
		OwnCertificates: true, CertificateErrors: "oauth2", CertificateCreated: 201, RevokeTwice: true, NumberIDs: true,
	}})
	bearer := n.bearer(key, kidOf(a.Certificates[0]))
	if list := listOf(t, n.send("GET", certificatesURL, "", bearer)); len(list) != 1 || list[0]["entity"].(map[string]any)["id"] != -5.0 {
		t.Errorf("the list is %v", list)
	}
	s := n.upload(bearer, map[string]any{"fileContent": certificateOf(t, ecKey(elliptic.P256())).PEM, "role": "1000", "entity": -5})
	s.expect(t, "create", 201, "", "")
	s = n.upload(bearer, mapping("x"))
	s.expect(t, "a bad one", 400, ReasonCertificate, "certificate-not-acceptable")
	if s.body != `{"error":"invalid_request"}`+"\n" {
		t.Errorf("answered %s", s.body)
	}
	for range 2 {
		n.send("POST", certificatesURL+"/"+kidOf(a.Certificates[0])+"/revoke", "", bearer).expect(t, "revoke", 200, "", "")
	}
	b := newAccount(Account{ID: "1"}, Settings{})
	for range maxMappings {
		b.certs = append(b.certs, &certificate{})
	}
	if _, refused := b.addCertificate(other.PEM, clientA, "-5", "3", false, n.clock.now()); refused == nil || refused.reason != ReasonBusy {
		t.Errorf("mappings are not bounded: %v", refused)
	}
}

// TestFirstCertificateByLogin uploads the first certificate of an integration
// record with the access token of a user who logged in.
func TestFirstCertificateByLogin(t *testing.T) {
	a := codeAccount()
	a.Integrations = append(a.Integrations, Integration{Name: "machine", ConsumerKey: clientA, ConsumerSecret: "s"})
	a.Users = []User{{Name: "Ada", Entity: "-5", Role: "1000", Manage: true}, {Name: "Eve", Entity: "-5", Role: "1001"}}
	n := start(t, Config{Accounts: []Account{a}})
	key := ecKey(elliptic.P521())
	login := func(user int) http.Header {
		q := query("conf")
		q.Set("state", stateA+randomHex())
		at, err := Visit(t.Context(), n.client, pageURL+"?"+q.Encode(), Decision{Allow: true, User: user})
		if err != nil {
			t.Fatal(err)
		}
		s := n.basic(tokenURL, codeForm(at.Query().Get("code")), "conf", secretCode)
		return http.Header{"Authorization": {"Bearer " + member(t, s, "access_token")}}
	}
	text := certify(t, key, time.Unix(pinned, 0), 2)
	n.upload(login(1), map[string]any{"fileContent": text, "role": 1001, "entity": "-5"}).expect(t, "a role without the permission", 403, ReasonPermissionDenied, "certificate-permission")
	s := n.upload(login(0), mapping(text))
	s.expect(t, "create", 200, "", "")
	n.bearerFrom(newAssertion("ES512", crypto.SHA512, key, member(t, s, "certificate_id")))

	live := n.accounts[0]
	live.Integrations[len(live.Integrations)-1].GrantTypes = []string{"authorization_code"}
	form := tokenForm(newAssertion("ES512", crypto.SHA512, key, member(t, s, "certificate_id")).compact(t))
	refused := n.exchange(tokenURL, form)
	refused.expect(t, "no machine grant", 400, ReasonMachineGrantRequired, "")
	if member(t, refused, "error") != "unauthorized_client" {
		t.Errorf("answered %s", refused.body)
	}
	live.Users[0].Disabled, live.Integrations[len(live.Integrations)-1].GrantTypes = true, nil
	n.exchange(tokenURL, form).expect(t, "a disabled user", 400, ReasonEntityOrRole, "")
	live.OAuth2Disabled = true
	n.exchange(tokenURL, form).expect(t, "OAuth 2.0 off", 400, ReasonFeatureDisabled, "")
}

func FuzzParseCertificateOrder(f *testing.F) {
	f.Add("application/json", []byte(`{"fileContent":"-----BEGIN CERTIFICATE-----\n","role":1000,"entity":"-5"}`))
	f.Add("application/json; charset=utf-8", []byte(`{"fileContent":"x","role":"3","entity":7}`))
	f.Add("text/plain", []byte(`{"fileContent":"x","fileContent":"y","role":3,"entity":7}`))
	f.Add("application/json", []byte(`{"fileContent":null,"role":1e3,"entity":-0.5}`))
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		order, refused := parseCertificateOrder(contentType, body)
		if refused != nil {
			if order != (certificateOrder{}) {
				t.Fatalf("refused %q with %+v", body, order)
			}
			return
		}
		again, err := json.Marshal(map[string]string{"fileContent": order.file, "entity": order.entity, "role": order.role})
		if err != nil {
			t.Fatal(err)
		}
		back, refused := parseCertificateOrder("application/json", again)
		if refused != nil || back != order || !bytes.Contains(body, []byte("fileContent")) && !bytes.Contains(body, []byte(`\u`)) {
			t.Fatalf("%q became %+v, then %+v %v", body, order, back, refused)
		}
	})
}
