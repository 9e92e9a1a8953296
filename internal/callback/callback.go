// Package callback receives the answer of a consent page: the one request that a
// browser makes to the redirect URI of a login.
//
// Where the redirect URI leads to this machine, a Listener waits there for it, on
// the loopback interface and nowhere else, and shows the person a page that says
// what happened. Where it leads elsewhere, or the browser runs on another machine,
// the person pastes the address, and ParseURL reads it.
//
// A Listener believes nobody who does not know the state: other programs and other
// users of this machine, and any web page, can send requests to a loopback port.
// What they send is refused, with a page, and the login goes on waiting. It takes
// one callback. The user must compare the state again where it was made: the agent
// does.
//
// Source: RFC 6749 sections 4.1.2 and 10.12, RFC 8252 sections 7.3 and 8.3; NetSuite
// Help, "Step One GET Request to the Authorization Endpoint" and "Step Two" of the
// three-step TBA authorization flow.
package callback

import (
	"cmp"
	"context"
	"crypto/subtle"
	"sync"
	"time"
)

// Kind says which flow the callback belongs to.
type Kind int

const (
	// Code is the authorization code grant of OAuth 2.0.
	Code Kind = iota
	// Verifier is the three-step flow of token-based authentication.
	Verifier
)

// answerTime bounds how long the page waits for the outcome of the login.
const answerTime = 2 * time.Minute

// Callback is a callback with the right state. The page of its browser waits until
// Show is called, or the Listener is closed.
type Callback struct {
	// Answer is what came. Who has it wipes it.
	Answer *Answer

	once    sync.Once
	outcome chan Outcome
}

// Pasted returns a callback for an answer that a person has pasted. It has no page.
func Pasted(a *Answer) *Callback { return newCallback(a) }

func newCallback(a *Answer) *Callback { return &Callback{Answer: a, outcome: make(chan Outcome, 1)} }

// Show sends the page. Only the first call counts.
func (c *Callback) Show(o Outcome) { c.once.Do(func() { c.outcome <- o }) }

// Config says what a Listener listens for.
type Config struct {
	// RedirectURI is where the browser is sent, such as
	// https://localhost:8765/callback. Port 0 stands for any free one.
	RedirectURI string
	// Refused is told of requests that were no callback of this login; nil if nobody
	// wants to know. It is called from many goroutines.
	Refused func(Refusal)

	read, answer time.Duration // zero means readTime and answerTime
}

// Listener waits at a redirect URI on this machine.
type Listener struct {
	redirect    redirect
	fingerprint string
	refused     func(Refusal)
	readTime    time.Duration
	answerTime  time.Duration
	server      *server
	got         chan *Callback
	closing     chan struct{}

	mu    sync.Mutex // guards what follows
	state []byte     // nil while no login is known
	taken bool
}

// Listen begins to listen. Over https it has a certificate of its own making, which
// the browser cannot know and asks about.
//
// The error wraps ErrRedirect, ErrElsewhere or ErrPortInUse, or is that of the system.
// The caller closes the Listener.
func Listen(c Config) (*Listener, error) {
	r, err := parseRedirect(c.RedirectURI)
	if err != nil {
		return nil, err
	}
	if !r.here() {
		return nil, ErrElsewhere
	}
	l := &Listener{
		refused: c.Refused, got: make(chan *Callback, 1), closing: make(chan struct{}),
		readTime: cmp.Or(c.read, readTime), answerTime: cmp.Or(c.answer, answerTime),
	}
	sockets, port, err := bind(r)
	if err != nil {
		return nil, err
	}
	l.redirect = r.withPort(port)
	if l.server, err = serve(l, sockets); err != nil {
		return nil, err
	}
	l.fingerprint = l.server.fingerprint
	return l, nil
}

// RedirectURI returns the redirect URI with the port that is listened on.
func (l *Listener) RedirectURI() string { return l.redirect.uri }

// Fingerprint returns the SHA-256 of the certificate in hexadecimal, in pairs with
// colons, as browsers show it; "" over http.
func (l *Listener) Fingerprint() string { return l.fingerprint }

// Expect says which state the callback has to have. Whatever came before is refused.
func (l *Listener) Expect(state string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state = []byte(state)
}

// Wait waits for the callback that is expected. The error is that of ctx, or ErrClosed.
func (l *Listener) Wait(ctx context.Context) (*Callback, error) {
	select {
	case c := <-l.got:
		return c, nil
	case <-l.closing:
		return nil, ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// claim takes the answer for the callback of this login if it is one, and if it is the
// first. Otherwise it says what it is.
func (l *Listener) claim(a *Answer) (*Callback, Refusal) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case len(l.state) == 0 || subtle.ConstantTimeCompare(l.state, []byte(a.State)) != 1:
		return nil, WrongState
	case l.taken:
		return nil, UsedAlready
	}
	l.taken = true
	c := newCallback(a)
	l.got <- c
	return c, ""
}

// await returns the outcome of a claimed callback.
func (l *Listener) await(ctx context.Context, c *Callback) Outcome {
	limit := time.NewTimer(l.answerTime)
	defer limit.Stop()
	select {
	case o := <-c.outcome:
		return o
	case <-ctx.Done(): // the browser has gone, and nobody reads the page
	case <-limit.C:
	case <-l.closing:
		select { // Show and Close in a row: the outcome counts
		case o := <-c.outcome:
			return o
		default:
		}
	}
	return Outcome{Result: Unfinished}
}

// Close stops listening. A page that waits is sent first.
func (l *Listener) Close() error {
	l.mu.Lock()
	select {
	case <-l.closing:
		l.mu.Unlock()
		return nil
	default:
		close(l.closing)
	}
	l.mu.Unlock()
	return l.server.close()
}
