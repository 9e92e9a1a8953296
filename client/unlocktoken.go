package client

import (
	"errors"
	"sync"

	"github.com/nsagent/nsagent/internal/tokenenv"
	"github.com/nsagent/nsagent/internal/unlocktoken"
)

// WithUnlockToken shows this unlock token on every connection, in the place of one that the
// environment names. text is read during Dial, and stays the caller's, who wipes it.
func WithUnlockToken(text []byte) Option {
	return func(o *options) {
		o.token = func() (*unlocktoken.Token, error) {
			t, err := tokenenv.Parse(text, "WithUnlockToken")
			return t, asError(err)
		}
	}
}

// WithoutUnlockToken shows no token, also where the environment names one: what is asked
// for is asked for by the user's own right.
func WithoutUnlockToken() Option {
	return func(o *options) { o.token = func() (*unlocktoken.Token, error) { return nil, nil } }
}

// readToken reads the token that is to be shown, and gives o a copy of its own.
func (o *options) readToken() error {
	from := o.token
	ambient, err := ambientToken() // whatever is shown, no child inherits one
	job, errOfJob := ambientIDToken()
	if from == nil {
		from = func() (*unlocktoken.Token, error) { return ambient.Clone(), err }
	}
	if o.unlockToken, err = from(); err != nil {
		return err
	}
	if o.idToken == nil {
		o.idToken = job
	}
	return errOfJob
}

// UnlockTokenNamed reports whether the environment of this process names an unlock token,
// or did when it started. What talks to the agent past this package must not do so then:
// it would have the right of the user, and not that of the token.
func UnlockTokenNamed() bool {
	t, err := ambientToken()
	return t != nil || err != nil
}

// ambientToken returns the unlock token that the environment of this process names; nil
// where it names none. The variables are removed when they are first looked at, so that no
// child gets them, and what they said holds for every later Dial: a process that was given
// a token never goes on without it. That is why this is the state of a process.
var ambientToken = sync.OnceValues(func() (*unlocktoken.Token, error) {
	text, from, err := readNamed(tokenenv.UnlockToken())
	if err != nil || from == "" {
		return nil, err
	}
	defer clear(text)
	t, err := tokenenv.Parse(text, from)
	return t, asError(err)
})

// readNamed returns the text of the token of a kind that the environment names, with its line
// end, and the variable that names it; "" where none does.
func readNamed(kind tokenenv.Kind) (text []byte, from string, err error) {
	source, err := kind.Take()
	if source == nil {
		return nil, "", asError(err)
	}
	text, err = source.Read()
	return text, source.Variable, asError(err)
}

// asError returns err in the form for callers.
func asError(err error) error {
	if e, ok := errors.AsType[*tokenenv.Error](err); ok {
		return &Error{Code: e.Code, Message: e.Message, Why: oneLine(e.Why), Next: e.Next, cause: e.Cause}
	}
	return err
}
