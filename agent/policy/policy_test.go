package policy

import (
	"errors"
	"testing"

	"pgregory.net/rapid"
)

func attempt(change func(*Attempt)) Attempt {
	a := Attempt{UID: 7, Owner: 7, Profile: "acme", Environment: "production", Access: Read, Kind: KindSign, Method: "GET",
		Host: "1234567.suitetalk.api.netsuite.com", Path: "/services/rest/record/v1/customer/1"}
	change(&a)
	return a
}

func TestDecide(t *testing.T) {
	post := func(path string) func(*Attempt) { return func(a *Attempt) { a.Method, a.Path = "POST", path } }
	kind := func(k Kind) func(*Attempt) { return func(a *Attempt) { a.Kind, a.Method = k, "" } }
	for name, c := range map[string]struct {
		change func(*Attempt)
		want   string // code of the refusal; empty means allowed
	}{
		"GET":                      {func(*Attempt) {}, ""},
		"HEAD":                     {func(a *Attempt) { a.Method = "HEAD" }, ""},
		"SuiteQL":                  {post(suiteQL), ""},
		"POST of a record":         {post("/services/rest/record/v1/customer"), "NSA-READONLY"},
		"PUT of SuiteQL":           {func(a *Attempt) { a.Method, a.Path = "PUT", suiteQL }, "NSA-READONLY"},
		"DELETE":                   {func(a *Attempt) { a.Method = "DELETE" }, "NSA-READONLY"},
		"PATCH":                    {func(a *Attempt) { a.Method = "PATCH" }, "NSA-READONLY"},
		"lower-case get":           {func(a *Attempt) { a.Method = "get" }, "NSA-READONLY"},
		"no method":                {func(a *Attempt) { a.Method = "" }, "NSA-READONLY"},
		"passport":                 {kind(KindPassport), "NSA-READONLY"},
		"connect-password":         {kind(KindConnectPassword), "NSA-READONLY"},
		"assertion":                {kind(KindAssertion), "NSA-READONLY"},
		"passport with GET":        {func(a *Attempt) { a.Kind = KindPassport }, "NSA-READONLY"},
		"unknown kind":             {func(a *Attempt) { a.Kind, a.Access = "raw", Write }, "NSA-DENIED"},
		"no kind":                  {func(a *Attempt) { a.Kind, a.Access = "", Write }, "NSA-DENIED"},
		"unknown access":           {func(a *Attempt) { a.Access = "all" }, "NSA-DENIED"},
		"no access":                {func(a *Attempt) { a.Access = "" }, "NSA-DENIED"},
		"write: DELETE":            {func(a *Attempt) { a.Access, a.Method = Write, "DELETE" }, ""},
		"write: assertion":         {func(a *Attempt) { a.Access, a.Kind = Write, KindAssertion }, ""},
		"another user":             {func(a *Attempt) { a.UID = 8 }, "NSA-DENIED"},
		"root for a user":          {func(a *Attempt) { a.UID, a.Access = 0, Write }, "NSA-DENIED"},
		"another user for root":    {func(a *Attempt) { a.Owner, a.Access = 0, Write }, "NSA-DENIED"},
		"root for root":            {func(a *Attempt) { a.UID, a.Owner = 0, 0 }, ""},
		"SuiteQL and a slash":      {post(suiteQL + "/"), "NSA-READONLY"},
		"SuiteQL, then up":         {post(suiteQL + "/../../../record/v1/customer"), "NSA-READONLY"},
		"SuiteQL, encoded up":      {post(suiteQL + "/%2e%2e/record"), "NSA-READONLY"},
		"SuiteQL, encoded letter":  {post("/services/rest/query/v1/suite%71l"), "NSA-READONLY"},
		"SuiteQL, capitals":        {post("/services/rest/query/v1/SuiteQL"), "NSA-READONLY"},
		"SuiteQL, double slash":    {post("//services/rest/query/v1/suiteql"), "NSA-READONLY"},
		"SuiteQL, encoded slash":   {post("/services/rest/query/v1%2Fsuiteql"), "NSA-READONLY"},
		"SuiteQL, path parameter":  {post(suiteQL + ";x=1"), "NSA-READONLY"},
		"SuiteQL inside a record":  {post("/services/rest/record/v1" + suiteQL), "NSA-READONLY"},
		"SuiteQL as query, record": {post("/services/rest/record/v1/customer?x=" + suiteQL), "NSA-READONLY"},
	} {
		err := Decide(attempt(c.change))
		var d *Denied
		got := ""
		if errors.As(err, &d) {
			got = d.Code
		}
		if got != c.want || (err == nil) != (c.want == "") {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
		if err != nil && (!errors.Is(err, ErrDenied) || d.What == "" || d.Why == "") {
			t.Errorf("%s: the refusal says too little: %#v", name, d)
		}
	}
}

func anyAttempt(t *rapid.T) Attempt {
	return Attempt{
		UID: rapid.Uint32().Draw(t, "uid"), Owner: rapid.Uint32().Draw(t, "owner"), Profile: rapid.String().Draw(t, "profile"),
		Access: Access(rapid.SampledFrom([]string{"read", "write", "", "READ", "all"}).Draw(t, "access")),
		Kind:   Kind(rapid.SampledFrom([]string{"sign", "passport", "connect-password", "assertion", "", "send"}).Draw(t, "kind")),
		Method: rapid.SampledFrom([]string{"GET", "HEAD", "POST", "PUT", "DELETE", "get", ""}).Draw(t, "method"),
		Path:   rapid.SampledFrom([]string{suiteQL, "/", "/services/rest/record/v1/customer", suiteQL + "/", ""}).Draw(t, "path"),
	}
}

// TestReadIsPartOfWrite guards that limiting a profile never widens it.
func TestReadIsPartOfWrite(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := anyAttempt(t)
		a.UID = a.Owner
		a.Access = Read
		read := Decide(a)
		a.Access = Write
		if write := Decide(a); read == nil && write != nil {
			t.Fatalf("allowed to read, denied to write: %+v: %v", a, write)
		}
	})
}

// TestOthersGetNothing guards that no attempt of another user is ever allowed.
func TestOthersGetNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := anyAttempt(t)
		if a.UID != a.Owner && Decide(a) == nil {
			t.Fatalf("allowed: %+v", a)
		}
	})
}

func BenchmarkDecide(b *testing.B) {
	a := attempt(func(a *Attempt) { a.Method, a.Path = "POST", suiteQL })
	b.ReportAllocs()
	for b.Loop() {
		if err := Decide(a); err != nil {
			b.Fatal(err)
		}
	}
}
