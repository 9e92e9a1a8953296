package nstest

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

const (
	serverTime = `<m:getServerTime/>`
	soapURL    = "https://123456-sb1.suitetalk.api.netsuite.com/services/NetSuitePort_2025_2"
)

func soapHeader() http.Header {
	return http.Header{"Content-Type": {"text/xml; charset=utf-8"}, "Soapaction": {`"getServerTime"`}}
}

// passport is a TokenPassport to write.
type passport struct {
	account, consumer, token, nonce, timestamp, signature, algorithm string
	space                                                            string // core or messages
	version                                                          string
	more                                                             string // further header elements
}

func passportOf(v vector) passport {
	return passport{v.Account, v.ConsumerKey, v.Token, v.Nonce, v.Timestamp, v.Signature, "HMAC-SHA256", "core", "2025_2", ""}
}

// freshPassport is a right one for account1.
func freshPassport() passport {
	p := passport{
		account: "123456_SB1", consumer: keyA, token: tokenA, nonce: fmt.Sprintf("soap%015d", nonces.Add(1)),
		timestamp: strconv.Itoa(pinned), algorithm: "HMAC-SHA256", space: "core", version: "2025_2",
	}
	return p.signed(secretA, tsecA)
}

func (p passport) claim() claim {
	return claim{p.consumer, p.token, p.nonce, p.timestamp, p.signature, p.algorithm}
}

func (p passport) signed(consumerSecret, tokenSecret string) passport {
	p.signature = sign(sha256.New, signingKey(consumerSecret, tokenSecret), concat(p.account, p.claim()))
	return p
}

func (p passport) element() string {
	prefix := "c"
	if p.space == "messages" {
		prefix = "m"
	}
	var b strings.Builder
	b.WriteString(`<m:tokenPassport soapenv:actor="http://schemas.xmlsoap.org/soap/actor/next" soapenv:mustUnderstand="0">`)
	for _, f := range []pair{{"account", p.account}, {"consumerKey", p.consumer}, {"token", p.token}, {"nonce", p.nonce}, {"timestamp", p.timestamp}} {
		fmt.Fprintf(&b, "<%s:%s>%s</%s:%s>\n", prefix, f.name, f.value, prefix, f.name)
	}
	fmt.Fprintf(&b, `<%s:signature algorithm="%s">%s</%s:signature></m:tokenPassport>`, prefix, p.algorithm, p.signature, prefix)
	return b.String()
}

func (p passport) wrap(header, body string) string {
	return `<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="` + soapEnvelope + `" xmlns:m="` + messagesSpace(p.version) + `" xmlns:c="` + coreSpace(p.version) + `">
<soapenv:Header>` + header + `</soapenv:Header><soapenv:Body>` + body + `</soapenv:Body></soapenv:Envelope>`
}

func (p passport) envelope(body string) string { return p.wrap(p.more+p.element(), body) }

func TestSOAPOperations(t *testing.T) {
	n := start(t, Config{Accounts: []Account{account1()}})
	n.clock.seconds.Store(pinned)
	for _, tc := range []struct{ what, body, want string }{
		{"a customer", `<m:get><m:baseRef type="customer" internalId="2"/></m:get>`, "Sample Customer 2"},
		{"by external ID", `<m:get><m:baseRef type="customer" externalId="ACME 1"/></m:get>`, "Sample Customer 1"},
		{"no such customer", `<m:get><m:baseRef type="customer" internalId="99"/></m:get>`, "RCRD_DSNT_EXIST"},
		{"no such type", `<m:get><m:baseRef type="invoice" internalId="1"/></m:get>`, "RCRD_DSNT_EXIST"},
		{"the time", serverTime, "2023-11-14T22:13:20.000Z"},
	} {
		s := n.send("POST", soapURL, freshPassport().envelope(tc.body), soapHeader())
		s.expect(t, tc.what, 200, "", "")
		if !strings.Contains(s.body, tc.want) {
			t.Errorf("%s: the answer lacks %q: %s", tc.what, tc.want, s.body)
		}
		if _, err := parseXML([]byte(s.body)); err != nil {
			t.Errorf("%s: the answer is not good XML: %v\n%s", tc.what, err, s.body)
		}
	}
	s := n.send("POST", soapURL, freshPassport().envelope(`<m:delete/>`), soapHeader())
	s.expect(t, "an unknown operation", 500, "", "")
	if s.verdict.User != "Ada" || s.verdict.Integration != "ERP sync" {
		t.Errorf("the verdict names %q and %q", s.verdict.User, s.verdict.Integration)
	}
}

