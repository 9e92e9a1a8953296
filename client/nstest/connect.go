package nstest

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

const (
	maxConnectPassword = 500
	connectFailures    = 5
	connectLockTime    = 30 * time.Minute
)

// connectLock counts failed Connect logins of an account.
type connectLock struct {
	failures int
	until    time.Time
}

// locked says whether Connect is locked now.
func (a *account) connectLocked(now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return now.Before(a.connect.until)
}

// connectResult counts. After a lock one more failure locks again at once.
func (a *account) connectResult(ok bool, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if ok {
		a.connect = connectLock{}
		return
	}
	if a.connect.failures++; a.connect.failures >= connectFailures {
		a.connect.failures = connectFailures - 1
		a.connect.until = now.Add(connectLockTime)
	}
}

// parseConnectPassword takes a token password apart: five values, the signature
// and the algorithm, joined by "&".
//
// Source: NetSuite Help, "Required Parameters for Creating the Token Password".
func parseConnectPassword(password string) (account string, c claim, refused *refusal) {
	if len(password) > maxConnectPassword {
		return "", c, refuse(ReasonParameterRejected, "the password is longer than 500 characters")
	}
	parts := strings.Split(password, "&")
	if len(parts) != 7 {
		return "", c, refuse(ReasonMissingFields, "the password is not seven values joined by &")
	}
	for _, part := range parts {
		if part == "" || strings.Trim(part, alphanumeric+"-_+/=") != "" {
			return "", c, refuse(ReasonParameterRejected, "a value of the password is empty or holds a character that does not belong there; nothing is percent-encoded")
		}
	}
	return parts[0], claim{
		consumerKey: parts[1], tokenID: parts[2], nonce: parts[3], timestamp: parts[4], signature: parts[5], algorithm: parts[6],
	}, nil
}

// CheckConnect judges a login to SuiteAnalytics Connect: user has to be TBA,
// password a token password that is good for one session within five minutes.
// Five failures lock the account's Connect access for 30 minutes; after that one
// failure locks it again. The verdict joins those of the HTTP requests.
func (s *Server) CheckConnect(user, password string) Verdict {
	now := s.now()
	x := &exchange{server: s, now: now, channel: ChannelConnect}
	x.verdict = Verdict{Time: now, Channel: ChannelConnect}
	name, c, refused := parseConnectPassword(password)
	x.show(c)
	a, _ := s.findByName(name)
	if a != nil {
		x.verdict.Account = a.ID
	}
	var who login
	switch {
	case a != nil && a.connectLocked(now):
		refused = refuse(ReasonTemporaryLocked, "Connect access of the account is locked for 30 minutes after five failures")
	case refused != nil:
	case a == nil:
		refused = mistaken(ReasonTokenRejected, "unknown-account", "there is no account "+clip(name, 64))
	case user != "TBA":
		refused = mistaken(ReasonParameterRejected, "user-not-tba", "the user name for a token password is TBA")
	default:
		who, refused = s.concatLogin(a, name, c, ChannelConnect, now)
	}
	if refused != nil {
		x.note(refused)
	} else {
		x.accept(who)
	}
	if a != nil && (refused == nil || refused.reason != ReasonTemporaryLocked) {
		a.connectResult(refused == nil, now)
	}
	return s.record(x.verdict)
}

// connectLogin serves POST /nstest/connect, which exists in the mock only:
// {"user": "TBA", "password": "…"}.
func (x *exchange) connectLogin() answer {
	if x.wire.method != http.MethodPost {
		return jsonAnswer(http.StatusMethodNotAllowed, map[string]string{"error": "use POST"})
	}
	object, err := decodeObject(x.body)
	var user, password string
	if err == nil {
		err = json.Unmarshal(object["user"], &user)
	}
	if err == nil {
		err = json.Unmarshal(object["password"], &password)
	}
	if err != nil || len(object) != 2 {
		return jsonAnswer(http.StatusBadRequest, map[string]string{"error": `the body is {"user": "TBA", "password": "…"}`})
	}
	v := x.server.CheckConnect(user, password)
	if !v.OK {
		return jsonAnswer(http.StatusUnauthorized, v)
	}
	return jsonAnswer(http.StatusOK, v)
}
