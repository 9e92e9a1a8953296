package nstest

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// askedToken is a request token on its way through the three-step flow. One that
// came from the configuration does not age, and has no time.
type askedToken struct {
	RequestToken
	callback string
	role     string
	agreed   *User // nil: nobody, yet
	expires  time.Time
}

// NetSuite does not say how long a request token lives; this is the mock's.
const requestTokenLife = 15 * time.Minute

func (s *Server) requestTokenLife() time.Duration {
	if s.settings.RequestTokenSeconds > 0 {
		return time.Duration(s.settings.RequestTokenSeconds) * time.Second
	}
	return requestTokenLife
}

// randomHex is in the shape of NetSuite's token IDs and secrets: 64 hex digits.
func randomHex() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails: it ends the program instead
	return hex.EncodeToString(b[:])
}

// stepSigned reads the signed request of step one or three. The realm is
// optional there; without it and on a shared host or an endpoint the account is
// the first with the consumer key.
func (x *exchange) stepSigned() (signedRequest, *account, Integration, *refusal) {
	var none Integration
	if x.wire.method != http.MethodPost {
		return signedRequest{}, nil, none, refuse(ReasonBadRequest, "this step is a POST")
	}
	in, refused := x.parseSigned(x.request.Header.Get("Authorization"))
	if refused != nil {
		return in, nil, none, refused
	}
	for _, p := range in.header {
		if !strings.HasPrefix(p.name, "oauth_") && p.name != "realm" && p.name != "role" {
			return in, nil, none, refuse(ReasonParameterRejected, clip(p.name, 64)+" does not belong into the Authorization header")
		}
	}
	a := x.account
	if in.realm != "" {
		if a, refused = x.accountOfRealm(in.realm); refused != nil {
			return in, nil, none, refused
		}
	}
	for _, candidate := range x.server.accounts {
		if _, found := candidate.integration(in.claim.consumerKey); found && a == nil {
			a = candidate
		}
	}
	if a == nil {
		return in, nil, none, refuse(ReasonConsumerKeyUnknown, "no account has this consumer key")
	}
	x.verdict.Account = a.ID
	integration, refused := findConsumer(a, in.claim)
	if refused == nil && len(integration.Callbacks) == 0 {
		refused = refuse(ReasonAuthFlowRequired, "the integration record does not allow the three-step flow: it has no callback")
	}
	return in, a, integration, refused
}

// requestToken is step one: POST /rest/requesttoken.
//
// Source: NetSuite Help, "Step One Obtain An Unauthorized Request Token".
func (x *exchange) requestToken() answer {
	in, a, integration, refused := x.stepSigned()
	if refused != nil {
		return x.deny(refused)
	}
	callback := get(in.header, "oauth_callback")
	switch {
	case callback == "":
		return x.deny(refuse(ReasonMissingFields, "oauth_callback is missing"))
	case in.claim.tokenID != "":
		return x.deny(refuse(ReasonParameterRejected, "step one has no oauth_token"))
	}
	if refused := x.checkSigned(in, integration.ConsumerSecret, ""); refused != nil {
		return x.deny(refused)
	}
	if !callbackFits(callback, integration.Callbacks) {
		r := refuse(ReasonInvalidCallback, "the callback is not on the integration record")
		r.of = clip(callback, 256)
		return x.deny(r)
	}
	if refused := x.server.admit(a, Token{}, in.claim, x.now); refused != nil {
		return x.deny(refused)
	}
	asked := askedToken{
		RequestToken: RequestToken{randomHex(), randomHex(), in.claim.consumerKey, randomHex()},
		callback:     callback, role: get(in.header, "role"), expires: x.now.Add(x.server.requestTokenLife()),
	}
	if !a.ask(asked, x.now) {
		return x.deny(refuse(ReasonBusy, "too many request tokens wait"))
	}
	x.accept(login{a, integration, Token{}})
	out := []pair{{"oauth_token", asked.TokenID}, {"oauth_token_secret", asked.TokenSecret}, {"oauth_callback_confirmed", "true"}}
	if asked.role != "" {
		out = append(out, pair{"role", asked.role})
	}
	return x.stepAnswer(out)
}

