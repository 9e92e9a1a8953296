package nstest

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"
)

// exchange is one request on its way through the server.
type exchange struct {
	server   *Server
	request  *http.Request
	now      time.Time
	wire     wire
	body     []byte
	account  *account // by host name; nil on an endpoint or a shared host
	channel  Channel
	grant    string // grant_type at the token endpoint
	ordered  *Fault // what was ordered to go wrong; nil: nothing
	isPage   bool   // a person reads the answer: errors are pages too
	verdict  Verdict
	mockOnly bool // a request to the server itself, not to NetSuite
}

// answer is a response before it is sent.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func textAnswer(status int, contentType, body string) answer {
	return answer{status, http.Header{"Content-Type": {contentType}}, []byte(body)}
}

func jsonAnswer(status int, v any) answer {
	body, err := json.Marshal(v)
	if err != nil {
		return answer{status: http.StatusInternalServerError}
	}
	return textAnswer(status, "application/json", string(body)+"\n")
}

// serve cuts the request, finds account and route, reads the body and answers.
func (x *exchange) serve(rw http.ResponseWriter) answer {
	r := x.request
	w, err := cutRequest(r)
	x.wire = w
	x.verdict.URL = clip(w.scheme+"://"+r.Host+r.RequestURI, maxURLKept)
	if err != nil {
		return x.deny(refuse(ReasonBadRequest, err.Error()))
	}
	if !w.isNetSuite() && !isLoopbackHost(w.host) && !x.server.allowRemote {
		return x.deny(x.unknownHost())
	}
	// A browser sends Origin; no integration does. Only the server's own pages
	// have a use for it.
	if origin := r.Header.Get("Origin"); origin != "" && !x.isConsentForm(origin) {
		return x.deny(refuse(ReasonWrongHost, "a request with an Origin header comes from a web page; there is no NetSuite API for those"))
	}
	if handle := x.server.mockRoute(w); handle != nil && !w.isNetSuite() {
		x.mockOnly = true
		if a, ok := x.readBody(rw); !ok {
			return a
		}
		return handle(x)
	}
	found := x.server.find(w)
	x.channel, x.verdict.Channel = found.channel, found.channel
	if refused := x.checkHost(found); refused != nil {
		return x.deny(refused)
	}
	if a, ok := x.readBody(rw); !ok {
		return a
	}
	if x.ordered = x.server.faults.take(x); x.ordered != nil {
		x.verdict.Fault = x.ordered.Kind
		return x.ordered.answer(x, found.handle)
	}
	return found.handle(x)
}

// checkHost takes the account from the host name and checks that this host
// serves the route.
func (x *exchange) checkHost(found route) *refusal {
	if !x.wire.isNetSuite() {
		return nil
	}
	served := found.sites == nil || oneOf(x.wire.site, found.sites...)
	if x.wire.isShared() {
		retired := x.server.settings.RetiredHosts && found.channel == ChannelRESTlet
		if !retired && (!served || found.sites == nil) {
			return mistaken(ReasonWrongHost, "retired-host", "NetSuite no longer serves this on "+x.wire.host+": use the account's own host")
		}
		return nil
	}
	for _, a := range x.server.accounts {
		if a.label == x.wire.label {
			x.account = a
			x.verdict.Account = a.ID
		}
	}
	if x.account == nil {
		return x.unknownHost()
	}
	if !served {
		return mistaken(ReasonWrongHost, "wrong-service-host", "this is served on "+x.account.label+"."+found.sites[0]+".netsuite.com")
	}
	return nil
}

func (x *exchange) unknownHost() *refusal {
	if strings.Contains(x.wire.label, "_") {
		return mistaken(ReasonWrongHost, "underscore-host", "the host label has a hyphen, not an underscore")
	}
	return refuse(ReasonWrongHost, "no account has the host "+clip(x.wire.host, 128))
}

// readBody reads all of the body, up to the limit.
func (x *exchange) readBody(rw http.ResponseWriter) (answer, bool) {
	body, err := io.ReadAll(http.MaxBytesReader(rw, x.request.Body, x.server.maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return x.deny(refuse(ReasonTooLarge, "the body is too long")), false
	case err != nil:
		return x.deny(refuse(ReasonBadRequest, "the body could not be read")), false
	}
	x.body = body
	return answer{}, true
}

// isForm says whether the body is a form. The media type is compared without
// its parameters and in any case.
func (x *exchange) isForm() bool {
	return mediaType(x.request.Header.Get("Content-Type")) == "application/x-www-form-urlencoded"
}

func mediaType(contentType string) string {
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		bare, _, _ := strings.Cut(contentType, ";")
		return strings.ToLower(strings.TrimSpace(bare))
	}
	return media
}

// show puts into the verdict who the request says it comes from.
func (x *exchange) show(c claim) {
	x.verdict.ConsumerKey = clip(c.consumerKey, 80)
	x.verdict.TokenID = clip(c.tokenID, 80)
}

// accept puts into the verdict who the request came from.
func (x *exchange) accept(l login) {
	x.verdict.OK = true
	x.verdict.Account = l.account.ID
	x.verdict.Integration = l.integration.Name
	x.verdict.User, x.verdict.Role = l.token.User, l.token.Role
}

// note puts a refusal into the verdict.
func (x *exchange) note(r *refusal) {
	x.verdict.OK = false
	x.verdict.Reason = r.reason
	x.verdict.Detail = strings.TrimSpace(r.reason.detail(x.channel) + " " + r.of)
	x.verdict.Mistake = r.mistake
	x.verdict.Explanation = r.explain
	x.verdict.BaseString = clip(r.base, 4*maxURLKept)
}

// deny notes a refusal and gives the general answer of the channel.
func (x *exchange) deny(r *refusal) answer {
	x.note(r)
	switch r.reason {
	case ReasonTooLarge:
		return textAnswer(http.StatusRequestEntityTooLarge, "text/plain; charset=utf-8", "request body too long\n")
	case ReasonBusy:
		return textAnswer(http.StatusServiceUnavailable, "text/plain; charset=utf-8", "Service Unavailable\n")
	}
	if x.isPage {
		return x.denyPage(r)
	}
	switch x.channel {
	case ChannelRESTlet:
		return x.denyRESTlet(r)
	case ChannelSOAP:
		return x.denySOAP(r)
	case ChannelThreeStep:
		return x.denyThreeStep(r)
	case ChannelToken:
		return x.denyToken(r)
	case ChannelCertificates:
		return x.denyCertificates(r)
	}
	return x.denyREST(r)
}

// limited runs f in one of the account's places for requests that run at once.
func (x *exchange) limited(a *account, f func() answer) answer {
	if !a.enter() {
		return x.deny(refuse(ReasonConcurrency, "more requests at once than account "+a.ID+" may have"))
	}
	defer a.leave()
	if d := a.delay(); d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-x.request.Context().Done():
		}
	}
	return f()
}

// challenge is the WWW-Authenticate of a refusal of token-based authentication.
func (x *exchange) challenge(r *refusal) string {
	code := r.reason.detail(x.channel)
	switch x.server.settings.Challenge {
	case "none":
		return ""
	case "token_rejected":
		code = string(ReasonTokenRejected)
	}
	return `OAuth realm="` + x.realm() + `", error="` + code + `", error_description="Invalid login attempt."`
}

// realm is the account ID for a challenge: only one that the server has, since
// anything else would be the client's own text.
func (x *exchange) realm() string { return x.verdict.Account }
