package nstest

import (
	"strconv"
	"strings"
	"time"
)

const (
	timestampWindow = 5 * time.Minute
	alphanumeric    = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
)

// claim is what a request of token-based authentication shows, however it came.
type claim struct {
	consumerKey string
	tokenID     string
	nonce       string
	timestamp   string
	signature   string
	algorithm   string
}

// login is who a request turned out to come from.
type login struct {
	account     *account
	integration Integration
	token       Token
}

// checkForm checks what can be said of a claim without knowing the account. The
// nonce rule of SOAP and Connect is stricter than that of the header.
func checkForm(c claim, channel Channel, now time.Time) *refusal {
	for _, field := range []pair{
		{"consumer key", c.consumerKey}, {"nonce", c.nonce}, {"timestamp", c.timestamp},
		{"signature", c.signature}, {"signature method", c.algorithm},
	} {
		if field.value == "" {
			return refuse(ReasonMissingFields, "the "+field.name+" is missing")
		}
	}
	if c.algorithm != "HMAC-SHA256" && (channel != ChannelSOAP || c.algorithm != "HMAC_SHA256") {
		return refuse(ReasonUnknownAlgorithm, "the signature method is "+clip(c.algorithm, 32)+", not HMAC-SHA256")
	}
	if len(c.nonce) < 6 {
		return refuse(ReasonNonceRejected, "the nonce is shorter than 6 characters")
	}
	if channel == ChannelSOAP || channel == ChannelConnect {
		if len(c.nonce) > 64 || strings.Trim(c.nonce, alphanumeric) != "" {
			return refuse(ReasonNonceRejected, "the nonce is not 6 to 64 letters and digits")
		}
	}
	if strings.Trim(c.timestamp, "0123456789") != "" || c.timestamp[0] == '0' || len(c.timestamp) > 12 {
		return refuse(ReasonInvalidTimestamp, "the timestamp is not a whole number of seconds since 1970")
	}
	seconds, err := strconv.ParseInt(c.timestamp, 10, 64)
	if err != nil {
		return refuse(ReasonInvalidTimestamp, "the timestamp is not a number")
	}
	switch ahead := time.Unix(seconds, 0).Sub(time.Unix(now.Unix(), 0)); {
	case ahead > timestampWindow:
		return mistaken(ReasonInvalidTimestamp, "clock-ahead", "the timestamp is "+ahead.String()+" ahead of the server's clock; 5m0s is allowed")
	case ahead < -timestampWindow:
		return mistaken(ReasonInvalidTimestamp, "clock-behind", "the timestamp is "+(-ahead).String()+" behind the server's clock; 5m0s is allowed")
	}
	return nil
}

// findConsumer looks the integration record up.
func findConsumer(a *account, c claim) (Integration, *refusal) {
	integration, ok := a.integration(c.consumerKey)
	if !ok {
		return integration, refuse(ReasonConsumerKeyUnknown, "no integration record of account "+a.ID+" has this consumer key")
	}
	if a.TBADisabled {
		return integration, refuse(ReasonFeatureDisabled, "token-based authentication is off in account "+a.ID)
	}
	if integration.State == "blocked" || integration.State == "waiting" {
		return integration, refuse(ReasonConsumerKeyRefused, "the integration record "+integration.Name+" is "+integration.State)
	}
	return integration, nil
}

// findToken looks the token up.
func findToken(a *account, c claim) (Token, *refusal) {
	if c.tokenID == "" {
		return Token{}, refuse(ReasonMissingFields, "the token ID is missing")
	}
	token, ok := a.token(c.tokenID)
	switch {
	case !ok:
		return token, refuse(ReasonTokenRejected, "account "+a.ID+" has no such token")
	case token.ConsumerKey != c.consumerKey:
		return token, mistaken(ReasonTokenRejected, "token-of-another-integration", "the token belongs to another integration record")
	case token.Revoked:
		return token, refuse(ReasonTokenRejected, "the token is revoked")
	case token.Inactive:
		return token, refuse(ReasonTokenRejected, "the token is inactive")
	}
	return token, nil
}

// admit is the last step, once the signature is right: the nonce is used up,
// then the user and the role are looked at.
func (s *Server) admit(a *account, token Token, c claim, now time.Time) *refusal {
	seconds, err := strconv.ParseInt(c.timestamp, 10, 64)
	if err != nil {
		return refuse(ReasonInvalidTimestamp, "the timestamp is not a number")
	}
	owner := c.tokenID
	if owner == "" {
		owner = c.consumerKey
	}
	ends := time.Unix(seconds, 0).Add(timestampWindow)
	switch s.nonces.use(now, ends, a.ID, owner, c.nonce, c.timestamp) {
	case isUsed:
		return mistaken(ReasonNonceUsed, "header-sent-twice", "this nonce and timestamp came before: every send, a retry too, needs a signature of its own")
	case isFull:
		return refuse(ReasonBusy, "the nonce memory is full; it empties within ten minutes")
	}
	if s.settings.GrowingTimestamps && !a.grows(owner, seconds) {
		return refuse(ReasonInvalidTimestamp, "the timestamp is below one that the token has used before")
	}
	if token.Locked {
		return refuse(ReasonTemporaryLocked, "the user is locked")
	}
	if token.NoPermission {
		return refuse(ReasonPermissionDenied, "the role may not log in with access tokens")
	}
	return nil
}

// checkConcat checks the signature of SOAP and Connect, which is over five
// values joined by "&". sent is the account as the client spelt it.
func checkConcat(a *account, sent string, c claim, integration Integration, token Token) *refusal {
	base := concat(a.ID, c)
	if sent == a.ID && sameSignature(signingKey(integration.ConsumerSecret, token.TokenSecret), base, c.signature) {
		return nil
	}
	r := refuse(ReasonInvalidSignature, "the signature does not belong to these five values and secrets")
	r.base = base
	if sent != a.ID {
		r.mistake = "account-spelling"
		r.explain = "the account is spelt " + clip(sent, 64) + "; it is " + a.ID
		return r
	}
	r.name(concatFacts(base, c, integration.ConsumerSecret, token), c.signature, concatGuesses())
	return r
}

// concat is the base string of SOAP and Connect.
func concat(accountID string, c claim) string {
	values := []string{accountID, c.consumerKey, c.tokenID, c.nonce, c.timestamp}
	for i := range values {
		values[i] = percentEncode(values[i])
	}
	return strings.Join(values, "&")
}

// findByName gives the account of that ID. A wrong spelling finds it too, and
// says so in exact.
func (s *Server) findByName(name string) (a *account, exact bool) {
	for _, a := range s.accounts {
		if a.ID == name {
			return a, true
		}
	}
	for _, a := range s.accounts {
		if a.ID == foldAccount(name) {
			return a, false
		}
	}
	return nil, false
}
