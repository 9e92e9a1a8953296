package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/nsagent/nsagent/client"
)

// The shortest way: an http.Client that signs what it sends.
func Example() {
	c, err := client.Dial(context.Background(), client.WithProfile("acme-sb1"))
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	netsuite := &http.Client{Transport: &client.Transport{Client: c}, Timeout: time.Minute}
	resp, err := netsuite.Get("https://1234567-sb1.suitetalk.api.netsuite.com/services/rest/record/v1/customer?limit=5")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status)
	// Output: 200 OK
}

// Transport signs each request, here each page of a SuiteQL query.
func ExampleTransport() {
	c, err := client.Dial(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	netsuite := &http.Client{Transport: &client.Transport{Client: c, Profile: "acme-prod"}, Timeout: time.Minute}

	rows := 0
	for offset, more := 0, true; more; offset += 10 {
		page := fmt.Sprintf("https://1234567.suitetalk.api.netsuite.com/services/rest/query/v1/suiteql?limit=10&offset=%d", offset)
		req, err := http.NewRequest(http.MethodPost, page, strings.NewReader(`{"q":"SELECT id FROM customer"}`))
		if err != nil {
			log.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Prefer", "transient")
		resp, err := netsuite.Do(req)
		if err != nil {
			log.Fatal(err)
		}
		var answer struct {
			Items   []json.RawMessage `json:"items"`
			HasMore bool              `json:"hasMore"`
		}
		err = json.NewDecoder(resp.Body).Decode(&answer)
		resp.Body.Close()
		if err != nil {
			log.Fatal(err)
		}
		rows, more = rows+len(answer.Items), answer.HasMore
	}
	fmt.Println(rows, "customers")
	// Output: 25 customers
}

// Sign gives the header to a program that sends in a way of its own.
func ExampleClient_Sign() {
	ctx := context.Background()
	c, err := client.Dial(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	signed, err := c.Sign(ctx, client.Request{
		Profile: "acme-sb1",
		Method:  http.MethodDelete,
		URL:     "https://1234567-sb1.restlets.api.netsuite.com/app/site/hosting/restlet.nl?script=1&deploy=1&id=7&id=8",
	})
	if err != nil {
		log.Fatal(err)
	}
	req, err := http.NewRequestWithContext(ctx, signed.GetMethod(), signed.GetUrl(), nil)
	if err != nil {
		log.Fatal(err)
	}
	req.Header.Set("Authorization", signed.GetAuthorization())
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultTransport.RoundTrip(req) // follows no redirect
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	fmt.Println(signed.GetAccount(), resp.Status)
	// Output: 1234567_SB1 200 OK
}

// A Stream signs for many goroutines over one call. A refusal is for one request.
func ExampleClient_Stream() {
	ctx := context.Background()
	c, err := client.Dial(ctx, client.WithProfile("acme-sb1"))
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	stream, err := c.Stream(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer stream.Close()

	var wg sync.WaitGroup
	headers := make([]string, 100)
	for i := range headers {
		wg.Go(func() {
			signed, err := stream.Sign(ctx, client.Request{
				URL: fmt.Sprintf("https://1234567-sb1.suitetalk.api.netsuite.com/services/rest/record/v1/customer/%d", i),
			})
			if err != nil {
				log.Print(err)
				return
			}
			headers[i] = signed.GetAuthorization()
		})
	}
	wg.Wait()
	_, err = stream.Sign(ctx, client.Request{URL: "https://example.com/"})
	fmt.Println(len(headers), "signed;", err)
	// Output: 100 signed; profile "acme-sb1" does not sign for "example.com": its own hosts are those of account 1234567_SB1 [NSA-HOST]
}

// Passport gives the header element of one SOAP request.
func ExampleClient_Passport() {
	ctx := context.Background()
	c, err := client.Dial(ctx, client.WithProfile("acme-sb1"))
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	passport, err := c.Passport(ctx, "", "2025_2")
	if err != nil {
		log.Fatal(err)
	}
	envelope := `<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/">
	  <soapenv:Header>` + passport.GetXml() + `</soapenv:Header>
	  <soapenv:Body><getServerTime xmlns="urn:messages_2025_2.platform.webservices.netsuite.com"/></soapenv:Body>
	</soapenv:Envelope>`
	req, err := http.NewRequest(http.MethodPost, "https://1234567-sb1.suitetalk.api.netsuite.com/services/NetSuitePort_2025_2", strings.NewReader(envelope))
	if err != nil {
		log.Fatal(err)
	}
	req.Header.Set("Content-Type", "text/xml; charset=utf-8")
	req.Header.Set("SOAPAction", "getServerTime")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	fmt.Println(passport.GetAlgorithm(), resp.Status)
	// Output: HMAC-SHA256 200 OK
}

// Assertion gives what is exchanged for an access token (OAuth 2.0, M2M).
func ExampleClient_Assertion() {
	ctx := context.Background()
	c, err := client.Dial(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	assertion, err := c.Assertion(ctx, client.AssertionRequest{Profile: "acme-sb1-m2m", Scopes: []string{"rest_webservices"}})
	if err != nil {
		log.Fatal(err)
	}
	resp, err := http.PostForm(assertion.GetTokenEndpoint(), url.Values{
		"grant_type":            {"client_credentials"},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		"client_assertion":      {assertion.GetAssertion()},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	var token struct {
		AccessToken string `json:"access_token"`
		TokenType   string `json:"token_type"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&token); err != nil {
		log.Fatal(err)
	}
	fmt.Println(resp.Status, token.TokenType, token.AccessToken != "")
	// Output: 200 OK bearer true
}

// An oauth2.TokenSource whose tokens come without a secret, and are renewed.
func ExampleAssertionTransport() {
	c, err := client.Dial(context.Background(), client.WithProfile("acme-sb1-m2m"))
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	ctx := context.WithValue(context.Background(), oauth2.HTTPClient, &http.Client{Transport: &client.AssertionTransport{Client: c}})
	config := clientcredentials.Config{
		TokenURL:  "https://1234567-sb1.suitetalk.api.netsuite.com/services/rest/auth/oauth2/v1/token",
		AuthStyle: oauth2.AuthStyleInParams,
	}
	netsuite := oauth2.NewClient(context.Background(), config.TokenSource(ctx))
	resp, err := netsuite.Get("https://1234567-sb1.suitetalk.api.netsuite.com/services/rest/record/v1/customer?limit=5")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status)
	// Output: 200 OK
}

// ConnectPassword gives user and password of one ODBC or JDBC session.
func ExampleClient_ConnectPassword() {
	ctx := context.Background()
	c, err := client.Dial(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	p, err := c.ConnectPassword(ctx, "acme-sb1")
	if err != nil {
		log.Fatal(err)
	}
	left := time.Until(time.Unix(p.GetExpiresAt(), 0)).Round(time.Minute)
	fmt.Println(p.GetUser(), p.GetAccount(), "for", left)
	// Output: TBA 1234567_SB1 for 5m0s
}

// Errors say what to do, and errors.Is tells them apart, also through http.Client.
func Example_errors() {
	ctx := context.Background()
	c, err := client.Dial(ctx)
	if errors.Is(err, client.ErrAgent) {
		log.Fatal("start the agent first: ", err)
	}
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	netsuite := &http.Client{Transport: &client.Transport{Client: c, Profile: "acme-prod"}}
	_, err = netsuite.Post("https://1234567.suitetalk.api.netsuite.com/services/rest/record/v1/customer", "application/json", strings.NewReader("{}"))
	switch {
	case errors.Is(err, client.ErrLocked):
		fmt.Println("ask a person to unlock the agent")
	case errors.Is(err, client.ErrReadOnly):
		var e *client.Error
		errors.As(err, &e)
		fmt.Println(e.Message)
	case err != nil:
		fmt.Println(err)
	}

	_, err = c.Sign(ctx, client.Request{Profile: "nobody", URL: "https://1234567.suitetalk.api.netsuite.com/"})
	fmt.Println(errors.Is(err, client.ErrNoProfile), errors.Is(err, client.ErrDenied))
	// Output:
	// production profile "acme-prod" may not sign this POST request
	// true false
}

// Requests that a program repeats are signed anew by each RoundTrip.
func ExampleTransport_RoundTrip() {
	c, err := client.Dial(context.Background(), client.WithProfile("acme-sb1"))
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	transport := &client.Transport{Client: c}

	req, err := http.NewRequest(http.MethodGet, "https://1234567-sb1.suitetalk.api.netsuite.com/services/rest/record/v1/customer/1", nil)
	if err != nil {
		log.Fatal(err)
	}
	for range 3 {
		resp, err := transport.RoundTrip(req)
		if err != nil {
			log.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		fmt.Println(resp.Status)
	}
	fmt.Println("still unsigned:", req.Header.Get("Authorization") == "")
	// Output:
	// 200 OK
	// 200 OK
	// 200 OK
	// still unsigned: true
}

// Profiles and Status say what there is to sign with; Status works while locked.
func ExampleClient_Profiles() {
	ctx := context.Background()
	c, err := client.Dial(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	status, err := c.Status(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("locked:", status.GetLocked())
	profiles, err := c.Profiles(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for _, p := range profiles.GetProfiles() {
		fmt.Println(p.GetName(), p.GetAccount(), p.GetAuth(), p.GetAccess(), p.GetState())
	}
	// Output:
	// locked: false
	// acme-prod 1234567 tba read ready
	// acme-sb1 1234567_SB1 tba write ready
	// acme-sb1-m2m 1234567_SB1 m2m write ready
	// mock 1234567_SB1 tba write ready
}
