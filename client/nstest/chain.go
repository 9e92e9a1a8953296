package nstest

import "time"

const (
	maxChains = 1000
	maxCodes  = 1000
	codeLife  = 60 * time.Second // NetSuite publishes no figure
	scopeMCP  = "mcp"
)

// grantedCode is an authorization code and what it was given out for.
type grantedCode struct {
	code        string
	clientID    string
	redirectURI string
	challenge   string // empty: without PKCE
	user        User
	scopes      []string
	expires     time.Time
	tried       bool   // a code is good for one try
	chain       string // what that try began
}

// chain is an authorization that a user gave: one refresh token, or a row of
// them in which each replaces the one before.
type chain struct {
	id       string
	clientID string
	user     User
	scopes   []string
	refresh  string // ID of the refresh token that is good now
	expires  time.Time
	ends     time.Time // no refresh token lives longer
	ended    bool      // revoked, or a one-use token came twice
}

// addCode keeps a code, having dropped those too old.
func (a *account) addCode(c *grantedCode, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for text, old := range a.codes {
		// Codes that were used stay known for an hour, so that a second use is noticed.
		if now.After(old.expires.Add(time.Hour)) {
			delete(a.codes, text)
		}
	}
	if len(a.codes) >= maxCodes {
		return false
	}
	a.codes[c.code] = c
	return true
}

// tryCode takes a code for its only try. If it was tried before, what it began
// ends.
//
// Source: RFC 6749 section 4.1.2.
func (a *account) tryCode(text string, now time.Time) (grantedCode, *refusal) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.codes[text]
	switch {
	case c == nil:
		return grantedCode{}, mistaken(ReasonInvalidGrant, "code-unknown", "there is no such code in this account")
	case c.tried:
		if begun := a.chains[c.chain]; begun != nil {
			begun.ended = true
		}
		return grantedCode{}, mistaken(ReasonInvalidGrant, "code-used-twice", "a code is good once; the tokens of its first use are revoked")
	}
	c.tried = true
	if !now.Before(c.expires) {
		return grantedCode{}, mistaken(ReasonInvalidGrant, "code-expired", "the code has expired")
	}
	return *c, nil
}

// begin starts the chain of a code.
func (a *account) begin(c *chain, code string, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, old := range a.chains {
		// The access tokens of a chain live longer than its refresh token may.
		if now.After(old.ends.Add(30 * 24 * time.Hour)) {
			delete(a.chains, id)
		}
	}
	if len(a.chains) >= maxChains {
		return false
	}
	a.chains[c.id] = c
	if from := a.codes[code]; from != nil {
		from.chain = c.id
	}
	return true
}

// useRefreshToken takes a refresh token, and where next is not empty puts next in
// its place until expires. A token that was replaced before ends the chain, unless
// it is to be kept.
func (a *account) useRefreshToken(t issued, next string, expires time.Time, keep bool) (chain, *refusal) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.chains[t.chain]
	switch {
	case c == nil || c.ended:
		return chain{}, mistaken(ReasonTokenBlocked, "authorization-ended", "the authorization was revoked, or one of its refresh tokens was used twice")
	case c.refresh != t.id:
		c.ended = !keep
		return chain{}, mistaken(ReasonTokenBlocked, "refresh-token-used-twice", "this refresh token was used before, and is good once")
	}
	if next != "" {
		if expires.After(c.ends) {
			expires = c.ends
		}
		c.refresh, c.expires = next, expires
	}
	return *c, nil
}

func (a *account) endChain(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c := a.chains[id]; c != nil {
		c.ended = true
	}
}

func (a *account) chainAlive(id string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.chains[id]
	return c != nil && !c.ended
}