// stepAnswer is the answer of step one or three: a form, as in RFC 5849.
func (x *exchange) stepAnswer(out []pair) answer {
	if !x.server.settings.ThreeStepJSON {
		return textAnswer(http.StatusOK, "application/x-www-form-urlencoded", join(encoded(out)))
	}
	object := map[string]string{}
	for _, p := range out {
		object[p.name] = p.value
	}
	return jsonAnswer(http.StatusOK, object)
}

// authorizeToken is step two: the page on which a user agrees.
//
// Source: NetSuite Help, "Step Two".
func (x *exchange) authorizeToken() answer {
	x.isPage = true
	if x.wire.method == http.MethodPost {
		return x.decided()
	}
	pairs := x.queryPairs()
	tokenID, state := get(pairs, "oauth_token"), get(pairs, "state")
	x.verdict.TokenID = clip(tokenID, 80)
	a, asked, found := x.server.findAsked(x.account, tokenID, x.now)
	switch {
	case !found || asked.callback == "" || x.wire.method != http.MethodGet:
		return x.deny(refuse(ReasonTokenRejected, "there is no such request token"))
	case repeated(pairs):
		return x.deny(refuse(ReasonParameterRejected, "a parameter is there twice"))
	case len(state) > 512 || strings.Trim(state, alphanumeric) != "":
		return x.deny(mistaken(ReasonParameterRejected, "state-form", "state is at most 512 letters and digits"))
	}
	integration, refused := findConsumer(a, claim{consumerKey: asked.ConsumerKey})
	if refused != nil {
		return x.deny(refused)
	}
	return x.ask(consent{
		account: a, application: integration.Name, people: a.people(asked.role), target: asked.callback,
		asks:   []string{"use REST web services, SuiteQL, RESTlets and SOAP with a token of its own, until that is revoked"},
		decide: func(x *exchange, who *User) answer { return x.finishStepTwo(asked, a, integration, state, who) },
	})
}

// finishStepTwo answers for the user. A refusal is an empty oauth_verifier.
func (x *exchange) finishStepTwo(asked askedToken, a *account, i Integration, state string, who *User) answer {
	x.verdict.TokenID, x.verdict.ConsumerKey = asked.TokenID, asked.ConsumerKey
	var refused *refusal
	agreed := User{Role: asked.role}
	verifier := ""
	switch {
	case who == nil:
		refused = refuse(ReasonExplicitlyDenied, "the user refused")
	case who.Disabled:
		refused = refuse(ReasonPermissionDenied, "the user or the role is disabled")
	case !a.agree(asked.TokenID, *who):
		return x.deny(refuse(ReasonTokenRejected, "the request token was agreed to already, or is gone"))
	default:
		agreed, verifier = *who, asked.Verifier
		x.accept(login{a, i, Token{User: who.Entity, Role: who.Role}})
	}
	out := []pair{{"oauth_token", asked.TokenID}, {"oauth_verifier", verifier}, {"company", a.ID}, {"role", agreed.Role}, {"entity", agreed.Entity}}
	if state != "" {
		out = append(out, pair{"state", state})
	}
	return x.sendBack(asked.callback, out, refused)
}

// accessToken is step three: POST /rest/accesstoken.
//
// Source: NetSuite Help, "Step Three".
func (x *exchange) accessToken() answer {
	in, a, integration, refused := x.stepSigned()
	if refused != nil {
		return x.deny(refused)
	}
	_, asked, found := x.server.findAsked(a, in.claim.tokenID, x.now)
	if !found || asked.ConsumerKey != in.claim.consumerKey {
		return x.deny(refuse(ReasonTokenRejected, "there is no such request token of this integration record"))
	}
	if refused := x.checkSigned(in, integration.ConsumerSecret, asked.TokenSecret); refused != nil {
		return x.deny(refused)
	}
	switch verifier := get(in.header, "oauth_verifier"); {
	case verifier != asked.Verifier:
		return x.deny(refuse(ReasonInvalidVerifier, "oauth_verifier is not the one of step two"))
	case asked.callback != "" && asked.agreed == nil:
		return x.deny(mistaken(ReasonInvalidVerifier, "nobody-agreed", "no user has agreed to this request token"))
	}
	if refused := x.server.admit(a, Token{}, in.claim, x.now); refused != nil {
		return x.deny(refused)
	}
	who := a.people("")[0]
	if asked.agreed != nil {
		who = *asked.agreed
	}
	granted := Token{TokenID: randomHex(), TokenSecret: randomHex(), ConsumerKey: in.claim.consumerKey, Name: "three-step flow", User: who.Entity, Role: who.Role}
	if !a.grant(asked, granted) {
		return x.deny(refuse(ReasonBusy, "the account has too many tokens"))
	}
	x.accept(login{a, integration, granted})
	return x.stepAnswer([]pair{{"oauth_token", granted.TokenID}, {"oauth_token_secret", granted.TokenSecret}})
}

