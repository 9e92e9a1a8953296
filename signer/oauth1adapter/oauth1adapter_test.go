package oauth1adapter

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/dghubble/oauth1"

	"github.com/nsagent/nsagent/signer"
)

var (
	_ oauth1.Signer = (*Signer)(nil)
	_ oauth1.Noncer = Noncer{}
)

// Sample data that Oracle publishes.
const (
	consumerKey    = "ef40afdd8abaac111b13825dd5e5e2ddddb44f86d5a0dd6dcf38c20aae6b67e4"
	consumerSecret = "d26ad321a4b2f23b0741c8d38392ce01c3e23e109df6c96eac6d099e9ab9e8b5"
	tokenID        = "2b0ce516420110bcbd36b69e99196d1b7f6de3c6234c5afb799b73d87569f5cc"
	tokenSecret    = "c29a677df7d5439a458c063654187e3d678d73aca8e3c9d8bea1478a3eb0d295"
)

// testMAC is a MAC with the sample key in ordinary memory.
func testMAC(mac *[32]byte, msg []byte) error {
	h := hmac.New(sha256.New, signer.AppendSigningKey(nil, []byte(consumerSecret), []byte(tokenSecret)))
	h.Write(msg)
	h.Sum(mac[:0])
	return nil
}

func newTestSigner(t testing.TB, endpoint string) *Signer {
	t.Helper()
	c := Config{MAC: signer.MACFunc(testMAC)}
	var err error
	if c.Account, err = signer.ParseAccount("123456"); err != nil {
		t.Fatal(err)
	}
	if endpoint != "" {
		target, err := signer.ParseEndpoint(endpoint)
		if err != nil {
			t.Fatal(err)
		}
		c.Endpoint = &target
	}
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// record is a RoundTripper that sends nothing and keeps the header.
type record struct{ authorization string }

func (r *record) RoundTrip(request *http.Request) (*http.Response, error) {
	r.authorization = request.Header.Get("Authorization")
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: request}, nil
}

// send makes the request through oauth1 with s and without any secret.
func send(s oauth1.Signer, method, url string) (authorization string, err error) {
	transport := &record{}
	config := &oauth1.Config{ConsumerKey: consumerKey, Realm: "123456", Signer: s, Noncer: Noncer{}}
	ctx := context.WithValue(context.Background(), oauth1.HTTPClient, &http.Client{Transport: transport})
	request, err := http.NewRequest(method, url, nil)
	if err != nil {
		return "", err
	}
	response, err := config.Client(ctx, oauth1.NewToken(tokenID, "")).Do(request)
	if err != nil {
		return "", err
	}
	return transport.authorization, response.Body.Close()
}

var field = regexp.MustCompile(`(\w+)="([^"]*)"`)

// TestAgreesWithSign: a header that oauth1 makes with the adapter is the one that
// signer.Sign makes.
func TestAgreesWithSign(t *testing.T) {
	account, err := signer.ParseAccount("123456")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ method, url, endpoint string }{
		{"GET", "https://123456.suitetalk.api.netsuite.com/services/rest/record/v1/customer/1", ""},
		{"POST", "https://123456.restlets.api.netsuite.com/app/site/hosting/restlet.nl?script=6&deploy=1&q=a%20b%2Bc&n=%C3%A9", ""},
		{"PATCH", "https://123456.suitetalk.api.netsuite.com/services/rest/record/v1/customer/eid:A%20B", ""},
		{"GET", "https://123456.suitetalk.api.netsuite.com/123456.suitetalk.api.netsuite.com", ""},
		{"GET", "https://127.0.0.1:8443/x?a=1", "https://127.0.0.1:8443"},
	} {
		header, err := send(newTestSigner(t, c.endpoint), c.method, c.url)
		if err != nil {
			t.Fatalf("%s: %v", c.url, err)
		}
		got := map[string]string{}
		for _, m := range field.FindAllStringSubmatch(header, -1) {
			got[m[1]] = m[2]
		}
		target, err := signer.ParseTarget(c.url)
		if err != nil {
			t.Fatal(err)
		}
		timestamp, err := strconv.ParseInt(got["oauth_timestamp"], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		signed, err := signer.Sign(signer.Identity{Account: account, ConsumerKey: consumerKey, TokenID: tokenID},
			signer.Request{Method: c.method, Target: target}, got["oauth_nonce"], timestamp, signer.MACFunc(testMAC))
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{}
		for _, m := range field.FindAllStringSubmatch(signed.Authorization, -1) {
			want[m[1]] = m[2]
		}
		if len(got) != 8 || len(want) != 8 {
			t.Fatalf("got %s\nwant %s", header, signed.Authorization)
		}
		for name := range want {
			if got[name] != want[name] {
				t.Errorf("%s: %s: got %s, want %s", c.url, name, got[name], want[name])
			}
		}
	}
}

func TestRefusesHosts(t *testing.T) {
	for url, want := range map[string]error{
		"https://evil.example/":                                signer.ErrHost,
		"https://123456-sb1.suitetalk.api.netsuite.com/":       signer.ErrHost,
		"https://123456.suitetalk.api.netsuite.com.evil.test/": signer.ErrHost,
		"http://123456.suitetalk.api.netsuite.com/":            signer.ErrURL,
		"https://123456.suitetalk.api.netsuite.com:8443/":      signer.ErrURL,
		"https://127.0.0.1:8443/":                              signer.ErrURL,
		"https://123456.suitetalk.api.netsuite.com/a/../b":     signer.ErrURL,
		"https://123456.suitetalk.api.netsuite.com":            ErrMessage,
	} {
		if header, err := send(newTestSigner(t, ""), "GET", url); !errors.Is(err, want) {
			t.Errorf("%s: got %q, %v, want %v", url, header, err, want)
		}
	}
}

