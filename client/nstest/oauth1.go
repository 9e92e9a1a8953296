package nstest

import "strings"

// apiLogin verifies an Authorization header of scheme OAuth for an API call.
func (x *exchange) apiLogin() (login, *refusal) {
	if len(x.request.Header.Values("Authorization")) != 1 {
		return login{}, refuse(ReasonMissingFields, "there is not exactly one Authorization header")
	}
	header := x.request.Header.Get("Authorization")
	if scheme(header) == "bearer" {
		return x.bearerLogin(header)
	}
	signed, refused := x.parseSigned(header)
	if refused != nil {
		return login{}, refused
	}
	for _, p := range signed.header {
		if p.name != "realm" && !strings.HasPrefix(p.name, "oauth_") {
			return login{}, mistaken(ReasonParameterRejected, "query-in-header", clip(p.name, 64)+" does not belong into the Authorization header")
		}
	}
	if x.server.settings.RefuseBodyHash && get(signed.header, "oauth_body_hash") != "" {
		return login{}, refuse(ReasonParameterRejected, "oauth_body_hash is not accepted")
	}
	if signed.realm == "" {
		return login{}, mistaken(ReasonMissingFields, "realm-missing", "the realm, which is the account ID, is missing")
	}
	a, refused := x.accountOfRealm(signed.realm)
	if refused != nil {
		return login{}, refused
	}
	integration, refused := findConsumer(a, signed.claim)
	if refused != nil {
		return login{}, refused
	}
	token, refused := findToken(a, signed.claim)
	if refused != nil {
		return login{}, refused
	}
	if refused := x.checkSigned(signed, integration.ConsumerSecret, token.TokenSecret); refused != nil {
		return login{}, refused
	}
	if refused := x.server.admit(a, token, signed.claim, x.now); refused != nil {
		return login{}, refused
	}
	return login{a, integration, token}, nil
}

// signedRequest is a request with its Authorization header taken apart.
type signedRequest struct {
	claim  claim
	realm  string
	header []pair // all of it
	query  []pair
	form   []pair
}

// parseSigned takes the request apart and checks all that needs no account.
func (x *exchange) parseSigned(header string) (signedRequest, *refusal) {
	var out signedRequest
	pairs, refused := parseAuthorization(header, x.server.settings.UnencodedHeader)
	if refused != nil {
		return out, refused
	}
	out.header = pairs
	out.realm = get(pairs, "realm")
	out.claim = claim{
		consumerKey: get(pairs, "oauth_consumer_key"),
		tokenID:     get(pairs, "oauth_token"),
		nonce:       get(pairs, "oauth_nonce"),
		timestamp:   get(pairs, "oauth_timestamp"),
		signature:   get(pairs, "oauth_signature"),
		algorithm:   get(pairs, "oauth_signature_method"),
	}
	x.show(out.claim)
	if a, exact := x.server.findByName(out.realm); exact && x.account == nil {
		x.verdict.Account = a.ID
	}
	var err error
	if out.query, err = formPairs(x.wire.query); err != nil {
		return out, refuse(ReasonParameterRejected, "the query is not percent-encoded properly")
	}
	if x.isForm() {
		if out.form, err = formPairs(string(x.body)); err != nil {
			return out, refuse(ReasonParameterRejected, "the form body is not percent-encoded properly")
		}
	}
	for _, p := range append(append([]pair{}, out.query...), out.form...) {
		if strings.HasPrefix(p.name, "oauth_") {
			return out, refuse(ReasonParameterRejected, clip(p.name, 64)+" belongs into the Authorization header")
		}
	}
	if version := get(pairs, "oauth_version"); version != "" && version != "1.0" {
		return out, refuse(ReasonVersionRejected, "oauth_version is not 1.0")
	}
	if refused := checkForm(out.claim, x.channel, x.now); refused != nil {
		x.nameMethod(refused, out)
		return out, refused
	}
	return out, nil
}

// nameMethod looks whether a request with another signature method was signed
// as it says.
func (x *exchange) nameMethod(r *refusal, in signedRequest) {
	a, _ := x.server.findByName(in.realm)
	if r.reason != ReasonUnknownAlgorithm || a == nil {
		return
	}
	integration, _ := a.integration(in.claim.consumerKey)
	token, _ := a.token(in.claim.tokenID)
	r.nameLabel(x.facts(in, integration.ConsumerSecret, token.TokenSecret), in.claim.algorithm, in.claim.signature)
}

// accountOfRealm finds the account by the host name if that names one, else by
// the realm, and checks that the realm is its account ID to the letter.
func (x *exchange) accountOfRealm(realm string) (*account, *refusal) {
	named, exact := x.server.findByName(realm)
	a := x.account
	if a == nil {
		a = named
	}
	switch {
	case a == nil:
		return nil, mistaken(ReasonTokenRejected, "unknown-account", "there is no account "+clip(realm, 64))
	case realm == a.ID:
		return a, nil
	case a == named && !exact:
		return nil, mistaken(ReasonTokenRejected, "realm-spelling", "the realm is spelt "+clip(realm, 64)+"; it is "+a.ID)
	}
	return nil, mistaken(ReasonTokenRejected, "realm-of-another-account", "the host is that of account "+a.ID+", the realm says "+clip(realm, 64))
}

func (x *exchange) facts(in signedRequest, consumerSecret, tokenSecret string) facts {
	f := facts{
		wire:   x.wire,
		oauth:  without(in.header, "realm", "oauth_signature"),
		query:  in.query,
		form:   in.form,
		body:   string(x.body),
		realm:  in.realm,
		tokens: []string{in.claim.consumerKey, in.claim.tokenID},
	}
	f.secret.consumer, f.secret.token = consumerSecret, tokenSecret
	f.right = f.with(f.all())
	return f
}

// checkSigned checks the signature: RFC 5849 section 3.4.
func (x *exchange) checkSigned(in signedRequest, consumerSecret, tokenSecret string) *refusal {
	f := x.facts(in, consumerSecret, tokenSecret)
	if sameSignature(f.key(), f.right, in.claim.signature) {
		return nil
	}
	r := refuse(ReasonInvalidSignature, "the signature does not belong to this request and these secrets")
	r.base = f.right
	r.name(f, in.claim.signature, httpGuesses())
	return r
}
