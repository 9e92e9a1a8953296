package nstest

import (
	"sync"
	"time"
)

// account is an Account at work.
type account struct {
	Account
	label   string
	records *store

	mu      sync.Mutex // guards all below
	certs   []*certificate
	running int
	granted []Token // by the three-step flow
	asked   []askedToken
	codes   map[string]*grantedCode
	chains  map[string]*chain
	revoked map[string]bool  // token IDs
	emptied bool             // by a sandbox refresh: the configured tokens are gone
	highest map[string]int64 // timestamp by token, for GrowingTimestamps
	connect connectLock
}

const (
	maxGranted = 1000
	maxAsked   = 1000
)

func newAccount(a Account, settings Settings) *account {
	out := &account{Account: a, label: a.HostLabel, highest: map[string]int64{}, codes: map[string]*grantedCode{}, chains: map[string]*chain{}, revoked: map[string]bool{}}
	if out.label == "" {
		out.label = hostLabel(a.ID)
	}
	for _, c := range a.Certificates {
		out.certs = append(out.certs, newCertificate(c, settings.LongCertificates))
	}
	n := a.Customers
	if n <= 0 {
		n = 3
	}
	out.records = newStore(min(n, maxCustomers))
	for _, r := range a.RequestTokens {
		out.asked = append(out.asked, askedToken{RequestToken: r})
	}
	return out
}

// enter takes one of the places for requests that run at once.
func (a *account) enter() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.Concurrency > 0 && a.running >= a.Concurrency {
		return false
	}
	a.running++
	return true
}

func (a *account) leave() {
	a.mu.Lock()
	a.running--
	a.mu.Unlock()
}

func (a *account) delay() time.Duration {
	return time.Duration(a.DelayMS) * time.Millisecond
}

func (a *account) integration(consumerKey string) (Integration, bool) {
	for _, i := range a.Integrations {
		if i.ConsumerKey == consumerKey {
			return i, true
		}
	}
	return Integration{}, false
}

func (a *account) token(tokenID string) (Token, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	known := a.granted
	if !a.emptied {
		known = append(append([]Token{}, a.Tokens...), a.granted...)
	}
	for _, t := range known {
		if t.TokenID == tokenID {
			t.Revoked = t.Revoked || a.revoked[tokenID]
			return t, true
		}
	}
	return Token{}, false
}

// revokeToken makes a token inactive for good.
func (a *account) revokeToken(tokenID string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.revoked[tokenID] = true
}

// empty takes from the account what a sandbox refresh takes: tokens,
// certificates and authorizations. Integration records stay.
func (a *account) empty() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.emptied = true
	a.certs, a.granted, a.asked = nil, nil, nil
	a.codes, a.chains, a.revoked = map[string]*grantedCode{}, map[string]*chain{}, map[string]bool{}
}

// grows says whether timestamp is not below the highest one of the token, and
// remembers it.
func (a *account) grows(tokenID string, timestamp int64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if timestamp < a.highest[tokenID] {
		return false
	}
	a.highest[tokenID] = timestamp
	return true
}
