package signer

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/internal/needs"
)

// debianPython is the interpreter that sees Debian's python3-oauthlib, whatever PATH
// says.
const debianPython = "/usr/bin/python3"

// oauthlib is one Python process that answers for python3-oauthlib.
type oauthlib struct {
	in  *json.Encoder
	out *bufio.Reader
}

type oauthlibRequest struct {
	Method         string  `json:"method"`
	URL            string  `json:"url"`
	Form           *string `json:"form"`
	Authorization  string  `json:"authorization"`
	ConsumerSecret string  `json:"consumer_secret"`
	TokenSecret    string  `json:"token_secret"`
}

type oauthlibAnswer struct {
	BaseString string `json:"base_string"`
	Signature  string `json:"signature"`
	Refused    string `json:"refused"`
}

// startOAuthlib skips the test without python3-oauthlib, or fails it if that is required.
func startOAuthlib(t *testing.T) *oauthlib {
	t.Helper()
	if out, err := exec.Command(debianPython, "-c", "import oauthlib.oauth1").CombinedOutput(); err != nil {
		needs.Missing(t, "oauthlib", fmt.Sprintf("apt-get install python3-oauthlib: %v: %s", err, out))
	}
	cmd := exec.Command(debianPython, "-I", "testdata/oauthlib_oracle.py")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close() // ends it
		_, _ = io.Copy(io.Discard, out)
		if err := cmd.Wait(); err != nil {
			t.Errorf("python: %v", err)
		}
	})
	return &oauthlib{json.NewEncoder(in), bufio.NewReader(out)}
}

func (o *oauthlib) ask(t *testing.T, r oauthlibRequest) oauthlibAnswer {
	t.Helper()
	if err := o.in.Encode(r); err != nil {
		t.Fatal(err)
	}
	line, err := o.out.ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	var a oauthlibAnswer
	if err := json.Unmarshal(line, &a); err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	return a
}

// The accepted differences from oauthlib: every way, and the only ways, in which we may
// not agree.
const (
	// We refuse; oauthlib repairs or drops something and signs.
	diffUserinfo      = "userinfo: refused here, dropped there"
	diffFragment      = "fragment: refused here, dropped there"
	diffEmptyPort     = "empty port: refused here, dropped there"
	diffPortZeros     = "port with leading zeros: refused here, shortened there"
	diffTrailingDot   = "trailing dot: refused here, signed there"
	diffHostForm      = "malformed host name: refused here, signed there"
	diffIPv6Form      = "long form of an IPv6 address: refused here, shortened there"
	diffScheme        = "scheme other than http and https: refused here, signed there"
	diffRawPath       = "reserved or non-ASCII characters in a path: refused here, signed there"
	diffDotSegments   = "dot segments: refused here, signed there"
	diffControlInPath = "encoded control characters in a path: refused here, signed there"
	diffStripped      = "tabs and line breaks: refused here, stripped there"
	diffPercentAtEnd  = "percent sign at the end: refused here, taken literally there"
	diffProtocolParam = "query or form parameter named oauth_: refused here, signed there"
	diffMethod        = "method that is no token: refused here, signed there"
	diffFormDropped   = "form body that is not encoded: refused here, left out there"
	// We sign; oauthlib refuses, or signs something else than what is on the wire.
	diffRawQuery    = "characters that clients leave raw in a query: signed here, refused there"
	diffRawForm     = "unencoded printable characters in a form: signed here, form left out there"
	diffNotUTF8     = "octets that are not UTF-8: kept here, replaced there"
	diffEmptyParams = "semicolon at the end of a path: kept here, lost there"
)

// differentialCase is one request for both implementations.
type differentialCase struct {
	name, method, url string
	contentType, form string
	difference        string // empty: both agree
}

const (
	differentialConsumerSecret = "cs-~._ &%é"
	differentialTokenSecret    = "ts/+=\""
)

// differ runs c through both and says how they differ: not at all (empty), or a text.
func differ(t *testing.T, o *oauthlib, c differentialCase) string {
	t.Helper()
	key := hmacKey(AppendSigningKey(nil, []byte(differentialConsumerSecret), []byte(differentialTokenSecret)))
	id := Identity{mustAccount(t, "123456_SB1"), "consumer-key", "token~id"}
	var signed Signed
	var base string
	target, err := ParseTarget(c.url)
	if err == nil {
		record := MACFunc(func(mac *[32]byte, msg []byte) error {
			base = string(msg)
			return key.HMACSHA256(mac, msg)
		})
		signed, err = Sign(id, Request{c.method, target, c.contentType, []byte(c.form)}, testNonce, testTimestamp, record)
	}
	request := oauthlibRequest{
		Method: c.method, URL: c.url, Authorization: signed.Authorization,
		ConsumerSecret: differentialConsumerSecret, TokenSecret: differentialTokenSecret,
	}
	if err != nil {
		request.Authorization = `OAuth realm="x", oauth_nonce="n"`
	}
	if c.contentType != "" {
		request.Form = &c.form
	}
	theirs := o.ask(t, request)
	switch {
	case err != nil && theirs.Refused != "":
		return ""
	case err != nil:
		return "we refuse: " + err.Error()
	case theirs.Refused != "":
		return "oauthlib refuses: " + theirs.Refused
	case base != theirs.BaseString:
		return "base strings:\nours   " + base + "\ntheirs " + theirs.BaseString
	case signatureOf(t, signed.Authorization) != theirs.Signature:
		return "signatures: ours " + signatureOf(t, signed.Authorization) + " theirs " + theirs.Signature
	}
	return ""
}

