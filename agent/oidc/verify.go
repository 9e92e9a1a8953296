package oidc

import (
	"context"
	"fmt"
	"time"

	"github.com/nsagent/nsagent/internal/secret"
)

// Config is what a Verifier works with. All of it is required.
type Config struct {
	// Issuers are known beside the presets; one of the same URL takes a preset's place.
	Issuers []Issuer
	// Do has the gateway fetch keys.
	Do Do
	// Boottime is the clock of caches.
	Boottime func() time.Duration
}

// Verifier verifies ID tokens. It is safe for concurrent use.
type Verifier struct {
	sources map[string]*source // by the URL of the issuer
}

// New returns a Verifier. The error wraps ErrConfig or ErrKeys.
func New(cfg Config) (*Verifier, error) {
	v := &Verifier{sources: make(map[string]*source)}
	for _, i := range Presets() {
		v.sources[i.URL] = nil
	}
	for _, i := range append(cfg.Issuers, Presets()...) {
		if v.sources[i.URL] != nil {
			continue
		}
		s, err := newSource(i, cfg.Do, cfg.Boottime)
		if err != nil {
			return nil, fmt.Errorf("issuer %.100q: %w", i.URL, err)
		}
		v.sources[i.URL] = s
	}
	return v, nil
}

// Issuer returns the issuer of that URL whose tokens v verifies; the zero Issuer where it
// verifies none of its.
func (v *Verifier) Issuer(url string) Issuer {
	if s := v.sources[url]; s != nil {
		return s.Issuer
	}
	return Issuer{}
}

// Verify returns what a token says that is good now and for audience alone. token stays
// the caller's. That the identity was not used before, the caller sees to.
//
// The error is a *Refused, ctx's, one of the arena, or wraps ErrKeys where the issuer's
// keys were not to be had.
func (v *Verifier) Verify(ctx context.Context, token secret.Bytes, audience string, now time.Time) (*Identity, error) {
	o, err := peek(token)
	if err != nil {
		return nil, err
	}
	s := v.sources[o.issuer]
	if s == nil {
		return nil, refuse(ErrIssuer, fmt.Sprintf("nobody configured its issuer %.100q", o.issuer))
	}
	key, err := s.key(ctx, o.key)
	if err != nil {
		return nil, err
	}
	claims, err := verify(token, o, key)
	if err != nil {
		return nil, err
	}
	return newIdentity(claims, o, audience, now)
}