func TestSOAPRefusals(t *testing.T) {
	n := start(t, Config{Accounts: []Account{account1(), {ID: "7654321"}}})
	good := freshPassport
	edit := func(f func(*passport)) passport {
		p := freshPassport()
		f(&p)
		return p
	}
	login, ambiguous := "Invalid login attempt.", "Ambiguous authentication"
	for _, tc := range []struct {
		what    string
		body    string
		reason  Reason
		mistake string
		fault   string
	}{
		{"no passport", good().wrap("", serverTime), ReasonMissingFields, "", login},
		{"two passports", good().wrap(good().element()+good().element(), serverTime), ReasonAmbiguous, "", ambiguous},
		{"with an application ID", edit(func(p *passport) {
			p.more = `<m:applicationInfo><m:applicationId>1</m:applicationId></m:applicationInfo>`
		}).envelope(serverTime), ReasonAmbiguous, "", ambiguous},
		{"with a user passport", edit(func(p *passport) { p.more = `<m:passport/>` }).envelope(serverTime), ReasonAmbiguous, "", ambiguous},
		{"header that must be understood", edit(func(p *passport) {
			p.more = `<m:searchPreferences soapenv:mustUnderstand="1"/>`
		}).envelope(serverTime), ReasonBadRequest, "", "The request could not be understood."},
		{"a lower-case account, signed as sent", edit(func(p *passport) {
			p.account = "123456_sb1"
			*p = p.signed(secretA, tsecA)
		}).envelope(serverTime), ReasonInvalidSignature, "account-spelling", login},
		{"a lower-case account, signed with capitals", edit(func(p *passport) { p.account = "123456_sb1" }).envelope(serverTime), ReasonInvalidSignature, "account-spelling", login},
		{"an unknown account", edit(func(p *passport) { p.account = "999" }).envelope(serverTime), ReasonTokenRejected, "account-of-another-host", login},
		{"the account of another host", edit(func(p *passport) { p.account = "7654321" }).envelope(serverTime), ReasonTokenRejected, "account-of-another-host", login},
		{"swapped secrets", good().signed(tsecA, secretA).envelope(serverTime), ReasonInvalidSignature, "key-order-swapped", login},
		{"token secret left out", good().signed(secretA, "").envelope(serverTime), ReasonInvalidSignature, "key-consumer-only", login},
		{"token ID as secret", good().signed(secretA, tokenA).envelope(serverTime), ReasonInvalidSignature, "token-id-as-secret", login},
		{"line break in a secret", good().signed(secretA+"\n", tsecA).envelope(serverTime), ReasonInvalidSignature, "secret-with-line-break", login},
		{"signature percent-encoded", edit(func(p *passport) { p.signature = percentEncode(p.signature) }).envelope(serverTime), ReasonInvalidSignature, "signature-encoded", login},
		{"wrong secrets", good().signed("x", "y").envelope(serverTime), ReasonInvalidSignature, "", login},
		{"SHA-1", edit(func(p *passport) { p.algorithm = "HMAC-SHA1" }).envelope(serverTime), ReasonUnknownAlgorithm, "", login},
		{"no algorithm", edit(func(p *passport) { p.algorithm = "" }).envelope(serverTime), ReasonMissingFields, "", login},
		{"a short nonce", edit(func(p *passport) { p.nonce = "abcde"; *p = p.signed(secretA, tsecA) }).envelope(serverTime), ReasonNonceRejected, "", login},
		{"a nonce with a hyphen", edit(func(p *passport) { p.nonce = "abcde-fgh"; *p = p.signed(secretA, tsecA) }).envelope(serverTime), ReasonNonceRejected, "", login},
		{"a long nonce", edit(func(p *passport) { p.nonce = strings.Repeat("a", 65); *p = p.signed(secretA, tsecA) }).envelope(serverTime), ReasonNonceRejected, "", login},
		{"an unknown consumer", edit(func(p *passport) { p.consumer = tokenA }).envelope(serverTime), ReasonConsumerKeyUnknown, "", login},
		{"an unknown token", edit(func(p *passport) { p.token = keyA }).envelope(serverTime), ReasonTokenRejected, "", login},
		{"an old timestamp", edit(func(p *passport) { p.timestamp = strconv.Itoa(pinned - 301); *p = p.signed(secretA, tsecA) }).envelope(serverTime), ReasonInvalidTimestamp, "clock-behind", login},
		{"the namespace of another version", strings.Replace(good().envelope(serverTime), coreSpace("2025_2"), coreSpace("2024_1"), 1), ReasonMissingFields, "passport-namespace", login},
		{"an element twice", strings.Replace(good().envelope(serverTime), "<c:nonce>", "<c:nonce>abcdefgh</c:nonce><c:nonce>", 1), ReasonParameterRejected, "", login},
		{"an empty element", strings.Replace(good().envelope(serverTime), "<c:nonce>", "<c:nonce></c:nonce><c:nonce>", 1), ReasonParameterRejected, "", login},
		{"a document type", strings.Replace(good().envelope(serverTime), "<soapenv:Envelope", `<!DOCTYPE a [<!ENTITY b "c">]><soapenv:Envelope`, 1), ReasonBadRequest, "", "The request could not be understood."},
		{"SOAP 1.2", strings.Replace(good().envelope(serverTime), soapEnvelope, "http://www.w3.org/2003/05/soap-envelope", 1), ReasonBadRequest, "", "The request could not be understood."},
		{"two operations", good().envelope(serverTime + serverTime), ReasonBadRequest, "", "The request could not be understood."},
		{"no XML", "hello", ReasonBadRequest, "", "The request could not be understood."},
		{"nothing", "", ReasonBadRequest, "", "The request could not be understood."},
	} {
		s := n.send("POST", soapURL, tc.body, soapHeader())
		s.expect(t, tc.what, 500, tc.reason, tc.mistake)
		if !strings.Contains(s.body, "<faultstring>"+tc.fault+"</faultstring>") {
			t.Errorf("%s: the fault is %s", tc.what, s.body)
		}
	}

	cookie := soapHeader()
	cookie.Set("Cookie", "JSESSIONID=abc")
	n.send("POST", soapURL, good().envelope(serverTime), cookie).expect(t, "with a session cookie", 500, ReasonAmbiguous, "")
	bearer := soapHeader()
	bearer.Set("Authorization", "Bearer x")
	n.send("POST", soapURL, good().envelope(serverTime), bearer).expect(t, "with an access token", 500, ReasonAmbiguous, "")
	n.send("POST", strings.Replace(soapURL, "2025_2", "2031_1", 1), good().envelope(serverTime), soapHeader()).expect(t, "an unknown endpoint", 500, ReasonBadRequest, "")
	n.send("POST", strings.Replace(soapURL, "suitetalk", "restlets", 1), good().envelope(serverTime), soapHeader()).expect(t, "another service's host", 500, ReasonWrongHost, "wrong-service-host")
}

