package nstest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// decode reads a JSON answer.
func decode(t *testing.T, body string) map[string]any {
	t.Helper()
	var out map[string]any
	if err := json.Unmarshal([]byte(body), &out); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return out
}

func TestRecords(t *testing.T) {
	n := start(t, Config{Accounts: []Account{account1()}})
	call := func(method, url, body string) sent {
		o := orderFor(url).fresh()
		o.method, o.body, o.contentType = method, body, "application/json"
		return n.do(o)
	}
	s := call("POST", listURL, `{"companyName":"New & Co","email":"a+b@example.com","externalId":"X 1"}`)
	s.expect(t, "create", 204, "", "")
	at := s.header.Get("Location")
	if at != listURL+"/4" || s.body != "" {
		t.Fatalf("created at %q with %q", at, s.body)
	}
	got := decode(t, call("GET", at, "").body)
	if got["companyName"] != "New & Co" || got["id"] != "4" || got["links"] == nil {
		t.Errorf("read %v", got)
	}
	call("PATCH", at, `{"companyName":"Newer","id":"77"}`).expect(t, "change", 204, "", "")
	if got := decode(t, call("GET", listURL+"/eid:X%201", "").body); got["companyName"] != "Newer" || got["id"] != "4" || got["email"] != "a+b@example.com" {
		t.Errorf("read %v", got)
	}
	list := decode(t, call("GET", listURL+"?q=email%20IS%20%22a%2Bb%40example.com%22", "").body)
	if items := list["items"].([]any); len(items) != 1 || items[0].(map[string]any)["id"] != "4" {
		t.Errorf("found %v", list)
	}
	call("DELETE", at, "").expect(t, "delete", 204, "", "")
	for what, tc := range map[string]struct {
		method, url, body string
		status            int
		code              string
	}{
		"gone":             {"GET", at, "", 404, "NONEXISTENT_ID"},
		"delete again":     {"DELETE", at, "", 404, "NONEXISTENT_ID"},
		"another type":     {"GET", strings.Replace(recordURL, "customer", "invoice", 1), "", 404, "NONEXISTENT_ID"},
		"not a number":     {"GET", listURL + "/01", "", 404, "NONEXISTENT_ID"},
		"deeper":           {"GET", recordURL + "/addressBook", "", 404, "NONEXISTENT_ID"},
		"no body":          {"POST", listURL, "", 400, "INVALID_CONTENT"},
		"an array":         {"POST", listURL, "[]", 400, "INVALID_CONTENT"},
		"a key twice":      {"POST", listURL, `{"a":1,"a":2}`, 400, "INVALID_CONTENT"},
		"bad patch":        {"PATCH", recordURL, "{", 400, "INVALID_CONTENT"},
		"PUT":              {"PUT", recordURL, "{}", 405, "METHOD_NOT_ALLOWED"},
		"a query not ours": {"GET", listURL + "?q=a", "", 400, "INVALID_PARAMETER"},
		"a path not ours":  {"GET", "https://123456-sb1.suitetalk.api.netsuite.com/services/rest/else", "", 404, "NONEXISTENT_ID"},
	} {
		s := call(tc.method, tc.url, tc.body)
		s.expect(t, what, tc.status, "", "")
		e := decode(t, s.body)
		detail := e["o:errorDetails"].([]any)[0].(map[string]any)
		if detail["o:errorCode"] != tc.code || e["status"] != float64(tc.status) || e["type"] == "" {
			t.Errorf("%s: %s", what, s.body)
		}
	}
	if items := decode(t, call("GET", strings.Replace(listURL, "customer", "metadata-catalog", 1), "").body)["items"]; len(items.([]any)) != 1 {
		t.Errorf("the catalog lists %v", items)
	}
	limits := decode(t, call("GET", "https://123456-sb1.suitetalk.api.netsuite.com/services/rest/system/v1/governanceLimits", "").body)
	if limits["accountConcurrencyLimit"] != 0.0 {
		t.Errorf("the limits are %v", limits)
	}
}

