package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/nsagent/nsagent/agent/gateway"
	"github.com/nsagent/nsagent/agent/policy"
	"github.com/nsagent/nsagent/internal/secret"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/signer"
)

// exchangeTime is how long one exchange may take.
const exchangeTime = 30 * time.Second

// maxAccessToken is the longest access token that is taken, in bytes. NetSuite's have
// about 1,000.
const maxAccessToken = 16 << 10

// AccessToken gets an access token, or gives out the one that is there.
func (s signerService) AccessToken(ctx context.Context, q *pb.AccessTokenRequest) (*pb.AccessTokenResponse, error) {
	r, err := s.accessToken(ctx, callerOf(ctx), q)
	return r, s.reply(err)
}

func (a *Agent) accessToken(ctx context.Context, c *caller, q *pb.AccessTokenRequest) (out *pb.AccessTokenResponse, err error) {
	defer func() { c.by().count(err) }()
	u := use{caller: c, kind: policy.KindToken, name: q.GetProfile(), scopes: q.GetScopes(), check: func(p *live) error {
		if err := p.checkScopes(q.GetScopes()); err != nil {
			return err
		}
		return p.needsConsent()
	}}
	for looked := false; ; {
		s, p, err := a.authorize(ctx, &u)
		if err == nil {
			out, err = a.tokenOf(ctx, s, p, p.scopesOf(q.GetScopes()))
			a.endUse(&u)
			if err == nil { // it may have taken long, and the right may be over
				err = a.admit(c)
			}
			if err == nil {
				return out, nil
			}
			if errors.Is(err, errReplaced) {
				continue
			}
			err = a.failed(&u, p, err)
		}
		if looked || !errors.Is(err, ErrConsent) || !a.lookAgain(ctx, u.name) {
			return nil, err
		}
		looked = true // somebody logged in by another agent on this vault
	}
}

// tokenOf returns the access token of p for scopes to a caller.
func (a *Agent) tokenOf(ctx context.Context, s *session, p *live, scopes []string) (out *pb.AccessTokenResponse, err error) {
	err = a.withToken(ctx, s, p, scopes, func(b bearer) error {
		out, err = p.response(b, scopes)
		return err
	})
	return out, err
}

// authorization returns the value of an Authorization header with the access token of p
// for scopes, for a request of the agent's own. The caller destroys it.
func (a *Agent) authorization(ctx context.Context, s *session, p *live, scopes []string) (out secret.Bytes, err error) {
	err = a.withToken(ctx, s, p, scopes, func(b bearer) error {
		out, err = a.bearer(b.token)
		if errors.Is(err, secret.ErrDestroyed) {
			return errReplaced
		}
		return err
	})
	return out, err
}

// withToken calls use with the access token of p for scopes: the one that is kept, or a
// new one, for which however many callers wait. The error may be errReplaced.
func (a *Agent) withToken(ctx context.Context, s *session, p *live, scopes []string, use func(bearer) error) error {
	key := tokenKey(scopes)
	for {
		var wait *flight
		err := a.useProfile(s, p, func(p *live) error {
			b, f, lead, err := p.tokens.ask(key, a.boottime())
			switch {
			case err != nil:
				return err
			case f == nil:
				return use(b)
			case lead:
				go a.exchange(s, p, scopes)
			}
			wait = f
			return nil
		})
		if err != nil || wait == nil {
			return err
		}
		select {
		case <-wait.done:
		case <-ctx.Done():
			return refuse(errors.Join(ErrNetwork, ctx.Err()), pb.CodeNetwork, fmt.Sprintf("no access token for profile %q yet", p.Name), "the caller did not wait for it", "try again")
		}
		if wait.err != nil {
			return wait.err
		}
	}
}

// response copies a token out for the caller, who asked for it.
func (l *live) response(b bearer, scopes []string) (*pb.AccessTokenResponse, error) {
	out := &pb.AccessTokenResponse{
		TokenType: "Bearer", ExpiresAt: b.expires, Scopes: scopes,
		Account: l.Account, Profile: l.Name, Environment: l.identity.Account.Environment(),
	}
	err := b.token.Use(func(p []byte) error {
		out.AccessToken = string(p) // leaves by design
		return nil
	})
	if errors.Is(err, secret.ErrDestroyed) {
		return nil, errReplaced // another took its place since
	}
	return out, err
}

