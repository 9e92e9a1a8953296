package agent

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/nsagent/nsagent/agent/gateway"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/signer"
)

// revokeConsent revokes a refresh token and the access tokens that came by it.
//
// Source: NetSuite Help, "POST Request to the Revoke Token Endpoint".
func (a *Agent) revokeConsent(ctx context.Context, s *session, p *live) error {
	raw, err := s.vault.OpenRawIf(p.Name, p.isCurrent)
	if err != nil {
		return err
	}
	defer raw.Destroy()
	clientSecret, refreshToken, err := openCode(a.arena, raw)
	if err != nil {
		return err
	}
	defer clientSecret.Destroy()
	defer func() { refreshToken.Destroy() }()
	newer, err := p.tokens.unsavedCopy(a.arena)
	if err != nil {
		return err
	}
	if !newer.IsZero() { // the one in the vault is used up
		refreshToken.Destroy()
		refreshToken = newer
	}
	if refreshToken.IsZero() {
		return nil // there is nothing that NetSuite would take
	}
	job := p.tokenJob(strings.TrimSuffix(p.tokenEndpoint(), "/token") + "/revoke")
	job.Read, job.Keep = gateway.ReadObject, []string{"error"}
	answer, err := a.postAs(ctx, s, p, clientSecret, job, formField{name: "token", secret: refreshToken})
	if err != nil {
		return err
	}
	if answer.Failure == gateway.FailedNothing && (answer.Status == http.StatusOK || answer.Status == http.StatusNoContent) {
		return nil
	}
	return p.exchangeRefused(answer)
}

// errNotTaken means that NetSuite did not take a token that was to revoke itself: it may be
// revoked already.
var errNotTaken = fmt.Errorf("%w: token not taken", ErrNetSuite)

// menuOfTokens is where an administrator ends a token by hand.
const menuOfTokens = "revoke it by hand:  Setup > Users/Roles > Access Tokens"

// revokeToken has a TBA token revoke itself.
//
// Source: NetSuite Help, "Issue Token and Revoke Token REST Services for Token-based
// Authentication", which says that the endpoint exists, for one's own tokens, and not what
// it takes: a request that the token has signed, and that names it, is what makes sense.
func (a *Agent) revokeToken(ctx context.Context, s *session, p *live) error {
	t, err := signer.ParseTarget(p.url("restlets.api", "/rest/revoketoken") + "?" + url.Values{"consumerKey": {p.ConsumerKey}, "token": {p.TokenID}}.Encode())
	if err != nil {
		return err
	}
	signed, err := signer.Sign(p.identity, signer.Request{Method: http.MethodPost, Target: t}, rand.Text(), a.timeFor(p).Unix(), p.mac)
	if err != nil {
		return err
	}
	answer, err := a.network.doFor(ctx, s, gateway.Job{
		Method: signed.Method, URL: signed.URL, CA: p.CA, Milliseconds: exchangeTime.Milliseconds(), Read: gateway.ReadText,
	}, gateway.Payload{Authorization: gateway.Plain(signed.Authorization)})
	switch {
	case err != nil:
		return err
	case answer.Failure != gateway.FailedNothing:
		return unreached(answer.Failure, "", hostOf(signed.URL))
	case answer.Status == http.StatusOK || answer.Status == http.StatusNoContent:
		return nil
	case answer.Status == http.StatusUnauthorized:
		return refuse(errNotTaken, pb.CodeNetSuite, "", "NetSuite does not take the token itself (HTTP 401); it may be revoked already", menuOfTokens)
	}
	return refuse(ErrNetSuite, pb.CodeNetSuite, "", fmt.Sprintf("the account does not let a token revoke itself (HTTP %d)", answer.Status), menuOfTokens)
}
