package client

import (
	"bytes"
	"sync"

	"github.com/nsagent/nsagent/internal/tokenenv"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// WithIDToken shows this ID token of a CI job (OpenID Connect) together with the unlock
// token, in the place of one that the environment names. It is good for one connection:
// where that ends, another token is needed. text is copied, and the copy wiped after use.
func WithIDToken(text []byte) Option {
	return func(o *options) { o.idToken = &idToken{text: bytes.Clone(text)} }
}

// idToken is the ID token of a job, which an agent takes once. A nil one is none.
type idToken struct {
	mu    sync.Mutex // guards what follows
	text  []byte
	taken bool
}

// take returns the text, which the caller wipes; nil where there is none.
func (t *idToken) take() ([]byte, error) {
	if t == nil {
		return nil, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.taken {
		return nil, &Error{Code: pb.CodeGrant, Message: "the ID token of the job was used already", Why: "it is good for one connection, and that ended", Next: "get another from the CI service, and start again"}
	}
	t.taken = true
	text := t.text
	t.text = nil
	return text, nil
}

// ambientIDToken returns the ID token that the environment of this process names; nil
// where it names none. As ambientToken it takes the variables away and is the state of a
// process.
var ambientIDToken = sync.OnceValues(readIDToken)

func readIDToken() (*idToken, error) {
	text, from, err := readNamed(tokenenv.IDToken())
	if err != nil || from == "" {
		return nil, err
	}
	return &idToken{text: bytes.TrimRight(text, "\r\n")}, nil
}
