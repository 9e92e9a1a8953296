package nstest

import (
	"encoding/base64"
	"net/http"
	"strings"
	"time"
)

const (
	authorizePath      = "/app/login/oauth2/authorize.nl"
	authorizeTokenPath = "/app/login/secure/authorizetoken.nl"
)

// authorization is a request of step one of the code grant.
type authorization struct {
	clientID     string
	redirectURI  string
	responseType string
	scopes       []string
	state        string
	challenge    string
	method       string // of the challenge
	prompt       string
}

// authorize is step one of the authorization code grant: the page on which a
// user agrees.
//
// Source: NetSuite Help, "Step One GET Request to the Authorization Endpoint".
func (x *exchange) authorize() answer {
	x.isPage = true
	if x.wire.method == http.MethodPost {
		return x.decided()
	}
	in, refused := parseAuthorize(x.wire.method, x.wire.query)
	if refused != nil {
		return x.deny(refused)
	}
	x.verdict.ConsumerKey = clip(in.clientID, 80)
	a := x.account
	if a == nil {
		a = x.server.withClient(in.clientID)
	}
	var integration Integration
	found := false
	if a != nil {
		x.verdict.Account = a.ID
		integration, found = a.integration(in.clientID)
	}
	// Without a client and a redirect URI of its own there is nowhere to send an
	// error to.
	if !found {
		return x.deny(refuse(ReasonUnknownIntegration, "there is no integration record with this client ID"))
	}
	if refused := checkRedirectURI(in.redirectURI, integration); refused != nil {
		return x.deny(refused)
	}
	if refused := x.checkAuthorization(in, a, integration); refused != nil {
		return x.sendBack(in.redirectURI, in.failed(refused), refused)
	}
	c := consent{account: a, application: integration.Name, people: a.people(""), target: in.redirectURI}
	for _, scope := range in.scopes {
		c.asks = append(c.asks, scopeWords(scope))
	}
	c.decide = func(x *exchange, who *User) answer { return x.finishAuthorization(in, a, integration, who) }
	return x.ask(c)
}

// parseAuthorize reads the query.
func parseAuthorize(method, query string) (authorization, *refusal) {
	pairs, err := formPairs(query)
	switch {
	case method != http.MethodGet:
		return authorization{}, refuse(ReasonInvalidRequest, "step one is a GET")
	case err != nil:
		return authorization{}, refuse(ReasonInvalidRequest, "the query is not percent-encoded properly")
	case repeated(pairs):
		return authorization{}, refuse(ReasonInvalidRequest, "a parameter is there twice")
	}
	return authorization{
		clientID: get(pairs, "client_id"), redirectURI: get(pairs, "redirect_uri"), responseType: get(pairs, "response_type"),
		scopes: strings.Fields(get(pairs, "scope")), state: get(pairs, "state"), prompt: get(pairs, "prompt"),
		challenge: get(pairs, "code_challenge"), method: get(pairs, "code_challenge_method"),
	}, nil
}

func checkRedirectURI(given string, i Integration) *refusal {
	switch {
	case strings.HasPrefix(given, "http://"):
		return mistaken(ReasonInvalidRedirectURI, "redirect-uri-http", "http is not supported under OAuth 2.0, localhost included")
	case !oneOf(given, i.RedirectURIs...):
		return refuse(ReasonInvalidRedirectURI, "redirect_uri is not one of the integration record, to the letter")
	}
	return nil
}

// goodState says whether state is 22 to 1024 printable ASCII characters.
func goodState(state string) bool {
	for i := range len(state) {
		if state[i] < ' ' || state[i] > '~' {
			return false
		}
	}
	return len(state) >= 22 && len(state) <= 1024
}