const goodMessage = "GET&https%3A%2F%2F123456.suitetalk.api.netsuite.com%2F&a%3D1%26oauth_consumer_key%3Dck%26oauth_nonce%3Dabcdef%26oauth_signature_method%3DHMAC-SHA256%26oauth_timestamp%3D1%26oauth_token%3Dt%26oauth_version%3D1.0"

func TestSignIgnoresTheKey(t *testing.T) {
	s := newTestSigner(t, "")
	var mac [32]byte
	if err := testMAC(&mac, []byte(goodMessage)); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"", "secret"} {
		if got, err := s.Sign(key, goodMessage); err != nil || got != base64.StdEncoding.EncodeToString(mac[:]) {
			t.Errorf("key %q: %q, %v", key, got, err)
		}
	}
}

// TestRefusesOtherMessages: it is no way to sign whatever one likes.
func TestRefusesOtherMessages(t *testing.T) {
	replace := func(old, with string) string {
		t.Helper()
		if !strings.Contains(goodMessage, old) {
			t.Fatalf("no %q in the message", old)
		}
		return strings.Replace(goodMessage, old, with, 1)
	}
	for name, message := range map[string]string{
		"nothing":               "",
		"a TokenPassport":       "123456&" + consumerKey + "&" + tokenID + "&abcdefgh&1508242306",
		"free text":             "hello",
		"two parts":             "GET&https%3A%2F%2F123456.suitetalk.api.netsuite.com%2F",
		"four parts":            goodMessage + "&x",
		"no method":             strings.TrimPrefix(goodMessage, "GET"),
		"lower-case method":     "get" + strings.TrimPrefix(goodMessage, "GET"),
		"not encoded":           replace("https%3A%2F%2F", "https://"),
		"lower-case escapes":    replace("%3A", "%3a"),
		"needless escapes":      replace("123456", "12345%36"),
		"malformed escape":      replace("%2F&", "%2&"),
		"upper-case host":       replace(".com", ".cOm"),
		"upper-case scheme":     replace("https", "Https"),
		"query in the URI":      replace("%2F&a", "%2F%3Fx&a"),
		"SHA1":                  replace("HMAC-SHA256", "HMAC-SHA1"),
		"no method parameter":   replace("%26oauth_signature_method%3DHMAC-SHA256", ""),
		"no version":            replace("%26oauth_version%3D1.0", ""),
		"no token":              replace("%26oauth_token%3Dt", ""),
		"empty nonce":           replace("abcdef", ""),
		"token twice":           replace("%26oauth_token%3Dt", "%26oauth_token%3Dt%26oauth_token%3Du"),
		"three-step, first":     replace("%26oauth_consumer_key", "%26oauth_callback%3Dx%26oauth_consumer_key"),
		"three-step, third":     replace("%26oauth_version", "%26oauth_verifier%3Dx%26oauth_version"),
		"pair without =":        replace("a%3D1", "a"),
		"too long":              replace("a%3D1", "a%3D"+strings.Repeat("1", maxMessage)),
		"control character":     replace("a%3D1", "a%3D1\n"),
		"no parameters, no URI": "GET&&",
	} {
		got, err := newTestSigner(t, "").Sign("", message)
		if err == nil || got != "" || (!errors.Is(err, ErrMessage) && !errors.Is(err, signer.ErrURL)) {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
}

func TestNew(t *testing.T) {
	account, err := signer.ParseAccount("1")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []Config{{}, {Account: account}, {MAC: signer.MACFunc(testMAC)}} {
		if s, err := New(c); !errors.Is(err, ErrConfig) || s != nil {
			t.Errorf("New(%+v) = %v, %v", c, s, err)
		}
	}
	broken := errors.New("agent is locked")
	s, err := New(Config{Account: account, MAC: signer.MACFunc(func(*[32]byte, []byte) error { return broken })})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Sign("", strings.Replace(goodMessage, "123456", "1", 1)); !errors.Is(err, broken) {
		t.Errorf("a MAC that fails: %v", err)
	}
}

func TestNoncer(t *testing.T) {
	a, b := Noncer{}.Nonce(), Noncer{}.Nonce()
	if signer.CheckNonce(a) != nil || signer.CheckNonce(b) != nil || a == b || len(a) < 20 {
		t.Errorf("nonces %q and %q", a, b)
	}
}

// FuzzSign: what is signed has the form that oauth1 gives it, and its URI is one of the
// account's.
func FuzzSign(f *testing.F) {
	f.Add(goodMessage)
	f.Add("GET&https%3A%2F%2Fevil.example%2F&a%3D1")
	f.Add("1&2&3&4&5")
	f.Add("")
	f.Add(strings.Replace(goodMessage, ".com", ".cOm", 1))
	f.Add(strings.Replace(goodMessage, "https", "Https", 1))
	s := newTestSigner(f, "")
	f.Fuzz(func(t *testing.T, message string) {
		got, err := s.Sign("", message)
		if err != nil {
			if got != "" || !errors.Is(err, ErrMessage) && !errors.Is(err, signer.ErrURL) && !errors.Is(err, signer.ErrHost) {
				t.Fatalf("got %q, %v", got, err)
			}
			return
		}
		if !strings.Contains(message, "&https%3A%2F%2F123456.") || !strings.Contains(message, ".netsuite.com%2F") || strings.Count(message, "&") != 2 {
			t.Fatalf("signed %q", message)
		}
	})
}
