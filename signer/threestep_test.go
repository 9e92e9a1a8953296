package signer

import (
	"errors"
	"strings"
	"testing"
)

// Steps one and three are signed as Oracle prints it.
func TestThreeStepVectors(t *testing.T) {
	for _, v := range loadOAuth(t, "threestep.json", 2) {
		t.Run(v.Name, func(t *testing.T) {
			in := v.Input
			further := map[string]string{}
			for _, p := range in.Extra {
				further[p.Name] = p.Value
			}
			var signed Signed
			var err error
			if verifier, last := further["oauth_verifier"]; last {
				signed, err = AccessToken(in.identity(t), mustTarget(t, in.URL), verifier, in.Nonce, in.Timestamp, in.key(t, v.Steps.SigningKey))
			} else {
				signed, err = RequestToken(in.identity(t), mustTarget(t, in.URL), further["oauth_callback"], further["role"], in.Nonce, in.Timestamp, in.key(t, v.Steps.SigningKey))
			}
			if err != nil {
				t.Fatal(err)
			}
			checkSigned(t, v, signed)
			if signed.Nonce != in.Nonce || signed.Timestamp != in.Timestamp {
				t.Errorf("got nonce %s and timestamp %d, want those given", signed.Nonce, signed.Timestamp)
			}
		})
	}
}

// Without a role none is signed, and what is no request of the flow is refused.
func TestThreeStepRefusals(t *testing.T) {
	target := mustTarget(t, "https://1234567.restlets.api.netsuite.com/rest/requesttoken")
	id := Identity{Account: mustAccount(t, "1234567"), ConsumerKey: testConsumerKey}
	request := func(id Identity, callback, role, nonce string, at int64, key MAC) error {
		_, err := RequestToken(id, target, callback, role, nonce, at, key)
		return err
	}
	const callback = "http://localhost:7000/cb"
	plain, err := RequestToken(id, target, callback, "", testNonce, testTimestamp, hmacKey("k"))
	if err != nil || strings.Contains(plain.Authorization, "role=") || strings.Contains(plain.Authorization, "oauth_token=") {
		t.Errorf("without a role: got %s, %v", plain.Authorization, err)
	}
	withToken, noKey := id, id
	withToken.TokenID, noKey.ConsumerKey = testTokenID, ""
	for name, test := range map[string]struct{ got, want error }{
		"a token ID in step one":   {request(withToken, callback, "", testNonce, 1, hmacKey("k")), ErrIdentity},
		"no consumer key":          {request(noKey, callback, "", testNonce, 1, hmacKey("k")), ErrIdentity},
		"no account":               {request(Identity{ConsumerKey: "k"}, callback, "", testNonce, 1, hmacKey("k")), ErrIdentity},
		"no callback":              {request(id, "", "", testNonce, 1, hmacKey("k")), ErrRequest},
		"a callback with a blank":  {request(id, "http://localhost/a b", "", testNonce, 1, hmacKey("k")), ErrRequest},
		"a callback without end":   {request(id, strings.Repeat("x", maxCallback+1), "", testNonce, 1, hmacKey("k")), ErrRequest},
		"a role that closes it":    {request(id, callback, `3", oauth_token="`, testNonce, 1, hmacKey("k")), ErrRequest},
		"a role without end":       {request(id, callback, strings.Repeat("1", maxRole+1), testNonce, 1, hmacKey("k")), ErrRequest},
		"a short nonce":            {request(id, callback, "", "short", 1, hmacKey("k")), ErrNonce},
		"a timestamp of zero":      {request(id, callback, "", testNonce, 0, hmacKey("k")), ErrTimestamp},
		"no key":                   {request(id, callback, "", testNonce, 1, nil), ErrKey},
		"no request token":         {access(id, target, "v"), ErrIdentity},
		"an empty verifier":        {access(withToken, target, ""), ErrRequest},
		"a verifier of two lines":  {access(withToken, target, "a\nb"), ErrRequest},
		"a verifier without end":   {access(withToken, target, strings.Repeat("v", maxVerifier+1)), ErrRequest},
		"a verifier as it must be": {access(withToken, target, strings.Repeat("v", maxVerifier)), nil},
	} {
		if !errors.Is(test.got, test.want) {
			t.Errorf("%s: got %v, want %v", name, test.got, test.want)
		}
	}
}

func access(id Identity, t Target, verifier string) error {
	_, err := AccessToken(id, t, verifier, testNonce, testTimestamp, hmacKey("k"))
	return err
}

// A verifier that RFC 7636 does not allow gives no challenge.
func TestCodeChallengeRefuses(t *testing.T) {
	for name, v := range map[string]string{
		"short": strings.Repeat("a", 42), "long": strings.Repeat("a", 129), "plus": strings.Repeat("a", 42) + "+", "zero": strings.Repeat("a", 42) + "\x00",
	} {
		if got, err := CodeChallenge([]byte(v)); !errors.Is(err, ErrRequest) || got != "" {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	for _, n := range []int{43, 128} {
		if got, err := CodeChallenge([]byte(strings.Repeat("~", n))); err != nil || len(got) != 43 {
			t.Errorf("of %d characters: got %q, %v", n, got, err)
		}
	}
}
