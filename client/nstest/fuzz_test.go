package nstest

import (
	"bytes"
	"crypto"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func FuzzParseAuthorization(f *testing.F) {
	for _, v := range readVectors(f).Vectors {
		if v.Kind == "oauth1" {
			f.Add(v.Authorization, false)
		}
	}
	for _, s := range []string{"", "OAuth", `OAuth a="b"`, `OAuth a=b`, `oauth a="%zz"`, `OAuth a="b",,c="d"`, `OAuth a="1", a="2"`, "OAuth\ta=\"%2B\" ,\tb=\"+\"", `OAuth %61="b"`} {
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, header string, lenient bool) {
		pairs, refused := parseAuthorization(header, lenient)
		if refused != nil {
			if pairs != nil || refused.reason == "" || refused.explain == "" {
				t.Fatalf("refused %v with %v", refused, pairs)
			}
			return
		}
		var pieces []string
		for _, p := range pairs {
			if p.name == "" || p.value == "" {
				t.Fatalf("an empty part in %v", pairs)
			}
			pieces = append(pieces, percentEncode(p.name)+`="`+percentEncode(p.value)+`"`)
		}
		again, refused := parseAuthorization("OAuth "+strings.Join(pieces, ", "), false)
		if refused != nil || !slices.Equal(pairs, again) {
			t.Fatalf("%q became %v, then %v %v", header, pairs, again, refused)
		}
	})
}

func FuzzParsePassport(f *testing.F) {
	p := freshPassport()
	f.Add([]byte(p.envelope(serverTime)))
	p.space = "messages"
	f.Add([]byte(p.envelope(`<m:get><m:baseRef type="customer" internalId="1"/></m:get>`)))
	f.Add([]byte(`<!DOCTYPE a><a/>`))
	f.Add([]byte(strings.Replace(p.envelope(serverTime), "<m:nonce>", "<m:nonce><![CDATA[a]]>&amp;", 1)))
	f.Fuzz(func(t *testing.T, data []byte) {
		call, refused := parsePassport(data, "2025_2", "both")
		if refused != nil {
			return
		}
		c := call.claim
		again := passport{call.account, c.consumerKey, c.tokenID, c.nonce, c.timestamp, c.signature, c.algorithm, "core", "2025_2", ""}
		for _, field := range []*string{&again.account, &again.consumer, &again.token, &again.nonce, &again.timestamp, &again.signature, &again.algorithm} {
			*field = escapeXML(*field)
		}
		got, refused := parsePassport([]byte(again.envelope(serverTime)), "2025_2", "core")
		if refused != nil || got.claim != call.claim || got.account != call.account {
			t.Fatalf("%+v became %+v, %+v", call, got, refused)
		}
	})
}

func FuzzParseJWT(f *testing.F) {
	f.Add(newAssertion("ES256", crypto.SHA256, keyOf.ec256(), "kid").compact(f))
	for _, s := range []string{"", "..", "e30.e30.", "e30.e30.AA", "e30=.e30.", "eyJhIjoxLCJhIjoyfQ.e30.", "bnVsbA.e30."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		j, err := parseJWT(s)
		if err != nil {
			if j.header != nil || j.claims != nil || j.signature != nil {
				t.Fatalf("refused %q with %v", s, j)
			}
			return
		}
		if !strings.HasPrefix(s, j.signed+".") || j.header == nil || j.claims == nil {
			t.Fatalf("%q became %+v", s, j)
		}
		for _, part := range []map[string]json.RawMessage{j.header, j.claims} {
			for name := range part {
				claimText(part, name)
				claimSeconds(part, name)
				claimTexts(part, name)
			}
		}
		alg, _ := findAlgorithm("ES256")
		if verifyJWT(j, alg, keyOf.ec256().Public()) == nil && !strings.Contains(s, ".") {
			t.Fatalf("%q verifies", s)
		}
	})
}

