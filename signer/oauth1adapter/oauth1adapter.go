// Package oauth1adapter lets a program that signs with github.com/dghubble/oauth1 keep
// its code and give up its secrets: Signer takes the place of oauth1.HMAC256Signer and
// signs through a signer.MAC, behind which the key stays.
//
// The guarantee: it makes no signature but of an OAuth 1.0 base string for one of the
// account's own hosts (or its endpoint), with HMAC-SHA256, for a token. The key that
// oauth1 hands over is ignored, so that ConsumerSecret and TokenSecret can be empty.
//
// What it cannot mend is what oauth1 v0.7.3 does before it signs. Until the program
// has moved to the client library of nsagent:
//   - of a query or form parameter that is repeated only the first value is signed, and
//     NetSuite refuses the request;
//   - pairs with a raw ";" or a malformed escape are lost in the same way;
//   - a form body counts only if its Content-Type has neither parameters nor capitals;
//   - a port 80 or 443 is left out of what is signed whatever the scheme;
//   - the default nonce is not made of letters and digits only: set Config.Noncer to
//     Noncer;
//   - Config.Client may be called by one goroutine at a time unless Noncer is set;
//   - the three-step flow cannot be signed, since its keys are others;
//   - one header is made for each RoundTrip: a retry below the transport sends it twice.
package oauth1adapter

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"

	"github.com/dghubble/oauth1"

	"github.com/nsagent/nsagent/signer"
)

// maxMessage is the longest base string in octets: that of the longest URL, each octet
// of which may take five.
const maxMessage = 5*signer.MaxURL + 4096

// Config says for whom a Signer signs.
type Config struct {
	// Account whose hosts may be signed for. Required.
	Account signer.Account
	// Endpoint is one more origin that may be signed for, such as a mock; nil for none.
	Endpoint *signer.Target
	// MAC holds the signing key of the consumer and the token. It is called by as many
	// goroutines as use the Signer. Required.
	MAC signer.MAC
}

// Signer is an oauth1.Signer. It may be used by many goroutines if its MAC may.
type Signer struct{ config Config }

// New returns a Signer for c, or an error that wraps ErrConfig.
func New(c Config) (*Signer, error) {
	if c.Account.IsZero() {
		return nil, fmt.Errorf("%w: no account", ErrConfig)
	}
	if c.MAC == nil {
		return nil, fmt.Errorf("%w: no MAC", ErrConfig)
	}
	return &Signer{c}, nil
}

// Name returns the signature method, HMAC-SHA256.
func (s *Signer) Name() string { return signer.SignatureMethod }

// Sign returns the signature of message, a base string made by oauth1, in base64. The
// first argument is ignored.
//
// Errors wrap ErrMessage, signer.ErrURL or signer.ErrHost, or are the MAC's own.
func (s *Signer) Sign(_, message string) (string, error) {
	target, err := parseBaseString(message)
	if err != nil {
		return "", err
	}
	if err := signer.CheckHost(target, s.config.Account, s.config.Endpoint); err != nil {
		return "", err
	}
	var mac [32]byte
	if err := s.config.MAC.HMACSHA256(&mac, []byte(message)); err != nil {
		return "", fmt.Errorf("signing for oauth1: %w", err)
	}
	return base64.StdEncoding.EncodeToString(mac[:]), nil
}

// parseBaseString returns the base string URI of message, having checked that message
// is a base string for an ordinary request with a token.
func parseBaseString(message string) (signer.Target, error) {
	if len(message) > maxMessage {
		return signer.Target{}, fmt.Errorf("%w: %d octets, at most %d", ErrMessage, len(message), maxMessage)
	}
	parts := strings.Split(message, "&")
	if len(parts) != 3 || parts[0] == "" || strings.Trim(parts[0], "ABCDEFGHIJKLMNOPQRSTUVWXYZ-") != "" {
		return signer.Target{}, fmt.Errorf("%w: not a method, a URI and parameters", ErrMessage)
	}
	uri, err := decode(parts[1])
	if err != nil {
		return signer.Target{}, err
	}
	target, err := signer.ParseTarget(uri)
	if err != nil {
		return signer.Target{}, err
	}
	if strings.Contains(uri, "?") {
		return signer.Target{}, fmt.Errorf("%w: a query in the URI", ErrMessage)
	}
	scheme, rest, _ := strings.Cut(uri, "://")
	authority, _, found := strings.Cut(rest, "/")
	if !found {
		return signer.Target{}, fmt.Errorf("%w: oauth1 signs an empty path wrongly, add \"/\" to the URL", ErrMessage)
	}
	if origin := scheme + authority; strings.ToLower(origin) != origin {
		return signer.Target{}, fmt.Errorf("%w: scheme and host are not in lower case, as RFC 5849 section 3.4.1.2 wants them", ErrMessage)
	}
	params, err := decode(parts[2])
	if err != nil {
		return signer.Target{}, err
	}
	return target, checkParams(params)
}

// checkParams checks the protocol parameters among the normalized ones.
func checkParams(normalized string) error {
	found := map[string]string{}
	for pair := range strings.SplitSeq(normalized, "&") {
		name, value, ok := strings.Cut(pair, "=")
		name, err1 := decode(name)
		value, err2 := decode(value)
		if !ok || err1 != nil || err2 != nil {
			return fmt.Errorf("%w: malformed parameters", ErrMessage)
		}
		if !strings.HasPrefix(name, "oauth_") {
			continue
		}
		if _, again := found[name]; again {
			return fmt.Errorf("%w: a protocol parameter twice", ErrMessage)
		}
		found[name] = value
	}
	for _, name := range []string{"oauth_consumer_key", "oauth_token", "oauth_nonce", "oauth_timestamp"} {
		if found[name] == "" {
			return fmt.Errorf("%w: no %s", ErrMessage, name)
		}
		delete(found, name)
	}
	if found["oauth_signature_method"] != signer.SignatureMethod || found["oauth_version"] != "1.0" {
		return fmt.Errorf("%w: another signature method or version", ErrMessage)
	}
	delete(found, "oauth_signature_method")
	delete(found, "oauth_version")
	if len(found) > 0 {
		return fmt.Errorf("%w: further protocol parameters, as of the three-step flow", ErrMessage)
	}
	return nil
}

// decode undoes one layer of percent-encoding, and refuses what is not encoded as RFC
// 5849 section 3.6 wants it.
func decode(s string) (string, error) {
	decoded, err := url.PathUnescape(s)
	if err != nil || oauth1.PercentEncode(decoded) != s {
		return "", fmt.Errorf("%w: not percent-encoded", ErrMessage)
	}
	return decoded, nil
}

// Noncer is an oauth1.Noncer whose nonces every channel of NetSuite accepts: 26 letters
// and digits, 128 bits of them random.
type Noncer struct{}

// Nonce returns a new nonce.
func (Noncer) Nonce() string { return rand.Text() }
