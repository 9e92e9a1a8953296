package signer

import (
	"crypto/hmac"
	"crypto/sha1" // the method of the RFC's own examples
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// headerParams returns the parameters of the vector's header, in the order in which
// Sign writes them.
func (in oauthInput) headerParams() Params {
	params := Params{{"oauth_consumer_key", in.ConsumerKey}}
	if in.TokenID != "" {
		params = append(params, Param{"oauth_token", in.TokenID})
	}
	params = append(params,
		Param{"oauth_nonce", in.Nonce},
		Param{"oauth_timestamp", strconv.FormatInt(in.Timestamp, 10)},
		Param{"oauth_signature_method", SignatureMethod})
	if in.Version != "" {
		params = append(params, Param{"oauth_version", in.Version})
	}
	for _, p := range in.Extra {
		params = append(params, Param(p))
	}
	return params
}

func TestBaseStringVectors(t *testing.T) {
	vectors := append(loadOAuth(t, "oauth1.json", 18), loadOAuth(t, "threestep.json", 2)...)
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			got, err := BaseString(v.Input.request(t), v.Input.headerParams())
			if err != nil {
				t.Fatal(err)
			}
			if got != v.Steps.BaseString {
				t.Errorf("base string:\n got %s\nwant %s", got, v.Steps.BaseString)
			}
		})
	}
}

func TestBaseStringRFC5849(t *testing.T) {
	type input struct {
		Method         string       `json:"method"`
		URL            string       `json:"url"`
		ContentType    string       `json:"content_type"`
		Form           string       `json:"form"`
		ConsumerSecret string       `json:"consumer_secret"`
		TokenSecret    string       `json:"token_secret"`
		Params         []inputParam `json:"params"`
	}
	type want struct {
		BaseString    string `json:"base_string"`
		SignatureSHA1 string `json:"signature_sha1"`
	}
	for _, v := range loadVectors[input, none, want](t, "rfc5849.json", 6) {
		t.Run(v.Name, func(t *testing.T) {
			var params Params
			for _, p := range v.Input.Params {
				params = append(params, Param(p))
			}
			got, err := BaseString(Request{
				Method: v.Input.Method, Target: mustTarget(t, v.Input.URL),
				ContentType: v.Input.ContentType, Form: []byte(v.Input.Form),
			}, params)
			if err != nil {
				t.Fatal(err)
			}
			if v.Want.BaseString != "" && got != v.Want.BaseString {
				t.Errorf("base string:\n got %s\nwant %s", got, v.Want.BaseString)
			}
			if v.Want.SignatureSHA1 == "" {
				return
			}
			h := hmac.New(sha1.New, AppendSigningKey(nil, []byte(v.Input.ConsumerSecret), []byte(v.Input.TokenSecret)))
			h.Write([]byte(got))
			if sig := base64.StdEncoding.EncodeToString(h.Sum(nil)); sig != v.Want.SignatureSHA1 {
				t.Errorf("HMAC-SHA1 of the base string: got %s, want %s", sig, v.Want.SignatureSHA1)
			} else if v.Published != nil {
				checkPublished(t, v.Published, sig)
			}
		})
	}
}

