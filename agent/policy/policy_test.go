package policy

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func attempt(change func(*Attempt)) Attempt {
	a := Attempt{
		UID: 7, Owner: 7, Profile: "acme", Environment: "production", Access: Read, Kind: KindSign, Method: "GET",
		Host: "1234567.suitetalk.api.netsuite.com", Path: "/services/rest/record/v1/customer/1",
		Time: time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC),
	}
	change(&a)
	return a
}

// decide decides without a policy.
func decide(a Attempt) error {
	var p *Policy
	if d := p.Decide(a); d.Err != nil {
		return d.Err
	}
	return nil
}

// codeOf returns the code of a refusal; empty if there is none.
func codeOf(t testing.TB, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	d := new(Denied)
	if !errors.As(err, &d) || !errors.Is(err, ErrDenied) {
		t.Fatalf("%v is not a *Denied that wraps ErrDenied", err)
	}
	return d.Code
}

func TestDecide(t *testing.T) {
	post := func(path string) func(*Attempt) { return func(a *Attempt) { a.Method, a.Path = "POST", path } }
	method := func(m string) func(*Attempt) { return func(a *Attempt) { a.Method = m } }
	kind := func(k Kind) func(*Attempt) { return func(a *Attempt) { a.Kind, a.Method, a.Path = k, "", "" } }
	for name, c := range map[string]struct {
		change func(*Attempt)
		want   string // code of the refusal; empty means allowed
	}{
		"GET":                           {func(*Attempt) {}, ""},
		"HEAD":                          {method("HEAD"), ""},
		"GET of a RESTlet":              {func(a *Attempt) { a.Path = "/app/site/hosting/restlet.nl" }, ""},
		"SuiteQL":                       {post(SuiteQLPath), ""},
		"send of a GET":                 {func(a *Attempt) { a.Kind = KindSend }, ""},
		"send of SuiteQL":               {func(a *Attempt) { post(SuiteQLPath)(a); a.Kind = KindSend }, ""},
		"send of a DELETE":              {func(a *Attempt) { a.Kind, a.Method = KindSend, "DELETE" }, CodeReadOnly},
		"POST of a record":              {post("/services/rest/record/v1/customer"), CodeReadOnly},
		"POST to a RESTlet":             {post("/app/site/hosting/restlet.nl"), CodeReadOnly},
		"POST to SOAP":                  {post("/services/NetSuitePort_2025_2"), CodeReadOnly},
		"POST to the token endpoint":    {post("/services/rest/auth/oauth2/v1/token"), CodeReadOnly},
		"PUT of SuiteQL":                {func(a *Attempt) { a.Method, a.Path = "PUT", SuiteQLPath }, CodeReadOnly},
		"PUT":                           {method("PUT"), CodeReadOnly},
		"PATCH":                         {method("PATCH"), CodeReadOnly},
		"DELETE":                        {method("DELETE"), CodeReadOnly},
		"OPTIONS":                       {method("OPTIONS"), CodeReadOnly},
		"TRACE":                         {method("TRACE"), CodeReadOnly},
		"lower-case get":                {method("get"), CodeReadOnly},
		"get and a blank":               {method("GET "), CodeReadOnly},
		"no method":                     {method(""), CodeReadOnly},
		"two methods":                   {method("GET\nDELETE"), CodeReadOnly},
		"passport":                      {kind(KindPassport), CodeReadOnly},
		"connect-password":              {kind(KindConnectPassword), CodeReadOnly},
		"assertion":                     {kind(KindAssertion), CodeReadOnly},
		"token":                         {kind(KindToken), CodeReadOnly},
		"passport with GET":             {func(a *Attempt) { a.Kind = KindPassport }, CodeReadOnly},
		"passport with SuiteQL":         {func(a *Attempt) { post(SuiteQLPath)(a); a.Kind = KindPassport }, CodeReadOnly},
		"sandbox, read only":            {func(a *Attempt) { a.Environment, a.Method = "sandbox", "PUT" }, CodeReadOnly},
		"unknown kind":                  {func(a *Attempt) { a.Kind, a.Access = "raw", Write }, CodeDenied},
		"kind in capitals":              {func(a *Attempt) { a.Kind, a.Access = "SIGN", Write }, CodeDenied},
		"no kind":                       {func(a *Attempt) { a.Kind, a.Access = "", Write }, CodeDenied},
		"unknown access":                {func(a *Attempt) { a.Access = "all" }, CodeDenied},
		"access in capitals":            {func(a *Attempt) { a.Access = "WRITE" }, CodeDenied},
		"no access":                     {func(a *Attempt) { a.Access = "" }, CodeDenied},
		"no profile":                    {func(a *Attempt) { a.Access, a.Profile = Write, "" }, CodeDenied},
		"nothing at all":                {func(a *Attempt) { *a = Attempt{} }, CodeDenied},
		"write: DELETE":                 {func(a *Attempt) { a.Access, a.Method = Write, "DELETE" }, ""},
		"write: POST of a record":       {func(a *Attempt) { post("/services/rest/record/v1/customer")(a); a.Access = Write }, ""},
		"write: passport":               {func(a *Attempt) { kind(KindPassport)(a); a.Access = Write }, ""},
		"write: connect-password":       {func(a *Attempt) { kind(KindConnectPassword)(a); a.Access = Write }, ""},
		"write: assertion":              {func(a *Attempt) { kind(KindAssertion)(a); a.Access = Write }, ""},
		"write: token":                  {func(a *Attempt) { kind(KindToken)(a); a.Access = Write }, ""},
		"another user":                  {func(a *Attempt) { a.UID = 8 }, CodeDenied},
		"another user, write":           {func(a *Attempt) { a.UID, a.Access = 8, Write }, CodeDenied},
		"root for a user":               {func(a *Attempt) { a.UID, a.Access = 0, Write }, CodeDenied},
		"another user for root":         {func(a *Attempt) { a.Owner, a.Access = 0, Write }, CodeDenied},
		"root for root":                 {func(a *Attempt) { a.UID, a.Owner = 0, 0 }, ""},
		"a user whom nobody knows":      {func(a *Attempt) { a.UID = 1<<32 - 1 }, CodeDenied},
		"another user, nothing allowed": {func(a *Attempt) { a.UID, a.Method = 8, "DELETE" }, CodeDenied},
	} {
		if err := decide(attempt(c.change)); codeOf(t, err) != c.want {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func TestTextsOfRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Attempt)
		want   Denied
	}{
		"DELETE": {func(a *Attempt) { a.Method = "DELETE" }, Denied{
			CodeReadOnly, `production profile "acme" may not sign this DELETE request`,
			"its access is read: GET, HEAD and SuiteQL",
			"if it should:  nsagent profile edit acme --access write",
		}},
		"POST": {func(a *Attempt) { a.Method, a.Environment = "POST", "sandbox" }, Denied{
			CodeReadOnly, `sandbox profile "acme" may not sign this POST request`,
			"its access is read: GET, HEAD, and POST to exactly /services/rest/query/v1/suiteql",
			"if it should:  nsagent profile edit acme --access write",
		}},
		"passport": {func(a *Attempt) { a.Kind = KindPassport }, Denied{
			CodeReadOnly, `production profile "acme" may not make a TokenPassport`,
			"its access is read, and this would carry the whole role",
			"if it should:  nsagent profile edit acme --access write",
		}},
		"hostile": {func(a *Attempt) {
			a.Profile, a.Method, a.Environment = "x; rm -rf ~\n", "DEL\x1bETE", "\x1b[2J"
		}, Denied{
			CodeReadOnly, `profile may not sign this request`,
			"its access is read: GET, HEAD and SuiteQL",
			"if it should:  nsagent profile edit NAME --access write",
		}},
		"another user": {func(a *Attempt) { a.UID = 8 }, Denied{
			CodeDenied, `production profile "acme" may not sign this GET request`,
			"only its owner, uid 7, may use this agent, and the caller is uid 8",
			"run it as uid 7, or keep a vault of your own:  nsagent init",
		}},
	} {
		d := new(Denied)
		if err := decide(attempt(c.change)); !errors.As(err, &d) || *d != c.want {
			t.Errorf("%s:\ngot  %+v\nwant %+v", name, *d, c.want)
		}
	}
}

