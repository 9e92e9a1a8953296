package nstest

import "strings"

// bearerLogin verifies an access token that this server has given out.
func (x *exchange) bearerLogin(header string) (login, *refusal) {
	_, text, _ := strings.Cut(header, " ")
	t, refused := x.server.readToken(text)
	if refused != nil {
		return login{}, refused
	}
	x.verdict.ConsumerKey = t.clientID
	a, exact := x.server.findByName(t.company)
	if !exact || (x.account != nil && x.account != a) {
		return login{}, mistaken(ReasonTokenRejected, "token-of-another-account", "the access token is for account "+t.company)
	}
	x.verdict.Account = a.ID
	integration, _ := a.integration(t.clientID)
	switch {
	case t.kind == kindRefresh:
		return login{}, mistaken(ReasonInvalidTokenType, "refresh-token-as-access-token", "this is a refresh token: exchange it at the token endpoint")
	case !x.now.Before(t.expires):
		return login{}, refuse(ReasonAccessTokenExpired, "the access token has expired")
	case t.kind == kindAccess && !a.chainAlive(t.chain):
		return login{}, mistaken(ReasonTokenBlocked, "authorization-ended", "the refresh token of this access token was revoked, or used twice")
	case a.OAuth2Disabled:
		return login{}, refuse(ReasonFeatureDisabled, "OAuth 2.0 is off in account "+a.ID)
	case oneOf(integration.State, "blocked", "waiting"):
		return login{}, refuse(ReasonIntegrationBlocked, "the integration record is "+integration.State)
	case a.disabled(t.entity, t.role):
		return login{}, refuse(ReasonEntityOrRole, "the user or the role is disabled")
	}
	need := "rest_webservices"
	switch x.channel {
	case ChannelRESTlet:
		need = "restlets"
	case ChannelMCP:
		need = scopeMCP
	}
	if !oneOf(need, t.scopes...) {
		return login{}, refuse(ReasonScopeMismatched, "the access token lacks the scope "+need)
	}
	return login{a, integration, Token{User: t.entity, Role: t.role}}, nil
}

// bearerChallenge is the WWW-Authenticate of a refused access token.
//
// Source: NetSuite Help, "RESTlets and REST Web Services Authentication Errors".
func (x *exchange) bearerChallenge(r *refusal) string {
	if r.reason == ReasonInvalidRequest {
		return `Bearer realm="` + x.realm() + `", error="invalid_request", error_description="The request could not be understood by the server due to malformed syntax."`
	}
	return `Bearer realm="` + x.realm() + `", error="invalid_token", error_description="Invalid login attempt."`
}
