package client_test

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/nsagent/nsagent/client"
)

const tokenURL = suitetalk + "/services/rest/auth/oauth2/v1/token"

// TestTokenSource makes an oauth2.TokenSource out of an AssertionTransport, and
// calls NetSuite with what it gives. Each token costs an assertion of its own.
func TestTokenSource(t *testing.T) {
	t.Parallel()
	verdicts := shared(t).watch()
	var forms []url.Values
	exchanges := roundTripper(func(req *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		f, err := url.ParseQuery(string(body))
		if err != nil {
			return nil, err
		}
		forms = append(forms, f)
		out := req.Clone(req.Context())
		out.Body = io.NopCloser(strings.NewReader(string(body)))
		return shared(t).web.RoundTrip(out)
	})
	transport := &client.AssertionTransport{Client: shared(t).agent.dial(t), Profile: "acme-sb1-m2m", Base: exchanges}
	ctx := context.WithValue(t.Context(), oauth2.HTTPClient, &http.Client{Transport: transport})
	config := clientcredentials.Config{TokenURL: tokenURL, AuthStyle: oauth2.AuthStyleInParams, Scopes: []string{"rest_webservices"}}
	for range 2 {
		source := config.TokenSource(ctx)
		for range 3 {
			token, err := source.Token()
			if err != nil || !token.Valid() {
				t.Fatalf("got %v, %v", token, err)
			}
			web := &http.Client{Transport: &oauth2.Transport{Source: source, Base: shared(t).web}}
			if status, body, err := fetch(web, request(t, t.Context(), http.MethodGet, customer+"?source=1", nil)); err != nil || status != 200 {
				t.Errorf("got %d %s, %v", status, body, err)
			}
		}
	}
	accept(t, verdicts("source=1"), 6)
	if len(forms) != 2 { // oauth2 keeps a token while it is good
		t.Fatalf("%d token requests, want 2", len(forms))
	}
	for _, f := range forms {
		payload, err := base64.RawURLEncoding.DecodeString(strings.Split(f.Get("client_assertion")+"..", ".")[1])
		if err != nil || !strings.Contains(string(payload), "rest_webservices") || strings.Contains(string(payload), "restlets") {
			t.Errorf("the assertion is for %s, %v; want the scope that was asked for", payload, err)
		}
		if len(f) != 3 {
			t.Errorf("the form has %v, want the assertion and nothing else", f)
		}
	}
	if forms[0].Get("client_assertion") == forms[1].Get("client_assertion") {
		t.Error("an assertion was sent twice")
	}
}

// TestAssertionTransportRefuses: an assertion goes to its token endpoint or nowhere.
func TestAssertionTransportRefuses(t *testing.T) {
	t.Parallel()
	var sent atomic.Int32
	base := roundTripper(func(*http.Request) (*http.Response, error) {
		sent.Add(1)
		return nil, errors.New("sent")
	})
	c := shared(t).agent.dial(t)
	post := func(url, contentType, body string) *http.Request {
		r := request(t, t.Context(), http.MethodPost, url, strings.NewReader(body))
		r.Header.Set("Content-Type", contentType)
		return r
	}
	for name, test := range map[string]struct {
		profile string
		request *http.Request
		want    error
	}{
		"another host":      {"acme-sb1-m2m", post("https://example.com/services/rest/auth/oauth2/v1/token", form, ""), client.ErrHost},
		"another account":   {"acme-sb1-m2m", post(strings.Replace(tokenURL, "-sb1", "", 1), form, ""), client.ErrHost},
		"another path":      {"acme-sb1-m2m", post(customer, form, ""), client.ErrHost},
		"without TLS":       {"acme-sb1-m2m", post(strings.Replace(tokenURL, "https:", "http:", 1), form, ""), client.ErrHost},
		"a query":           {"acme-sb1-m2m", post(tokenURL+"?x=1", form, ""), client.ErrHost},
		"GET":               {"acme-sb1-m2m", request(t, t.Context(), http.MethodGet, tokenURL, nil), client.ErrRequest},
		"JSON":              {"acme-sb1-m2m", post(tokenURL, "application/json", "{}"), client.ErrRequest},
		"a bad form":        {"acme-sb1-m2m", post(tokenURL, form, "%"), client.ErrRequest},
		"no M2M profile":    {"acme-sb1", post(tokenURL, form, ""), client.ErrRequest},
		"a missing profile": {"nobody", post(tokenURL, form, ""), client.ErrNoProfile},
	} {
		resp, err := (&client.AssertionTransport{Client: c, Profile: test.profile, Base: base}).RoundTrip(test.request)
		if resp != nil || !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, %v, want %v", name, resp, err, test.want)
		}
	}
	if n := sent.Load(); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
	if _, err := (&client.AssertionTransport{Client: c, Profile: "acme-sb1-m2m", Base: base}).RoundTrip(post(tokenURL, form, "")); err == nil || sent.Load() != 1 {
		t.Errorf("the right one: got %v, %d sent", err, sent.Load())
	}
}
