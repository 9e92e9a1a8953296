package signer

import (
	"fmt"
	"strings"
)

const (
	// MaxForm is the most octets that a form body may have to be signed.
	MaxForm = 1 << 20
	// maxPairs bounds the work that one request can ask for.
	maxPairs = 10_000
	// maxParam is the longest name or value in Params, in octets.
	maxParam = 8192
)

// Param is one name and value, decoded.
type Param struct{ Name, Value string }

// Params are parameters in the order in which they were read or will be written. Names
// may repeat.
type Params []Param

// ParseForm returns the pairs of a body of type application/x-www-form-urlencoded,
// decoded, in order. A name without "=" has an empty value; empty pairs (as in "a&&b")
// are left out. Octets that are not UTF-8 are kept.
//
// Any octet outside printable ASCII, a malformed escape, more than MaxForm octets and
// more than 10,000 pairs are errors that wrap ErrRequest.
//
// Source: RFC 5849 section 3.4.1.3.1; HTML 4.01 section 17.13.4.
func ParseForm(body []byte) (Params, error) {
	if err := checkForm(body); err != nil {
		return nil, err
	}
	var params Params
	for rest := string(body); rest != ""; {
		var name, value string
		name, value, rest = nextPair(rest)
		if name == "" && value == "" {
			continue
		}
		params = append(params, Param{Name: unescapeForm(name), Value: unescapeForm(strings.TrimPrefix(value, "="))})
	}
	return params, nil
}

// nextPair cuts the first pair off s. value begins with the "=" that was found, so
// that a pair without one can be told from a pair with an empty value, and an empty
// pair from "=".
func nextPair(s string) (name, value, rest string) {
	pair, rest, _ := strings.Cut(s, "&")
	if i := strings.IndexByte(pair, '='); i >= 0 {
		return pair[:i], pair[i:], rest
	}
	return pair, "", rest
}

// checkForm checks the length and each octet of a form body, so that decoding cannot
// go wrong afterwards.
func checkForm(body []byte) error {
	if len(body) > MaxForm {
		return fmt.Errorf("%w: form body: %d octets, at most %d", ErrRequest, len(body), MaxForm)
	}
	pairs := 1
	for i, c := range body {
		switch {
		case c <= ' ' || c >= 0x7f:
			return fmt.Errorf("%w: form body: %s must be percent-encoded, at octet %d", ErrRequest, describe(c), i+1)
		case c == '%' && !escapedAt(body, i):
			return fmt.Errorf("%w: form body: \"%%\" without two hexadecimal digits at octet %d", ErrRequest, i+1)
		case c == '&':
			pairs++
		}
	}
	if pairs > maxPairs {
		return fmt.Errorf("%w: form body: %d parameters, at most %d", ErrRequest, pairs, maxPairs)
	}
	return nil
}

func escapedAt(s []byte, i int) bool {
	if i+2 >= len(s) {
		return false
	}
	_, ok1 := hexDigit(s[i+1])
	_, ok2 := hexDigit(s[i+2])
	return ok1 && ok2
}

// unescapeForm decodes a name or value that checkForm has passed.
func unescapeForm(s string) string {
	if strings.IndexByte(s, '%') < 0 && strings.IndexByte(s, '+') < 0 {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '+':
			out = append(out, ' ')
		case '%':
			octet, _ := escaped(s, i)
			out = append(out, octet)
			i += 2
		default:
			out = append(out, c)
		}
	}
	return string(out)
}

// isForm reports whether a Content-Type is that of a form, whatever its case and
// parameters.
func isForm(contentType string) bool {
	const form = "application/x-www-form-urlencoded"
	if len(contentType) < len(form) {
		return false
	}
	media, _, _ := strings.Cut(contentType, ";")
	return asciiEqualFold(strings.Trim(media, " \t"), form)
}
