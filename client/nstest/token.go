package nstest

import (
	"crypto/rand"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	assertionType   = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	tokenPath       = "/services/rest/auth/oauth2/v1/token"
	accessTokenLife = time.Hour
	assertionLimit  = time.Hour
)

// token serves the OAuth 2.0 token endpoint.
func (x *exchange) token() answer {
	form, refused := x.oauthForm()
	if refused != nil {
		return x.deny(refused)
	}
	x.grant = get(form, "grant_type")
	switch x.grant {
	case grantMachine:
		return x.exchangeAssertion(form)
	case grantCode:
		return x.exchangeCode(form)
	case "refresh_token":
		return x.exchangeRefreshToken(form)
	case "":
		return x.deny(refuse(ReasonInvalidRequest, "grant_type is missing"))
	}
	return x.deny(refuse(ReasonInvalidGrantType, "the grant type is not authorization_code, refresh_token or client_credentials"))
}

// exchangeAssertion serves the client credentials grant.
//
// Source: NetSuite Help, "POST Request to the Token Endpoint and the Access
// Token Response" and "The Request Token Structure".
func (x *exchange) exchangeAssertion(form []pair) answer {
	assertion, clientID, refused := x.assertionForm(form)
	if refused != nil {
		return x.deny(refused)
	}
	a, c, scopes, refused := x.assertionLogin(assertion, clientID)
	if refused != nil {
		return x.deny(refused)
	}
	x.accept(login{account: a, token: Token{User: c.Entity, Role: c.Role}})
	accessToken, err := x.server.issue(issued{
		kind: kindMachine, chain: rand.Text(), id: rand.Text(), company: a.ID, clientID: c.ClientID, entity: c.Entity, role: c.Role,
		scopes: scopes, expires: x.now.Add(x.server.accessLife()),
	}, x.now)
	if err != nil {
		return x.deny(refuse(ReasonBusy, "the access token could not be signed"))
	}
	return x.tokenAnswer(accessToken, "")
}

// oauthForm reads the form of a request to the token or revoke endpoint: each
// parameter once, none in the query.
func (x *exchange) oauthForm() ([]pair, *refusal) {
	if x.wire.method != http.MethodPost || !x.isForm() {
		return nil, refuse(ReasonInvalidRequest, "this endpoint takes a form by POST")
	}
	form, err := formPairs(string(x.body))
	if err != nil {
		return nil, refuse(ReasonInvalidRequest, "the form is not percent-encoded properly")
	}
	if x.wire.query != "" {
		return nil, refuse(ReasonInvalidRequest, "the parameters belong into the body")
	}
	if repeated(form) {
		return nil, refuse(ReasonInvalidRequest, "a parameter is there twice")
	}
	return form, nil
}

func repeated(pairs []pair) bool {
	seen := map[string]bool{}
	for _, p := range pairs {
		if seen[p.name] {
			return true
		}
		seen[p.name] = true
	}
	return false
}

// has says whether a parameter is there, even if it is empty.
func has(pairs []pair, name string) bool { return len(without(pairs, name)) < len(pairs) }

// assertionForm reads what belongs to the client credentials grant.
func (x *exchange) assertionForm(form []pair) (assertion, clientID string, refused *refusal) {
	if x.request.Header.Get("Authorization") != "" {
		return "", "", refuse(ReasonInvalidRequest, "an assertion goes without an Authorization header")
	}
	if get(form, "client_assertion_type") != assertionType {
		return "", "", refuse(ReasonInvalidRequest, "client_assertion_type is not "+assertionType)
	}
	if has(form, "client_secret") {
		return "", "", refuse(ReasonInvalidRequest, "there is a client_secret beside the assertion")
	}
	assertion, clientID = get(form, "client_assertion"), get(form, "client_id")
	if assertion == "" {
		return "", "", refuse(ReasonInvalidRequest, "client_assertion is missing")
	}
	if clientID == "" && x.server.settings.RequireClientID {
		return "", "", refuse(ReasonInvalidRequest, "client_id is missing")
	}
	return assertion, clientID, nil
}