// Names and methods stand in a refusal if they are plain, and else are left out.
func TestWhatARefusalNames(t *testing.T) {
	long := strings.Repeat("a", 63)
	for _, c := range []struct{ profile, method, want string }{
		{"acme.a_b-9", "AZ", `profile "acme.a_b-9" may not sign this AZ request`},
		{long, strings.Repeat("M", 16), `profile "` + long + `" may not sign this ` + strings.Repeat("M", 16) + ` request`},
		{long + "a", strings.Repeat("M", 17), `profile may not sign this request`},
		{"a..b", "", `profile may not sign this request`},
		{"", "@", `profile may not sign this request`},
		{"-a", "[", `profile may not sign this request`},
		{"A", "get", `profile may not sign this request`},
		{"a`", "G T", `profile may not sign this request`},
		{"a{", "G/", `profile may not sign this request`},
		{"a/0", "G:", `profile may not sign this request`},
	} {
		d := new(Denied)
		err := decide(attempt(func(a *Attempt) { a.UID, a.Environment, a.Profile, a.Method = 8, "", c.profile, c.method }))
		if !errors.As(err, &d) || d.What != c.want {
			t.Errorf("%q %q: got %q, want %q", c.profile, c.method, d.What, c.want)
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	for name, change := range map[string]func(*Attempt){
		"GET":     func(*Attempt) {},
		"SuiteQL": func(a *Attempt) { a.Method, a.Path = "POST", SuiteQLPath },
		"encoded": func(a *Attempt) { a.Path = "/services/rest/record/v1/customer/eid:A%2FB" },
		"denied":  func(a *Attempt) { a.Method = "DELETE" },
	} {
		a := attempt(change)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := decide(a); (err != nil) != (name == "denied") {
					b.Fatal(err)
				}
			}
		})
	}
}
