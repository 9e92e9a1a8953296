package client_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/client/nstest"
)

// Each channel of NetSuite once, from a client of the running agent to a NetSuite
// that checks signatures with code of its own. Its verdict must be good each time.

// accept fails unless there are n verdicts and all are good.
func accept(t *testing.T, all []nstest.Verdict, n int) {
	t.Helper()
	if len(all) != n {
		t.Errorf("%d requests arrived, want %d: %v", len(all), n, all)
	}
	for _, v := range all {
		if !v.OK || v.Status >= 400 {
			t.Errorf("%s", v)
		}
	}
}

// TestREST creates, reads, changes and deletes a record, over NetSuite's names and
// over an endpoint of the profile's own.
func TestREST(t *testing.T) {
	t.Parallel()
	verdicts := shared(t).watch()
	for profile, origin := range map[string]string{"acme-sb1": suitetalk, "mock": shared(t).endpoint.URL} {
		t.Run(profile, func(t *testing.T) {
			t.Parallel()
			c := signing(t, profile, nil)
			send := func(method, url, body string) *http.Response {
				t.Helper()
				req := request(t, t.Context(), method, url, strings.NewReader(body))
				if body != "" {
					req.Header.Set("Content-Type", "application/json")
				}
				resp, err := c.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				text, _ := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if resp.StatusCode >= 300 {
					t.Fatalf("%s %s: %s: %s", method, url, resp.Status, text)
				}
				return resp
			}
			collection, marker := origin+"/services/rest/record/v1/customer", "rest="+profile
			created := send(http.MethodPost, collection+"?"+marker, `{"companyName":"Müller & Söhne"}`)
			record := created.Header.Get("Location")
			if !strings.HasPrefix(record, origin) {
				t.Fatalf("Location: %q", record)
			}
			record += "?" + marker
			send(http.MethodGet, record, "")
			send(http.MethodPatch, record, `{"companyName":"Müller, Söhne"}`)
			send(http.MethodGet, collection+"?q=companyName+IS+%22M%C3%BCller%2C%20S%C3%B6hne%22&limit=5&"+marker, "")
			send(http.MethodDelete, record, "")
			accept(t, verdicts(marker), 5)
		})
	}
}

// TestSuiteQL reads all pages, each by the link in the one before, with a profile
// that may only read.
func TestSuiteQL(t *testing.T) {
	t.Parallel()
	verdicts := shared(t).watch()
	c := signing(t, "acme-prod", nil)
	next := "https://1234567.suitetalk.api.netsuite.com/services/rest/query/v1/suiteql?limit=7&offset=0"
	rows, pages := 0, 0
	for next != "" {
		req := request(t, t.Context(), http.MethodPost, next, strings.NewReader(`{"q":"SELECT id, companyname FROM customer ORDER BY id"}`))
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Prefer", "transient")
		status, body, err := fetch(c, req)
		if err != nil || status != 200 {
			t.Fatalf("%s: got %d %s, %v", next, status, body, err)
		}
		var page struct {
			Items []struct{ ID string }
			Links []struct{ Rel, Href string }
		}
		if err := json.Unmarshal([]byte(body), &page); err != nil {
			t.Fatal(err)
		}
		rows, pages, next = rows+len(page.Items), pages+1, ""
		for _, link := range page.Links {
			if link.Rel == "next" {
				next = link.Href
			}
		}
	}
	if rows != 25 || pages != 4 {
		t.Errorf("got %d rows in %d pages, want 25 in 4", rows, pages)
	}
	accept(t, verdicts("/suiteql?limit=7"), pages)
}

// TestRESTlet sends parameters that come twice, and every character that some
// library encodes in its own way; the answer repeats what arrived.
func TestRESTlet(t *testing.T) {
	t.Parallel()
	verdicts := shared(t).watch()
	c := signing(t, "acme-sb1", nil)
	const odd = " !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~\x00\x1f\x7fäß€𝄞"
	query := url.Values{"script": {"21"}, "deploy": {"1"}, "id": {"2", "1", "", "2"}, odd: {odd, ""}, "tilde": {"~"}}
	for method, body := range map[string]string{"GET": "", "DELETE": "", "POST": `{"text":"ä"}`, "PUT": "plain"} {
		req := request(t, t.Context(), method, restlets+"/app/site/hosting/restlet.nl?"+query.Encode(), strings.NewReader(body))
		req.Header.Set("Content-Type", map[string]string{"PUT": "text/plain"}[method])
		if method != "PUT" {
			req.Header.Set("Content-Type", "application/json")
		}
		status, answer, err := fetch(c, req)
		if err != nil || status != 200 {
			t.Fatalf("%s: got %d %s, %v", method, status, answer, err)
		}
		var echo struct {
			Method, Body string
			Parameters   [][2]string
		}
		if err := json.Unmarshal([]byte(answer), &echo); err != nil {
			t.Fatal(err)
		}
		got := url.Values{}
		for _, p := range echo.Parameters {
			got.Add(p[0], p[1])
		}
		if echo.Method != method || echo.Body != body || got.Encode() != query.Encode() {
			t.Errorf("%s: the script got %s", method, answer)
		}
	}
	accept(t, verdicts("script=21"), 4)
}

