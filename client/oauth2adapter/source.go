// Package oauth2adapter gives programs that use golang.org/x/oauth2 the access tokens
// of an M2M profile, so that they hold no secret.
//
// The agent keeps each token until shortly before its end and makes one exchange for
// however many programs. What the user must still do: keep the tokens to themselves,
// which carry all rights of the role for up to an hour.
package oauth2adapter

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/oauth2"

	"github.com/nsagent/nsagent/client"
)

// source asks the agent for each token.
type source struct {
	ctx     context.Context
	client  *client.Client
	request client.AccessTokenRequest
}

// TokenSource returns the access tokens of a profile. ctx is that of all its calls, as
// in clientcredentials.Config.TokenSource. It is safe for concurrent use and needs no
// oauth2.ReuseTokenSource around it: a token that the agent keeps takes no exchange.
//
// The errors of Token are those of client.Client.AccessToken.
func TokenSource(ctx context.Context, c *client.Client, r client.AccessTokenRequest) oauth2.TokenSource {
	return &source{ctx, c, r}
}

// Token returns a token that is good for a minute at least, or half of its life.
func (s *source) Token() (*oauth2.Token, error) {
	r, err := s.client.AccessToken(s.ctx, s.request)
	if err != nil {
		return nil, fmt.Errorf("getting an access token: %w", err)
	}
	return &oauth2.Token{AccessToken: r.GetAccessToken(), TokenType: r.GetTokenType(), Expiry: time.Unix(r.GetExpiresAt(), 0)}, nil
}