// ask keeps a request token, having dropped those too old.
func (a *account) ask(t askedToken, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	var kept []askedToken
	for _, old := range a.asked {
		if old.alive(now) {
			kept = append(kept, old)
		}
	}
	a.asked = kept
	if len(a.asked) >= maxAsked {
		return false
	}
	a.asked = append(a.asked, t)
	return true
}

// agree notes who agreed to a request token: once.
func (a *account) agree(tokenID string, who User) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range a.asked {
		if t := &a.asked[i]; t.TokenID == tokenID && t.agreed == nil {
			t.agreed = &who
			return true
		}
	}
	return false
}

// grant turns a request token into a lasting one; only one request wins.
func (a *account) grant(asked askedToken, t Token) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, old := range a.asked {
		if old.TokenID == asked.TokenID && len(a.granted) < maxGranted {
			a.asked = append(a.asked[:i:i], a.asked[i+1:]...)
			a.granted = append(a.granted, t)
			return true
		}
	}
	return false
}

func (t askedToken) alive(now time.Time) bool {
	return t.expires.IsZero() || now.Before(t.expires)
}

// findAsked looks for a request token in one account, or in all if that is nil.
func (s *Server) findAsked(in *account, tokenID string, now time.Time) (*account, askedToken, bool) {
	for _, a := range s.accounts {
		if in != nil && a != in {
			continue
		}
		a.mu.Lock()
		for _, t := range a.asked {
			if t.TokenID == tokenID && t.alive(now) {
				a.mu.Unlock()
				return a, t, true
			}
		}
		a.mu.Unlock()
	}
	return nil, askedToken{}, false
}

// callbackFits compares a callback with those on the record. http://localhost:*
// stands for every port, https://*.example.com/cb for every first label.
func callbackFits(callback string, registered []string) bool {
	given, err := url.Parse(callback)
	if err != nil || given.Host == "" {
		return false
	}
	for _, r := range registered {
		if r == callback {
			return true
		}
		if r == "http://localhost:*" && given.Scheme == "http" && given.Hostname() == "localhost" && given.Port() != "" {
			return true
		}
		if rest, ok := strings.CutPrefix(r, "https://*."); ok {
			label, tail, found := strings.Cut(strings.TrimPrefix(callback, "https://"), ".")
			if found && tail == rest && label != "" && strings.Trim(label, alphanumeric+"-") == "" && given.Scheme == "https" {
				return true
			}
		}
	}
	return false
}

// denyThreeStep is the error answer of the three-step flow. NetSuite does not
// document its form: the status follows RFC 5849 section 3.2.
func (x *exchange) denyThreeStep(r *refusal) answer {
	if r.reason == ReasonConcurrency {
		return x.denyRESTlet(r)
	}
	status := http.StatusUnauthorized
	switch r.reason {
	case ReasonBadRequest, ReasonMissingFields, ReasonParameterRejected, ReasonUnknownAlgorithm, ReasonVersionRejected:
		status = http.StatusBadRequest
	case ReasonWrongHost:
		status = http.StatusForbidden
	}
	if forced := x.server.settings.ThreeStepStatus; forced != 0 {
		status = forced
	}
	a := textAnswer(status, "application/x-www-form-urlencoded", "error="+string(r.reason.detail(x.channel)))
	if challenge := x.challenge(r); challenge != "" && status == http.StatusUnauthorized {
		a.header.Set("WWW-Authenticate", challenge)
	}
	return a
}
