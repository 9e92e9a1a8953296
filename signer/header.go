package signer

import (
	"encoding/base64"
	"fmt"
	"strconv"
)

// SignatureMethod is the one OAuth 1.0 signature method that NetSuite accepts.
const SignatureMethod = "HMAC-SHA256"

// maxIdentifier is the longest consumer key, token ID or client ID in characters;
// NetSuite's have 64. It keeps a Connect password below its limit of about 500.
const maxIdentifier = 128

// Identity says on whose behalf a signature is made. None of it is secret.
type Identity struct {
	Account Account
	// ConsumerKey comes from the integration record.
	ConsumerKey string
	// TokenID belongs to one user, role and integration record.
	TokenID string
}

// Signed is a request's Authorization header with what it is good for: one send of
// Method to URL, at once.
type Signed struct {
	// Authorization is the value of the header, beginning with "OAuth ".
	Authorization string
	// Method is the method as signed, in upper case.
	Method string
	// URL is the URL as signed. Any change to its path, or to the decoded names and
	// values of its query, makes the signature wrong.
	URL string
	// Nonce and Timestamp (Unix seconds) are those that were given.
	Nonce     string
	Timestamp int64
}

// Sign returns the Authorization header that NetSuite's REST web services, SuiteQL and
// RESTlets expect for r, with key holding the signing key of id.
//
// nonce is 6 to 64 letters and digits, never used before with this timestamp;
// timestamp is in Unix seconds, within five minutes of NetSuite's clock. Parameters of
// query or form named oauth_… are refused, since NetSuite accepts each of these once
// only, in the header. Whether id may be used for r's host is CheckHost's matter.
//
// Errors wrap ErrIdentity, ErrRequest, ErrURL, ErrNonce, ErrTimestamp, ErrKey or what
// key returned.
//
// Source: RFC 5849 sections 3.4 and 3.5.1; NetSuite Help, "The Authorization Headers".
func Sign(id Identity, r Request, nonce string, timestamp int64, key MAC) (Signed, error) {
	if err := checkConcat(id, nonce, timestamp); err != nil {
		return Signed{}, err
	}
	seconds := strconv.FormatInt(timestamp, 10)
	oauth := [...]Param{
		{"oauth_consumer_key", id.ConsumerKey},
		{"oauth_token", id.TokenID},
		{"oauth_nonce", nonce},
		{"oauth_timestamp", seconds},
		{"oauth_signature_method", SignatureMethod},
		{"oauth_version", "1.0"},
	}
	signed, err := signParams(id.Account.id, r, oauth[:], key)
	if err != nil {
		return Signed{}, err
	}
	signed.Nonce, signed.Timestamp = nonce, timestamp
	return signed, nil
}

// signParams signs r with exactly the header parameters of oauth, written in the given
// order between realm and signature. It fills in all but Nonce and Timestamp.
func signParams(realm string, r Request, oauth Params, key MAC) (Signed, error) {
	if key == nil {
		return Signed{}, fmt.Errorf("%w: none given", ErrKey)
	}
	method, err := checkMethod(r.Method)
	if err != nil {
		return Signed{}, err
	}
	if err := checkParams(oauth); err != nil {
		return Signed{}, err
	}
	s := newScratch()
	defer s.done()
	if err := s.build(method, r, oauth, true); err != nil {
		return Signed{}, err
	}
	if err := key.HMACSHA256(&s.mac, s.out); err != nil {
		return Signed{}, fmt.Errorf("signing a base string: %w", err)
	}
	return Signed{
		Authorization: string(s.header(realm)),
		Method:        method,
		URL:           r.Target.raw,
	}, nil
}

// header writes the value of the Authorization header over the base string.
func (s *scratch) header(realm string) []byte {
	out := append(s.out[:0], `OAuth realm="`...)
	out = append(out, realm...)
	for _, p := range s.oauth {
		out = append(out, `", `...)
		out = append(out, s.enc[p.start:p.equals]...)
		out = append(out, `="`...)
		out = append(out, s.enc[p.equals:p.end]...)
	}
	out = append(out, `", oauth_signature="`...)
	var text [44]byte
	base64.StdEncoding.Encode(text[:], s.mac[:])
	out = AppendEncoded(out, text[:])
	return append(out, '"')
}

// CheckNonce returns an error that wraps ErrNonce unless nonce is 6 to 64 letters and
// digits of ASCII, the form that every channel of NetSuite accepts. 20 or more are
// advised.
//
// Source: NetSuite Help, "TokenPassport Complex Type".
func CheckNonce(nonce string) error {
	if len(nonce) < 6 || len(nonce) > 64 {
		return fmt.Errorf("%w: %d characters, take 6 to 64", ErrNonce, len(nonce))
	}
	for i := range len(nonce) {
		if !alphanumeric(nonce[i]) {
			return fmt.Errorf("%w: %s, take letters and digits only", ErrNonce, describe(nonce[i]))
		}
	}
	return nil
}

// checkConcat checks the five values that header, TokenPassport and Connect password
// have in common.
func checkConcat(id Identity, nonce string, timestamp int64) error {
	if id.Account.IsZero() {
		return fmt.Errorf("%w: no account", ErrIdentity)
	}
	if err := checkIdentifier("consumer key", id.ConsumerKey); err != nil {
		return err
	}
	if err := checkIdentifier("token ID", id.TokenID); err != nil {
		return err
	}
	if err := CheckNonce(nonce); err != nil {
		return err
	}
	if timestamp <= 0 {
		return fmt.Errorf("%w: %d", ErrTimestamp, timestamp)
	}
	return nil
}

// checkIdentifier checks a public identifier that NetSuite has given out.
func checkIdentifier(name, value string) error {
	if value == "" {
		return fmt.Errorf("%w: %s is empty", ErrIdentity, name)
	}
	if len(value) > maxIdentifier {
		return fmt.Errorf("%w: %s has %d characters, at most %d", ErrIdentity, name, len(value), maxIdentifier)
	}
	for i := range len(value) {
		if c := value[i]; c <= ' ' || c >= 0x7f {
			return fmt.Errorf("%w: %s holds %s at character %d", ErrIdentity, name, describe(c), i+1)
		}
	}
	return nil
}