// checkAuthorization checks what is answered by a redirect.
func (x *exchange) checkAuthorization(in authorization, a *account, i Integration) *refusal {
	if refused := codeGrantOff(a, i); refused != nil {
		return refused
	}
	switch {
	case !goodState(in.state):
		return mistaken(ReasonInvalidState, "state-form", "state is not 22 to 1024 printable ASCII characters")
	case in.responseType != "code":
		return refuse(ReasonUnsupportedResponse, "response_type is not code")
	case len(in.scopes) == 0:
		return refuse(ReasonInvalidScope, "scope is missing")
	}
	for n, scope := range in.scopes {
		switch {
		case !knownScope(scope) && scope != scopeMCP, oneOf(scope, in.scopes[:n]...):
			return refuse(ReasonInvalidScope, "scope holds "+clip(scope, 32)+", which is unknown or there twice")
		case scope == scopeMCP && len(in.scopes) > 1:
			return mistaken(ReasonInvalidScope, "mcp-not-alone", "the scope mcp stands alone")
		case !i.allows(scope):
			return refuse(ReasonScopeMismatched, "the integration record does not allow the scope "+scope)
		}
	}
	challenge, err := base64.RawURLEncoding.Strict().DecodeString(in.challenge)
	switch {
	case in.challenge == "" && in.method == "" && !i.Public && in.scopes[0] != scopeMCP && !x.server.settings.RequirePKCE:
	case in.challenge == "":
		return mistaken(ReasonInvalidRequest, "pkce-missing", "code_challenge is missing; public clients and the scope mcp need PKCE")
	case in.method != "S256":
		return mistaken(ReasonInvalidRequest, "pkce-method", "code_challenge_method is not S256")
	case err != nil || len(challenge) != 32:
		return mistaken(ReasonInvalidRequest, "pkce-challenge", "code_challenge is not the base64url of a SHA-256")
	}
	switch {
	case !oneOf(in.prompt, "", "none", "login", "consent", "login consent"):
		return refuse(ReasonInvalidRequest, "prompt is not none, login, consent or login consent")
	case in.prompt == "none":
		return mistaken(ReasonInvalidRequest, "prompt-none", "nobody is logged in here, and mcp always asks: prompt=none cannot be answered")
	case strings.HasPrefix(in.prompt, "login") && x.wire.isShared():
		return refuse(ReasonInvalidRequest, "prompt=login works on the account's own domain only")
	}
	return nil
}

// finishAuthorization answers for the user. The state is used up now: another
// login needs another.
func (x *exchange) finishAuthorization(in authorization, a *account, i Integration, who *User) answer {
	x.verdict.ConsumerKey = clip(in.clientID, 80)
	var refused *refusal
	switch x.server.states.use(x.now, x.now.Add(24*time.Hour), a.ID, in.clientID, in.state) {
	case isUsed:
		refused = mistaken(ReasonInvalidState, "state-used-twice", "this state came before: each login needs one of its own")
	case isFull:
		return x.deny(refuse(ReasonBusy, "the memory for state is full"))
	}
	switch {
	case refused != nil:
	case who == nil:
		refused = refuse(ReasonExplicitlyDenied, "the user refused")
	case who.Disabled:
		refused = refuse(ReasonEntityOrRole, "the user or the role is disabled")
	}
	if refused != nil {
		return x.sendBack(in.redirectURI, in.failed(refused), refused)
	}
	code := &grantedCode{
		code: randomHex(), clientID: in.clientID, redirectURI: in.redirectURI, challenge: in.challenge,
		user: *who, scopes: in.scopes, expires: x.server.codeExpires(x.now),
	}
	if !a.addCode(code, x.now) {
		return x.deny(refuse(ReasonBusy, "too many codes wait"))
	}
	x.accept(login{a, i, Token{User: who.Entity, Role: who.Role}})
	return x.sendBack(in.redirectURI, []pair{
		{"state", in.state}, {"code", code.code}, {"role", who.Role}, {"entity", who.Entity}, {"company", a.ID},
	}, nil)
}

// failed is what the application is told of a refusal. A state that is not one
// is not sent back.
//
// Source: NetSuite Help, "Authorization Errors in Step One".
func (in authorization) failed(r *refusal) []pair {
	code := "invalid_request"
	switch r.reason {
	case ReasonUnsupportedResponse:
		code = "unsupported_response_type"
	case ReasonInvalidScope, ReasonScopeMismatched:
		code = "invalid_scope"
	case ReasonExplicitlyDenied, ReasonEntityOrRole:
		code = "access_denied"
	case ReasonCodeGrantRequired, ReasonIntegrationBlocked, ReasonFeatureDisabled:
		code = "unauthorized_client"
	}
	out := []pair{{"error", code}}
	if goodState(in.state) {
		out = append(out, pair{"state", in.state})
	}
	return out
}
