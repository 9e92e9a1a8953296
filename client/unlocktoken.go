package client

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// Where an unlock token may come from, beside WithUnlockToken.
const (
	tokenVariable     = "NSAGENT_TOKEN"
	tokenFileVariable = "NSAGENT_TOKEN_FILE"
	tokenFDVariable   = "NSAGENT_TOKEN_FD"
)

// WithUnlockToken shows this unlock token on every connection, in the place of one that the
// environment names. text is read during Dial, and stays the caller's, who wipes it.
func WithUnlockToken(text []byte) Option {
	return func(o *options) {
		o.token = func() (*unlocktoken.Token, error) { return parseToken(text, "WithUnlockToken") }
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
	ambient, err := ambientToken() // whatever is shown, no child inherits it
	if from == nil {
		from = func() (*unlocktoken.Token, error) { return ambient.Clone(), err }
	}
	if o.unlockToken, err = from(); err != nil {
		return err
	}
	job, err := ambientIDToken() // likewise
	if o.idToken == nil {
		o.idToken = job
	}
	return err
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
	text, from, err := readAmbient()
	if err != nil || from == "" {
		return nil, err
	}
	defer clear(text)
	return parseToken(text, from)
})

// readAmbient returns the text of the token and the variable that it came from or by; ""
// where none is set. A variable that is set and empty is a mistake: the secret of a job is
// missing.
func readAmbient() (text []byte, from string, err error) {
	values := make(map[string]string)
	for _, name := range []string{tokenVariable, tokenFileVariable, tokenFDVariable} {
		if v, ok := os.LookupEnv(name); ok {
			values[name], from = v, name
			if err := os.Unsetenv(name); err != nil {
				return nil, "", fmt.Errorf("removing %s from the environment: %w", name, err)
			}
		}
	}
	switch {
	case len(values) > 1:
		return nil, "", &Error{Code: pb.CodeUsage, Message: "more than one unlock token is named", Why: "of NSAGENT_TOKEN, NSAGENT_TOKEN_FILE and NSAGENT_TOKEN_FD one counts", Next: "set one of them"}
	case from == "":
		return nil, "", nil
	case values[from] == "":
		return nil, "", emptyToken(from)
	case from == tokenVariable:
		return []byte(values[from]), from, nil
	}
	text, err = readSecret(from, values[from], from == tokenFDVariable, unlocktoken.MaxText, noToken)
	return text, from, err
}

// readSecret reads a token of at most max bytes, and a line end, from the file or the
// descriptor that a variable names. failed makes the error of what cannot be read.
func readSecret(variable, value string, descriptor bool, max int64, failed func(cause error, why string) *Error) ([]byte, error) {
	var f *os.File
	var err error
	if descriptor {
		fd, perr := strconv.ParseUint(value, 10, 16)
		if perr != nil {
			return nil, &Error{Code: pb.CodeUsage, Message: variable + " is not the number of a descriptor", Why: "it is a decimal number", cause: perr}
		}
		f = os.NewFile(uintptr(fd), variable)
	} else if f, err = os.Open(value); err != nil { // #nosec G304 -- named by the user
		return nil, failed(err, "the file that "+variable+" names cannot be read")
	}
	defer func() { _ = f.Close() }()
	b := make([]byte, max+3) // with a line end, and one more; one that grows leaves copies behind
	n, err := io.ReadFull(f, b)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		clear(b)
		return nil, failed(err, "what "+variable+" names cannot be read")
	}
	return b[:n], nil
}

// parseToken reads the text of a token, which may end in a line end.
func parseToken(text []byte, from string) (*unlocktoken.Token, error) {
	t, err := unlocktoken.Parse(bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r")))
	if err != nil {
		_, why, _ := strings.Cut(err.Error(), unlocktoken.ErrFormat.Error()+": ")
		if why == "" {
			why = "it is damaged, or a part is missing"
		}
		return nil, noToken(err, "in "+from+": "+why)
	}
	return t, nil
}

// emptyToken is the refusal to go on where a job was meant to have a token, and has none:
// there is nothing to unlock with.
func emptyToken(variable string) *Error {
	why := "the job has no such secret"
	if strings.HasPrefix(os.Getenv("GITHUB_EVENT_NAME"), "pull_request") {
		why = "GitHub does not pass secrets to workflows from forks"
	}
	return &Error{Code: pb.CodeLocked, Message: variable + " is set, and empty", Why: why, Next: "give it as a secret of the job:  nsagent help ci"}
}

func noToken(cause error, why string) *Error {
	return &Error{Code: pb.CodeGrant, Message: "the unlock token cannot be used", Why: oneLine(why), Next: "give it as it was printed, one line from nst1_ on", cause: cause}
}
