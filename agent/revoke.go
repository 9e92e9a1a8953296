package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/nsagent/nsagent/agent/gateway"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/signer"
)

// revokeAtNetSuite ends at NetSuite what p stands for, so that a copy of it is worth
// nothing any more. The caller holds its turn to change the vault.
func (a *Agent) revokeAtNetSuite(ctx context.Context, s *session, p *live) error {
	what := fmt.Sprintf("profile %q was not revoked at NetSuite", p.Name)
	var err error
	switch p.Auth {
	case authCode:
		err = a.revokeConsent(ctx, s, p)
	case authTBA:
		err = a.revokeToken(ctx, p)
	case authM2M:
		err = a.revokeCertificates(ctx, p)
	default:
		return refuse(ErrKind, pb.CodeRequest, what, "of a profile with auth "+p.Auth+" there is no token that NetSuite could revoke", "")
	}
	if r := (*Refusal)(nil); errors.As(err, &r) {
		return refuse(r.cause, r.Code, what, r.Why, r.Next)
	}
	return err
}

// revokeCertificates revokes the certificates of p that are still to be revoked, and then
// its own, which the others are revoked with.
func (a *Agent) revokeCertificates(ctx context.Context, p *live) error {
	for _, r := range p.Retired {
		if err := a.revokeCertificate(ctx, p.Name, r.ID); err != nil {
			return err
		}
	}
	return a.revokeCertificate(ctx, p.Name, p.CertificateID)
}

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
	defer refreshToken.Destroy()
	if refreshToken.IsZero() {
		return nil // there is nothing that NetSuite would take
	}
	job := p.tokenJob(strings.TrimSuffix(p.tokenEndpoint(), "/token") + "/revoke")
	job.Read, job.Keep = gateway.ReadObject, []string{"error"}
	answer, err := a.postAs(ctx, p, clientSecret, job, formField{name: "token", secret: refreshToken})
	if err != nil {
		return err
	}
	if answer.Failure == gateway.FailedNothing && (answer.Status == http.StatusOK || answer.Status == http.StatusNoContent) {
		return nil
	}
	return p.exchangeRefused(answer)
}

// menuOfTokens is where an administrator ends a token by hand.
const menuOfTokens = "revoke it by hand:  Setup > Users/Roles > Access Tokens"

// revokeToken has a TBA token revoke itself.
//
// Source: NetSuite Help, "Issue Token and Revoke Token REST Services for Token-based
// Authentication", which says that the endpoint exists, for one's own tokens, and not what
// it takes: a request that the token has signed, and that names it, is what makes sense.
func (a *Agent) revokeToken(ctx context.Context, p *live) error {
	t, err := signer.ParseTarget(p.url("restlets.api", "/rest/revoketoken") + "?" + url.Values{"consumerKey": {p.ConsumerKey}, "token": {p.TokenID}}.Encode())
	if err != nil {
		return err
	}
	signed, err := signer.Sign(p.identity, signer.Request{Method: http.MethodPost, Target: t}, rand.Text(), a.timeFor(p).Unix(), p.mac)
	if err != nil {
		return err
	}
	answer, err := a.network.do(ctx, gateway.Job{
		Method: signed.Method, URL: signed.URL, CA: p.CA, Milliseconds: exchangeTime.Milliseconds(), Read: gateway.ReadText,
	}, gateway.Payload{Authorization: gateway.Plain(signed.Authorization)})
	switch {
	case err != nil:
		return err
	case answer.Failure != gateway.FailedNothing:
		return unreached(answer.Failure, "", hostOf(signed.URL))
	case answer.Status == http.StatusOK || answer.Status == http.StatusNoContent:
		return nil
	}
	return refuse(ErrNetSuite, pb.CodeNetSuite, "", fmt.Sprintf("the account does not let a token revoke itself (HTTP %d)", answer.Status), menuOfTokens)
}
