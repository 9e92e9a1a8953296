package nstest

import "strings"

// bearerLogin verifies an access token that this server has given out.
func (x *exchange) bearerLogin(header string) (login, *refusal) {
	_, text, _ := strings.Cut(header, " ")
	j, err := parseJWT(text)
	if err != nil || x.server.issuer == nil {
		return login{}, refuse(ReasonInvalidRequest, "the access token is "+errJWT.Error())
	}
	alg, _ := findAlgorithm("ES256")
	if name, _ := claimText(j.header, "alg"); name != "ES256" || verifyJWT(j, alg, &x.server.issuer.PublicKey) != nil {
		if _, isAssertion := claimText(j.claims, "aud"); isAssertion {
			return login{}, mistaken(ReasonInvalidTokenType, "assertion-as-access-token", "this is an assertion: exchange it at the token endpoint first")
		}
		return login{}, refuse(ReasonInvalidSignature, "the access token is altered or from another server")
	}
	audience, _ := claimTexts(j.claims, "aud")
	scopes, _ := claimTexts(j.claims, "scope")
	subject, _ := claimText(j.claims, "sub")
	expires, _ := claimSeconds(j.claims, "exp")
	if len(audience) != 2 {
		return login{}, refuse(ReasonInvalidRequest, "the access token lacks its audience")
	}
	_, company, _ := strings.Cut(audience[0], ";")
	x.verdict.ConsumerKey = audience[1]
	a, exact := x.server.findByName(company)
	if !exact || (x.account != nil && x.account != a) {
		return login{}, mistaken(ReasonTokenRejected, "token-of-another-account", "the access token is for account "+company)
	}
	x.verdict.Account = a.ID
	if x.now.Unix() >= expires {
		return login{}, refuse(ReasonAccessTokenExpired, "the access token has expired")
	}
	need := "rest_webservices"
	if x.channel == ChannelRESTlet {
		need = "restlets"
	}
	if !oneOf(need, scopes...) {
		return login{}, refuse(ReasonScopeMismatched, "the access token lacks the scope "+need)
	}
	role, entity, _ := strings.Cut(subject, ";")
	integration, _ := a.integration(audience[1])
	return login{a, integration, Token{User: entity, Role: role}}, nil
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
