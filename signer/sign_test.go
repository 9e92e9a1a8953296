package signer

import (
	"encoding/base64"
	"errors"
	"regexp"
	"strings"
	"testing"
)

func TestSignVectors(t *testing.T) {
	published := 0
	for _, v := range loadOAuth(t, "oauth1.json", 18) {
		t.Run(v.Name, func(t *testing.T) {
			in := v.Input
			key := in.key(t, v.Steps.SigningKey)
			var signed Signed
			var err error
			if in.Version == "" { // Sign always sends it
				signed, err = signParams(in.Realm, in.request(t), in.headerParams(), key)
			} else {
				signed, err = Sign(in.identity(t), in.request(t), in.Nonce, in.Timestamp, key)
			}
			if err != nil {
				t.Fatal(err)
			}
			checkSigned(t, v, signed)
			if v.Published != nil {
				published++
			}
		})
	}
	if published != 4 {
		t.Errorf("%d published signatures were compared, want 4", published)
	}
}

func checkSigned(t *testing.T, v oauthVector, got Signed) {
	t.Helper()
	if got.Authorization != v.Want.Authorization {
		t.Errorf("header:\n got %s\nwant %s", got.Authorization, v.Want.Authorization)
	}
	if got.Method != v.Input.Method || got.URL != v.Input.URL {
		t.Errorf("got %s %s, want %s %s", got.Method, got.URL, v.Input.Method, v.Input.URL)
	}
	signature := signatureOf(t, got.Authorization)
	if signature != v.Want.Signature {
		t.Errorf("signature: got %s, want %s", signature, v.Want.Signature)
	}
	if v.Published != nil {
		checkPublished(t, v.Published, signature)
	}
}

var signatureField = regexp.MustCompile(`oauth_signature="([^"]*)"$`)

// signatureOf takes the signature out of a header, in plain base64.
func signatureOf(t *testing.T, header string) string {
	t.Helper()
	m := signatureField.FindStringSubmatch(header)
	if m == nil {
		t.Fatalf("no oauth_signature at the end of %s", header)
	}
	return strings.NewReplacer("%2B", "+", "%2F", "/", "%3D", "=").Replace(m[1])
}

const (
	testConsumerKey = "ef40afdd8abaac111b13825dd5e5e2ddddb44f86d5a0dd6dcf38c20aae6b67e4"
	testTokenID     = "2b0ce516420110bcbd36b69e99196d1b7f6de3c6234c5afb799b73d87569f5cc"
	testNonce       = "fjaLirsIcCGVZWzBX0pg"
	testTimestamp   = 1508242306
)

func testIdentity(t testing.TB) Identity {
	return Identity{mustAccount(t, "123456_SB1"), testConsumerKey, testTokenID}
}

func TestSignReturnsWhatItSigned(t *testing.T) {
	const raw = "HTTPS://123456-SB1.RESTlets.api.netsuite.com/app/x?b=2&a=1+2"
	got, err := Sign(testIdentity(t), Request{Method: "patch", Target: mustTarget(t, raw)}, testNonce, testTimestamp, hmacKey("k"))
	if err != nil {
		t.Fatal(err)
	}
	if got.Method != "PATCH" || got.URL != raw || got.Nonce != testNonce || got.Timestamp != testTimestamp {
		t.Errorf("got %+v", got)
	}
}

