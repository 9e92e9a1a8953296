package signer

import (
	"encoding/xml"
	"errors"
	"strings"
	"testing"
)

func TestPassportVectors(t *testing.T) {
	for _, v := range loadOAuth(t, "soap.json", 4) {
		t.Run(v.Name, func(t *testing.T) {
			in := v.Input
			if got := string(appendConcat(nil, in.identity(t), in.Nonce, in.Timestamp)); got != v.Steps.BaseString {
				t.Errorf("base string:\n got %s\nwant %s", got, v.Steps.BaseString)
			}
			got, err := Passport(in.identity(t), in.Nonce, in.Timestamp, in.key(t, v.Steps.SigningKey))
			if err != nil {
				t.Fatal(err)
			}
			want := TokenPassport{in.Account, in.ConsumerKey, in.TokenID, in.Nonce, in.Timestamp, v.Want.Signature, v.Want.Algorithm}
			if got != want {
				t.Errorf("\n got %+v\nwant %+v", got, want)
			}
			if v.Published != nil {
				checkPublished(t, v.Published, got.Signature)
			}
		})
	}
}

func TestConnectVectors(t *testing.T) {
	for _, v := range loadOAuth(t, "connect.json", 2) {
		t.Run(v.Name, func(t *testing.T) {
			in := v.Input
			got, err := ConnectPassword(in.identity(t), in.Nonce, in.Timestamp, in.key(t, v.Steps.SigningKey))
			if err != nil {
				t.Fatal(err)
			}
			if got != v.Want.Password || ConnectUser != v.Want.User {
				t.Errorf("\n got %s %s\nwant %s %s", ConnectUser, got, v.Want.User, v.Want.Password)
			}
			if want := v.Steps.BaseString + "&" + v.Want.Signature + "&" + SignatureMethod; got != want {
				t.Errorf("\n got %s\nwant %s", got, want)
			}
			if v.Published != nil {
				checkPublished(t, v.Published, strings.Split(got, "&")[5])
			}
		})
	}
}

// TestConnectPasswordLength: the longest identifiers stay below NetSuite's limit of
// about 500 characters.
func TestConnectPasswordLength(t *testing.T) {
	id := Identity{mustAccount(t, strings.Repeat("1", 63)), strings.Repeat("a", 128), strings.Repeat("b", 128)}
	got, err := ConnectPassword(id, strings.Repeat("c", 64), 99999999999, hmacKey("k"))
	if err != nil || len(got) > 500 {
		t.Errorf("%d characters, %v", len(got), err)
	}
}

func TestPassportRefuses(t *testing.T) {
	id := testIdentity(t)
	broken := errors.New("key is gone")
	failing := MACFunc(func(*[32]byte, []byte) error { return broken })
	ampersand := Identity{id.Account, "a&b", "c"}
	tests := []struct {
		name      string
		id        Identity
		nonce     string
		timestamp int64
		key       MAC
		want      error
	}{
		{"no account", Identity{ConsumerKey: "a", TokenID: "b"}, testNonce, 1, hmacKey("k"), ErrIdentity},
		{"nonce", id, "with-hyphen", 1, hmacKey("k"), ErrNonce},
		{"time", id, testNonce, 0, hmacKey("k"), ErrTimestamp},
		{"no key", id, testNonce, 1, nil, ErrKey},
		{"key fails", id, testNonce, 1, failing, broken},
	}
	for _, c := range tests {
		if got, err := Passport(c.id, c.nonce, c.timestamp, c.key); !errors.Is(err, c.want) || got != (TokenPassport{}) {
			t.Errorf("%s: Passport gives %+v, %v, want %v", c.name, got, err, c.want)
		}
		if got, err := ConnectPassword(c.id, c.nonce, c.timestamp, c.key); !errors.Is(err, c.want) || got != "" {
			t.Errorf("%s: ConnectPassword gives %q, %v, want %v", c.name, got, err, c.want)
		}
	}
	if got, err := ConnectPassword(ampersand, testNonce, 1, hmacKey("k")); !errors.Is(err, ErrIdentity) || got != "" {
		t.Errorf("identifier with &: %q, %v", got, err)
	}
	if got := string(appendConcat(nil, ampersand, testNonce, 1)); got != "123456_SB1&a%26b&c&"+testNonce+"&1" {
		t.Errorf("identifier with &: base string %s", got)
	}
}