func TestStoreIsBounded(t *testing.T) {
	s := newStore(3)
	big := row{"note": json.RawMessage(`"` + strings.Repeat("x", 1<<20) + `"`)}
	stored := 0
	for range 40 {
		if _, ok := s.add(big); ok {
			stored++
		}
	}
	if stored < 10 || stored > 15 {
		t.Errorf("stored %d records of 1 MiB in 16 MiB", stored)
	}
	if s.change(1, big) && s.change(2, big) {
		t.Error("changes are not bounded")
	}
	for _, r := range s.list() {
		_, key, _ := s.find(text(r["id"]))
		s.remove(key)
	}
	if s.bytes != 0 || len(s.rows) != 0 {
		t.Errorf("%d bytes and %d rows are left", s.bytes, len(s.rows))
	}
}

func TestSuiteQLPaging(t *testing.T) {
	a := account1()
	a.Customers = 25
	n := start(t, Config{Accounts: []Account{a}})
	const base = "https://123456-sb1.suitetalk.api.netsuite.com/services/rest/query/v1/suiteql"
	query := func(url, q string) sent {
		o := orderFor(url).fresh()
		o.method = "POST"
		body, err := json.Marshal(map[string]string{"q": q})
		if err != nil {
			t.Fatal(err)
		}
		h := o.header()
		h.Set("Prefer", "transient")
		return n.send("POST", url, string(body), h)
	}
	url, pages, ids := base+"?limit=10", 0, []string{}
	for url != "" {
		s := query(url, "SELECT id, companyName FROM customer ORDER BY id")
		s.expect(t, url, 200, "", "")
		got := decode(t, s.body)
		pages++
		for _, item := range got["items"].([]any) {
			row := item.(map[string]any)
			if row["companyname"] == nil || row["email"] != nil {
				t.Fatalf("a row is %v", row)
			}
			ids = append(ids, row["id"].(string))
		}
		if got["totalResults"] != 25.0 || got["count"] != float64(len(got["items"].([]any))) {
			t.Errorf("page %d: %s", pages, s.body)
		}
		url = ""
		for _, l := range got["links"].([]any) {
			if link := l.(map[string]any); link["rel"] == "next" {
				url = link["href"].(string)
			}
		}
		if got["hasMore"] != (url != "") {
			t.Errorf("page %d: hasMore is %v", pages, got["hasMore"])
		}
	}
	if pages != 3 || len(ids) != 25 || ids[24] != "25" {
		t.Errorf("%d pages, IDs %v", pages, ids)
	}
	if got := decode(t, query(base, "select * from customer where id = 7").body); got["count"] != 1.0 {
		t.Errorf("one customer: %v", got)
	}
	for q, want := range map[string]string{"DELETE FROM customer": "INVALID_PARAMETER", "SELECT 1": "INVALID_PARAMETER", "SELECT a,,b FROM customer": "INVALID_PARAMETER"} {
		if s := query(base, q); s.status != 400 || !strings.Contains(s.body, want) {
			t.Errorf("%s: %d %s", q, s.status, s.body)
		}
	}
	for _, bad := range []string{"?limit=1001", "?limit=0", "?offset=-1", "?limit=x"} {
		if s := query(base+bad, "SELECT id FROM customer"); s.status != 400 || !s.verdict.OK {
			t.Errorf("%s: %d %s", bad, s.status, s.body)
		}
	}
	if got := decode(t, query(base+"?offset=9223372036854775807", "SELECT id FROM customer").body); got["count"] != 0.0 {
		t.Errorf("far out: %v", got)
	}
	o := orderFor(base).fresh()
	o.method, o.body = "POST", `{"q":"SELECT id FROM customer"}`
	if s := n.do(o); s.status != 400 || !strings.Contains(s.body, `"o:errorHeader":"Prefer"`) {
		t.Errorf("without Prefer: %d %s", s.status, s.body)
	}
}

// TestPagingOnEndpoint wants links to the origin that the client used.
func TestPagingOnEndpoint(t *testing.T) {
	n := start(t, Config{Accounts: []Account{account1()}})
	s := n.do(orderFor(n.URL + "/services/rest/record/v1/customer?limit=1").fresh())
	s.expect(t, "first page", 200, "", "")
	if !strings.Contains(s.body, `"`+n.URL+`/services/rest/record/v1/customer?limit=1\u0026offset=1"`) {
		t.Errorf("the links are in %s", s.body)
	}
}

