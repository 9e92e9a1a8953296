package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/agent/oidc/oidctest"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// FuzzProfileCodec guards I-01 for metadata records: what is decoded encodes to the
// same bytes, and an error comes with nothing.
func FuzzProfileCodec(f *testing.F) {
	c, err := newProfileCodec()
	if err != nil {
		f.Fatal(err)
	}
	for _, p := range []*profile{
		{Name: "acme", Account: "1234567_SB1", Auth: authTBA, Access: accessWrite, bound: bound{ConsumerKey: sample(1), TokenID: sample(3)}, Created: 1_700_000_000},
		{
			Name: "m2m", Account: "1234567", Auth: authM2M, Access: accessRead, Owner: "o", Note: "n", Created: 1, Scopes: []string{"restlets", "suite_analytics"},
			bound:    bound{Endpoint: "https://127.0.0.1:8443", CA: "ca", ClientID: "c", CertificateID: "k", Certificate: "pem", Alg: "ES256", Expires: 2},
			Previous: &previous{Account: "1234567", bound: bound{ClientID: "d", CertificateID: "l"}, Until: 9},
		},
		{
			Name: "me", Account: "1234567", Auth: authCode, Access: accessWrite, Created: 1, Scopes: []string{scopeMCP}, bound: bound{ClientID: "c", RedirectURI: "https://h/", Confidential: true},
			consent: consent{Role: "3", Entity: "-5", Authorized: 1, Refreshed: 2, Refreshing: 3, Consent: consentRefused},
		},
		{},
	} {
		b, err := c.encode(p)
		if err != nil {
			f.Fatal(err)
		}
		if again, err := c.decode(b); err != nil || !reflect.DeepEqual(again, p) {
			f.Fatalf("decode(encode(%+v)): got %+v, %v", p, again, err)
		}
		f.Add(b)
		f.Add(b[:len(b)/2])
		f.Add(append(bytes.Clone(b), 0))
	}
	f.Add([]byte{0xa1, 0x01, 0x61, 'a'})                                                      // a field alone
	f.Add([]byte{0xa2, 0x01, 0x61, 'a', 0x01, 0x61, 'b'})                                     // a key twice
	f.Add([]byte{0xa1, 0x18, 0x01, 0x61, 'a'})                                                // a long form of a key
	f.Add([]byte{0xbf, 0x01, 0x61, 'a', 0xff})                                                // without a length
	f.Add([]byte{0xa1, 0x18, 0x63, 0x61, 'a'})                                                // an unknown key
	f.Add([]byte{0xa1, 0x0e, 0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x61, 97}) // a list of 2^64
	f.Add(bytes.Repeat([]byte{0x81}, 1000))                                                   // deep
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := c.decode(b)
		if err != nil {
			if p != nil {
				t.Errorf("an error and %+v", p)
			}
			return
		}
		again, err := c.encode(p)
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("encode(decode(%x)): got %x, %v", b, again, err)
		}
		_ = p.message().GetEnvironment() // does not trust the account
	})
}

// FuzzBundleNotice: what is read of what a bundle says to everybody has one form, an error
// comes with nothing, and issuers that make no sense are looked at in peace.
func FuzzBundleNotice(f *testing.F) {
	c, err := newProfileCodec()
	if err != nil {
		f.Fatal(err)
	}
	i := oidctest.New(f)
	for _, n := range []bundleNotice{
		{}, {[]bundleIssuer{{URL: i.URL}}}, {[]bundleIssuer{{URL: i.URL, JWKS: i.JWKS(f)}}}, {[]bundleIssuer{{URL: i.URL, CA: i.CA}, {URL: "x", CA: "y"}}}, {[]bundleIssuer{{CA: "of nobody"}}},
	} {
		b, err := c.enc.Marshal(n)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(b[:len(b)/2])
	}
	f.Add([]byte{0xb8, 0x00})       // a longer head
	f.Add([]byte{0xa1, 0x01, 0x80}) // a list of none
	f.Fuzz(func(t *testing.T, b []byte) {
		issuers, err := c.notice(b)
		if err != nil {
			if issuers != nil {
				t.Errorf("an error and %+v", issuers)
			}
			return
		}
		var n bundleNotice
		for _, i := range issuers {
			_ = i.Check()
			n.Issuers = append(n.Issuers, bundleIssuer(i))
		}
		if again, err := c.enc.Marshal(n); err != nil || !bytes.Equal(again, b) {
			t.Errorf("notice(%x) is %x in its one form, %v", b, again, err)
		}
	})
}