// TestSOAP puts the passport's XML into an envelope, for each version of it.
func TestSOAP(t *testing.T) {
	t.Parallel()
	verdicts := shared(t).watch()
	w := shared(t)
	c := w.agent.dial(t)
	for _, version := range []string{"", "2025_2", "2023_1"} {
		p, err := c.Passport(t.Context(), "", version)
		if err != nil {
			t.Fatal(err)
		}
		if version == "" {
			version = "2025_2"
		}
		envelope := fmt.Sprintf(`<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Header>%s</soapenv:Header>`+
			`<soapenv:Body><getServerTime xmlns="urn:messages_%s.platform.webservices.netsuite.com"/></soapenv:Body></soapenv:Envelope>`, p.GetXml(), version)
		req := request(t, t.Context(), http.MethodPost, suitetalk+"/services/NetSuitePort_"+version+"?soap="+version, strings.NewReader(envelope))
		req.Header.Set("Content-Type", "text/xml; charset=utf-8")
		req.Header.Set("SOAPAction", "getServerTime")
		if status, body, err := fetch(&http.Client{Transport: w.web}, req); err != nil || status != 200 || !strings.Contains(body, "serverTime") {
			t.Errorf("%s: got %d %s, %v", version, status, body, err)
		}
	}
	accept(t, verdicts("soap=2025_2"), 2)
	accept(t, verdicts("soap=2023_1"), 1)
}

// TestConnect opens a SuiteAnalytics Connect session with a password made for it,
// which is good once.
func TestConnect(t *testing.T) {
	t.Parallel()
	w := shared(t)
	p, err := w.agent.dial(t).ConnectPassword(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if v := w.netsuite.CheckConnect(p.GetUser(), p.GetPassword()); !v.OK {
		t.Errorf("%s", v)
	}
	if v := w.netsuite.CheckConnect(p.GetUser(), p.GetPassword()); v.OK {
		t.Error("the password is good twice")
	}
}

// TestAssertion exchanges an assertion for a token and uses it.
func TestAssertion(t *testing.T) {
	t.Parallel()
	verdicts := shared(t).watch()
	w := shared(t)
	web := &http.Client{Transport: w.web}
	a, err := w.agent.dial(t).Assertion(t.Context(), client.AssertionRequest{Profile: "acme-sb1-m2m", Scopes: []string{"rest_webservices"}})
	if err != nil {
		t.Fatal(err)
	}
	exchange := request(t, t.Context(), http.MethodPost, a.GetTokenEndpoint(), strings.NewReader(url.Values{
		"grant_type": {"client_credentials"}, "client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		"client_assertion": {a.GetAssertion()},
	}.Encode()))
	exchange.Header.Set("Content-Type", form)
	status, body, err := fetch(web, exchange)
	var token struct {
		AccessToken string `json:"access_token"`
	}
	if err != nil || status != 200 || json.Unmarshal([]byte(body), &token) != nil || token.AccessToken == "" {
		t.Fatalf("got %d %s, %v", status, body, err)
	}
	use := request(t, t.Context(), http.MethodGet, customer+"?bearer=1", nil)
	use.Header.Set("Authorization", "Bearer "+token.AccessToken)
	if status, body, err := fetch(web, use); err != nil || status != 200 {
		t.Errorf("got %d %s, %v", status, body, err)
	}
	accept(t, verdicts("bearer=1"), 1)
	accept(t, verdicts(strings.TrimPrefix(a.GetTokenEndpoint(), "https://")), 1)
}

// TestForm signs a form body with the request, whatever its content type looks
// like: NetSuite computes the signature over the body that arrived.
func TestForm(t *testing.T) {
	t.Parallel()
	verdicts := shared(t).watch()
	c := signing(t, "acme-sb1", nil)
	for i, contentType := range []string{form, form + "; charset=UTF-8", "Application/X-WWW-Form-URLencoded;charset=\"utf-8\""} {
		for j, body := range []string{"", "a=1&a=2&b=%C3%A4+%2B", strings.Repeat("a=1&", 2000)} {
			marker := fmt.Sprintf("form=%d.%d", i, j)
			req := request(t, t.Context(), http.MethodPost, suitetalk+"/services/rest/record/v1/customer?"+marker, io.LimitReader(strings.NewReader(body), 1<<20))
			req.Header.Set("Content-Type", contentType)
			if _, body, err := fetch(c, req); err != nil {
				t.Fatal(body, err)
			}
			// What REST makes of a form is another matter.
			if v := verdicts(marker); len(v) != 1 || !v[0].OK {
				t.Errorf("%q: %v", contentType, v)
			}
		}
	}
}
