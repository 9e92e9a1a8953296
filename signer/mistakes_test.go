package signer

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// TestMistakeVectors computes each signature that a usual mistake gives, by the mistake
// itself, and checks that ours is none of them.
func TestMistakeVectors(t *testing.T) {
	type input struct {
		Vector string `json:"vector"`
	}
	type want struct {
		Signature        string `json:"signature"`
		CorrectSignature string `json:"correct_signature"`
	}
	oauth := loadOAuth(t, "oauth1.json", 18)
	for _, v := range loadVectors[input, none, want](t, "mistakes.json", 15) {
		t.Run(v.Name, func(t *testing.T) {
			i := slices.IndexFunc(oauth, func(o oauthVector) bool { return o.Name == v.Input.Vector })
			if i < 0 {
				t.Fatalf("no vector %q", v.Input.Vector)
			}
			in := oauth[i].Input
			signed, err := Sign(in.identity(t), in.request(t), in.Nonce, in.Timestamp, in.key(t, ""))
			if err != nil {
				t.Fatal(err)
			}
			if got := signatureOf(t, signed.Authorization); got != v.Want.CorrectSignature || got == v.Want.Signature {
				t.Errorf("ours: got %s, want %s, and not %s", got, v.Want.CorrectSignature, v.Want.Signature)
			}
			mistake := mistakes()[v.Name]
			if mistake == nil {
				t.Fatal("nobody here makes this mistake")
			}
			m := newNaive(t, in)
			mistake(m)
			if got := m.signature(); got != v.Want.Signature {
				t.Errorf("the mistake: got %s, want %s", got, v.Want.Signature)
			}
		})
	}
}

// naive signs in the plainest way, step by step, so that each step can go wrong.
type naive struct {
	in        oauthInput
	method    string
	uri       string
	query     [][2]string
	oauth     [][2]string
	unsorted  bool // each list by itself, the query as it comes
	unencoded bool // the parameter string as it is, except for its separators
	key       string
	hash      func() hash.Hash
	hex       bool
}

func newNaive(t *testing.T, in oauthInput) *naive {
	t.Helper()
	uri, query, _ := strings.Cut(in.URL, "?")
	m := &naive{in: in, method: in.Method, uri: uri, key: in.ConsumerSecret + "&" + in.TokenSecret, hash: sha256.New}
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		m.query = append(m.query, [2]string{name, value})
	}
	for _, p := range in.headerParams() {
		m.oauth = append(m.oauth, [2]string{p.Name, p.Value})
	}
	return m
}

func (m *naive) signature() string {
	pairs := slices.Concat(m.query, m.oauth)
	if m.unsorted {
		slices.SortFunc(m.oauth, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
		pairs = slices.Concat(m.oauth, m.query)
	}
	var joined []string
	for _, p := range pairs {
		joined = append(joined, p[0]+"="+p[1])
	}
	if !m.unsorted {
		slices.Sort(joined)
	}
	params := strings.Join(joined, "&")
	if !m.unencoded {
		params = url.QueryEscape(params)
	}
	h := hmac.New(m.hash, []byte(m.key))
	h.Write([]byte(m.method + "&" + url.QueryEscape(m.uri) + "&" + params))
	sum := h.Sum(nil)
	if m.hex {
		sum = []byte(hex.EncodeToString(sum))
	}
	return base64.StdEncoding.EncodeToString(sum)
}

func mistakes() map[string]func(*naive) {
	return map[string]func(*naive){
		"realm-in-base-string":       func(m *naive) { m.oauth = append(m.oauth, [2]string{"realm", m.in.Realm}) },
		"query-left-out":             func(m *naive) { m.query = nil },
		"query-left-in-uri":          func(m *naive) { m.query, m.uri = nil, m.in.URL },
		"hmac-sha1":                  func(m *naive) { m.hash = sha1.New; m.setMethod("HMAC-SHA1") },
		"sha256-over-sha1-label":     func(m *naive) { m.setMethod("HMAC-SHA1") },
		"key-without-ampersand":      func(m *naive) { m.key = m.in.ConsumerSecret + m.in.TokenSecret },
		"key-order-swapped":          func(m *naive) { m.key = m.in.TokenSecret + "&" + m.in.ConsumerSecret },
		"key-consumer-only":          func(m *naive) { m.key = m.in.ConsumerSecret + "&" },
		"token-id-as-secret":         func(m *naive) { m.key = m.in.ConsumerSecret + "&" + m.in.TokenID },
		"hex-digest-base64":          func(m *naive) { m.hex = true },
		"wrong-method":               func(m *naive) { m.method = "GET" },
		"underscore-host":            func(m *naive) { m.uri = strings.Replace(m.uri, "123456-sb1", "123456_sb1", 1) },
		"uppercase-host":             func(m *naive) { m.uri = strings.Replace(m.uri, "123456-sb1", "123456-SB1", 1) },
		"params-encoded-once":        func(m *naive) { m.unencoded = true },
		"query-after-oauth-unsorted": func(m *naive) { m.unsorted = true },
	}
}

func (m *naive) setMethod(method string) {
	for i := range m.oauth {
		if m.oauth[i][0] == "oauth_signature_method" {
			m.oauth[i][1] = method
		}
	}
}