// TestSignCoversEverything: a change to anything that is signed changes the signature.
func TestSignCoversEverything(t *testing.T) {
	sign := func(id Identity, method, url, form, nonce string, timestamp int64, key MAC) string {
		t.Helper()
		got, err := Sign(id, Request{method, mustTarget(t, url), "application/x-www-form-urlencoded", []byte(form)}, nonce, timestamp, key)
		if err != nil {
			t.Fatal(err)
		}
		return signatureOf(t, got.Authorization)
	}
	id := testIdentity(t)
	otherKey, otherToken := id, id
	otherKey.ConsumerKey, otherToken.TokenID = "other", "other"
	const u = "https://h.example/p?a=1"
	seen := map[string]string{}
	for name, signature := range map[string]string{
		"as is":     sign(id, "GET", u, "f=1", testNonce, 1, hmacKey("k")),
		"consumer":  sign(otherKey, "GET", u, "f=1", testNonce, 1, hmacKey("k")),
		"token":     sign(otherToken, "GET", u, "f=1", testNonce, 1, hmacKey("k")),
		"method":    sign(id, "PUT", u, "f=1", testNonce, 1, hmacKey("k")),
		"scheme":    sign(id, "GET", "http://h.example/p?a=1", "f=1", testNonce, 1, hmacKey("k")),
		"host":      sign(id, "GET", "https://g.example/p?a=1", "f=1", testNonce, 1, hmacKey("k")),
		"port":      sign(id, "GET", "https://h.example:8443/p?a=1", "f=1", testNonce, 1, hmacKey("k")),
		"path":      sign(id, "GET", "https://h.example/q?a=1", "f=1", testNonce, 1, hmacKey("k")),
		"query":     sign(id, "GET", "https://h.example/p?a=2", "f=1", testNonce, 1, hmacKey("k")),
		"form":      sign(id, "GET", u, "f=2", testNonce, 1, hmacKey("k")),
		"nonce":     sign(id, "GET", u, "f=1", "anotherNonce", 1, hmacKey("k")),
		"timestamp": sign(id, "GET", u, "f=1", testNonce, 2, hmacKey("k")),
		"key":       sign(id, "GET", u, "f=1", testNonce, 1, hmacKey("l")),
	} {
		if other, ok := seen[signature]; ok {
			t.Errorf("%s and %s have one signature", name, other)
		}
		seen[signature] = name
	}
}

func TestSignRefuses(t *testing.T) {
	id := testIdentity(t)
	ok := Request{Method: "GET", Target: mustTarget(t, "https://h.example/p")}
	broken := errors.New("key is gone")
	with := func(consumerKey, tokenID string) Identity {
		return Identity{id.Account, consumerKey, tokenID}
	}
	query := func(q string) Request {
		return Request{Method: "GET", Target: mustTarget(t, "https://h.example/p?"+q)}
	}
	tests := []struct {
		name      string
		id        Identity
		r         Request
		nonce     string
		timestamp int64
		key       MAC
		want      error
	}{
		{"no account", Identity{ConsumerKey: "a", TokenID: "b"}, ok, testNonce, 1, hmacKey("k"), ErrIdentity},
		{"no consumer key", with("", "b"), ok, testNonce, 1, hmacKey("k"), ErrIdentity},
		{"no token ID", with("a", ""), ok, testNonce, 1, hmacKey("k"), ErrIdentity},
		{"line break", with("a\r\nX: y", "b"), ok, testNonce, 1, hmacKey("k"), ErrIdentity},
		{"blank", with("a", "b "), ok, testNonce, 1, hmacKey("k"), ErrIdentity},
		{"outside ASCII", with("a", "é"), ok, testNonce, 1, hmacKey("k"), ErrIdentity},
		{"long", with(strings.Repeat("a", 129), "b"), ok, testNonce, 1, hmacKey("k"), ErrIdentity},
		{"short nonce", id, ok, "12345", 1, hmacKey("k"), ErrNonce},
		{"long nonce", id, ok, strings.Repeat("a", 65), 1, hmacKey("k"), ErrNonce},
		{"nonce with +", id, ok, "abcdef+", 1, hmacKey("k"), ErrNonce},
		{"nonce with a line break", id, ok, "abcdef\n", 1, hmacKey("k"), ErrNonce},
		{"time 0", id, ok, testNonce, 0, hmacKey("k"), ErrTimestamp},
		{"time below 0", id, ok, testNonce, -1, hmacKey("k"), ErrTimestamp},
		{"no URL", id, Request{Method: "GET"}, testNonce, 1, hmacKey("k"), ErrURL},
		{"no method", id, Request{Target: ok.Target}, testNonce, 1, hmacKey("k"), ErrRequest},
		{"oauth_ in the query", id, query("oauth_token=x"), testNonce, 1, hmacKey("k"), ErrRequest},
		{"oauth_ in the query, encoded", id, query("a=1&%6Fauth%5ftoken"), testNonce, 1, hmacKey("k"), ErrRequest},
		{"oauth_signature in the query", id, query("oauth_signature=x"), testNonce, 1, hmacKey("k"), ErrRequest},
		{"oauth_ in the form", id, Request{"POST", ok.Target, "application/x-www-form-urlencoded", []byte("oauth_nonce=1")}, testNonce, 1, hmacKey("k"), ErrRequest},
		{"no key", id, ok, testNonce, 1, nil, ErrKey},
		{"nil function as key", id, ok, testNonce, 1, MACFunc(nil), ErrKey},
		{"key fails", id, ok, testNonce, 1, MACFunc(func(*[32]byte, []byte) error { return broken }), broken},
	}
	for _, c := range tests {
		got, err := Sign(c.id, c.r, c.nonce, c.timestamp, c.key)
		if !errors.Is(err, c.want) || got != (Signed{}) {
			t.Errorf("%s: got %+v, %v, want %v", c.name, got, err, c.want)
		} else {
			checkErrorText(t, err, c.name)
		}
	}
}