// TestBaseStringParameters covers the inputs on which other libraries fail.
func TestBaseStringParameters(t *testing.T) {
	const form = "application/x-www-form-urlencoded"
	tests := []struct{ name, url, contentType, form, want string }{
		{"repeated key", "https://h/p?a=2&a=1&a=1", "", "", "h%2Fp&a%3D1%26a%3D1%26a%3D2"},
		{"semicolon", "https://h/p?q=a;b", "", "", "h%2Fp&q%3Da%253Bb"},
		{"empty path", "https://h?a=1", "", "", "h%2F&a%3D1"},
		{"no parameters at all", "https://h", "", "", "h%2F&"},
		{"empty query", "https://h/p?", "", "", "h%2Fp&"},
		{"other scheme's port", "https://h:80/p", "", "", "h%3A80%2Fp&"},
		{"own port of IPv6", "https://[::1]:443/p", "", "", "%5B%3A%3A1%5D%2Fp&"},
		{"port of IPv6", "https://[::1]:8443/p", "", "", "%5B%3A%3A1%5D%3A8443%2Fp&"},
		{"charset", "https://h/p", form + "; charset=UTF-8", "a=1", "h%2Fp&a%3D1"},
		{"upper case media type", "https://h/p", " Application/X-WWW-Form-URLEncoded ;x=y", "a=1", "h%2Fp&a%3D1"},
		{"other media type", "https://h/p", "application/json", "a=1", "h%2Fp&"},
		{"media type that begins alike", "https://h/p", form + "2", "a=1", "h%2Fp&"},
		{"same key in query and form", "https://h/p?a=2", form, "a=1&a=3", "h%2Fp&a%3D1%26a%3D2%26a%3D3"},
		{"oauth_signature left out", "https://h/p?oauth_signature=x&a=1", form, "oauth%5Fsignature=y", "h%2Fp&a%3D1"},
		{"other oauth_ kept", "https://h/p?oauth_x=1&realm=r", "", "", "h%2Fp&oauth_x%3D1%26realm%3Dr"},
		{"plus, %20 and %2B", "https://h/p?a=x+y&b=x%20y&c=x%2By", "", "", "h%2Fp&a%3Dx%2520y%26b%3Dx%2520y%26c%3Dx%252By"},
		{"empty pairs", "https://h/p?&&a=1&&=&=v&", "", "", "h%2Fp&%3D%26%3Dv%26a%3D1"},
		{"value with =", "https://h/p?a=b=c", "", "", "h%2Fp&a%3Db%253Dc"},
		{"octets that are not UTF-8", "https://h/p?a=%ff%FE", "", "", "h%2Fp&a%3D%25FF%25FE"},
		{"sorted by name, then value", "https://h/p?a1=1&a=2&a-=3&a.=4&aB=5&a=10", "", "", "h%2Fp&a%3D10%26a%3D2%26a-%3D3%26a.%3D4%26a1%3D1%26aB%3D5"},
		{"sorted as encoded", "https://h/p?%C3%A9=1&z=2&%2F=3&%7E=4", "", "", "h%2Fp&%252F%3D3%26%25C3%25A9%3D1%26z%3D2%26~%3D4"},
		{"unencoded in the query", "https://h/p?a[]={b|c}^`", "", "", "h%2Fp&a%255B%255D%3D%257Bb%257Cc%257D%255E%2560"},
		{"unencoded in a form", "https://h/p", form, `a="<>\#`, "h%2Fp&a%3D%2522%253C%253E%255C%2523"},
		{"double slash and %2f", "https://h//a%2fb/", "", "", "h%2F%2Fa%252fb%2F&"},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			got, err := BaseString(Request{Method: "GET", Target: mustTarget(t, c.url), ContentType: c.contentType, Form: []byte(c.form)}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if want := "GET&https%3A%2F%2F" + c.want; got != want {
				t.Errorf("\n got %s\nwant %s", got, want)
			}
		})
	}
}

func TestBaseStringRefuses(t *testing.T) {
	const form = "application/x-www-form-urlencoded"
	u := mustTarget(t, "https://h/p")
	tests := []struct {
		name   string
		r      Request
		params Params
		want   error
	}{
		{"no method", Request{Target: u}, nil, ErrRequest},
		{"method with a blank", Request{Method: "GET /", Target: u}, nil, ErrRequest},
		{"method with a line break", Request{Method: "GET\r\n", Target: u}, nil, ErrRequest},
		{"method outside ASCII", Request{Method: "GÉT", Target: u}, nil, ErrRequest},
		{"long method", Request{Method: strings.Repeat("A", 33), Target: u}, nil, ErrRequest},
		{"no URL", Request{Method: "GET"}, nil, ErrURL},
		{"form with a line break", Request{"POST", u, form, []byte("a=1\r\n")}, nil, ErrRequest},
		{"form with NUL", Request{"POST", u, form, []byte("a=\x00")}, nil, ErrRequest},
		{"form with a blank", Request{"POST", u, form, []byte("a=b c")}, nil, ErrRequest},
		{"form outside ASCII", Request{"POST", u, form, []byte("a=é")}, nil, ErrRequest},
		{"form with %", Request{"POST", u, form, []byte("a=100%")}, nil, ErrRequest},
		{"form with %4", Request{"POST", u, form, []byte("a=%4")}, nil, ErrRequest},
		{"form too long", Request{"POST", u, form, make([]byte, MaxForm+1)}, nil, ErrRequest},
		{"too many pairs", Request{"POST", u, form, []byte(strings.Repeat("&", maxPairs))}, nil, ErrRequest},
		{"too many pairs together", Request{"POST", mustTarget(t, "https://h/p?a"), form, []byte(strings.Repeat("a&", maxPairs-1) + "a")}, nil, ErrRequest},
		{"realm", Request{Method: "GET", Target: u}, Params{{"realm", "x"}}, ErrRequest},
		{"signature", Request{Method: "GET", Target: u}, Params{{"oauth_signature", "x"}}, ErrRequest},
		{"nameless", Request{Method: "GET", Target: u}, Params{{"", "x"}}, ErrRequest},
		{"long value", Request{Method: "GET", Target: u}, Params{{"a", strings.Repeat("x", maxParam+1)}}, ErrRequest},
	}
	for _, c := range tests {
		if got, err := BaseString(c.r, c.params); !errors.Is(err, c.want) || got != "" {
			t.Errorf("%s: got %q, %v, want %v", c.name, got, err, c.want)
		} else {
			checkErrorText(t, err, c.name)
		}
	}
}

