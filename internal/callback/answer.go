package callback

import (
	"bytes"
	"fmt"
)

// What a callback says in place of a code. AccessDenied is also what a three-step
// callback with an empty verifier says, and Incomplete is a word of ours.
const (
	AccessDenied = "access_denied"
	Incomplete   = "incomplete_callback"
)

// Bounds of a callback, in bytes.
const (
	maxQuery  = 16 << 10
	maxPairs  = 64
	maxSecret = 4 << 10
	maxState  = 1024 // NetSuite's own bound
	maxValue  = 512
	maxError  = 64
)

// Answer is what the consent page sent to the redirect URI, decoded. All of it came
// over an open door: only who knows the state can have sent it for this login.
type Answer struct {
	State string
	// Error is an OAuth 2.0 error code such as access_denied; "" where the user said yes.
	Error string
	// Company, Role and Entity are NetSuite's account ID, role and user; each may be "".
	Company, Role, Entity string
	// RequestToken is the oauth_token of a three-step callback.
	RequestToken string

	code, verifier []byte
	hasVerifier    bool
}

// Secret returns the code or verifier, or in its place why there is none: an OAuth 2.0
// error code, or Incomplete. The bytes are those of the Answer, good until Wipe.
func (a *Answer) Secret(kind Kind) (secret []byte, fault string) {
	secret = a.code
	if kind == Verifier {
		secret = a.verifier
	}
	switch {
	case a.Error != "":
		return nil, a.Error
	case kind == Verifier && a.hasVerifier && len(secret) == 0:
		return nil, AccessDenied
	case len(secret) == 0:
		return nil, Incomplete
	default:
		return secret, ""
	}
}

// Wipe overwrites the code or verifier.
func (a *Answer) Wipe() {
	clear(a.code)
	clear(a.verifier)
}

// parseQuery reads the query of a callback. Parameters that it does not know are left
// out, as RFC 6749 section 4.1.2 wants; one that it knows stands once. The error wraps
// ErrMalformed and repeats nothing.
func parseQuery(query []byte) (*Answer, error) {
	if len(query) > maxQuery {
		return nil, malformed("it is too long")
	}
	a := &Answer{}
	seen := map[string]bool{}
	pairs := 0
	for pair := range bytes.SplitSeq(query, []byte("&")) {
		if len(pair) == 0 {
			continue
		}
		if pairs++; pairs > maxPairs {
			return nil, malformed("it has too many parameters")
		}
		name, value, _ := bytes.Cut(pair, []byte("="))
		if name = decode(name); name == nil {
			return nil, malformed("its percent-encoding is broken")
		}
		if err := a.take(string(name), value, seen); err != nil {
			a.Wipe()
			return nil, err
		}
	}
	if a.Error != "" && len(a.code)+len(a.verifier) > 0 {
		a.Wipe()
		return nil, malformed("it has an error and a code")
	}
	return a, nil
}

// take keeps one parameter.
func (a *Answer) take(name string, encoded []byte, seen map[string]bool) error {
	text := map[string]*string{
		"state": &a.State, "error": &a.Error, "company": &a.Company, "role": &a.Role, "entity": &a.Entity, "oauth_token": &a.RequestToken,
	}
	limits := map[string]int{"state": maxState, "error": maxError, "code": maxSecret, "oauth_verifier": maxSecret}
	to, isText := text[name]
	if !isText && name != "code" && name != "oauth_verifier" {
		return nil
	}
	if seen[name] {
		return malformed(name + " stands twice")
	}
	seen[name] = true
	limit := limits[name]
	if limit == 0 {
		limit = maxValue
	}
	value := decode(encoded)
	switch {
	case value == nil:
		return malformed("its percent-encoding is broken")
	case len(value) > limit:
		return malformed(name + " is too long")
	case !printable(value):
		return malformed(name + " has a character that NetSuite does not send")
	}
	switch {
	case isText:
		*to = string(value)
	case name == "code":
		a.code = value
	default:
		a.verifier, a.hasVerifier = value, true
	}
	return nil
}

// decode undoes the percent-encoding of a form, into memory of its own. It returns nil
// where that is broken.
func decode(p []byte) []byte {
	out := make([]byte, 0, len(p))
	for i := 0; i < len(p); i++ {
		switch {
		case p[i] == '+':
			out = append(out, ' ')
		case p[i] != '%':
			out = append(out, p[i])
		case i+2 < len(p) && unhex(p[i+1]) < 16 && unhex(p[i+2]) < 16:
			out = append(out, unhex(p[i+1])<<4|unhex(p[i+2]))
			i += 2
		default:
			clear(out)
			return nil
		}
	}
	return out
}

// unhex returns the value of a hexadecimal digit, and 16 for anything else.
func unhex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	default:
		return 16
	}
}

func malformed(why string) error { return fmt.Errorf("%w: %s", ErrMalformed, why) }

// ParseURL reads a callback that a person has copied from the address bar of a browser:
// the redirect URI with the answer behind it. Blanks and quotes around it do not matter,
// nor does a scheme that the browser left out; text is not changed.
//
// The error wraps ErrOtherAddress or ErrMalformed.
func ParseURL(text []byte, redirectURI string) (*Answer, error) {
	text = bytes.Trim(text, " \t\r\n\"'<>")
	own, _, _ := bytes.Cut([]byte(redirectURI), []byte("?"))
	rest, found := bytes.CutPrefix(text, own)
	if _, bare, hasHost := bytes.Cut(own, []byte("://")); !found && hasHost {
		rest, found = bytes.CutPrefix(text, bare)
	}
	if !found {
		return nil, ErrOtherAddress
	}
	if bytes.Count(own, []byte("/")) == 2 { // no path: browsers add one
		rest = bytes.TrimPrefix(rest, []byte("/"))
	}
	rest, _, _ = bytes.Cut(rest, []byte("#"))
	if len(rest) > 0 && rest[0] != '?' {
		return nil, ErrOtherAddress
	}
	return parseQuery(bytes.TrimPrefix(rest, []byte("?")))
}