func FuzzReadConfig(f *testing.F) {
	f.Add([]byte(smallConfig))
	demo, err := demoFiles.ReadFile("demo/config.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(demo)
	f.Add([]byte(`{"accounts":[{"id":"1","id":"2"}]}`))
	f.Add([]byte(`{"accounts":[{"ID":"1"}],"settings":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ReadConfig(bytes.NewReader(data))
		if err != nil {
			if len(c.Accounts) != 0 {
				t.Fatalf("refused with %+v", c)
			}
			return
		}
		written, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ReadConfig(bytes.NewReader(written))
		if err != nil {
			t.Fatalf("%s was read, but not %s: %v", data, written, err)
		}
		rewritten, err := json.Marshal(again)
		if err != nil || !bytes.Equal(written, rewritten) {
			t.Fatalf("%s became %s, %v", written, rewritten, err)
		}
	})
}

func FuzzParseConnectPassword(f *testing.F) {
	for _, v := range readVectors(f).Vectors {
		if v.Kind == "connect" {
			f.Add(v.Password)
		}
	}
	f.Add("a&b&c&d&e&f&g")
	f.Add("a&b&c&d&e&f%3D&g")
	f.Add("&&&&&&")
	f.Fuzz(func(t *testing.T, password string) {
		account, c, refused := parseConnectPassword(password)
		if refused != nil {
			if account != "" || c != (claim{}) {
				t.Fatalf("refused %q with %v %v", password, account, c)
			}
			return
		}
		parts := []string{account, c.consumerKey, c.tokenID, c.nonce, c.timestamp, c.signature, c.algorithm}
		if strings.Join(parts, "&") != password {
			t.Fatalf("%q became %q", password, parts)
		}
	})
}

func FuzzParseXML(f *testing.F) {
	f.Add([]byte(freshPassport().envelope(serverTime)))
	f.Add([]byte(`<a xmlns="u" xmlns:x="v"><x:b c="1"/>t<!-- c --></a>`))
	f.Fuzz(func(t *testing.T, data []byte) {
		n, err := parseXML(data)
		if (n == nil) == (err == nil) {
			t.Fatalf("%v, %v", n, err)
		}
	})
}

// FuzzFormPairs also says that what is normalised once stays as it is.
func FuzzFormPairs(f *testing.F) {
	for _, s := range []string{"", "a=1&a=0+x&b", "a=%zz", "%", "=&&=", "a;b=1", "%C5%81=%2B"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		pairs, err := formPairs(s)
		if err != nil {
			if pairs != nil {
				t.Fatalf("refused %q with %v", s, pairs)
			}
			return
		}
		once := normalize(pairs)
		again, err := formPairs(once)
		if err != nil || normalize(again) != once || len(again) != len(pairs) {
			t.Fatalf("%q became %q, then %v, %v", s, once, again, err)
		}
	})
}

func FuzzDecodeObject(f *testing.F) {
	for _, s := range []string{"{}", `{"a":1,"a":2}`, `{"a":{"b":[1,{"c":null}]}}`, "null", "[]", `{"a":1}x`, `{"\u0061":1,"a":2}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		object, err := decodeObject(data)
		if err != nil {
			if object != nil {
				t.Fatalf("refused %q with %v", data, object)
			}
			return
		}
		var plain map[string]any
		d := json.NewDecoder(bytes.NewReader(data))
		if err := d.Decode(&plain); err != nil || len(plain) != len(object) {
			t.Fatalf("%q: %v, %v", data, object, err)
		}
		if _, err := d.Token(); err != io.EOF {
			t.Fatalf("%q has more: %v", data, err)
		}
		if _, again := decodeObject(data); again != nil || reflect.ValueOf(object).IsNil() {
			t.Fatalf("%q: %v", data, again)
		}
	})
}

func FuzzParseBasic(f *testing.F) {
	for _, s := range []string{"Basic YTpi", "basic YTo=", "Basic YTo", "Basic", "Bearer YTpi", "Basic YTpi\n", "Basic -_-_", "Basic JTQxOiUyQg=="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		id, secret, ok := parseBasic(header)
		if !ok {
			if id != "" || secret != "" {
				t.Fatalf("refused %q with %q and %q", header, id, secret)
			}
			return
		}
		again := "Basic " + base64.URLEncoding.EncodeToString([]byte(percentEncode(id)+":"+percentEncode(secret)))
		if gotID, gotSecret, ok := parseBasic(again); !ok && len(again) < 4096 || ok && (gotID != id || gotSecret != secret) {
			t.Fatalf("%q became %q and %q, then %q and %q", header, id, secret, gotID, gotSecret)
		}
	})
}

// FuzzParseAuthorize also says that no state goes back that is not printable.
func FuzzParseAuthorize(f *testing.F) {
	f.Add(query("conf").Encode())
	f.Add("client_id=a&client_id=b")
	f.Add("state=%0d%0aSet-Cookie:x&scope=mcp+restlets")
	f.Fuzz(func(t *testing.T, q string) {
		in, refused := parseAuthorize("GET", q)
		if refused != nil {
			if in.clientID != "" || in.state != "" {
				t.Fatalf("refused %q with %+v", q, in)
			}
			return
		}
		back := withQuery("https://a/?b", in.failed(refuse(ReasonInvalidScope, "x")))
		if u, err := url.Parse(back); err != nil || u.Host != "a" || u.Query().Get("error") != "invalid_scope" || strings.Trim(back, unreserved+":/?&=%") != "" {
			t.Fatalf("%q is sent back to %q, %v", q, back, err)
		}
	})
}

func FuzzParseFault(f *testing.F) {
	f.Add([]byte(`{"kind":"cut","path":"/x*","after":3}`))
	f.Add([]byte(`{"kind":"redirect","location":"https://a/"}`))
	f.Add([]byte(`{"kind":"status","Status":500}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		fault, err := parseFault(data)
		if err != nil {
			return
		}
		written, err := json.Marshal(fault)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := parseFault(written); err != nil || again != fault {
			t.Fatalf("%q became %+v, then %+v, %v", data, fault, again, err)
		}
	})
}