// TestSignHeaderEncodes: identifiers are encoded in the header and twice in the base
// string, and can break out of neither.
func TestSignHeaderEncodes(t *testing.T) {
	id := Identity{mustAccount(t, "1"), `a"b, c`, "x"}
	if _, err := Sign(id, Request{Method: "GET", Target: mustTarget(t, "https://h/")}, testNonce, 1, hmacKey("k")); !errors.Is(err, ErrIdentity) {
		t.Errorf("a consumer key with a blank: %v", err)
	}
	id.ConsumerKey = `a"b,&%=c`
	var base string
	got, err := Sign(id, Request{Method: "GET", Target: mustTarget(t, "https://h/")}, testNonce, 1, MACFunc(func(mac *[32]byte, msg []byte) error {
		base = string(msg)
		return hmacKey("k").HMACSHA256(mac, msg)
	}))
	if err != nil {
		t.Fatal(err)
	}
	if want := `oauth_consumer_key="a%22b%2C%26%25%3Dc", oauth_token="x", `; !strings.Contains(got.Authorization, want) {
		t.Errorf("got %s, want in it %s", got.Authorization, want)
	}
	if want := "oauth_consumer_key%3Da%2522b%252C%2526%2525%253Dc%26oauth_nonce"; !strings.Contains(base, want) {
		t.Errorf("got %s, want in it %s", base, want)
	}
}

func TestSignSignatureIsTheMAC(t *testing.T) {
	want := [32]byte{0xfb, 0xff, 0xfe, 31: 0xff} // base64 with + and /
	got, err := Sign(testIdentity(t), Request{Method: "GET", Target: mustTarget(t, "https://h/")}, testNonce, 1, MACFunc(func(mac *[32]byte, _ []byte) error {
		*mac = want
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	if s := signatureOf(t, got.Authorization); s != base64.StdEncoding.EncodeToString(want[:]) || !strings.ContainsAny(s, "+/") {
		t.Errorf("got %s", s)
	}
}

func TestSignAllocations(t *testing.T) {
	id, key := testIdentity(t), MAC(newReusedHMAC("k"))
	r := Request{Method: "GET", Target: mustTarget(t, typicalURL)}
	got := testing.AllocsPerRun(200, func() {
		if _, err := Sign(id, r, testNonce, testTimestamp, key); err != nil {
			t.Fatal(err)
		}
	})
	if got > 3 {
		t.Errorf("%v allocations a signature, want at most 3", got)
	}
}

func TestSigningKey(t *testing.T) {
	for _, v := range append(loadOAuth(t, "oauth1.json", 18), loadOAuth(t, "threestep.json", 2)...) {
		v.Input.key(t, v.Steps.SigningKey)
	}
	consumerSecret, tokenSecret := []byte("a&b %é"), []byte("~-._\x00")
	const want = "a%26b%20%25%C3%A9&~-._%00"
	if got := string(AppendSigningKey([]byte("x"), consumerSecret, tokenSecret)); got != "x"+want {
		t.Errorf("got %q, want %q", got, "x"+want)
	}
	worst := []byte{0, '&', '%', 0xff}
	if n := len(AppendSigningKey(nil, worst, worst)); n != SigningKeyLen(len(worst), len(worst)) {
		t.Errorf("%d octets, SigningKeyLen says %d", n, SigningKeyLen(len(worst), len(worst)))
	}
	memory := make([]byte, SigningKeyLen(len(consumerSecret), len(tokenSecret)))
	if n := testing.AllocsPerRun(100, func() {
		key := AppendSigningKey(memory[:0], consumerSecret, tokenSecret)
		if &key[0] != &memory[0] {
			t.Fatal("the key is not in the caller's memory")
		}
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