// parsedPassport is the element as any XML parser with namespaces reads it.
type parsedPassport struct {
	XMLName  xml.Name
	Attrs    []xml.Attr `xml:",any,attr"`
	Children []struct {
		XMLName xml.Name
		Attrs   []xml.Attr `xml:",any,attr"`
		Text    string     `xml:",chardata"`
	} `xml:",any"`
}

func TestPassportXML(t *testing.T) {
	id := Identity{mustAccount(t, "123456_SB1"), `k<&>"'`, "token"}
	p, err := Passport(id, testNonce, testTimestamp, hmacKey("k"))
	if err != nil {
		t.Fatal(err)
	}
	const messages = "urn:messages_2025_2.platform.webservices.netsuite.com"
	const core = "urn:core_2025_2.platform.webservices.netsuite.com"
	const soap = "http://schemas.xmlsoap.org/soap/envelope/"
	for childNS, namespace := range map[string]string{"": core, ChildrenCore: core, ChildrenMessages: messages} {
		text, err := p.XML("2025_2", childNS)
		if err != nil {
			t.Fatal(err)
		}
		var got parsedPassport
		if err := xml.Unmarshal([]byte(text), &got); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if got.XMLName != (xml.Name{Space: messages, Local: "tokenPassport"}) {
			t.Errorf("%q: element %v", childNS, got.XMLName)
		}
		attrs := map[xml.Name]string{}
		for _, a := range got.Attrs {
			attrs[a.Name] = a.Value
		}
		if attrs[xml.Name{Space: soap, Local: "actor"}] != "http://schemas.xmlsoap.org/soap/actor/next" || attrs[xml.Name{Space: soap, Local: "mustUnderstand"}] != "0" {
			t.Errorf("%q: attributes %v", childNS, got.Attrs)
		}
		want := [][2]string{{"account", "123456_SB1"}, {"consumerKey", `k<&>"'`}, {"token", "token"}, {"nonce", testNonce}, {"timestamp", "1508242306"}, {"signature", p.Signature}}
		if len(got.Children) != len(want) {
			t.Fatalf("%q: %d children", childNS, len(got.Children))
		}
		for i, child := range got.Children {
			if child.XMLName != (xml.Name{Space: namespace, Local: want[i][0]}) || child.Text != want[i][1] {
				t.Errorf("%q: got %v %q, want %s in %s", childNS, child.XMLName, child.Text, want[i], namespace)
			}
			isSignature := child.XMLName.Local == "signature"
			if isSignature != (len(child.Attrs) == 1) || isSignature && (child.Attrs[0].Name.Local != "algorithm" || child.Attrs[0].Value != "HMAC-SHA256") {
				t.Errorf("%q: attributes of %s: %v", childNS, child.XMLName.Local, child.Attrs)
			}
		}
	}
}

func TestPassportXMLRefuses(t *testing.T) {
	p, err := Passport(testIdentity(t), testNonce, testTimestamp, hmacKey("k"))
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"", "2025.2", "2025_3", "2025_0", "25_2", "2025_2 ", "2025_2\"", "1999_1", "20x5_2", "2025-2", "2025_22"} {
		if got, err := p.XML(version, ""); !errors.Is(err, ErrPassport) || got != "" {
			t.Errorf("version %q: %q, %v", version, got, err)
		}
	}
	for _, childNS := range []string{"Core", "urn:x", "\""} {
		if got, err := p.XML("2025_2", childNS); !errors.Is(err, ErrPassport) || got != "" {
			t.Errorf("namespace %q: %q, %v", childNS, got, err)
		}
	}
	broken := []TokenPassport{{}, p, p, p}
	broken[1].Account = "1\x00"
	broken[2].Algorithm = "HMAC-SHA1"
	broken[3].Nonce = ""
	for _, p := range broken {
		if got, err := p.XML("2025_2", ""); !errors.Is(err, ErrPassport) || got != "" {
			t.Errorf("%+v: %q, %v", p, got, err)
		}
	}
}
