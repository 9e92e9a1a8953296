package signer

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/dghubble/oauth1"
)

// referenceBaseString is a second implementation of RFC 5849 section 3.4.1, slow and on
// net/url, for URLs and forms that ParseTarget and ParseForm accept.
func referenceBaseString(method, rawURL, contentType, form string, oauth Params) (string, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return "", err
	}
	encode := func(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
	var pairs [][2]string
	lists := []string{u.RawQuery}
	if media, _, _ := strings.Cut(strings.ToLower(contentType), ";"); strings.Trim(media, " \t") == "application/x-www-form-urlencoded" {
		lists = append(lists, form)
	}
	for pair := range strings.SplitSeq(strings.Join(lists, "&"), "&") {
		rawName, rawValue, _ := strings.Cut(pair, "=")
		name, err1 := url.QueryUnescape(rawName)
		value, err2 := url.QueryUnescape(rawValue)
		if err := errors.Join(err1, err2); err != nil {
			return "", err
		}
		if pair != "" && name != "oauth_signature" {
			pairs = append(pairs, [2]string{encode(name), encode(value)})
		}
	}
	for _, p := range oauth {
		pairs = append(pairs, [2]string{encode(p.Name), encode(p.Value)})
	}
	slices.SortFunc(pairs, func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
	var joined []string
	for _, p := range pairs {
		joined = append(joined, p[0]+"="+p[1])
	}
	host := strings.ToLower(u.Host)
	if u.Scheme == "https" {
		host = strings.TrimSuffix(host, ":443")
	} else {
		host = strings.TrimSuffix(host, ":80")
	}
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	return strings.ToUpper(encode(strings.ToUpper(method))) + "&" + encode(u.Scheme+"://"+host+path) + "&" + encode(strings.Join(joined, "&")), nil
}

// dghubbleFails names the kind of input on which dghubble/oauth1 v0.7.3 is known to be
// wrong, if c is of such a kind.
func dghubbleFails(c differentialCase) string {
	u, err := url.Parse(c.url)
	if err != nil {
		return "not a URL for net/url"
	}
	if strings.ContainsFunc(c.method, func(r rune) bool { return r >= 0x80 || !unreserved[r] }) {
		return "method"
	}
	switch port, ipv6 := u.Port(), strings.HasPrefix(u.Host, "["); {
	case u.Path == "":
		return "empty path"
	case (port == "80" || port == "443") && (ipv6 || (u.Scheme == "https") != (port == "443")):
		return "port"
	case strings.Contains(u.RawQuery, ";") || strings.Contains(c.form, ";"):
		return "semicolon"
	case c.contentType != "" && c.contentType != "application/x-www-form-urlencoded":
		return "content type"
	}
	params, err := ParseForm([]byte(u.RawQuery + "&" + c.form))
	if err != nil {
		return "unencoded"
	}
	seen := map[string]bool{}
	for _, p := range params {
		if seen[p.Name] {
			return "repeated name"
		}
		if strings.HasPrefix(p.Name, "oauth_") {
			return "oauth_ name"
		}
		seen[p.Name] = true
	}
	return ""
}

// capture is an oauth1.Signer that keeps the base string.
type capture struct{ base string }

func (c *capture) Name() string { return SignatureMethod }

func (c *capture) Sign(_, message string) (string, error) {
	c.base = message
	return "unused", nil
}

// keepHeader is a RoundTripper that sends nothing and keeps the header.
type keepHeader struct{ authorization string }

func (k *keepHeader) RoundTrip(r *http.Request) (*http.Response, error) {
	k.authorization = r.Header.Get("Authorization")
	return (discard{}).RoundTrip(r)
}

var timestampField = regexp.MustCompile(`oauth_timestamp="([0-9]+)"`)

// dghubbleBaseString returns dghubble's base string for c, with the header parameters
// that it chose.
func dghubbleBaseString(t *testing.T, c differentialCase) (string, Params) {
	t.Helper()
	var body io.Reader
	if c.contentType != "" {
		body = strings.NewReader(c.form)
	}
	request, err := http.NewRequest(c.method, c.url, body)
	if err != nil {
		t.Fatal(err)
	}
	if c.contentType != "" {
		request.Header.Set("Content-Type", c.contentType)
	}
	signer, transport := &capture{}, &keepHeader{}
	config := &oauth1.Config{ConsumerKey: testConsumerKey, Realm: "123456", Noncer: fixedNonce{}, Signer: signer}
	ctx := context.WithValue(context.Background(), oauth1.HTTPClient, &http.Client{Transport: transport})
	if _, err := config.Client(ctx, oauth1.NewToken(testTokenID, "")).Transport.RoundTrip(request); err != nil {
		t.Fatal(err)
	}
	timestamp := timestampField.FindStringSubmatch(transport.authorization)
	if timestamp == nil {
		t.Fatalf("no timestamp in %s", transport.authorization)
	}
	return signer.base, Params{
		{"oauth_consumer_key", testConsumerKey}, {"oauth_token", testTokenID}, {"oauth_nonce", testNonce},
		{"oauth_timestamp", timestamp[1]}, {"oauth_signature_method", SignatureMethod}, {"oauth_version", "1.0"},
	}
}

// TestDghubbleGenerated: where names do not repeat, and outside the other kinds of input
// on which dghubble is wrong, the base strings are the same.
func TestDghubbleGenerated(t *testing.T) {
	g := newGenerator(2)
	compared := 0
	for range generated(6000) {
		c := g.next()
		if dghubbleFails(c) != "" {
			continue
		}
		compared++
		compareWithDghubble(t, c)
	}
	if compared < 300 {
		t.Errorf("only %d requests were compared", compared)
	}
}

func compareWithDghubble(t *testing.T, c differentialCase) {
	t.Helper()
	theirs, params := dghubbleBaseString(t, c)
	ours, err := BaseString(Request{c.method, mustTarget(t, c.url), c.contentType, []byte(c.form)}, params)
	if err != nil || ours != theirs {
		t.Fatalf("%+v: %v\nours   %s\ntheirs %s", c, err, ours, theirs)
	}
}

// TestDghubbleFailures: the kinds of input named as wrong there are wrong there, and
// right here by the reference.
func TestDghubbleFailures(t *testing.T) {
	const form = "application/x-www-form-urlencoded"
	for kind, c := range map[string]differentialCase{
		"method":        {method: "M+X", url: "https://h.example/p"},
		"repeated name": {method: "GET", url: "https://h.example/p?a=2&a=1"},
		"semicolon":     {method: "GET", url: "https://h.example/p?q=a;b"},
		"empty path":    {method: "GET", url: "https://h.example?a=1"},
		"port":          {method: "GET", url: "https://h.example:80/p"},
		"content type":  {method: "POST", url: "https://h.example/p", contentType: form + "; charset=UTF-8", form: "a=1"},
	} {
		if got := dghubbleFails(c); got != kind {
			t.Errorf("%+v is named %q, want %q", c, got, kind)
		}
		theirs, params := dghubbleBaseString(t, c)
		ours, err := BaseString(Request{c.method, mustTarget(t, c.url), c.contentType, []byte(c.form)}, params)
		if err != nil {
			t.Fatal(err)
		}
		reference, err := referenceBaseString(c.method, c.url, c.contentType, c.form, params)
		if err != nil {
			t.Fatal(err)
		}
		if ours == theirs || ours != reference {
			t.Errorf("%s:\nours      %s\ntheirs    %s\nreference %s", kind, ours, theirs, reference)
		}
	}
}

// FuzzBaseString compares with the reference on every request, and with dghubble on
// those that it gets right.
func FuzzBaseString(f *testing.F) {
	g := newGenerator(3)
	for range 50 {
		c := g.next()
		f.Add(c.method, c.url, c.contentType, c.form)
	}
	for _, c := range loadHostileURLs(f) {
		f.Add("GET", c.url, "", "")
	}
	f.Fuzz(func(t *testing.T, method, rawURL, contentType, form string) {
		target, err := ParseTarget(rawURL)
		if err != nil {
			return
		}
		oauth := Params{{"oauth_nonce", testNonce}, {"role", "3 é"}}
		got, err := BaseString(Request{method, target, contentType, []byte(form)}, oauth)
		if err != nil {
			if !errors.Is(err, ErrRequest) || got != "" {
				t.Fatalf("got %q, %v", got, err)
			}
			return
		}
		want, err := referenceBaseString(method, rawURL, contentType, form, oauth)
		if err != nil || got != want {
			t.Fatalf("%v\n got %s\nwant %s", err, got, want)
		}
		c := differentialCase{method: method, url: rawURL, contentType: contentType, form: form}
		if strings.ContainsAny(contentType, "\r\n\x00") || dghubbleFails(c) != "" {
			return
		}
		compareWithDghubble(t, c)
	})
}
