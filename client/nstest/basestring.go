package nstest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"sort"
	"strings"
)

// pair is one parameter, decoded.
type pair struct{ name, value string }

var errEscape = errors.New("nstest: malformed percent-encoding")

const unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"

// percentEncode writes every octet outside the unreserved set of RFC 3986 as
// %XX with upper-case hex (RFC 5849 section 3.6).
func percentEncode(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if strings.IndexByte(unreserved, s[i]) >= 0 {
			b.WriteByte(s[i])
		} else {
			fmt.Fprintf(&b, "%%%02X", s[i])
		}
	}
	return b.String()
}

// percentDecode undoes percent-encoding. In a form or a query, plus means space.
func percentDecode(s string, plusIsSpace bool) (string, error) {
	const digits = "0123456789abcdef"
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '%':
			if i+2 >= len(s) {
				return "", errEscape
			}
			high := strings.IndexByte(digits, s[i+1]|0x20)
			low := strings.IndexByte(digits, s[i+2]|0x20)
			if high < 0 || low < 0 || s[i+1] < '0' || s[i+2] < '0' {
				return "", errEscape
			}
			b.WriteByte(byte(high*16 + low))
			i += 2
		case s[i] == '+' && plusIsSpace:
			b.WriteByte(' ')
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), nil
}

// formPairs takes apart a query or a form body: name=value joined by "&". A
// name without "=" has the empty value; an empty piece is no parameter; ";" is
// an ordinary character.
func formPairs(s string) ([]pair, error) {
	var out []pair
	for _, piece := range strings.Split(s, "&") {
		if piece == "" {
			continue
		}
		rawName, rawValue, _ := strings.Cut(piece, "=")
		name, err := percentDecode(rawName, true)
		if err != nil {
			return nil, err
		}
		value, err := percentDecode(rawValue, true)
		if err != nil {
			return nil, err
		}
		out = append(out, pair{name, value})
	}
	return out, nil
}

// normalize is RFC 5849 section 3.4.1.3.2: encode, sort by name and then value,
// join.
func normalize(pairs []pair) string {
	encoded := make([]pair, len(pairs))
	for i, p := range pairs {
		encoded[i] = pair{percentEncode(p.name), percentEncode(p.value)}
	}
	sort.SliceStable(encoded, func(i, j int) bool {
		if encoded[i].name != encoded[j].name {
			return encoded[i].name < encoded[j].name
		}
		return encoded[i].value < encoded[j].value
	})
	return join(encoded)
}

func join(pairs []pair) string {
	pieces := make([]string, len(pairs))
	for i, p := range pairs {
		pieces[i] = p.name + "=" + p.value
	}
	return strings.Join(pieces, "&")
}

// baseString is RFC 5849 section 3.4.1.1.
func baseString(method, uri, normalized string) string {
	return method + "&" + percentEncode(uri) + "&" + percentEncode(normalized)
}

// signingKey is RFC 5849 section 3.4.2.
func signingKey(consumerSecret, tokenSecret string) string {
	return percentEncode(consumerSecret) + "&" + percentEncode(tokenSecret)
}

// sign is the base64 of an HMAC.
func sign(h func() hash.Hash, key, message string) string {
	return base64.StdEncoding.EncodeToString(digest(h, key, message))
}

func digest(h func() hash.Hash, key, message string) []byte {
	mac := hmac.New(h, []byte(key))
	mac.Write([]byte(message))
	return mac.Sum(nil)
}

// sameSignature compares as text: another spelling of the same octets is
// another signature.
func sameSignature(key, base, given string) bool {
	return hmac.Equal([]byte(sign(sha256.New, key, base)), []byte(given))
}