func TestMethodEncoded(t *testing.T) {
	got, err := BaseString(Request{Method: "m-search&x%", Target: mustTarget(t, "http://h/")}, nil)
	if want := "M-SEARCH%26X%25&http%3A%2F%2Fh%2F&"; got != want || err != nil {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
}

func TestParseForm(t *testing.T) {
	tests := map[string]Params{
		"":                     nil,
		"&&":                   nil,
		"a":                    {{"a", ""}},
		"a=&=b&=":              {{"a", ""}, {"", "b"}, {"", ""}},
		"b=2&a=1&a=0+x&c%3d=%": nil,
		"b=2&a=1&a=0+x":        {{"b", "2"}, {"a", "1"}, {"a", "0 x"}},
		"%61=%3D%26&b=c=d;e":   {{"a", "=&"}, {"b", "c=d;e"}},
		"a=%C5%81%ff":          {{"a", "Ł\xff"}},
	}
	for body, want := range tests {
		got, err := ParseForm([]byte(body))
		if strings.HasSuffix(body, "%") {
			if !errors.Is(err, ErrRequest) || got != nil {
				t.Errorf("ParseForm(%q) = %q, %v, want ErrRequest", body, got, err)
			}
		} else if err != nil || !slices.Equal(got, want) {
			t.Errorf("ParseForm(%q) = %q, %v, want %q", body, got, err, want)
		}
	}
}

// FuzzParseForm: what ParseForm accepts is what a signature covers. The body signed as
// a form gives the same base string as its parsed pairs signed as header parameters.
func FuzzParseForm(f *testing.F) {
	for _, s := range []string{"b=2&a=1&a=0+x", "", "&&=&a", "a=%zz", "a=%C5%81%ff", "a b", "oauth_signature=1&b", "realm=x"} {
		f.Add([]byte(s))
	}
	target := mustTarget(f, "https://h/p")
	f.Fuzz(func(t *testing.T, body []byte) {
		params, err := ParseForm(body)
		r := Request{Method: "POST", Target: target, ContentType: "application/x-www-form-urlencoded", Form: body}
		fromForm, signErr := BaseString(r, nil)
		if (err == nil) != (signErr == nil) {
			t.Fatalf("%q: ParseForm says %v, BaseString says %v", body, err, signErr)
		}
		if err != nil {
			if !errors.Is(err, ErrRequest) || params != nil || fromForm != "" {
				t.Fatalf("got %q, %v, %q", params, err, fromForm)
			}
			return
		}
		params = slices.DeleteFunc(params, func(p Param) bool { return p.Name == "oauth_signature" })
		fromParams, err := BaseString(Request{Method: "POST", Target: target}, params)
		if err != nil { // names that a header cannot have
			if slices.ContainsFunc(params, func(p Param) bool { return p.Name == "" || p.Name == "realm" || len(p.Name)+len(p.Value) > maxParam }) {
				return
			}
			t.Fatal(err)
		}
		if fromForm != fromParams {
			t.Fatalf("%q:\nform   %s\nparams %s", body, fromForm, fromParams)
		}
	})
}