// assertionLogin verifies a client assertion.
func (x *exchange) assertionLogin(assertion, clientID string) (*account, *certificate, []string, *refusal) {
	j, err := parseJWT(assertion)
	if err != nil {
		return nil, nil, nil, refuse(ReasonInvalidRequest, "the assertion is "+err.Error())
	}
	issuer, _ := claimText(j.claims, "iss")
	x.verdict.ConsumerKey = clip(issuer, 80)
	name, _ := claimText(j.header, "alg")
	alg, ok := findAlgorithm(name)
	if !ok {
		return nil, nil, nil, refuse(ReasonUnsupportedAlgo, "alg is not one of PS256 PS384 PS512 ES256 ES384 ES512")
	}
	if typ, ok := claimText(j.header, "typ"); !ok || typ != "JWT" || j.header["crit"] != nil {
		return nil, nil, nil, refuse(ReasonInvalidRequest, "the header of the assertion lacks typ JWT, or has crit")
	}
	kid, ok := claimText(j.header, "kid")
	if !ok || kid == "" {
		return nil, nil, nil, refuse(ReasonMissingKeyID, "the header of the assertion has no kid")
	}
	a, c, refused := x.findCertificate(kid, issuer)
	if refused != nil {
		return nil, nil, nil, refused
	}
	x.verdict.Account = a.ID
	if issuer == "" || issuer != c.ClientID || (clientID != "" && clientID != issuer) {
		return nil, nil, nil, refuse(ReasonInvalidIssuer, "iss is not the client ID of the certificate")
	}
	integration, found := a.integration(issuer)
	switch {
	case a.OAuth2Disabled:
		return nil, nil, nil, refuse(ReasonFeatureDisabled, "OAuth 2.0 is off in account "+a.ID)
	case oneOf(integration.State, "blocked", "waiting"):
		return nil, nil, nil, refuse(ReasonIntegrationBlocked, "the integration record is "+integration.State)
	case found && !integration.grants(grantMachine):
		return nil, nil, nil, refuse(ReasonMachineGrantRequired, "the integration record does not allow client credentials")
	}
	if refused := verifyJWT(j, alg, c.key); refused != nil {
		return nil, nil, nil, refused
	}
	if a.disabled(c.Entity, c.Role) {
		return nil, nil, nil, refuse(ReasonEntityOrRole, "the user or the role is disabled")
	}
	scopes, refused := x.checkClaims(j, a, c, integration)
	return a, c, scopes, refused
}

// findCertificate looks for kid in the account of the host. On an endpoint, all
// accounts are searched: first for kid and client ID together, then for kid.
func (x *exchange) findCertificate(kid, clientID string) (*account, *certificate, *refusal) {
	search := x.server.accounts
	if x.account != nil {
		search = []*account{x.account}
	}
	for _, fits := range []func(*certificate) bool{
		func(c *certificate) bool { return c.ClientID == clientID },
		func(*certificate) bool { return true },
	} {
		for _, a := range search {
			for _, c := range a.mapped(kid) {
				if fits(c) {
					return a, c, c.usable(x.now)
				}
			}
		}
	}
	return nil, nil, refuse(ReasonMissingKey, "kid fits no certificate of the account")
}

