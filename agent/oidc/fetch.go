package oidc

import (
	"context"
	"crypto"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nsagent/nsagent/agent/gateway"
)

const (
	// keysLife is how long fetched keys are good: an issuer that withdraws one expects
	// no more.
	keysLife = time.Hour
	// fetchPause is the time between two fetches, whatever tokens name.
	fetchPause = 30 * time.Second
	fetchTime  = 10 * time.Second
	// renewTime bounds both fetches that it takes, and what has to start before.
	renewTime = 3 * fetchTime
)

// Do has a job done by the gateway.
type Do func(ctx context.Context, j gateway.Job, p gateway.Payload) (gateway.Answer, error)

// source is one issuer and its keys.
type source struct {
	Issuer
	do       Do
	boottime func() time.Duration

	// turn holds a value while somebody asks the issuer, or finds that it is too soon; it
	// guards tried, when that was last done by the boot clock, and once: that it was.
	turn  chan struct{}
	tried time.Duration
	once  bool

	mu      sync.Mutex    // guards what follows
	keys    keySet        // nil: none yet
	fetched time.Duration // when they came, by the boot clock
}

// newSource returns a source. The error is one of Issuer.Check.
func newSource(i Issuer, do Do, boottime func() time.Duration) (*source, error) {
	if err := i.Check(); err != nil {
		return nil, err
	}
	s := &source{Issuer: i, do: do, boottime: boottime, turn: make(chan struct{}, 1)}
	if i.JWKS != nil {
		var err error
		if s.keys, err = parseKeys(i.JWKS); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// key returns the key that a token names. Keys that are not pinned are fetched where the
// name is not known, at most once in fetchPause: what a token names is anybody's choice.
// Meanwhile those that are known are good, and who waits no more does not end it.
//
// The error is ctx's, one wrapping ErrKeys, or a *Refused with ErrKey.
func (s *source) key(ctx context.Context, name keyName) (crypto.PublicKey, error) {
	keys := s.known()
	if s.JWKS == nil && keys[name] == nil {
		if err := s.ask(ctx); err != nil {
			return nil, err
		}
		keys = s.known()
	}
	if keys == nil {
		return nil, fmt.Errorf("%w: %s could not be asked just now", ErrKeys, s.URL)
	}
	if key := keys[name]; key != nil {
		return key, nil
	}
	return nil, refuse(ErrKey, "its issuer "+s.URL+" has no such key")
}

// known returns the keys that are good now; nil: none.
func (s *source) known() keySet {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.JWKS == nil && s.boottime()-s.fetched > keysLife {
		s.keys = nil
	}
	return s.keys
}

// ask has the keys fetched, where it may, and waits for that.
func (s *source) ask(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	over := make(chan error, 1)
	go func() {
		defer func() { <-s.turn }()
		over <- s.renew(context.WithoutCancel(ctx))
	}()
	select {
	case err := <-over:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// renew fetches the keys, unless that was just done. Only one does at a time.
func (s *source) renew(ctx context.Context) error {
	now := s.boottime()
	if s.once && now-s.tried < fetchPause {
		return nil
	}
	s.once, s.tried = true, now
	ctx, cancel := context.WithTimeout(ctx, renewTime)
	defer cancel()
	keys, err := s.fetch(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys, s.fetched = keys, now
	return nil
}

// fetch asks the issuer for its keys (OpenID Connect Discovery 1.0, section 4).
func (s *source) fetch(ctx context.Context) (keySet, error) {
	a, err := s.get(ctx, strings.TrimSuffix(s.URL, "/")+"/.well-known/openid-configuration", []string{"issuer", "jwks_uri"})
	if err != nil {
		return nil, err
	}
	uri := a.Kept["jwks_uri"]
	if a.Kept["issuer"] != s.URL || !strings.HasPrefix(uri, "https://") || len(uri) > maxURL {
		return nil, fmt.Errorf("%w: %s says it is another issuer, or has its keys nowhere", ErrKeys, s.URL)
	}
	var members []string
	for i := range maxKeys {
		for _, m := range jwkMembers {
			members = append(members, "keys."+strconv.Itoa(i)+"."+m)
		}
	}
	if a, err = s.get(ctx, uri, members); err != nil {
		return nil, err
	}
	var keys []jwk
	for i := range maxKeys {
		m := func(name string) string { return a.Kept["keys."+strconv.Itoa(i)+"."+name] }
		keys = append(keys, jwk{m("kid"), m("kty"), m("use"), m("alg"), m("n"), m("e"), m("crv"), m("x"), m("y")})
	}
	return newKeySet(keys)
}

// get fetches members of a JSON object.
func (s *source) get(ctx context.Context, url string, members []string) (gateway.Answer, error) {
	a, err := s.do(ctx, gateway.Job{Method: http.MethodGet, URL: url, CA: s.CA, Milliseconds: fetchTime.Milliseconds(), Read: gateway.ReadObject, Keep: members}, gateway.Payload{})
	switch {
	case err != nil:
		return a, fmt.Errorf("%w: asking %s: %w", ErrKeys, s.URL, err)
	case a.Failure != gateway.FailedNothing:
		return a, fmt.Errorf("%w: %s was not reached (%s)", ErrKeys, s.URL, a.Failure)
	case a.Status != http.StatusOK || !a.Readable || !a.Verified:
		return a, fmt.Errorf("%w: %s answered %d, without them", ErrKeys, s.URL, a.Status)
	}
	return a, nil
}
