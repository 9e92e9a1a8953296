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

// token serves the OAuth 2.0 token endpoint for the client credentials grant.
//
// Source: NetSuite Help, "POST Request to the Token Endpoint and the Access
// Token Response" and "The Request Token Structure".
func (x *exchange) token() answer {
	assertion, clientID, refused := x.tokenForm()
	if refused != nil {
		return x.deny(refused)
	}
	a, c, scopes, refused := x.assertionLogin(assertion, clientID)
	if refused != nil {
		return x.deny(refused)
	}
	x.accept(login{account: a, token: Token{User: c.Entity, Role: c.Role}})
	accessToken, err := x.server.mint(a, c, scopes, x.now)
	if err != nil {
		return x.deny(refuse(ReasonBusy, "the access token could not be signed"))
	}
	seconds := any(int(accessTokenLife / time.Second))
	if x.server.settings.ExpiresText {
		seconds = strconv.Itoa(int(accessTokenLife / time.Second))
	}
	out := jsonAnswer(http.StatusOK, map[string]any{"access_token": accessToken, "expires_in": seconds, "token_type": "bearer"})
	out.header.Set("Cache-Control", "no-store")
	return out
}

// tokenForm reads the form of the request.
func (x *exchange) tokenForm() (assertion, clientID string, refused *refusal) {
	if x.wire.method != http.MethodPost || !x.isForm() {
		return "", "", refuse(ReasonInvalidRequest, "the token endpoint takes a form by POST")
	}
	if x.request.Header.Get("Authorization") != "" {
		return "", "", refuse(ReasonInvalidRequest, "an assertion goes without an Authorization header")
	}
	form, err := formPairs(string(x.body))
	if err != nil {
		return "", "", refuse(ReasonInvalidRequest, "the form is not percent-encoded properly")
	}
	if x.wire.query != "" {
		return "", "", refuse(ReasonInvalidRequest, "the parameters belong into the body")
	}
	seen := map[string]bool{}
	for _, p := range form {
		if seen[p.name] {
			return "", "", refuse(ReasonInvalidRequest, "a parameter is there twice")
		}
		seen[p.name] = true
	}
	switch grant := get(form, "grant_type"); grant {
	case "client_credentials":
	case "":
		return "", "", refuse(ReasonInvalidRequest, "grant_type is missing")
	default:
		return "", "", refuse(ReasonInvalidGrantType, "the mock knows the grant type client_credentials only")
	}
	if get(form, "client_assertion_type") != assertionType {
		return "", "", refuse(ReasonInvalidRequest, "client_assertion_type is not "+assertionType)
	}
	if seen["client_secret"] {
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
	if integration, found := a.integration(issuer); found && integration.State != "" && integration.State != "enabled" {
		return nil, nil, nil, refuse(ReasonIntegrationBlocked, "the integration record is "+integration.State)
	}
	if refused := verifyJWT(j, alg, c.key); refused != nil {
		return nil, nil, nil, refused
	}
	scopes, refused := x.checkClaims(j, a, c)
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
func (x *exchange) checkClaims(j jwt, a *account, c *certificate) ([]string, *refusal) {
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
		if !c.allows(scope) {
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

// mint makes an access token. Like NetSuite's it is a JWT; unlike NetSuite's it
// is signed with ES256. Clients have to take it as opaque.
func (s *Server) mint(a *account, c *certificate, scopes []string, now time.Time) (string, error) {
	if s.issuer == nil {
		return "", errJWT
	}
	return signES256(s.issuer, map[string]any{"typ": "JWT", "alg": "ES256", "kid": "nstest"}, map[string]any{
		"sub": c.Role + ";" + c.Entity, "aud": []string{applicationID(c.ClientID) + ";" + a.ID, c.ClientID}, "scope": scopes,
		"iss": "https://system.netsuite.com", "iat": now.Unix(), "exp": now.Add(accessTokenLife).Unix(), "oit": now.Unix(), "jti": rand.Text(),
	})
}

// denyToken is the error answer of the token endpoint.
//
// Source: NetSuite Help, "Response Errors in Step Two and in the Refresh Token
// Response". Which error stands for which fault of an assertion is not
// documented.
func (x *exchange) denyToken(r *refusal) answer {
	code := "invalid_grant"
	switch r.reason {
	case ReasonBadRequest, ReasonWrongHost, ReasonInvalidRequest, ReasonMissingKeyID, ReasonUnsupportedAlgo:
		code = "invalid_request"
	case ReasonInvalidGrantType:
		code = "unsupported_grant_type"
	case ReasonInvalidIssuer:
		code = "invalid_client"
	case ReasonInvalidScope, ReasonScopeMismatched:
		code = "invalid_scope"
	}
	isForm := oneOf(string(r.reason), string(ReasonBadRequest), string(ReasonWrongHost), string(ReasonInvalidRequest), string(ReasonInvalidGrantType))
	if forced := x.server.settings.AssertionError; forced != "" && !isForm {
		code = forced
	}
	status := http.StatusBadRequest
	if code == "invalid_client" {
		status = http.StatusUnauthorized
	}
	a := jsonAnswer(status, map[string]string{"error": code})
	if status == http.StatusUnauthorized {
		a.header.Set("WWW-Authenticate", `Basic realm="`+x.realm()+`"`)
	}
	return a
}
