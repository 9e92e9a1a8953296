package agent

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/nsagent/nsagent/agent/policy"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/signer"
)

const (
	// connectLife is how long NetSuite accepts a Connect password.
	connectLife = 5 * time.Minute
	// assertionLife is how long an assertion is good for: NetSuite allows less
	// than 60 minutes, and one exchange needs seconds.
	assertionLife = 5 * time.Minute
	// assertionSkew back-dates iat, since NetSuite refuses an assertion issued in
	// its future and publishes no leeway.
	assertionSkew = 10 * time.Second
	// soapVersion is the last SOAP endpoint that NetSuite plans.
	soapVersion = "2025_2"
)

// signerService serves nsagent.v1.Signer and the JSON form.
type signerService struct {
	pb.UnimplementedSignerServer
	*Agent
}

// Sign makes one OAuth 1.0 header.
func (s signerService) Sign(ctx context.Context, q *pb.SignRequest) (*pb.SignResponse, error) {
	r, err := s.sign(ctx, callerOf(ctx), q)
	return r, s.reply(err)
}

// Passport makes one TokenPassport.
func (s signerService) Passport(ctx context.Context, q *pb.PassportRequest) (*pb.PassportResponse, error) {
	r, err := s.passport(ctx, callerOf(ctx), q)
	return r, s.reply(err)
}

// ConnectPassword makes one Connect password.
func (s signerService) ConnectPassword(ctx context.Context, q *pb.ConnectPasswordRequest) (*pb.ConnectPasswordResponse, error) {
	r, err := s.connectPassword(ctx, callerOf(ctx), q)
	return r, s.reply(err)
}

// Assertion makes one client assertion.
func (s signerService) Assertion(ctx context.Context, q *pb.AssertionRequest) (*pb.AssertionResponse, error) {
	r, err := s.assertion(ctx, callerOf(ctx), q)
	return r, s.reply(err)
}

func (a *Agent) sign(ctx context.Context, c *caller, q *pb.SignRequest) (*pb.SignResponse, error) {
	method := q.GetMethod()
	if method == "" {
		method = "GET"
	}
	u := use{caller: c, kind: policy.KindSign, name: q.GetProfile(), method: strings.ToUpper(method)}
	target, err := signer.ParseTarget(q.GetUrl())
	if err != nil {
		u.fault = fmt.Errorf("reading the URL: %w", err)
	} else {
		u.target = &target
	}
	r := signer.Request{Method: method, Target: target, ContentType: q.GetContentType(), Form: q.GetBody()}
	u.form = r.SignedForm()

	var out *pb.SignResponse
	err = a.withProfile(ctx, u, func(p *live) error {
		h, err := signer.Sign(p.identity, r, rand.Text(), a.timeFor(p).Unix(), p.mac)
		if err != nil {
			return fmt.Errorf("signing for profile %q: %w", p.Name, err)
		}
		out = &pb.SignResponse{
			Authorization: h.Authorization, Method: h.Method, Url: h.URL, Account: p.Account, Profile: p.Name,
			Nonce: h.Nonce, Timestamp: h.Timestamp, Environment: p.identity.Account.Environment(),
		}
		return nil
	})
	return out, err
}

func (a *Agent) passport(ctx context.Context, c *caller, q *pb.PassportRequest) (*pb.PassportResponse, error) {
	version := q.GetVersion()
	if version == "" {
		version = soapVersion
	}
	var out *pb.PassportResponse
	err := a.withProfile(ctx, use{caller: c, kind: policy.KindPassport, name: q.GetProfile()}, func(p *live) error {
		t, err := signer.Passport(p.identity, rand.Text(), a.timeFor(p).Unix(), p.mac)
		xml := ""
		if err == nil {
			xml, err = t.XML(version, signer.ChildrenCore)
		}
		if err != nil {
			return fmt.Errorf("making a passport for profile %q: %w", p.Name, err)
		}
		out = &pb.PassportResponse{
			Account: t.Account, ConsumerKey: t.ConsumerKey, Token: t.TokenID, Nonce: t.Nonce, Timestamp: t.Timestamp,
			Signature: t.Signature, Algorithm: t.Algorithm, Profile: p.Name, Environment: p.identity.Account.Environment(), Xml: xml,
		}
		return nil
	})
	return out, err
}

func (a *Agent) connectPassword(ctx context.Context, c *caller, q *pb.ConnectPasswordRequest) (*pb.ConnectPasswordResponse, error) {
	var out *pb.ConnectPasswordResponse
	err := a.withProfile(ctx, use{caller: c, kind: policy.KindConnectPassword, name: q.GetProfile()}, func(p *live) error {
		now := a.timeFor(p)
		password, err := signer.ConnectPassword(p.identity, rand.Text(), now.Unix(), p.mac)
		if err != nil {
			return fmt.Errorf("making a Connect password for profile %q: %w", p.Name, err)
		}
		out = &pb.ConnectPasswordResponse{
			User: signer.ConnectUser, Password: password, ExpiresAt: now.Add(connectLife).Unix(),
			Account: p.Account, Profile: p.Name, Environment: p.identity.Account.Environment(),
		}
		return nil
	})
	return out, err
}

func (a *Agent) assertion(ctx context.Context, c *caller, q *pb.AssertionRequest) (*pb.AssertionResponse, error) {
	u := use{caller: c, kind: policy.KindAssertion, name: q.GetProfile(), scopes: q.GetScopes(), check: func(p *live) error { return p.checkAssertion(q) }}
	if q.GetAudience() != "" {
		target, err := signer.ParseTarget(q.GetAudience())
		if err != nil {
			u.fault = fmt.Errorf("reading the audience: %w", err)
		} else {
			u.target = &target
		}
	}
	var out *pb.AssertionResponse
	err := a.withProfile(ctx, u, func(p *live) error {
		claims := p.claims(q.GetScopes(), a.timeFor(p))
		jwt, err := signer.Assertion(claims, p.key, rand.Reader)
		if err != nil {
			return fmt.Errorf("making an assertion for profile %q: %w", p.Name, err)
		}
		out = &pb.AssertionResponse{
			Assertion: jwt, ExpiresAt: claims.Expires, TokenEndpoint: claims.Audience,
			Account: p.Account, Profile: p.Name, Environment: p.identity.Account.Environment(),
		}
		return nil
	})
	return out, err
}

// checkAssertion refuses scopes that are not the profile's, and an audience that is
// not the account's token endpoint: elsewhere an assertion has no business.
func (l *live) checkAssertion(q *pb.AssertionRequest) error {
	if err := l.checkScopes(q.GetScopes()); err != nil {
		return err
	}
	if aud := q.GetAudience(); aud != "" && aud != l.tokenEndpoint() {
		return refuse(policy.ErrDenied, pb.CodeDenied, "the audience is not the token endpoint of the account", "that is "+l.tokenEndpoint(), "leave --aud out")
	}
	return nil
}

// claims returns what an assertion of p says. Everything but the choice among the
// profile's own scopes is the agent's.
func (l *live) claims(scopes []string, now time.Time) signer.AssertionClaims {
	return signer.AssertionClaims{
		ClientID: l.ClientID, KeyID: l.CertificateID, Scopes: l.scopesOf(scopes), Audience: l.tokenEndpoint(), Alg: l.Alg, ID: rand.Text(),
		IssuedAt: now.Add(-assertionSkew).Unix(), Expires: now.Add(assertionLife).Unix(),
	}
}
