package agent

import (
	"strings"
	"sync"
	"time"

	"github.com/nsagent/nsagent/internal/secret"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

const (
	// tokenMargin is how long before its end an access token is not given out any more:
	// whoever gets one can still make a request with it.
	tokenMargin = time.Minute
	// A failed exchange is not tried again at once, however many callers ask: after each
	// failure in a row twice as long.
	shortestPause = time.Second
	longestPause  = time.Minute
	// maxTokens is how many combinations of scopes a profile has at once; there are
	// three scopes.
	maxTokens = 8
)

// tokens are the access tokens of a profile, in locked memory, one for each
// combination of scopes. Whoever asks while one is being got waits for that.
type tokens struct {
	mu   sync.Mutex // guards what follows
	over bool
	all  map[string]*tokenState
	// busy is closed at the end of the refresh that is under way; nil: none is.
	busy chan struct{}
	// unsaved is a refresh token that could not be stored.
	unsaved secret.Bytes
	// unsent is the mark in the vault of a refresh that was begun and surely never sent.
	unsent int64
}

// tokenState is what is known for one combination of scopes.
type tokenState struct {
	bearer bearer
	flight *flight // nil: no exchange is under way
	// failed is why the last exchange failed; until pause, by the boot clock, that is
	// the answer.
	failed  error
	pause   time.Duration
	lastFor time.Duration
}

// bearer is one access token.
type bearer struct {
	token   secret.Bytes
	ends    time.Duration // by the boot clock
	expires int64         // Unix seconds
}

// fresh reports whether the token can be given out.
func (b bearer) fresh(now time.Duration) bool {
	return !b.token.IsZero() && now < b.ends
}

// flight is an exchange under way.
type flight struct {
	done chan struct{}
	err  error // once done is closed
}

// tokenKey names a combination of scopes, in the order of the profile's.
func tokenKey(scopes []string) string { return strings.Join(scopes, " ") }

// ask returns a token that is there, or the flight to wait for; with lead, the caller
// is the one who has to make the exchange and call land. After a failure the error is
// that of the last exchange for a while.
func (t *tokens) ask(key string, now time.Duration) (b bearer, f *flight, lead bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		return bearer{}, nil, false, errReplaced
	}
	s := t.all[key]
	if s == nil {
		if len(t.all) == maxTokens {
			return bearer{}, nil, false, ErrBusy
		}
		s = &tokenState{}
		if t.all == nil {
			t.all = make(map[string]*tokenState)
		}
		t.all[key] = s
	}
	switch {
	case s.bearer.fresh(now):
		return s.bearer, nil, false, nil
	case s.flight != nil:
		return bearer{}, s.flight, false, nil
	case s.failed != nil && now < s.pause:
		return bearer{}, nil, false, s.failed
	}
	s.flight = &flight{done: make(chan struct{})}
	return bearer{}, s.flight, true, nil
}

// land ends a flight with what came of it. It owns the token. A token for a profile
// that was locked or replaced meanwhile is dropped. One that has ended on its way is a
// failure: whoever waits would make the next exchange at once, and so on.
func (t *tokens) land(key string, b bearer, err error, now time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil && !b.fresh(now) {
		err = refuse(ErrNetSuite, pb.CodeNetSuite, "no access token", "the one that came had ended when it arrived", "try again, and look at the clock:  nsagent doctor")
		b.token.Destroy()
	}
	s := t.all[key]
	if t.over || s == nil || s.flight == nil {
		b.token.Destroy()
		return
	}
	f := s.flight
	s.flight, f.err = nil, err
	if err != nil {
		s.lastFor = min(max(2*s.lastFor, shortestPause), longestPause)
		s.failed, s.pause = err, now+s.lastFor
	} else {
		s.bearer.token.Destroy()
		s.bearer, s.failed, s.lastFor = b, nil, 0
	}
	close(f.done)
}

// forget drops the token that is kept, and how the last exchange failed: whoever asks next
// makes an exchange, unless one is under way.
func (t *tokens) forget(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.all[key]; s != nil && s.flight == nil {
		s.bearer.token.Destroy()
		delete(t.all, key)
	}
}

// destroy wipes every token and sends away who waits. Nothing can be asked afterwards.
func (t *tokens) destroy() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
	for _, s := range t.all {
		s.bearer.token.Destroy()
		if s.flight != nil {
			s.flight.err = errReplaced
			close(s.flight.done)
		}
	}
	t.all = nil
	t.unsaved.Destroy()
	t.unsaved = secret.Bytes{}
}

// keep gives out b until it ends.
func (t *tokens) keep(key string, b bearer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all = map[string]*tokenState{key: {bearer: b}}
}

// setBusy says that a refresh is under way, or none any more. It is false where the
// profile was replaced.
func (t *tokens) setBusy(busy chan struct{}) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.over {
		t.busy = busy
	}
	return !t.over
}

// refreshing returns what is closed at the end of the refresh that is under way.
func (t *tokens) refreshing() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.busy
}

// setUnsaved takes over a refresh token that could not be stored; the zero Bytes: there is
// none any more.
func (t *tokens) setUnsaved(token secret.Bytes) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		token.Destroy()
		return
	}
	t.unsaved.Destroy()
	t.unsaved = token
}

// setUnsent notes that the refresh with this mark was never sent; isUnsent tells.
func (t *tokens) setUnsent(mark int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unsent = mark
}

func (t *tokens) isUnsent(mark int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.unsent == mark
}

// inherit takes over from old a refresh token that could not be stored: old is replaced,
// and its credential is not.
func (t *tokens) inherit(old *tokens) {
	old.mu.Lock()
	token := old.unsaved
	old.unsaved = secret.Bytes{}
	old.mu.Unlock()
	if !token.IsZero() {
		t.setUnsaved(token)
	}
}

// unsavedCopy returns a copy of that token, or the zero Bytes.
func (t *tokens) unsavedCopy(arena *secret.Arena) (secret.Bytes, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.unsaved.IsZero() {
		return secret.Bytes{}, nil
	}
	return arena.Clone(t.unsaved)
}