// exchange gets an access token for all who wait for it. Its time is for the waits before
// a refresh token is sent: from then on the answer is waited for (network.exchange).
func (a *Agent) exchange(s *session, p *live, scopes []string) {
	ctx, cancel := s.line.during(context.Background(), exchangeTime+launchTime)
	defer cancel()
	defer a.arena.ReleaseMemory()
	var b bearer
	err := a.exchanging(p, p.tokenEndpoint(), func() (err error) {
		if b, err = a.newToken(ctx, s, p, scopes); err != nil {
			err = s.line.cause(err)
		}
		return err
	})
	p.tokens.land(tokenKey(scopes), b, err, a.boottime())
}

// newToken makes one exchange; a second one where the first surely did no harm: the
// gateway was gone or the connection stale, or the clock of this machine was wrong and
// is known now.
func (a *Agent) newToken(ctx context.Context, s *session, p *live, scopes []string) (bearer, error) {
	try := func() (bearer, bool, error) { return a.tryExchange(ctx, s, p, scopes) }
	if p.Auth == authCode {
		try = func() (bearer, bool, error) { return a.refresh(ctx, s, &p) }
	}
	b, again, err := try()
	if err != nil && again && ctx.Err() == nil {
		b, _, err = try()
	}
	return b, err
}

// tryExchange posts one assertion to the token endpoint.
//
// Source: NetSuite Help, "POST Request to the Token Endpoint and the Access Token
// Response"; RFC 7523 section 2.2.
func (a *Agent) tryExchange(ctx context.Context, s *session, p *live, scopes []string) (b bearer, again bool, err error) {
	var assertion string
	err = a.useProfile(s, p, func(p *live) error {
		var err error
		assertion, err = signer.Assertion(p.claims(scopes, a.timeFor(p)), p.key, rand.Reader)
		return err
	})
	if err != nil {
		return bearer{}, false, err
	}
	receiver, err := a.arena.NewReceiver()
	if err != nil {
		return bearer{}, false, err
	}
	defer receiver.Destroy()
	form := url.Values{
		"grant_type": {"client_credentials"}, "client_assertion": {assertion},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
	}
	begin := a.boottime()
	answer, err := a.network.doFor(ctx, s, gateway.Job{
		Method: http.MethodPost, URL: p.tokenEndpoint(), CA: p.CA, Milliseconds: exchangeTime.Milliseconds(),
		ContentType: gateway.Form, Read: gateway.ReadObject, Keep: []string{"error", "expires_in"},
		Seal: []gateway.Sealing{{Member: "access_token", Key: receiver.PublicKey(), Instance: a.instance[:], Profile: p.Name}},
	}, gateway.Payload{Body: gateway.Plain(form.Encode())})
	if err != nil {
		return bearer{}, false, err
	}
	corrected := p.skew.learn(answer, a.clock(), a.boottime)
	a.shareSkew(s, p)
	if err := p.exchangeRefused(answer); err != nil {
		return bearer{}, corrected || answer.Failure == gateway.FailedGateway || answer.Failure == gateway.FailedCut, err
	}
	seconds, ok := answer.Seconds("expires_in")
	box := answer.Sealed["access_token"]
	if !ok || len(box) == 0 || len(box) > maxAccessToken {
		return bearer{}, false, refuse(ErrNetSuite, pb.CodeNetSuite, fmt.Sprintf("no access token for profile %q", p.Name), "the answer of the token endpoint lacks access_token or expires_in", "look at account and endpoint:  nsagent profile show "+p.Name)
	}
	life := time.Duration(seconds) * time.Second
	b = bearer{ends: begin + life - min(tokenMargin, life/2), expires: a.clock().Add(life - (a.boottime() - begin)).Unix()}
	b.token, err = receiver.Open(box, secret.SealContext{Instance: a.instance[:], Method: gateway.SealMethod, Profile: p.Name, Field: "access_token"})
	if err != nil {
		return bearer{}, false, fmt.Errorf("opening an access token: %w", err)
	}
	return b, false, nil
}

// checkScopes refuses scopes that are not the profile's.
func (l *live) checkScopes(scopes []string) error {
	for _, s := range scopes {
		if !slices.Contains(l.Scopes, s) {
			return refuse(policy.ErrDenied, pb.CodeDenied, fmt.Sprintf("profile %q has no scope %.40q", l.Name, s), "it has "+strings.Join(l.Scopes, ", "), "")
		}
	}
	return nil
}

// scopesOf returns the scopes asked for, each once, in the profile's order; none means
// all of the profile's, and so does any of an authcode profile: a refresh cannot ask for
// fewer than somebody has allowed.
func (l *live) scopesOf(asked []string) []string {
	if len(asked) == 0 || l.Auth == authCode {
		return l.Scopes
	}
	var out []string
	for _, s := range l.Scopes {
		if slices.Contains(asked, s) {
			out = append(out, s)
		}
	}
	return out
}
