package oauth1adapter_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/dghubble/oauth1"

	"github.com/nsagent/nsagent/signer"
	"github.com/nsagent/nsagent/signer/oauth1adapter"
)

// A program that used oauth1.HMAC256Signer changes two fields of its Config and drops
// both secrets. Here the key is sample data in ordinary memory; in earnest mac asks
// whoever holds it.
func Example() {
	key := []byte("sample-consumer-secret&sample-token-secret")
	mac := signer.MACFunc(func(mac *[32]byte, msg []byte) error {
		h := hmac.New(sha256.New, key)
		h.Write(msg)
		h.Sum(mac[:0])
		return nil
	})

	// Stands for NetSuite: shows what reached it.
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		fmt.Println(r.Method, r.URL)
		fmt.Println("signed:", strings.Contains(r.Header.Get("Authorization"), "oauth_signature="))
	}))
	defer server.Close()

	account, err := signer.ParseAccount("1234567_SB1")
	if err != nil {
		fmt.Println(err)
		return
	}
	endpoint, err := signer.ParseEndpoint(server.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	s, err := oauth1adapter.New(oauth1adapter.Config{Account: account, Endpoint: &endpoint, MAC: mac})
	if err != nil {
		fmt.Println(err)
		return
	}

	config := &oauth1.Config{
		ConsumerKey: "consumer-key",
		Realm:       account.ID(),
		Signer:      s,                      // was &oauth1.HMAC256Signer{…}
		Noncer:      oauth1adapter.Noncer{}, // letters and digits only
	}
	client := config.Client(context.Background(), oauth1.NewToken("token-id", ""))
	response, err := client.Get(server.URL + "/services/rest/record/v1/customer?limit=1")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()

	_, err = client.Get("https://evil.example/")
	fmt.Println("another host:", err != nil)
	// Output:
	// GET /services/rest/record/v1/customer?limit=1
	// signed: true
	// another host: true
}
