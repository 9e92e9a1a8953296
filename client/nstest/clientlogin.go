package nstest

import (
	"encoding/base64"
	"strings"
)

// clientClaim reads which client a request to the token endpoint says it is, and
// with what secret. sent tells a client that authenticated by Basic from one that
// only named itself.
func (x *exchange) clientClaim(form []pair) (id, secret string, sent bool, refused *refusal) {
	headers := x.request.Header.Values("Authorization")
	inBody := get(form, "client_id")
	switch {
	case len(headers) > 1:
		return "", "", false, refuse(ReasonInvalidRequest, "there is more than one Authorization header")
	case has(form, "client_secret"):
		return "", "", false, mistaken(ReasonClientAuthentication, "client-secret-in-body", "the client secret goes into the Authorization header, as Basic")
	case len(headers) == 1 && has(form, "client_id"):
		return "", "", false, mistaken(ReasonInvalidRequest, "two-client-authentications", "the client names itself in the header and in the body: one of them")
	case len(headers) == 0 && inBody == "":
		return "", "", false, mistaken(ReasonClientAuthentication, "no-client-authentication", "the client does not say who it is")
	case len(headers) == 0:
		return inBody, "", false, nil
	}
	id, secret, ok := parseBasic(headers[0])
	if !ok {
		return "", "", false, refuse(ReasonClientAuthentication, "the Authorization header is not Basic with client ID and client secret")
	}
	return id, secret, true, nil
}

// parseBasic reads the value of an Authorization header of scheme Basic. Oracle
// says Base64url, RFC 7617 base64: both alphabets pass, padding has to be there.
// ID and secret are form-encoded, RFC 6749 section 2.3.1.
func parseBasic(header string) (id, secret string, ok bool) {
	scheme, value, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Basic") || len(value) > 4096 || strings.ContainsAny(value, "\r\n") {
		return "", "", false
	}
	decoded, err := base64.StdEncoding.Strict().DecodeString(strings.NewReplacer("-", "+", "_", "/").Replace(value))
	if err != nil {
		return "", "", false
	}
	rawID, rawSecret, found := strings.Cut(string(decoded), ":")
	if !found || rawID == "" {
		return "", "", false
	}
	if id, err = percentDecode(rawID, true); err != nil {
		return "", "", false
	}
	if secret, err = percentDecode(rawSecret, true); err != nil {
		return "", "", false
	}
	return id, secret, true
}

// clientLogin authenticates the client of a code, a refresh token or a
// revocation. On an endpoint the account is the one that given belongs to, else
// the first that has the client.
func (x *exchange) clientLogin(form []pair, given *account) (*account, Integration, *refusal) {
	var none Integration
	id, secret, sent, refused := x.clientClaim(form)
	if refused != nil {
		return nil, none, refused
	}
	x.verdict.ConsumerKey = clip(id, 80)
	a := x.account
	if a == nil {
		a = given
	}
	if a == nil {
		a = x.server.withClient(id)
	}
	if a == nil {
		return nil, none, mistaken(ReasonClientAuthentication, "client-unknown", "no account has this client ID")
	}
	x.verdict.Account = a.ID
	integration, found := a.integration(id)
	switch {
	case !found:
		return nil, none, mistaken(ReasonClientAuthentication, "client-unknown", "account "+a.ID+" has no such client ID")
	case integration.Public && secret != "":
		return nil, none, mistaken(ReasonClientAuthentication, "public-client-with-secret", "a public client has no secret")
	case !integration.Public && !sent:
		return nil, none, mistaken(ReasonClientAuthentication, "confidential-client-without-secret", "a confidential client authenticates by Basic")
	case !integration.Public && secret != integration.ConsumerSecret:
		return nil, none, mistaken(ReasonClientAuthentication, "client-secret-wrong", "the client secret is wrong")
	}
	return a, integration, codeGrantOff(a, integration)
}

// codeGrantOff says what keeps the record from the authorization code grant.
func codeGrantOff(a *account, i Integration) *refusal {
	switch {
	case a.OAuth2Disabled:
		return refuse(ReasonFeatureDisabled, "OAuth 2.0 is off in account "+a.ID)
	case oneOf(i.State, "blocked", "waiting"):
		return refuse(ReasonIntegrationBlocked, "the integration record "+i.Name+" is "+i.State)
	case !i.grants(grantCode):
		return refuse(ReasonCodeGrantRequired, "the integration record does not allow the authorization code grant")
	}
	return nil
}

// withClient is the first account with an integration record of this client ID.
func (s *Server) withClient(clientID string) *account {
	for _, a := range s.accounts {
		if _, found := a.integration(clientID); found {
			return a
		}
	}
	return nil
}