// TestOAuthlibCases: on each case both agree, or differ in the one way named beside it,
// which really shows.
func TestOAuthlibCases(t *testing.T) {
	o := startOAuthlib(t)
	const form = "application/x-www-form-urlencoded"
	cases := []differentialCase{
		{name: "plain", url: "https://h.example/p"},
		{name: "query", url: "https://h.example/p?b=2&a=1"},
		{name: "repeated key", url: "https://h.example/p?a=2&a=1"},
		{name: "same pair twice", url: "https://h.example/p?a=1&a=1"},
		{name: "empty value", url: "https://h.example/p?a="},
		{name: "no equals sign", url: "https://h.example/p?a&b"},
		{name: "no name", url: "https://h.example/p?=v"},
		{name: "nothing but equals signs", url: "https://h.example/p?=&=="},
		{name: "empty pairs", url: "https://h.example/p?&a=1&&b=2&"},
		{name: "empty query", url: "https://h.example/p?"},
		{name: "equals sign in a value", url: "https://h.example/p?a=b=c"},
		{name: "question mark in a value", url: "https://h.example/p?a=b?c"},
		{name: "semicolon", url: "https://h.example/p?q=a;b"},
		{name: "plus, %20, %2B", url: "https://h.example/p?a=x+y&b=x%20y&c=x%2By"},
		{name: "tilde", url: "https://h.example/p?a=~&b=%7E&c=%7e"},
		{name: "UTF-8", url: "https://h.example/p?%C5%82=%C3%A9%F0%9F%98%80"},
		{name: "lower-case hex", url: "https://h.example/p?p=a%2fb"},
		{name: "sub-delims", url: "https://h.example/p?note=!*'()~-._$,:@/"},
		{name: "encoded delimiters", url: "https://h.example/p?a%3D=%26&b%26=%3D%23%25"},
		{name: "encoded NUL and line break", url: "https://h.example/p?a=%00%0D%0A"},
		{name: "order by encoded name", url: "https://h.example/p?a1=1&a=2&a-=3&a.=4&aB=5&A=6&_=7&%C3%A9=8"},
		{name: "realm in the query", url: "https://h.example/p?realm=x"},
		{name: "empty path", url: "https://h.example"},
		{name: "empty path with query", url: "https://h.example?a=1"},
		{name: "port 443 on https", url: "https://h.example:443/p"},
		{name: "port 80 on https", url: "https://h.example:80/p"},
		{name: "port 80 on http", url: "http://h.example:80/p"},
		{name: "port 443 on http", url: "http://h.example:443/p"},
		{name: "another port", url: "https://h.example:8443/p"},
		{name: "IPv4", url: "https://127.0.0.1:8443/p"},
		{name: "IPv6", url: "https://[::1]/p"},
		{name: "IPv6 with its own port", url: "https://[::1]:443/p"},
		{name: "IPv6 with a port, upper case", url: "https://[2001:DB8::A]:8443/p"},
		{name: "upper-case scheme and host", url: "HTTPS://H.Example/P"},
		{name: "escaped path", url: "https://h.example/eid:ACME%20Co/%C3%A9"},
		{name: "%2F in the path", url: "https://h.example/a%2Fb%2fc"},
		{name: "double slash", url: "https://h.example//a//b/"},
		{name: "sub-delims in the path", url: "https://h.example/!$&'()*+,=:@~"},
		{name: "path parameter", url: "https://h.example/a;x=1/b;y=2"},
		{name: "lower-case method", method: "get", url: "https://h.example/p"},
		{name: "PATCH", method: "PATCH", url: "https://h.example/p"},
		{name: "method to be encoded", method: "M-X*", url: "https://h.example/p"},
		{name: "form", method: "POST", url: "https://h.example/p", contentType: form, form: "b=2&a=1&a=0+x"},
		{name: "form with charset", method: "POST", url: "https://h.example/p", contentType: form + "; charset=UTF-8", form: "a=%C3%A9"},
		{name: "form in upper case", method: "POST", url: "https://h.example/p", contentType: "Application/X-WWW-Form-Urlencoded", form: "a=1"},
		{name: "form and query with one key", method: "POST", url: "https://h.example/p?a=2", contentType: form, form: "a=1&a=3"},
		{name: "form without values", method: "POST", url: "https://h.example/p", contentType: form, form: "c2&a3=2+q"},
		{name: "empty form", method: "POST", url: "https://h.example/p", contentType: form},
		{name: "malformed escape", url: "https://h.example/p?n=100%&b=1"},
		{name: "malformed hex", url: "https://h.example/p?n=%zz"},
		{name: "UTF-8 unencoded in the query", url: "https://h.example/p?a=é"},
		{name: "quotes in the query", url: `https://h.example/p?a="x"`},
		{name: "port out of range", url: "https://h.example:65536/p"},
		{name: "port that is no number", url: "https://h.example:x/p"},
		{name: "no host", url: "https:///p"},
		{name: "no scheme", url: "h.example/p"},

		{name: "userinfo", url: "https://u:p@h.example/p", difference: diffUserinfo},
		{name: "fragment", url: "https://h.example/p#f", difference: diffFragment},
		{name: "empty fragment", url: "https://h.example/p?a=1#", difference: diffFragment},
		{name: "empty port", url: "https://h.example:/p", difference: diffEmptyPort},
		{name: "leading zero", url: "https://h.example:08443/p", difference: diffPortZeros},
		{name: "trailing dot", url: "https://h.example./p", difference: diffTrailingDot},
		{name: "percent sign in the host", url: "https://h%2eexample/p", difference: diffHostForm},
		{name: "Unicode host", url: "https://hé.example/p", difference: diffHostForm},
		{name: "short IPv4", url: "https://127.1/p", difference: diffHostForm},
		{name: "long IPv6", url: "https://[0:0:0:0:0:0:0:1]/p", difference: diffIPv6Form},
		{name: "ftp", url: "ftp://h.example/p", difference: diffScheme},
		{name: "UTF-8 in the path", url: "https://h.example/é", difference: diffRawPath},
		{name: "brackets in the path", url: "https://h.example/[a]{b}|c", difference: diffRawPath},
		{name: "blank in the path", url: "https://h.example/a b", difference: diffRawPath},
		{name: "backslash in the path", url: `https://h.example/a\b`, difference: diffRawPath},
		{name: "percent sign in the path", url: "https://h.example/100%", difference: diffRawPath},
		{name: "dot segment", url: "https://h.example/a/../b", difference: diffDotSegments},
		{name: "encoded dot segment", url: "https://h.example/%2e%2E/b", difference: diffDotSegments},
		{name: "encoded line break in the path", url: "https://h.example/a%0Ab", difference: diffControlInPath},
		{name: "tab", url: "https://h.example/a\tb?c\n=d", difference: diffStripped},
		{name: "percent sign at the end", url: "https://h.example/p?n=100%", difference: diffPercentAtEnd},
		{name: "half an escape at the end", url: "https://h.example/p?n=%4", difference: diffPercentAtEnd},
		{name: "oauth_ in the query", url: "https://h.example/p?oauth_x=1", difference: diffProtocolParam},
		{name: "oauth_signature in the query", url: "https://h.example/p?oauth_signature=1", difference: diffProtocolParam},
		{name: "oauth_ in the form", method: "POST", url: "https://h.example/p", contentType: form, form: "oauth_x=1", difference: diffProtocolParam},
		{name: "blank in the method", method: "GET X", url: "https://h.example/p", difference: diffMethod},
		{name: "form with a line break", method: "POST", url: "https://h.example/p", contentType: form, form: "a=1\n", difference: diffFormDropped},
		{name: "brackets in the query", url: "https://h.example/p?a[]={b}|c^`", difference: diffRawQuery},
		{name: "brackets in the form", method: "POST", url: "https://h.example/p", contentType: form, form: "a[]=1", difference: diffRawForm},
		{name: "not UTF-8", url: "https://h.example/p?a=%FF", difference: diffNotUTF8},
		{name: "semicolon at the end", url: "https://h.example/p;", difference: diffEmptyParams},
	}
	agree := 0
	for _, c := range cases {
		if c.method == "" {
			c.method = "GET"
		}
		got := differ(t, o, c)
		switch {
		case c.difference == "" && got != "":
			t.Errorf("%s: %s", c.name, got)
		case c.difference != "" && got == "":
			t.Errorf("%s: both agree, though %q is listed", c.name, c.difference)
		case c.difference == "":
			agree++
		case strings.Contains(c.difference, ": refused here") != strings.HasPrefix(got, "we refuse"):
			t.Errorf("%s: %s, want %s", c.name, got, c.difference)
		}
	}
	t.Logf("%d cases: %d agree, %d differ as listed", len(cases), agree, len(cases)-agree)
}

// TestOAuthlibGenerated: on generated requests without anything that is listed as a
// difference, base string and signature are the same.
func TestOAuthlibGenerated(t *testing.T) {
	o := startOAuthlib(t)
	g := newGenerator(1)
	for i := range generated(800) {
		c := g.next()
		if got := differ(t, o, c); got != "" {
			t.Fatalf("request %d, %+v: %s", i, c, got)
		}
	}
}
