package agent

import (
	"fmt"
	"sync/atomic"

	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/signer"
)

// live is a profile that can sign: its metadata and a handle on its key in the
// arena.
type live struct {
	*profile
	identity signer.Identity
	// endpoint is nil where NetSuite's own hosts are meant.
	endpoint *signer.Target
	// mac is set for tba, key for m2m, neither for authcode and secret.
	mac *secret.HMACKey
	key *secret.PrivateKey
	// tokens are the access tokens of an m2m or authcode profile.
	tokens *tokens
	// skew is what is known of NetSuite's clock.
	skew skew
	// lastUsed is in Unix seconds; zero means never.
	lastUsed atomic.Int64
	// replaced is set, under the agent's lock, when another took its place or it was
	// removed. A use that was decided on before that is decided on again.
	replaced bool
}

// newLive makes the handle from what the vault holds. It owns signOnly from here
// on: HMAC midstates for tba, the private key's DER for m2m, nothing of use for secret.
func newLive(arena *secret.Arena, p *profile, signOnly secret.Bytes) (*live, error) {
	l, err := describe(p)
	if err != nil {
		signOnly.Destroy()
		return nil, err
	}
	switch p.Auth {
	case authM2M:
		l.key, err = arena.NewPrivateKey(signOnly)
	case authCode, authSecret:
		signOnly.Destroy() // nothing is made from it
	default:
		l.mac, err = arena.ResumeHMACKey(signOnly)
	}
	if err != nil {
		return nil, fmt.Errorf("opening profile %q: %w", p.Name, err)
	}
	return l, nil
}

// describe returns a live profile that has no key yet.
func describe(p *profile) (*live, error) {
	account, err := signer.ParseAccount(p.Account)
	if err != nil {
		return nil, fmt.Errorf("opening profile %q: %w", p.Name, err)
	}
	l := &live{profile: p, tokens: &tokens{}, identity: signer.Identity{Account: account, ConsumerKey: p.ConsumerKey, TokenID: p.TokenID}}
	if p.Endpoint != "" {
		t, err := signer.ParseEndpoint(p.Endpoint)
		if err != nil {
			return nil, fmt.Errorf("opening profile %q: %w", p.Name, err)
		}
		l.endpoint = &t
	}
	return l, nil
}

// with returns a live profile of other metadata that takes over the key of l.
func (l *live) with(p *profile) (*live, error) {
	next, err := describe(p)
	if err != nil {
		return nil, err
	}
	next.mac, next.key = l.mac, l.key
	return next, nil
}

// supersede marks l as replaced by another, or removed. The caller holds the agent's
// lock.
func (l *live) supersede() {
	l.replaced = true
	l.tokens.destroy()
}

func (l *live) destroy() {
	l.tokens.destroy()
	if l.mac != nil {
		l.mac.Destroy()
	}
	if l.key != nil {
		l.key.Destroy()
	}
}

// tokenEndpoint returns the URL of the account's OAuth 2.0 token endpoint
// (NetSuite Help, "POST Request to the Token Endpoint").
func (l *live) tokenEndpoint() string {
	return l.url("suitetalk.api", "/services/rest/auth/oauth2/v1/token")
}

// url returns a URL of the account: on the host of a service, such as suitetalk.api, or on
// the endpoint that stands for all of them.
func (l *live) url(service, path string) string {
	if l.endpoint != nil {
		return l.endpoint.Origin() + path
	}
	return "https://" + l.identity.Account.HostLabel() + "." + service + ".netsuite.com" + path
}
