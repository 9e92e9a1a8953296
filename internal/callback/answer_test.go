package callback

import (
	"errors"
	"net/url"
	"strings"
	"testing"
)

func TestParseQuery(t *testing.T) {
	for _, c := range []struct {
		name, query string
		kind        Kind
		secret      string
		fault       string
		want        Answer
	}{
		{"NetSuite Help, Step One: consent", "state=ykv2XLx1BpT5Q0F3MRPHb94j&role=3&entity=12&company=1234567&code=70b827f9", Code, "70b827f9", "",
			Answer{State: "ykv2XLx1BpT5Q0F3MRPHb94j", Role: "3", Entity: "12", Company: "1234567"}},
		{"RFC 6749 4.1.2.1: denied", "error=access_denied&state=xyz", Code, "", AccessDenied, Answer{State: "xyz", Error: "access_denied"}},
		{"another error", "state=xyz&error=invalid_scope&error_description=no+such", Code, "", "invalid_scope", Answer{State: "xyz", Error: "invalid_scope"}},
		{"neither code nor error", "state=xyz", Code, "", Incomplete, Answer{State: "xyz"}},
		{"an empty code", "state=xyz&code=", Code, "", Incomplete, Answer{State: "xyz"}},
		{"percent-encoding and plus", "state=a%2Bb+c&code=%41%2f%3D%26", Code, "A/=&", "", Answer{State: "a+b c"}},
		{"what is not known", "&&x=1&state=xyz&code=c&code2=d&=e&", Code, "c", "", Answer{State: "xyz"}},
		{"NetSuite Help, Step Two: the callback keeps its own query", "callbackRequest&oauth_token=ab12&oauth_verifier=cd34&company=1234567_SB1&role=1000&entity=-5&state=XY", Verifier, "cd34", "",
			Answer{State: "XY", RequestToken: "ab12", Company: "1234567_SB1", Role: "1000", Entity: "-5"}},
		{"three steps, denied", "oauth_token=ab12&oauth_verifier=&state=XY", Verifier, "", AccessDenied, Answer{State: "XY", RequestToken: "ab12"}},
		{"three steps, no verifier", "oauth_token=ab12&state=XY", Verifier, "", Incomplete, Answer{State: "XY", RequestToken: "ab12"}},
		{"a code where a verifier is due", "code=c&state=XY", Verifier, "", Incomplete, Answer{State: "XY"}},
		{"nothing", "", Code, "", Incomplete, Answer{}},
	} {
		a, err := parseQuery([]byte(c.query))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		secret, fault := a.Secret(c.kind)
		if string(secret) != c.secret || fault != c.fault {
			t.Errorf("%s: got %q, %q, want %q, %q", c.name, secret, fault, c.secret, c.fault)
		}
		if got := (Answer{a.State, a.Error, a.Company, a.Role, a.Entity, a.RequestToken, nil, nil, false}); !same(got, c.want) {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
		a.Wipe()
		if strings.Trim(string(secret), "\x00") != "" {
			t.Errorf("%s: %q is left", c.name, secret)
		}
	}
}

// same compares the public parts.
func same(a, b Answer) bool {
	return a.State == b.State && a.Error == b.Error && a.Company == b.Company && a.Role == b.Role && a.Entity == b.Entity && a.RequestToken == b.RequestToken
}

func TestParseQueryRefuses(t *testing.T) {
	for query, why := range map[string]string{
		"state=a&state=a":                    "state stands twice",
		"state=a&st%61te=b":                  "state stands twice",
		"code=a&state=s&code=b":              "code stands twice",
		"code=%4":                            "percent-encoding",
		"code=%zz":                           "percent-encoding",
		"%=1":                                "percent-encoding",
		"code=a%00b":                         "does not send",
		"code=a%0d%0aSet-Cookie:x":           "does not send",
		"state=%c3%a4":                       "does not send",
		"role=\x80":                          "does not send",
		"code=a&error=access_denied":         "an error and a code",
		"oauth_verifier=a&error=x":           "an error and a code",
		"error=" + strings.Repeat("e", 65):   "error is too long",
		"code=" + strings.Repeat("c", 4097):  "code is too long",
		"state=" + strings.Repeat("s", 1025): "state is too long",
		"role=" + strings.Repeat("r", 513):   "role is too long",
		strings.Repeat("x&", 65):             "too many",
		strings.Repeat("x", maxQuery+1):      "it is too long",
	} {
		a, err := parseQuery([]byte(query))
		if a != nil || !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), why) {
			t.Errorf("%.60q: got %v, %v, want ErrMalformed with %q", query, a, err, why)
		}
	}
}