// checkClaims checks times, audience, scope and single use.
func (x *exchange) checkClaims(j jwt, a *account, c *certificate, record Integration) ([]string, *refusal) {
	issued, okIssued := claimSeconds(j.claims, "iat")
	expires, okExpires := claimSeconds(j.claims, "exp")
	now := x.now.Unix()
	limit := int64(assertionLimit / time.Second)
	if x.server.settings.AllowHourAssertion {
		limit++
	}
	switch {
	case !okIssued || !okExpires || expires <= issued:
		return nil, refuse(ReasonTokenNotAcceptable, "iat and exp are not whole seconds in this order")
	case issued > now+int64(x.server.settings.AssertionLeeway):
		return nil, mistaken(ReasonTokenNotAcceptable, "clock-ahead", "iat lies "+strconv.FormatInt(issued-now, 10)+" s in the future")
	case expires <= now:
		return nil, refuse(ReasonTokenExpired, "exp has passed")
	case expires-issued >= limit:
		return nil, refuse(ReasonTokenValidityTooBroad, "exp - iat has to be less than 60 minutes")
	}
	audience, _ := claimText(j.claims, "aud")
	if !oneOf(audience, x.audiences(a)...) {
		return nil, mistaken(ReasonTokenNotAcceptable, "audience", "aud is not the token endpoint that was posted to")
	}
	scopes, ok := claimTexts(j.claims, "scope")
	if text, isText := claimText(j.claims, "scope"); isText && x.server.settings.ScopeText {
		scopes, ok = strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' }), true
	}
	if !ok || len(scopes) == 0 {
		return nil, refuse(ReasonInvalidScope, "scope is not an array of at least one string")
	}
	for i, scope := range scopes {
		if !knownScope(scope) || oneOf(scope, scopes[:i]...) {
			return nil, refuse(ReasonInvalidScope, "scope holds "+clip(scope, 32)+", which is unknown or there twice")
		}
		if !c.allows(scope) || !record.allows(scope) {
			return nil, refuse(ReasonScopeMismatched, "the integration record does not allow the scope "+scope)
		}
	}
	// An assertion without jti is good once too.
	id := j.signed
	if j.claims["jti"] != nil {
		if id, ok = claimText(j.claims, "jti"); !ok || id == "" {
			return nil, refuse(ReasonTokenNotAcceptable, "jti is not a text")
		}
	}
	switch x.server.jtis.use(x.now, time.Unix(expires, 0), a.ID, c.ClientID, id) {
	case isUsed:
		return nil, mistaken(ReasonTokenNotAcceptable, "assertion-sent-twice", "this jti came before: every exchange needs an assertion of its own")
	case isFull:
		return nil, refuse(ReasonBusy, "the jti memory is full")
	}
	return scopes, nil
}

// audiences are the values of aud that pass.
func (x *exchange) audiences(a *account) []string {
	out := []string{x.wire.uri()}
	if x.server.settings.Audience != "posted" {
		for _, site := range []string{"suitetalk.api", "restlets.api"} {
			out = append(out, "https://"+a.label+"."+site+".netsuite.com"+tokenPath)
		}
	}
	return out
}

// denyToken is the error answer of the token endpoint.
//
// Source: NetSuite Help, "Response Errors in Step Two and in the Refresh Token
// Response". Which error stands for which fault of an assertion is not
// documented.
func (x *exchange) denyToken(r *refusal) answer {
	if r.reason == ReasonConcurrency {
		return x.denyREST(r)
	}
	code := "invalid_grant"
	switch r.reason {
	case ReasonBadRequest, ReasonWrongHost, ReasonInvalidRequest, ReasonMissingKeyID, ReasonUnsupportedAlgo:
		code = "invalid_request"
	case ReasonInvalidGrantType:
		code = "unsupported_grant_type"
	case ReasonInvalidIssuer, ReasonClientAuthentication:
		code = "invalid_client"
	case ReasonCodeGrantRequired, ReasonMachineGrantRequired:
		code = "unauthorized_client"
	case ReasonInvalidScope, ReasonScopeMismatched:
		code = "invalid_scope"
	}
	isForm := oneOf(string(r.reason), string(ReasonBadRequest), string(ReasonWrongHost), string(ReasonInvalidRequest), string(ReasonInvalidGrantType))
	if forced := x.server.settings.AssertionError; forced != "" && !isForm && x.grant == grantMachine {
		code = forced
	}
	status := http.StatusBadRequest
	switch {
	case code == "invalid_client":
		status = http.StatusUnauthorized
	case code == "unauthorized_client" && x.server.settings.UnauthorizedClientStatus != 0:
		status = x.server.settings.UnauthorizedClientStatus
	}
	a := jsonAnswer(status, map[string]string{"error": code})
	if status == http.StatusUnauthorized {
		a.header.Set("WWW-Authenticate", `Basic realm="`+x.realm()+`"`)
	}
	return a
}
