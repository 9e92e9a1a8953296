package policy

import (
	"strings"
	"testing"
)

// Requirement G-04: no spelling of a write may pass for SuiteQL. Each of these paths
// resolves, at some server or in some client, to a record or to SuiteQL itself; none is
// the one path byte for byte.
func TestNothingElsePassesForSuiteQL(t *testing.T) {
	const record = "/services/rest/record/v1/customer"
	paths := []string{
		"", "/", "*", "suiteql", "/suiteql", SuiteQLPath[1:],
		SuiteQLPath + "/", "/" + SuiteQLPath, SuiteQLPath + "//", SuiteQLPath + "/.", SuiteQLPath + "/x",
		"/." + SuiteQLPath, "/x/.." + SuiteQLPath, SuiteQLPath + "/x/..",
		record + "/../../../query/v1/suiteql",
		SuiteQLPath + "/../../../record/v1/customer",
		SuiteQLPath + "/%2e%2e/%2e%2e/%2e%2e/record/v1/customer",
		SuiteQLPath + "/.%2e/.%2E/%2E./record/v1/customer",
		SuiteQLPath + "/%252e%252e/%252e%252e/%252e%252e/record/v1/customer",
		SuiteQLPath + "/..;/..;/..;/record/v1/customer",
		SuiteQLPath + `/..\..\..\record\v1\customer`,
		SuiteQLPath + "/%2e%2e%2f%2e%2e%2f%2e%2e%2frecord/v1/customer",
		SuiteQLPath + "/..%2F..%2F..%2Frecord/v1/customer",
		SuiteQLPath + "/..%5c..%5c..%5crecord/v1/customer",
		SuiteQLPath + "/%c0%ae%c0%ae/record/v1/customer", // overlong dots
		SuiteQLPath + "/%u002e%u002e/record/v1/customer",
		"/services/rest/query/v1/suite%71l", "/services/rest/query/v1/suite%51l", "/services/rest/query/v1/%73uiteql",
		"/services/rest/query/v1/SuiteQL", "/services/rest/query/v1/SUITEQL", "/Services/rest/query/v1/suiteql",
		"//services/rest/query/v1/suiteql", "/services//rest/query/v1/suiteql", "/services/rest/query/v1//suiteql",
		"/services/rest/query/v1%2Fsuiteql", "/services/rest/query/v1%2fsuiteql", "%2Fservices/rest/query/v1/suiteql",
		"/services/rest/query/./v1/suiteql", "/services/rest/query/v2/../v1/suiteql", "/services/rest/query/v1/x/../suiteql",
		SuiteQLPath + ";x=1", SuiteQLPath + ";", "/services;a/rest/query/v1/suiteql",
		SuiteQLPath + "?q=1", SuiteQLPath + "?", SuiteQLPath + "#", SuiteQLPath + "%3Fq", SuiteQLPath + "%23",
		SuiteQLPath + "%00", SuiteQLPath + "\x00", SuiteQLPath + "%20", SuiteQLPath + " ", " " + SuiteQLPath, SuiteQLPath + "%0d%0a", SuiteQLPath + "\r\n",
		SuiteQLPath + "%", SuiteQLPath + "%2", SuiteQLPath + "\u200b", "/services/rest/query/v1/suite\u02a0l", "/services/rest/query/v1/ſuiteql",
		"/services/rest/query/v1/suiteqlx", "/services/rest/query/v1/suite", "/services/rest/query/v1",
		record + SuiteQLPath, record + "?x=" + SuiteQLPath, record + "#" + SuiteQLPath, record + ";" + SuiteQLPath,
		record + "/suiteql", record + "/%2e%2e/suiteql", "/services/rest/record/v1/suiteql",
		"https://1234567.suitetalk.api.netsuite.com" + SuiteQLPath, "http:" + SuiteQLPath,
	}
	for _, path := range paths {
		for _, kind := range []Kind{KindSign, KindSend} {
			a := attempt(func(a *Attempt) { a.Method, a.Path, a.Kind = "POST", path, kind })
			if err := decide(a); codeOf(t, err) != CodeReadOnly {
				t.Errorf("%s of %q: got %v, want it refused", kind, path, err)
			}
		}
	}
}

// TBA's token endpoints answer to GET, so a method says nothing there.
func TestTokenEndpointsAreNotReading(t *testing.T) {
	endpoints := []string{
		"/rest/revoketoken", "/rest/issuetoken", "/rest/requesttoken", "/rest/accesstoken",
		"/rest/revoketoken/", "//rest/revoketoken", "/rest//revoketoken", "/rest/./revoketoken", "/x/../rest/revoketoken",
		"/REST/RevokeToken", "/rest/revoke%74oken", "/rest/%72evoketoken", "/%72est/revoketoken", "/rest%2Frevoketoken", "/rest%5crevoketoken",
		"/rest/revoke%2574oken", "/rest/revoke%252574oken", `/rest\revoketoken`, `\rest\revoketoken`, "/rest/revoketoken;jsessionid=1",
		"/rest;a=b/revoketoken", "/x/..;/rest/revoketoken", "/services/rest/record/../../../rest/revoketoken",
		"/services/rest/record/%2e%2e/%2e%2e/%2e%2e/rest/issuetoken", "rest/revoketoken", "/rest/revoketoken/x/..",
		"/rest/revo\u212aetoken", "/rest/revoketo%e2%84%aaen", "/re\u017ft/revoketoken", // letters that fold to k and s
		"/" + strings.Repeat("%25", 40) + "%2525252525252541",
		"/services/rest/record/v1/customer/%25252541", // four times over: given up
	}
	for _, path := range endpoints {
		for _, method := range []string{"GET", "HEAD"} {
			read := attempt(func(a *Attempt) { a.Method, a.Path = method, path })
			if err := decide(read); codeOf(t, err) != CodeReadOnly {
				t.Errorf("%s %s: got %v, want it refused", method, path, err)
			}
			read.Access = Write
			if err := decide(read); err != nil {
				t.Errorf("%s %s with write: got %v", method, path, err)
			}
		}
	}
	for _, path := range []string{
		"/rest/tokeninfo", "/rest/roles", "/rest/datacenterurls", "/services/rest/record/v1/oauthtoken/5",
		"/services/rest/record/v1/customer/eid:A%2FB", "/services/rest/record/v1/customer/eid:50%25", "/services/rest/record/v1/customer/eid:a;b",
		"/services/rest/record/v1/customrecord_rest/revoketoken", "/rest/revoketokens", "/app/site/hosting/restlet.nl", "/services/rest/auth/oauth2/v1/keys",
		"/services/rest/record/v1/customer/50%", "/services/rest/record/v1/customer/eid:J%C3%BCrgen", "/services/rest/record/v1/customer/%zz", "",
		"/services/rest/record/v1/customer/50%2", "/services/rest/record/v1/customer/%252541", // encoded three times over
	} {
		if err := decide(attempt(func(a *Attempt) { a.Path = path })); err != nil {
			t.Errorf("GET %s: got %v, want it allowed", path, err)
		}
	}
}

// What the decision rests on, by itself: nothing that may be a token endpoint takes the
// short way.
func TestMayHoldToken(t *testing.T) {
	for s, want := range map[string]bool{
		"": false, "t": false, "/rest/t": false, "/services/rest/record/v1/customer/1": false, "toke": false, "xtoke": false, "t-oken": false,
		"token": true, "/rest/revokeToKeN": true, "token/x": true, "\x7f": false, "\x80": true, "/\xc5\xbf": true,
	} {
		if got := mayHoldToken(s); got != want {
			t.Errorf("%q: got %t", s, got)
		}
	}
}
