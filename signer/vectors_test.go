package signer

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// vector is one entry of a file in testdata/vectors: I is what goes in, S the
// intermediate values, W what must come out. Failure names a class of error instead.
type vector[I, S, W any] struct {
	Name   string `json:"name"`
	Source string `json:"source"`
	// Origin is "published", or "derived" for one computed for the reference.
	Origin    string     `json:"origin"`
	Note      string     `json:"note"`
	Input     I          `json:"input"`
	Steps     S          `json:"steps"`
	Want      W          `json:"want"`
	Failure   string     `json:"failure"`
	Published *published `json:"published"`

	CrossCheckedWith     []string `json:"cross_checked_with"`
	KnownLibraryFailures []string `json:"known_library_failures"`
}

// published is what the source prints. With a Failure it is wrong, and a right
// implementation must give something else.
type published struct {
	Signature string `json:"signature"`
	Failure   string `json:"failure"`
}

type none struct{}

// loadVectors reads a file of exactly count vectors. Unknown keys, a missing source and
// a name that repeats are fatal.
func loadVectors[I, S, W any](t testing.TB, file string, count int) []vector[I, S, W] {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "vectors", file))
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	var vectors []vector[I, S, W]
	if err := decoder.Decode(&vectors); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if len(vectors) != count {
		t.Fatalf("%s holds %d vectors, want %d", file, len(vectors), count)
	}
	names := map[string]bool{}
	for _, v := range vectors {
		if v.Name == "" || v.Source == "" || names[v.Name] {
			t.Fatalf("%s: vector %q has no name, no source or a name that repeats", file, v.Name)
		}
		names[v.Name] = true
	}
	return vectors
}

// oauthInput is the input of oauth1.json, threestep.json, soap.json and connect.json.
type oauthInput struct {
	Method         string       `json:"method"`
	URL            string       `json:"url"`
	ContentType    string       `json:"content_type"`
	Form           string       `json:"form"`
	Realm          string       `json:"realm"`
	Account        string       `json:"account"`
	ConsumerKey    string       `json:"consumer_key"`
	ConsumerSecret string       `json:"consumer_secret"`
	TokenID        string       `json:"token_id"`
	TokenSecret    string       `json:"token_secret"`
	Nonce          string       `json:"nonce"`
	Timestamp      int64        `json:"timestamp"`
	Version        string       `json:"oauth_version"` // empty: not sent
	Extra          []inputParam `json:"extra"`
}

type inputParam struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type oauthSteps struct {
	BaseString string `json:"base_string"`
	SigningKey string `json:"signing_key"`
}

type oauthWant struct {
	Signature     string `json:"signature"`
	Authorization string `json:"authorization"`
	Algorithm     string `json:"algorithm"`
	Password      string `json:"password"`
	User          string `json:"user"`
}

type oauthVector = vector[oauthInput, oauthSteps, oauthWant]

func loadOAuth(t testing.TB, file string, count int) []oauthVector {
	t.Helper()
	return loadVectors[oauthInput, oauthSteps, oauthWant](t, file, count)
}

// checkPublished compares a signature with the one that the source prints: it must
// differ if that is known to be wrong.
func checkPublished(t *testing.T, p *published, signature string) {
	t.Helper()
	printed := p.Signature
	if strings.Contains(printed, "%") { // some pages print it percent-encoded
		decoded, err := url.QueryUnescape(strings.ReplaceAll(printed, "+", "%2B"))
		if err != nil {
			t.Fatal(err)
		}
		printed = decoded
	}
	switch {
	case p.Failure == "" && printed != signature:
		t.Errorf("got %s, want the published %s", signature, printed)
	case p.Failure == "signature" && printed == signature:
		t.Errorf("got the published %s, which is known to be wrong", printed)
	case p.Failure != "" && p.Failure != "signature":
		t.Errorf("unknown failure class %q", p.Failure)
	}
}

// key returns the MAC of the vector's secrets, having checked the signing key itself.
func (in oauthInput) key(t testing.TB, want string) MAC {
	t.Helper()
	key := AppendSigningKey(nil, []byte(in.ConsumerSecret), []byte(in.TokenSecret))
	if want != "" && string(key) != want {
		t.Fatalf("signing key:\n got %s\nwant %s", key, want)
	}
	return hmacKey(key)
}

func (in oauthInput) identity(t testing.TB) Identity {
	t.Helper()
	account, err := ParseAccount(in.Realm + in.Account) // a vector has one of them
	if err != nil {
		t.Fatal(err)
	}
	return Identity{Account: account, ConsumerKey: in.ConsumerKey, TokenID: in.TokenID}
}

func (in oauthInput) request(t testing.TB) Request {
	t.Helper()
	return Request{Method: in.Method, Target: mustTarget(t, in.URL), ContentType: in.ContentType, Form: []byte(in.Form)}
}

// hmacKey is a MAC for tests: the key in ordinary memory, crypto/hmac.
type hmacKey []byte

func (k hmacKey) HMACSHA256(mac *[32]byte, msg []byte) error {
	h := hmac.New(sha256.New, k)
	h.Write(msg)
	h.Sum(mac[:0])
	return nil
}

func mustTarget(t testing.TB, raw string) Target {
	t.Helper()
	target, err := ParseTarget(raw)
	if err != nil {
		t.Fatalf("ParseTarget(%q): %v", raw, err)
	}
	return target
}

func mustAccount(t testing.TB, s string) Account {
	t.Helper()
	account, err := ParseAccount(s)
	if err != nil {
		t.Fatalf("ParseAccount(%q): %v", s, err)
	}
	return account
}
