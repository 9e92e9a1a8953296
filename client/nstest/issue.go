package nstest

import (
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Kinds of the server's own tokens, as their jti names them.
const (
	kindAccess  = "a-a" // of the code grant
	kindRefresh = "a-r"
	kindMachine = "c-a" // access token of client credentials
)

// issued is what one of the server's own tokens says. Like NetSuite's it is a
// JWT; unlike NetSuite's it is signed with ES256. Clients have to take it as
// opaque.
//
// Source: NetSuite Help, "OAuth 2.0 Access and Refresh Token Structure".
type issued struct {
	kind     string
	chain    string // the authorization it came from; random for client credentials
	id       string // of this token
	company  string
	clientID string
	entity   string
	role     string
	scopes   []string
	expires  time.Time
}

// issue signs a token.
func (s *Server) issue(t issued, now time.Time) (string, error) {
	if s.issuer == nil {
		return "", errJWT
	}
	return signES256(s.issuer, map[string]any{"typ": "JWT", "alg": "ES256", "kid": "nstest"}, map[string]any{
		"sub": t.role + ";" + t.entity, "aud": []string{applicationID(t.clientID) + ";" + t.company, t.clientID}, "scope": t.scopes,
		"iss": "https://system.netsuite.com", "iat": now.Unix(), "exp": t.expires.Unix(), "oit": now.Unix(),
		"jti": strings.Join([]string{t.company, t.kind, t.chain, t.id}, "."),
	})
}

// accessLife is how long an access token lives.
func (s *Server) accessLife() time.Duration {
	if s.settings.AccessTokenSeconds > 0 {
		return time.Duration(s.settings.AccessTokenSeconds) * time.Second
	}
	return accessTokenLife
}

// readToken verifies a token of this server. It does not look at its time.
func (s *Server) readToken(text string) (issued, *refusal) {
	j, err := parseJWT(text)
	if err != nil || s.issuer == nil {
		return issued{}, refuse(ReasonInvalidRequest, "the token is "+errJWT.Error())
	}
	alg, _ := findAlgorithm("ES256")
	if name, _ := claimText(j.header, "alg"); name != "ES256" || verifyJWT(j, alg, &s.issuer.PublicKey) != nil {
		if _, isAssertion := claimText(j.claims, "aud"); isAssertion {
			return issued{}, mistaken(ReasonInvalidTokenType, "assertion-as-access-token", "this is an assertion: exchange it at the token endpoint first")
		}
		return issued{}, refuse(ReasonInvalidSignature, "the token is altered or from another server")
	}
	audience, _ := claimTexts(j.claims, "aud")
	subject, _ := claimText(j.claims, "sub")
	expires, _ := claimSeconds(j.claims, "exp")
	id, _ := claimText(j.claims, "jti")
	parts := strings.Split(id, ".")
	if len(audience) != 2 || len(parts) != 4 {
		return issued{}, refuse(ReasonInvalidRequest, "the token lacks its audience or its ID")
	}
	t := issued{kind: parts[1], chain: parts[2], id: parts[3], clientID: audience[1], expires: time.Unix(expires, 0)}
	_, t.company, _ = strings.Cut(audience[0], ";")
	t.role, t.entity, _ = strings.Cut(subject, ";")
	t.scopes, _ = claimTexts(j.claims, "scope")
	return t, nil
}

// keys serves the public keys of the tokens as a JWKS, RFC 7517.
func (x *exchange) keys() answer {
	if x.wire.method != http.MethodGet {
		return x.deny(refuse(ReasonInvalidRequest, "the keys are read with GET"))
	}
	if x.server.issuer == nil {
		return x.deny(refuse(ReasonBusy, "there is no key"))
	}
	point, err := x.server.issuer.PublicKey.Bytes()
	if err != nil || len(point) != 65 {
		return x.deny(refuse(ReasonBusy, "the key cannot be written"))
	}
	x.verdict.OK = true
	return jsonAnswer(http.StatusOK, map[string]any{"keys": []any{map[string]string{
		"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "nstest",
		"x": base64.RawURLEncoding.EncodeToString(point[1:33]), "y": base64.RawURLEncoding.EncodeToString(point[33:]),
	}}})
}

// tokenAnswer is the answer of the token endpoint. A refresh token that is empty
// is left out.
func (x *exchange) tokenAnswer(accessToken, refreshToken string) answer {
	kind := x.server.settings.TokenType
	if kind == "" {
		kind = "bearer"
	}
	seconds := int(x.server.accessLife() / time.Second)
	out := map[string]any{"access_token": accessToken, "expires_in": seconds, "token_type": kind}
	if x.server.settings.ExpiresText {
		out["expires_in"] = strconv.Itoa(seconds)
	}
	if refreshToken != "" {
		out["refresh_token"] = refreshToken
	}
	a := jsonAnswer(http.StatusOK, out)
	a.header.Set("Cache-Control", "no-store")
	return a
}