func TestSOAPNamespaceSetting(t *testing.T) {
	for _, setting := range []string{"core", "messages"} {
		n := start(t, Config{Accounts: []Account{account1()}, Settings: Settings{PassportNamespace: setting}})
		for _, space := range []string{"core", "messages"} {
			p := freshPassport()
			p.space = space
			s := n.send("POST", soapURL, p.envelope(serverTime), soapHeader())
			if s.verdict.OK != (space == setting) {
				t.Errorf("setting %s, children in %s: %s", setting, space, s.verdict)
			}
		}
	}
}

func TestParseXMLIsStrict(t *testing.T) {
	for _, bad := range []string{
		"", "<a>", "<a></b>", "<a/><b/>", "x<a/>", "<a/>x", "<a b='1' b='2'/>", "<x:a/>", "<a x:b='1'/>",
		"<a xmlns:x='u' xmlns:y='u' x:b='1' y:b='2'/>", "<a xmlns:x=''/>", "<a xmlns='u' xmlns='v'/>",
		"<?pi?><a/>", "<a><?xml version='1.0'?></a>", "<!DOCTYPE a><a/>", "<?xml version='1.0' encoding='ISO-8859-1'?><a/>",
		"<a>&b;</a>", "<a>\xff</a>", "<a b=1/>", strings.Repeat("<a>", 65) + strings.Repeat("</a>", 65),
		"<a>" + strings.Repeat("<b/>", maxXMLNodes) + "</a>",
	} {
		if n, err := parseXML([]byte(bad)); err == nil {
			t.Errorf("%.60q gave %v", bad, n.name)
		}
	}
	n, err := parseXML([]byte(`<?xml version="1.0"?><!-- c --><a xmlns="u" xmlns:x="v"><x:b c="1" x:d="2"> t<![CDATA[&]]> </x:b><e xmlns=""/></a>`))
	if err != nil || !n.is("u", "a") || len(n.all("v", "b")) != 1 || len(n.all("", "e")) != 1 {
		t.Fatalf("%+v, %v", n, err)
	}
	if b := n.all("v", "b")[0]; b.text() != "t&" || b.attr("c") != "1" || b.attr("d") != "" {
		t.Errorf("%+v", b)
	}
}
