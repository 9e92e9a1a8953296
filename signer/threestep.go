package signer

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
)

// Limits of what the steps of a login carry, in characters.
const (
	maxCallback = 1024
	maxVerifier = 256
	maxRole     = 64
)

// RequestToken returns the header of step one of the three-step flow, a POST to t that
// asks for a request token: key holds the signing key of id's consumer secret and no
// token secret. id has no token ID. callback is where NetSuite sends the browser in step
// two, an absolute URI; role is the internal ID of the role that the token is for, or
// empty.
//
// nonce and timestamp are as for Sign. Errors wrap ErrIdentity, ErrRequest, ErrURL,
// ErrNonce, ErrTimestamp, ErrKey or what key returned.
//
// Source: NetSuite Help, "Step One Obtain An Unauthorized Request Token" and
// "Constructing the Signature for Step One"; RFC 5849 section 2.1.
func RequestToken(id Identity, t Target, callback, role, nonce string, timestamp int64, key MAC) (Signed, error) {
	if id.TokenID != "" {
		return Signed{}, fmt.Errorf("%w: step one has no token ID", ErrIdentity)
	}
	if err := checkText("oauth_callback", callback, maxCallback); err != nil {
		return Signed{}, err
	}
	further := Params{{"oauth_callback", callback}}
	if role != "" {
		if err := CheckRole(role); err != nil {
			return Signed{}, err
		}
		further = append(further, Param{"role", role})
	}
	return signStep(id, t, further, nonce, timestamp, key)
}

// AccessToken returns the header of step three, a POST to t that turns a request token,
// which is the token ID of id, into a lasting one. key holds the signing key of the
// consumer secret and the secret of the request token; verifier is the oauth_verifier
// that the browser brought. Otherwise as RequestToken.
//
// Source: NetSuite Help, "Step Three" and "Constructing the Signature for Step Three";
// RFC 5849 section 2.3.
func AccessToken(id Identity, t Target, verifier, nonce string, timestamp int64, key MAC) (Signed, error) {
	if err := checkIdentifier("request token", id.TokenID); err != nil {
		return Signed{}, err
	}
	if err := checkText("oauth_verifier", verifier, maxVerifier); err != nil {
		return Signed{}, err
	}
	return signStep(id, t, Params{{"oauth_verifier", verifier}}, nonce, timestamp, key)
}

// signStep signs a step of the flow with further parameters behind the usual ones.
func signStep(id Identity, t Target, further Params, nonce string, timestamp int64, key MAC) (Signed, error) {
	if id.Account.IsZero() {
		return Signed{}, fmt.Errorf("%w: no account", ErrIdentity)
	}
	if err := checkIdentifier("consumer key", id.ConsumerKey); err != nil {
		return Signed{}, err
	}
	if err := CheckNonce(nonce); err != nil {
		return Signed{}, err
	}
	if timestamp <= 0 {
		return Signed{}, fmt.Errorf("%w: %d", ErrTimestamp, timestamp)
	}
	oauth := Params{{"oauth_consumer_key", id.ConsumerKey}}
	if id.TokenID != "" {
		oauth = append(oauth, Param{"oauth_token", id.TokenID})
	}
	oauth = append(oauth, Param{"oauth_nonce", nonce}, Param{"oauth_timestamp", strconv.FormatInt(timestamp, 10)},
		Param{"oauth_signature_method", SignatureMethod}, Param{"oauth_version", "1.0"})
	signed, err := signParams(id.Account.id, Request{Method: "POST", Target: t}, append(oauth, further...), key)
	if err != nil {
		return Signed{}, err
	}
	signed.Nonce, signed.Timestamp = nonce, timestamp
	return signed, nil
}

// CheckRole returns an error that wraps ErrRequest unless role is 1 to 64 letters, digits
// or underscores: an internal ID or a script ID.
func CheckRole(role string) error {
	if role == "" || len(role) > maxRole {
		return fmt.Errorf("%w: role: %d characters, take 1 to %d", ErrRequest, len(role), maxRole)
	}
	for i := range len(role) {
		if c := role[i]; !alphanumeric(c) && c != '_' {
			return fmt.Errorf("%w: role: %s is not allowed", ErrRequest, describe(c))
		}
	}
	return nil
}

// checkText refuses what is not 1 to longest printable characters of ASCII without
// blanks.
func checkText(name, s string, longest int) error {
	if s == "" || len(s) > longest {
		return fmt.Errorf("%w: %s: %d characters, take 1 to %d", ErrRequest, name, len(s), longest)
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f {
			return fmt.Errorf("%w: %s: %s is not allowed", ErrRequest, name, describe(c))
		}
	}
	return nil
}

// CodeChallenge returns the S256 code challenge of a code verifier, 43 characters, which
// is public. The verifier, 43 to 128 of A-Z a-z 0-9 - . _ ~, is not: the caller runs this
// where what it leaves on the stack is erased.
//
// The error wraps ErrRequest.
//
// Source: RFC 7636 section 4.2; NetSuite Help, "Step One GET Request to the Authorization
// Endpoint".
func CodeChallenge(verifier []byte) (string, error) {
	if len(verifier) < 43 || len(verifier) > 128 {
		return "", fmt.Errorf("%w: code verifier: %d characters, take 43 to 128", ErrRequest, len(verifier))
	}
	for _, c := range verifier {
		if !unreserved[c] {
			return "", fmt.Errorf("%w: code verifier: a character is not allowed", ErrRequest)
		}
	}
	sum := sha256.Sum256(verifier)
	return base64.RawURLEncoding.EncodeToString(sum[:]), nil
}
