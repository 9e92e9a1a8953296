package nstest

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
	"time"
)

// exchangeCode gives tokens for an authorization code.
//
// Source: NetSuite Help, "Step Two POST Request to the Token Endpoint".
func (x *exchange) exchangeCode(form []pair) answer {
	text := get(form, "code")
	a, integration, refused := x.clientLogin(form, x.server.withCode(text))
	switch {
	case refused != nil:
		return x.deny(refused)
	case text == "" || get(form, "redirect_uri") == "":
		return x.deny(refuse(ReasonInvalidRequest, "code or redirect_uri is missing"))
	}
	code, refused := a.tryCode(text, x.now)
	if refused == nil {
		refused = checkCode(code, integration, form)
	}
	if refused == nil && (code.user.Disabled || a.disabled(code.user.Entity, code.user.Role)) {
		refused = refuse(ReasonEntityOrRole, "the user or the role is disabled")
	}
	if refused != nil {
		return x.deny(refused)
	}
	begun := &chain{
		id: rand.Text(), clientID: integration.ConsumerKey, user: code.user, scopes: code.scopes, refresh: rand.Text(),
		expires: x.now.Add(integration.refreshLife(x.server.settings)), ends: x.now.Add(integration.chainLife()),
	}
	if begun.expires.After(begun.ends) {
		begun.expires = begun.ends
	}
	if !a.begin(begun, text, x.now) {
		return x.deny(refuse(ReasonBusy, "the account has too many authorizations"))
	}
	return x.giveTokens(a, integration, *begun, true)
}

// checkCode compares a code with the request that presents it.
func checkCode(c grantedCode, i Integration, form []pair) *refusal {
	verifier := get(form, "code_verifier")
	sum := sha256.Sum256([]byte(verifier))
	switch {
	case c.clientID != i.ConsumerKey:
		return refuse(ReasonClientIDMismatch, "the code is another client's")
	case c.redirectURI != get(form, "redirect_uri"):
		return mistaken(ReasonInvalidGrant, "redirect-uri-mismatch", "redirect_uri is not the one that the code was given out for")
	case c.challenge == "" && has(form, "code_verifier"):
		return mistaken(ReasonInvalidGrant, "verifier-without-challenge", "there is a code_verifier, but step one had no code_challenge")
	case c.challenge == "":
		return nil
	case verifier == "":
		return mistaken(ReasonInvalidGrant, "verifier-missing", "code_verifier is missing")
	case len(verifier) < 43 || len(verifier) > 128 || strings.Trim(verifier, unreserved) != "":
		return mistaken(ReasonInvalidGrant, "verifier-form", "code_verifier is not 43 to 128 unreserved characters")
	case base64.RawURLEncoding.EncodeToString(sum[:]) != c.challenge:
		return mistaken(ReasonInvalidGrant, "verifier-mismatch", "code_verifier does not belong to the code_challenge")
	}
	return nil
}

// exchangeRefreshToken gives an access token for a refresh token, and to a public
// client a new refresh token too.
//
// Source: NetSuite Help, "Refresh Token POST Request to the Token Endpoint".
func (x *exchange) exchangeRefreshToken(form []pair) answer {
	t, a, integration, refused := x.refreshTokenOf(form, "refresh_token")
	switch {
	case refused != nil:
		return x.deny(refused)
	case !x.now.Before(t.expires):
		return x.deny(refuse(ReasonRefreshTokenExpired, "the refresh token has expired: the user has to agree again"))
	case a.disabled(t.entity, t.role):
		return x.deny(refuse(ReasonEntityOrRole, "the user or the role is disabled"))
	}
	for _, scope := range t.scopes {
		if !integration.allows(scope) {
			return x.deny(refuse(ReasonScopeMismatched, "the integration record no longer allows the scope "+scope))
		}
	}
	next := ""
	if integration.Public {
		next = rand.Text()
	}
	settings := x.server.settings
	c, refused := a.useRefreshToken(t, next, x.now.Add(integration.refreshLife(settings)), settings.KeepAfterReuse)
	if refused != nil {
		return x.deny(refused)
	}
	return x.giveTokens(a, integration, c, integration.Public)
}

// refreshTokenOf authenticates the client and reads its refresh token from the
// form, whatever its time.
func (x *exchange) refreshTokenOf(form []pair, name string) (issued, *account, Integration, *refusal) {
	text := get(form, name)
	t, unreadable := x.server.readToken(text)
	given, _ := x.server.findByName(t.company)
	a, integration, refused := x.clientLogin(form, given)
	switch {
	case refused != nil:
		return t, a, integration, refused
	case text == "":
		return t, a, integration, refuse(ReasonInvalidRequest, name+" is missing")
	case unreadable != nil:
		return t, a, integration, refuse(ReasonInvalidSignature, "the refresh token is altered, or from another server")
	case t.kind != kindRefresh:
		return t, a, integration, mistaken(ReasonInvalidRefreshToken, "access-token-as-refresh-token", "this is an access token")
	case t.clientID != integration.ConsumerKey:
		return t, a, integration, refuse(ReasonClientIDMismatch, "the refresh token is another client's")
	case t.company != a.ID:
		return t, a, integration, mistaken(ReasonInvalidGrant, "token-of-another-account", "the refresh token is for account "+t.company)
	}
	return t, a, integration, nil
}

// giveTokens answers with an access token of the chain and, where asked to, its
// refresh token.
func (x *exchange) giveTokens(a *account, i Integration, c chain, refresh bool) answer {
	x.accept(login{a, i, Token{User: c.user.Entity, Role: c.user.Role}})
	t := issued{
		kind: kindAccess, chain: c.id, id: rand.Text(), company: a.ID, clientID: i.ConsumerKey,
		entity: c.user.Entity, role: c.user.Role, scopes: c.scopes, expires: x.now.Add(x.server.accessLife()),
	}
	access, err := x.server.issue(t, x.now)
	if err != nil {
		return x.deny(refuse(ReasonBusy, "the access token could not be signed"))
	}
	if !refresh {
		return x.tokenAnswer(access, "")
	}
	t.kind, t.id, t.expires = kindRefresh, c.refresh, c.expires
	text, err := x.server.issue(t, x.now)
	if err != nil {
		return x.deny(refuse(ReasonBusy, "the refresh token could not be signed"))
	}
	return x.tokenAnswer(access, text)
}

// revoke ends a refresh token and all access tokens that came from it.
//
// Source: NetSuite Help, "POST Request to the Revoke Token Endpoint"; that a
// token which is no longer good is answered like any other is RFC 7009 section
// 2.2.
func (x *exchange) revoke() answer {
	form, refused := x.oauthForm()
	if refused != nil {
		return x.deny(refused)
	}
	t, a, integration, refused := x.refreshTokenOf(form, "token")
	if refused != nil {
		return x.deny(refused)
	}
	a.endChain(t.chain)
	x.accept(login{a, integration, Token{User: t.entity, Role: t.role}})
	return answer{http.StatusOK, http.Header{"Cache-Control": {"no-store"}}, nil}
}

// withCode is the account that gave out this code.
func (s *Server) withCode(code string) *account {
	for _, a := range s.accounts {
		a.mu.Lock()
		_, found := a.codes[code]
		a.mu.Unlock()
		if found {
			return a
		}
	}
	return nil
}

// codeExpires is when a code given out now ends.
func (s *Server) codeExpires(now time.Time) time.Time {
	if s.settings.CodeSeconds > 0 {
		return now.Add(time.Duration(s.settings.CodeSeconds) * time.Second)
	}
	return now.Add(codeLife)
}
