package signer

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"hash"
	"net/http"
	"testing"

	"github.com/dghubble/oauth1"
)

// typicalURL is a RESTlet call of the usual size.
const typicalURL = "https://123456-sb1.restlets.api.netsuite.com/app/site/hosting/restlet.nl?script=6&deploy=1&customParam=someValue&testParam=someOtherValue"

// reusedHMAC is a MAC of one goroutine that starts from kept midstates, as a key in
// locked memory does.
type reusedHMAC struct{ h hash.Hash }

func newReusedHMAC(key string) reusedHMAC {
	return reusedHMAC{hmac.New(sha256.New, []byte(key))}
}

func (k reusedHMAC) HMACSHA256(mac *[32]byte, msg []byte) error {
	k.h.Reset()
	k.h.Write(msg)
	k.h.Sum(mac[:0])
	return nil
}

func BenchmarkSign(b *testing.B) {
	id, key := testIdentity(b), MAC(newReusedHMAC("k"))
	r := Request{Method: "GET", Target: mustTarget(b, typicalURL)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Sign(id, r, testNonce, testTimestamp, key); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkParseAndSign is BenchmarkSign from the URL as text.
func BenchmarkParseAndSign(b *testing.B) {
	id, key := testIdentity(b), MAC(newReusedHMAC("k"))
	b.ReportAllocs()
	for b.Loop() {
		target, err := ParseTarget(typicalURL)
		if err == nil {
			err = CheckHost(target, id.Account, nil)
		}
		if err != nil {
			b.Fatal(err)
		}
		if _, err := Sign(id, Request{Method: "GET", Target: target}, testNonce, testTimestamp, key); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDghubble is the same request through dghubble/oauth1.
func BenchmarkDghubble(b *testing.B) {
	config := &oauth1.Config{
		ConsumerKey: testConsumerKey, Realm: "123456_SB1", Noncer: fixedNonce{},
		Signer: &oauth1.HMAC256Signer{ConsumerSecret: "d26ad321a4b2f23b0741c8d38392ce01c3e23e109df6c96eac6d099e9ab9e8b5"},
	}
	ctx := context.WithValue(context.Background(), oauth1.HTTPClient, &http.Client{Transport: discard{}})
	client := config.Client(ctx, oauth1.NewToken(testTokenID, "c29a677df7d5439a458c063654187e3d678d73aca8e3c9d8bea1478a3eb0d295"))
	request, err := http.NewRequest(http.MethodGet, typicalURL, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := client.Transport.RoundTrip(request); err != nil {
			b.Fatal(err)
		}
	}
}

type fixedNonce struct{}

func (fixedNonce) Nonce() string { return testNonce }

// discard is a RoundTripper that sends nothing.
type discard struct{}

func (discard) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
}