func TestRESTletEcho(t *testing.T) {
	n := start(t, Config{Accounts: []Account{account1()}})
	o := orderFor(restletURL + "&tag=z&tag=a&tag=a%20b&empty=&flag&q=%C5%81%2B").fresh()
	o.method, o.body, o.contentType = "POST", `{"a":1}`, "application/json"
	s := n.do(o)
	s.expect(t, "echo", 200, "", "")
	var got restletEcho
	if err := json.Unmarshal([]byte(s.body), &got); err != nil {
		t.Fatal(err)
	}
	want := "[[script 6] [deploy 1] [tag z] [tag a] [tag a b] [empty ] [flag ] [q Ł+]]"
	if fmt.Sprint(got.Parameters) != want || got.Body != o.body || got.User != "Ada" || got.Method != "POST" {
		t.Errorf("got %+v, want the parameters %s", got, want)
	}

	const form = "application/x-www-form-urlencoded"
	for _, tc := range []struct {
		what, method, url, body, contentType string
		status                               int
		want                                 string
	}{
		{"a form", "POST", restletURL, "a=1", form, 415, "error code: UNSUPPORTED_MEDIA_TYPE"},
		{"no type", "POST", restletURL, "a", "", 415, "error code: UNSUPPORTED_MEDIA_TYPE"},
		{"GET with a body", "GET", restletURL, "{}", "application/json", 400, `"code":"INVALID_REQUEST"`},
		{"PATCH", "PATCH", restletURL, "", "application/xml", 405, "<error><code>METHOD_NOT_ALLOWED</code>"},
		{"no deployment", "GET", strings.TrimSuffix(restletURL, "&deploy=1"), "", "", 400, "SSS_MISSING_REQD_ARGUMENT"},
		{"a script that cannot be", "GET", strings.Replace(restletURL, "=6", "=x'", 1), "", "", 404, "SSS_INVALID_SCRIPTLET_ID"},
		{"broken JSON", "POST", restletURL, "{", "application/json", 400, `"code":"INVALID_REQUEST"`},
		{"named script", "GET", strings.Replace(restletURL, "=6", "=customscript_a", 1), "", "", 200, "customscript_a"},
		{"text", "PUT", restletURL, "hello", "text/plain", 200, "hello"},
		{"DELETE", "DELETE", restletURL, "", "", 200, "DELETE"},
	} {
		o := orderFor(tc.url).fresh()
		o.method, o.body, o.contentType = tc.method, tc.body, tc.contentType
		s := n.do(o)
		s.expect(t, tc.what, tc.status, "", "")
		if !strings.Contains(s.body, tc.want) {
			t.Errorf("%s: %s", tc.what, s.body)
		}
	}
}

// TestSettingsOfErrors switches what the documentation leaves open.
func TestSettingsOfErrors(t *testing.T) {
	bad := func(url string) order { o := orderFor(url).fresh(); o.csecret = "x"; return o }
	n := start(t, Config{Accounts: []Account{account1()}, Settings: Settings{RESTletLoginStatus: 403, RESTletChallenge: true, Challenge: "token_rejected"}})
	s := n.do(bad(restletURL))
	s.expect(t, "RESTlet", 403, ReasonInvalidSignature, "")
	if got := s.header.Get("WWW-Authenticate"); got != `OAuth realm="123456_SB1", error="token_rejected", error_description="Invalid login attempt."` {
		t.Errorf("WWW-Authenticate is %q", got)
	}
	n = start(t, Config{Accounts: []Account{account1()}, Settings: Settings{Challenge: "none", GrowingTimestamps: true, UnencodedHeader: true, RefuseBodyHash: true}})
	if s := n.do(bad(recordURL)); s.header.Get("WWW-Authenticate") != "" {
		t.Errorf("WWW-Authenticate is %q", s.header.Get("WWW-Authenticate"))
	}
	o := orderFor(recordURL).fresh()
	raw := strings.Replace(o.authorization(o.signature()), percentEncode(o.signature()), o.signature(), 1)
	n.send("GET", recordURL, "", http.Header{"Authorization": {raw}}).expect(t, "raw base64", 200, "", "")
	o = orderFor(recordURL).fresh()
	o.timestamp--
	n.do(o).expect(t, "a lower timestamp", 401, ReasonInvalidTimestamp, "")
	o = orderFor(recordURL).fresh()
	o.extra = []pair{{"oauth_body_hash", "2jmj7l5rSw0yVb/vlWAYkK/YBwk="}}
	n.do(o).expect(t, "a body hash", 401, ReasonParameterRejected, "")
}
