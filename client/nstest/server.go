package nstest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	defaultMaxBody      = 1 << 20
	defaultKeepVerdicts = 1000
	defaultMaxNonces    = 1_000_000
	maxAtOnce           = 256 // requests whose bodies may be in memory at once
	maxURLKept          = 2048
)

// Server is a NetSuite for tests. It is an http.Handler and safe for concurrent
// use.
type Server struct {
	settings    Settings
	accounts    []*account
	allowRemote bool
	maxBody     int64
	now         func() time.Time
	log         func(Verdict)

	nonces   *memory
	jtis     *memory
	states   *memory
	consents *consents
	faults   *faults
	verdicts *verdictLog
	busy     chan struct{}
	issuer   *ecdsa.PrivateKey // signs access tokens; nil if the system has no randomness
}

// New returns a server for c. It takes c as far as it is usable; Config.Check
// says what is not.
func New(c Config) *Server {
	s := &Server{
		settings:    c.Settings,
		allowRemote: c.AllowRemote,
		maxBody:     c.MaxBody,
		now:         c.Now,
		log:         c.Log,
		busy:        make(chan struct{}, maxAtOnce),
	}
	if s.maxBody <= 0 {
		s.maxBody = defaultMaxBody
	}
	if s.now == nil {
		s.now = time.Now
	}
	keep, nonces := c.KeepVerdicts, c.MaxNonces
	if keep <= 0 {
		keep = defaultKeepVerdicts
	}
	if nonces <= 0 {
		nonces = defaultMaxNonces
	}
	s.verdicts = &verdictLog{max: keep}
	s.nonces, s.jtis, s.states = newMemory(nonces), newMemory(nonces), newMemory(nonces)
	s.consents = &consents{open: map[string]consent{}}
	s.faults = &faults{left: slices.Clone(c.Faults)}
	for _, a := range c.Accounts {
		s.accounts = append(s.accounts, newAccount(a, c.Settings))
	}
	if key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err == nil {
		s.issuer = key
	}
	return s
}

// Verdicts returns the newest verdicts, oldest first: at most
// Config.KeepVerdicts of them. A verdict is there before its answer is sent.
func (s *Server) Verdicts() []Verdict { return s.verdicts.since(0) }

func (s *Server) record(v Verdict) Verdict {
	v = s.verdicts.add(v)
	if s.log != nil {
		s.log(v)
	}
	return v
}

// ServeHTTP answers one request as NetSuite would.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{server: s, request: r, now: s.now()}
	x.verdict.Time = x.now
	x.verdict.Method = clip(r.Method, 32)
	var a answer
	select {
	case s.busy <- struct{}{}:
		a = x.serve(w)
		<-s.busy
	default:
		a = x.deny(refuse(ReasonBusy, "too many requests at once"))
	}
	w.Header().Set("Date", s.now().UTC().Format(http.TimeFormat)) // by the clock that verifies
	for name, values := range a.header {
		w.Header()[name] = values
	}
	if x.mockOnly {
		w.WriteHeader(a.status)
		_, _ = w.Write(a.body)
		return
	}
	x.verdict.Status = a.status
	s.record(x.verdict)
	if x.ordered != nil {
		x.ordered.send(w, r, a)
		return
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body)
}

// route is one thing the server serves.
type route struct {
	channel Channel
	sites   []string // hosts of NetSuite that serve it
	handle  func(*exchange) answer
}

var restSites = []string{"suitetalk.api"}

// find picks the route by the path as sent. A path that nothing serves still
// asks for credentials before it says so, as NetSuite does.
func (s *Server) find(w wire) route {
	const oauth2 = "/services/rest/auth/oauth2/v1/"
	switch {
	case w.path == "/services/rest/query/v1/suiteql":
		return route{ChannelSuiteQL, restSites, (*exchange).suiteQL}
	case strings.HasPrefix(w.path, "/services/rest/record/v1/"):
		return route{ChannelREST, restSites, (*exchange).record}
	case w.path == "/services/rest/system/v1/governanceLimits":
		return route{ChannelREST, restSites, (*exchange).governance}
	case w.path == oauth2+"token":
		return route{ChannelToken, []string{"suitetalk.api", "restlets.api"}, (*exchange).token}
	case w.path == oauth2+"revoke":
		return route{ChannelToken, restSites, (*exchange).revoke}
	case w.path == oauth2+"keys":
		return route{ChannelToken, restSites, (*exchange).keys}
	case w.path == authorizePath:
		return route{ChannelAuthorize, []string{"app", "system"}, (*exchange).authorize}
	case strings.HasPrefix(w.path, "/services/mcp/v1/"):
		return route{ChannelMCP, restSites, (*exchange).mcp}
	case strings.HasPrefix(w.path, oauth2+"clients/"):
		return route{ChannelCertificates, []string{"restlets.api"}, (*exchange).certificates}
	case w.path == "/app/site/hosting/restlet.nl":
		return route{ChannelRESTlet, []string{"restlets.api", "app"}, (*exchange).restlet}
	case strings.HasPrefix(w.path, "/services/NetSuitePort_"):
		return route{ChannelSOAP, restSites, (*exchange).soap}
	case w.path == "/rest/requesttoken":
		return route{ChannelThreeStep, []string{"restlets.api", "system"}, (*exchange).requestToken}
	case w.path == "/rest/revoketoken" && s.settings.RevokeToken:
		return route{ChannelThreeStep, []string{"restlets.api", "app"}, (*exchange).revokeToken}
	case w.path == "/rest/accesstoken":
		return route{ChannelThreeStep, []string{"restlets.api"}, (*exchange).accessToken}
	case w.path == authorizeTokenPath:
		return route{ChannelThreeStep, []string{"app", "system"}, (*exchange).authorizeToken}
	case w.site == "restlets.api" || w.site == "app":
		return route{ChannelRESTlet, nil, (*exchange).nothingHere}
	}
	return route{ChannelREST, nil, (*exchange).nothingHere}
}

// mockRoutes are served on an endpoint of this machine only, never under a name
// of NetSuite.
func (s *Server) mockRoute(w wire) func(*exchange) answer {
	switch w.path {
	case "/nstest/connect":
		return (*exchange).connectLogin
	case "/nstest/verdicts":
		return (*exchange).listVerdicts
	case "/nstest/fault":
		return (*exchange).changeFaults
	case "/nstest/refresh":
		return (*exchange).refreshSandbox
	}
	return nil
}

// listVerdicts answers GET /nstest/verdicts, optionally ?since=N.
func (x *exchange) listVerdicts() answer {
	var since uint64
	if text, ok := strings.CutPrefix(x.wire.query, "since="); ok {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return jsonAnswer(http.StatusBadRequest, map[string]string{"error": "since is not a number"})
		}
		since = n
	}
	if x.wire.method != http.MethodGet {
		return jsonAnswer(http.StatusMethodNotAllowed, map[string]string{"error": "use GET"})
	}
	return jsonAnswer(http.StatusOK, map[string]any{
		"schema":   "nsagent.verdicts/v1",
		"verdicts": x.server.verdicts.since(since),
	})
}