func TestParseURL(t *testing.T) {
	const uri = "https://localhost:8765/callback"
	for _, c := range []struct{ redirect, pasted, code string }{
		{uri, uri + "?code=c&state=s", "c"},
		{uri, "  \"" + uri + "?code=c&state=s\"\r\n", "c"},
		{uri, "<" + uri + "?code=c&state=s>", "c"},
		{uri, "localhost:8765/callback?code=c&state=s", "c"},
		{uri, uri + "?code=c&state=s#_=_", "c"},
		{uri, uri, ""},
		{"https://localhost:8765", "https://localhost:8765/?code=c", "c"},
		{"https://localhost:8765", "https://localhost:8765?code=c", "c"},
		{"http://localhost:1/a?callbackRequest", "http://localhost:1/a?callbackRequest&code=c", "c"},
		{"myapp://callback", "myapp://callback?code=c", "c"},
		{"myapp:/callback", "myapp:/callback?code=c", "c"},
	} {
		text := []byte(c.pasted)
		a, err := ParseURL(text, c.redirect)
		if err != nil || string(a.code) != c.code {
			t.Errorf("%q: got %v, %v, want the code %q", c.pasted, a, err, c.code)
		}
		if string(text) != c.pasted {
			t.Errorf("the text has become %q", text)
		}
	}
	for _, pasted := range []string{
		"", "code=c&state=s", "?code=c", "c", "https://localhost:8765/callbacks?code=c", "https://localhost:8765/?code=c", "http://localhost:8765/callback?code=c",
		"https://localhost:87650/callback?code=c", "https://1234567.app.netsuite.com/app/login/oauth2/authorize.nl?redirect_uri=" + url.QueryEscape(uri),
		"https://evil.example/?u=" + uri + "?code=c", uri + "/?code=c",
	} {
		if a, err := ParseURL([]byte(pasted), uri); a != nil || !errors.Is(err, ErrOtherAddress) {
			t.Errorf("%q: got %v, %v, want ErrOtherAddress", pasted, a, err)
		}
	}
	if _, err := ParseURL([]byte(uri+"?code=%"), uri); !errors.Is(err, ErrMalformed) {
		t.Errorf("got %v, want ErrMalformed", err)
	}
}

// FuzzParseQuery: what is accepted is printable and bounded, an error returns nothing,
// and writing the values again gives the same answer.
func FuzzParseQuery(f *testing.F) {
	f.Add([]byte("state=ykv2&role=3&entity=12&company=1234567&code=70b827f9"))
	f.Add([]byte("callbackRequest&oauth_token=a%2b&oauth_verifier=&state=XY"))
	f.Add([]byte("error=access_denied&state=%zz&state="))
	f.Fuzz(func(t *testing.T, query []byte) {
		a, err := parseQuery(query)
		if err != nil {
			if a != nil || !errors.Is(err, ErrMalformed) {
				t.Errorf("got %v, %v", a, err)
			}
			return
		}
		values := url.Values{"state": {a.State}, "error": {a.Error}, "company": {a.Company}, "role": {a.Role}, "entity": {a.Entity}, "oauth_token": {a.RequestToken}, "code": {string(a.code)}}
		if a.hasVerifier {
			values.Set("oauth_verifier", string(a.verifier))
		}
		for name, v := range values {
			if !printable(v[0]) || len(v[0]) > maxSecret {
				t.Errorf("%s is %q", name, v[0])
			}
		}
		again, err := parseQuery([]byte(values.Encode()))
		if err != nil {
			if len(values.Encode()) <= maxQuery {
				t.Fatal(err)
			}
			return
		}
		if !same(*a, *again) || string(a.code) != string(again.code) || string(a.verifier) != string(again.verifier) || a.hasVerifier != again.hasVerifier {
			t.Errorf("%q: got %+v, then %+v", query, a, again)
		}
	})
}

func FuzzParseURL(f *testing.F) {
	f.Add([]byte(" 'https://localhost:8765/callback?code=c&state=s#' "), "https://localhost:8765/callback")
	f.Add([]byte("myapp:/x?code=%41"), "myapp:/x")
	f.Fuzz(func(t *testing.T, text []byte, redirect string) {
		before := string(text)
		a, err := ParseURL(text, redirect)
		if (a == nil) != (err != nil) || err != nil && !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrOtherAddress) {
			t.Errorf("got %v, %v", a, err)
		}
		if a != nil {
			a.Wipe()
		}
		if string(text) != before {
			t.Errorf("the text has changed")
		}
	})
}