// FuzzSignJSON guards I-01 and I-06 for the JSON API: what is accepted is an object
// that the standard library reads too, with our keys alone, spelt exactly and each
// once; what is refused is refused as a malformed request, in one line.
func FuzzSignJSON(f *testing.F) {
	for _, s := range []string{
		`{"url":"https://1234567-sb1.suitetalk.api.netsuite.com/"}`, `{"profile":"acme","method":"POST","url":"u","content_type":"t","body":"a=b"}`,
		`{}`, ``, `null`, `[]`, `{"url":1}`, `{"URL":"x"}`, `{"url":"a","url":"b"}`, `{"url":"a","u\u0072l":"b"}`, `{"x":1}`, `{"url":"a"}x`, `{"url":"\ud800"}`,
		"{\"url\":\"\xff\"}", `{"profile":null}`, " \t{\"url\" : \"\"\r\n}\n", strings.Repeat(`{"url":`, 50), `{"url":"a",}`, "\xef\xbb\xbf{}",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var q signJSON
		if err := decodeJSON(b, &q); err != nil {
			r := (*Refusal)(nil)
			if !errors.As(err, &r) || r.Code != pb.CodeRequest || strings.ContainsAny(r.Error(), "\r\n\x00") || len(r.Error()) > 600 {
				t.Errorf("refused with %q", err)
			}
			return
		}
		var loose map[string]*string
		if err := json.Unmarshal(b, &loose); err != nil {
			t.Fatalf("accepted %q, which is no object of texts: %v", b, err)
		}
		want := map[string]string{"profile": q.Profile, "method": q.Method, "url": q.URL, "content_type": q.ContentType, "body": q.Body}
		for key, value := range loose {
			got, known := want[key]
			if !known {
				t.Errorf("accepted the key %q", key)
			}
			if value == nil {
				value = new(string)
			}
			if got != *value {
				t.Errorf("%s: got %q, want %q", key, got, *value)
			}
		}
		if n := keysOf(t, b); n != len(loose) {
			t.Errorf("accepted %d keys, %d of them different", n, len(loose))
		}
	})
}

// keysOf counts the keys of an object, repeated ones too.
func keysOf(t *testing.T, b []byte) int {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(b))
	n := -2 // the braces
	for {
		if _, err := d.Token(); err != nil {
			break
		}
		n++
	}
	return n / 2
}

// FuzzCallback: what is accepted as a place to send a browser to is absolute and printable,
// is no plain http for OAuth 2.0, and none but this machine's for the three-step flow.
func FuzzCallback(f *testing.F) {
	for _, s := range []string{testRedirect, "http://localhost:1/", "myapp://cb", "javascript:x", "https://", "https://u@h/", "https://h/#", "//h/", "http://localhost.evil.example/", "https://h/\n", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		redirect, callback := checkRedirect(raw) == nil, checkCallback(raw) == nil
		if !redirect && !callback {
			return
		}
		u, err := url.Parse(raw)
		switch {
		case err != nil || u.Scheme == "" || u.User != nil || u.Fragment != "" || len(raw) > maxRedirect:
			t.Errorf("accepted: %q", raw)
		case strings.ContainsFunc(raw, func(r rune) bool { return r <= ' ' || r > '~' }):
			t.Errorf("accepted: %q", raw)
		case redirect && (u.Scheme == "http" || u.Scheme == "javascript"):
			t.Errorf("accepted for OAuth 2.0: %q", raw)
		case callback && u.Scheme != "https" && (u.Scheme != "http" || u.Hostname() != "localhost"):
			t.Errorf("accepted for the three-step flow: %q", raw)
		}
	})
}
