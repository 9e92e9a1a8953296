package agent

import (
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nsagent/nsagent/agent/policy"
	"github.com/nsagent/nsagent/internal/secret"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

const (
	// loginLife is how long somebody may take in the browser.
	loginLife = 10 * time.Minute
	// maxLogins is how many logins may wait for the browser at once.
	maxLogins = 16
	// maxStates is how many answers with a wrong state a login survives: a page that
	// guesses neither gets through nor ends the login.
	maxStates = 16
)

// Flows of a login.
const (
	flowPKCE = "pkce"
	flow3SA  = "3sa"
)

// errOver: the login is not known, or not any more.
var errOver = errors.New("agent: no such login")

// login is one that waits for the browser. Its secrets are in locked memory, until its
// answer, its end or the next lock.
type login struct {
	flow    string
	session *session
	// profile is what is stored in the end; old is what is there under its name, nil:
	// nothing.
	profile *profile
	old     *live
	state   string
	born    time.Duration
	wrong   int // answers that came with another state

	// secret is that of the client, or the consumer secret.
	secret secret.Bytes
	// redirect and verifier are for pkce.
	redirect string
	verifier secret.Bytes
	// requestToken and requestSecret are for 3sa.
	requestToken  string
	requestSecret secret.Bytes
}

func (l *login) destroy() {
	l.secret.Destroy()
	l.verifier.Destroy()
	l.requestSecret.Destroy()
}

// logins are those that wait.
type logins struct {
	boottime func() time.Duration

	mu  sync.Mutex // guards all, and wrong of each
	all map[string]*login
}

func newLogins(boottime func() time.Duration) *logins {
	return &logins{boottime: boottime, all: make(map[string]*login)}
}

// room returns an error where no more may wait.
func (s *logins) room() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweepLocked()
	if len(s.all) >= maxLogins {
		return fmt.Errorf("beginning a login: %w", ErrBusy)
	}
	return nil
}

// add has l wait, and returns its id. It owns l.
func (s *logins) add(l *login) (id []byte, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweepLocked()
	if len(s.all) >= maxLogins {
		l.destroy()
		return nil, fmt.Errorf("beginning a login: %w", ErrBusy)
	}
	l.born = s.boottime()
	id = []byte(rand.Text())
	s.all[string(id)] = l
	return id, nil
}

// take returns the login that an answer is for, once; the caller destroys it. An answer
// with another state is for none.
//
// Source: RFC 6749 section 10.12; NetSuite Help, "Step Two" of the three-step flow.
func (s *logins) take(id []byte, state string) (*login, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweepLocked()
	l, ok := s.all[string(id)]
	if !ok {
		return nil, refuse(errOver, pb.CodeNotFound, "no login waits for this answer", "a login takes one answer, within ten minutes, until the vault is locked", "begin anew:  nsagent login")
	}
	if subtle.ConstantTimeCompare([]byte(l.state), []byte(state)) != 1 {
		if l.wrong++; l.wrong == maxStates {
			delete(s.all, string(id))
			l.destroy()
		}
		return nil, refuse(policy.ErrDenied, pb.CodeDenied, "the browser's answer does not belong to this login", "its state is another: it may come from an earlier login, or from a page that wants to slip in a login of its own", "begin anew, and use the page that opens:  nsagent login")
	}
	delete(s.all, string(id))
	return l, nil
}

// sweep drops those whose time is over, clear all of them.
func (s *logins) sweep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweepLocked()
}

func (s *logins) sweepLocked() {
	now := s.boottime()
	for id, l := range s.all {
		if now-l.born >= loginLife {
			l.destroy()
			delete(s.all, id)
		}
	}
}

func (s *logins) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.all {
		l.destroy()
	}
	clear(s.all)
}
