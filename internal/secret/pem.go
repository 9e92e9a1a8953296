package secret

import (
	"bytes"
	"encoding/base64"
	"fmt"
)

const (
	pemBegin = "-----BEGIN "
	pemEnd   = "-----END "
	pemDash  = "-----"
	maxLabel = 64
)

// DecodePEM decodes text, which must be exactly one PEM block (RFC 7468) with
// nothing but white space before and after it, no headers, and lines ended by LF
// or CRLF. The base64 is decoded inside the arena. The label is what stands after
// BEGIN, "PRIVATE KEY" for one. text stays the caller's.
//
// The error wraps ErrPEM and quotes nothing of the text, or is one of Alloc's.
func (a *Arena) DecodePEM(text Bytes) (der Bytes, label string, err error) {
	err = text.Use(func(p []byte) error {
		var body []byte
		if label, body, err = splitPEM(p); err != nil {
			return err
		}
		if der, err = a.Alloc(base64.StdEncoding.DecodedLen(len(body))); err != nil {
			return err
		}
		n := 0
		err := der.Use(func(q []byte) error {
			var err error
			Do(func() { n, err = base64.StdEncoding.Strict().Decode(q, body) })
			return err
		})
		if err != nil || n == 0 {
			der.Destroy()
			return fmt.Errorf("%w: the base64 is damaged", ErrPEM)
		}
		return der.Truncate(n)
	})
	if err != nil {
		return Bytes{}, "", err
	}
	return der, label, nil
}

// splitPEM returns the label and the base64 lines of the one block in p.
func splitPEM(p []byte) (label string, body []byte, err error) {
	refuse := func(why string) (string, []byte, error) {
		return "", nil, fmt.Errorf("%w: %s", ErrPEM, why)
	}
	p = bytes.Trim(p, " \t\r\n")
	p, ok := bytes.CutPrefix(p, []byte(pemBegin))
	if !ok {
		return refuse("it does not start with -----BEGIN")
	}
	first, p, ok := bytes.Cut(p, []byte("\n"))
	if !ok {
		return refuse("it is one line only")
	}
	name, ok := bytes.CutSuffix(bytes.TrimSuffix(first, []byte("\r")), []byte(pemDash))
	if !ok || !isLabel(name) {
		return refuse("its first line is malformed")
	}
	body, rest, ok := bytes.Cut(p, []byte(pemEnd))
	if !ok {
		return refuse("its last line is missing")
	}
	last, ok := bytes.CutSuffix(rest, []byte(pemDash))
	if bytes.Contains(rest, []byte(pemBegin)) {
		return refuse("there is more than one")
	}
	if !ok || !bytes.Equal(last, name) {
		return refuse("its first and last line do not match")
	}
	if why := checkLines(body); why != "" {
		return refuse(why)
	}
	return string(name), body, nil
}

// isLabel reports whether a label is upper-case words and digits, as all labels
// of keys are.
func isLabel(p []byte) bool {
	if len(p) == 0 || len(p) > maxLabel || p[0] == ' ' || p[len(p)-1] == ' ' {
		return false
	}
	for _, c := range p {
		if (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != ' ' {
			return false
		}
	}
	return true
}

// checkLines says what is wrong with the lines between BEGIN and END: each must
// be base64 to its end, and the last must have an end too.
func checkLines(body []byte) string {
	if len(body) == 0 || body[len(body)-1] != '\n' {
		return "it holds no base64"
	}
	for line := range bytes.Lines(body) {
		line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
		if len(line) == 0 {
			return "it has an empty line"
		}
		for _, c := range line {
			switch {
			case c == ':' || c == ',':
				return "it has headers; an encrypted key must be decrypted first"
			case c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '+', c == '/', c == '=':
			default:
				return "it has a character that is not base64"
			}
		}
	}
	return ""
}
