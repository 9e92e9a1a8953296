package nstest

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// connectPassword writes a token password; signature "" means the right one.
func connectPassword(account, nonce string, timestamp int64, signature string) string {
	c := claim{consumerKey: keyA, tokenID: tokenA, nonce: nonce, timestamp: strconv.FormatInt(timestamp, 10)}
	base := concat(account, c)
	if signature == "" {
		signature = sign(sha256.New, signingKey(secretA, tsecA), base)
	}
	return base + "&" + signature + "&HMAC-SHA256"
}

func freshPassword() string {
	return connectPassword("123456_SB1", fmt.Sprintf("connect%010d", nonces.Add(1)), pinned, "")
}

func TestConnectRefusals(t *testing.T) {
	for _, tc := range []struct {
		what, user, password string
		reason               Reason
		mistake              string
	}{
		{"another user", "tba", freshPassword(), ReasonParameterRejected, "user-not-tba"},
		{"percent-encoded signature", "TBA", strings.ReplaceAll(freshPassword(), "=", "%3D"), ReasonParameterRejected, ""},
		{"six values", "TBA", strings.TrimSuffix(freshPassword(), "&HMAC-SHA256"), ReasonMissingFields, ""},
		{"eight values", "TBA", freshPassword() + "&x", ReasonMissingFields, ""},
		{"an empty value", "TBA", strings.Replace(freshPassword(), keyA, "", 1), ReasonParameterRejected, ""},
		{"a line break", "TBA", freshPassword() + "\n", ReasonParameterRejected, ""},
		{"nothing", "TBA", "", ReasonMissingFields, ""},
		{"too long", "TBA", freshPassword() + strings.Repeat("A", 500), ReasonParameterRejected, ""},
		{"underscore algorithm", "TBA", strings.Replace(freshPassword(), "HMAC-SHA256", "HMAC_SHA256", 1), ReasonUnknownAlgorithm, ""},
		{"unknown account", "TBA", connectPassword("999", "abcdefgh", pinned, ""), ReasonTokenRejected, "unknown-account"},
		{"account in lower case", "TBA", connectPassword("123456_sb1", "abcdefgh", pinned, ""), ReasonInvalidSignature, "account-spelling"},
		{"host label", "TBA", connectPassword("123456-sb1", "abcdefgh", pinned, ""), ReasonInvalidSignature, "account-spelling"},
		{"expired", "TBA", connectPassword("123456_SB1", "abcdefgh", pinned-301, ""), ReasonInvalidTimestamp, "clock-behind"},
		{"short nonce", "TBA", connectPassword("123456_SB1", "abc", pinned, ""), ReasonNonceRejected, ""},
		{"wrong signature", "TBA", connectPassword("123456_SB1", "abcdefgh", pinned, "AAAA"), ReasonInvalidSignature, ""},
	} {
		s := New(Config{Accounts: []Account{account1()}, Now: clockAt(pinned).now})
		if v := s.CheckConnect(tc.user, tc.password); v.OK || v.Reason != tc.reason || v.Mistake != tc.mistake || v.Channel != ChannelConnect {
			t.Errorf("%s: %s", tc.what, v)
		}
		if v := s.CheckConnect("TBA", freshPassword()); !v.OK {
			t.Errorf("a good password after %s: %s", tc.what, v)
		}
	}
}

// TestConnectLock: five failures lock for 30 minutes, then one more locks again.
func TestConnectLock(t *testing.T) {
	clock := clockAt(pinned)
	s := New(Config{Accounts: []Account{account1(), {ID: "7654321"}}, Now: clock.now})
	at := func() string {
		return connectPassword("123456_SB1", fmt.Sprintf("connect%010d", nonces.Add(1)), clock.seconds.Load(), "")
	}
	bad := func() Reason { return s.CheckConnect("TBA", strings.Replace(at(), tokenA, keyA, 1)).Reason }
	for range 4 {
		if got := bad(); got != ReasonTokenRejected {
			t.Fatalf("refused for %s", got)
		}
	}
	if v := s.CheckConnect("TBA", at()); !v.OK {
		t.Fatalf("after four failures: %s", v)
	}
	for range 5 {
		bad()
	}
	if v := s.CheckConnect("TBA", at()); v.Reason != ReasonTemporaryLocked {
		t.Errorf("after five failures: %s", v)
	}
	if v := s.CheckConnect("TBA", strings.Replace(at(), "123456_SB1", "7654321", 1)); v.Reason == ReasonTemporaryLocked {
		t.Errorf("another account: %s", v)
	}
	clock.seconds.Add(1799)
	if got := bad(); got != ReasonTemporaryLocked {
		t.Errorf("a second before the end: %s", got)
	}
	clock.seconds.Add(1)
	if got := bad(); got != ReasonTokenRejected {
		t.Errorf("after the lock: %s", got)
	}
	if v := s.CheckConnect("TBA", at()); v.Reason != ReasonTemporaryLocked {
		t.Errorf("one failure after the lock: %s", v)
	}
	clock.seconds.Add(1800)
	if v := s.CheckConnect("TBA", at()); !v.OK {
		t.Errorf("after the second lock: %s", v)
	}
	if got := bad(); got != ReasonTokenRejected {
		t.Errorf("a success clears the count: %s", got)
	}
	if v := s.CheckConnect("TBA", at()); !v.OK {
		t.Errorf("one failure after a success: %s", v)
	}
}

func TestConnectOverHTTP(t *testing.T) {
	n := start(t, Config{Accounts: []Account{account1()}})
	post := func(body string) (int, Verdict) {
		s := n.send("POST", n.URL+"/nstest/connect", body, nil)
		var v Verdict
		if err := json.Unmarshal([]byte(s.body), &v); err != nil {
			t.Fatalf("%v in %s", err, s.body)
		}
		return s.status, v
	}
	body, err := json.Marshal(map[string]string{"user": "TBA", "password": freshPassword()})
	if err != nil {
		t.Fatal(err)
	}
	if status, v := post(string(body)); status != 200 || !v.OK || v.User != "Ada" {
		t.Errorf("%d %s", status, v)
	}
	if status, v := post(string(body)); status != 401 || v.Reason != ReasonNonceUsed || v.Detail != "nonce_used" {
		t.Errorf("%d %s", status, v)
	}
	for _, bad := range []string{"", "{}", `{"user":"TBA"}`, `{"user":"TBA","password":"x","more":1}`, `{"user":1,"password":"x"}`, `{"user":"TBA","user":"TBA","password":"x"}`} {
		if status, _ := post(bad); status != 400 {
			t.Errorf("%s: %d", bad, status)
		}
	}
	// The mock's own paths do not exist under a name of NetSuite.
	s := n.send("POST", "https://123456-sb1.suitetalk.api.netsuite.com/nstest/connect", string(body), nil)
	s.expect(t, "on a NetSuite host", 401, ReasonMissingFields, "")
	// They leave verdicts of what was judged, not of themselves.
	s = n.send("GET", n.URL+"/nstest/verdicts?since=1", "", http.Header{})
	var list struct {
		Schema   string
		Verdicts []Verdict
	}
	if err := json.Unmarshal([]byte(s.body), &list); err != nil {
		t.Fatal(err)
	}
	if list.Schema != "nsagent.verdicts/v1" || len(list.Verdicts) != 2 || list.Verdicts[0].Seq != 2 {
		t.Errorf("listed %+v", list)
	}
	if s := n.send("GET", n.URL+"/nstest/verdicts?since=x", "", nil); s.status != 400 {
		t.Errorf("since=x gave %d", s.status)
	}
}
