package command

import (
	"strings"

	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/term"
)

// questions ask for a profile at a terminal. Behind one that was not answered, no more
// are asked.
type questions struct {
	t     *term.TTY
	arena *secret.Arena
	draft *draft
	err   error
}

// line asks for something public.
func (q *questions) line(to *string, prompt string) {
	if q.err == nil {
		*to, q.err = q.t.Line(prompt)
	}
}

// hidden asks for a secret.
func (q *questions) hidden(field, prompt string) {
	if q.err == nil {
		q.draft.secrets[field], q.err = q.t.Secret(q.arena, prompt, maxPassphrase)
	}
}

// or asks for something public that has a usual value.
func (q *questions) or(to *string, prompt, usual string) {
	q.line(to, prompt+" ["+usual+"]: ")
	if *to == "" {
		*to = usual
	}
}

// scopes asks for the scopes of an OAuth 2.0 client.
func (q *questions) scopes() {
	var line string
	q.or(&line, "Scopes, separated by blanks", "rest_webservices restlets")
	q.draft.profile.Scopes = strings.Fields(line)
}

// client asks for the client of an authorization code grant.
func (q *questions) client() {
	q.line(&q.draft.profile.ClientId, "Client ID: ")
	q.hidden("client_secret", "Client secret (not shown; empty for a public client): ")
}

// consumer asks for the integration record of token-based authentication.
func (q *questions) consumer() {
	q.line(&q.draft.profile.ConsumerKey, "Consumer key: ")
	q.hidden("consumer_secret", "Consumer secret (not shown): ")
}

// answered returns the draft, or why there is none.
func (q *questions) answered() (*draft, error) {
	if q.err != nil {
		q.draft.destroy()
		return nil, q.err
	}
	return q.draft, nil
}
