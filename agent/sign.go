package agent

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"slices"
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
	r, err := s.sign(callerOf(ctx), q)
	return r, s.reply(err)
}

// SignStream signs in bulk: one request, one answer, in order. A refusal is an
// answer; only a broken stream ends it.
func (s signerService) SignStream(stream pb.Signer_SignStreamServer) error {
	c := callerOf(stream.Context())
	for first := true; ; first = false {
		m, err := stream.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if first {
			received(stream.Context())
		}
		answer := &pb.SignStreamResponse{Id: m.GetId()}
		if r, err := s.sign(c, m.GetRequest()); err != nil {
			answer.Outcome = &pb.SignStreamResponse_Error{Error: s.refuse(err).message()}
		} else {
			answer.Outcome = &pb.SignStreamResponse_Response{Response: r}
		}
		if err := stream.Send(answer); err != nil {
			return err
		}
	}
}

// Passport makes one TokenPassport.
func (s signerService) Passport(ctx context.Context, q *pb.PassportRequest) (*pb.PassportResponse, error) {
	r, err := s.passport(callerOf(ctx), q)
	return r, s.reply(err)
}

// ConnectPassword makes one Connect password.
func (s signerService) ConnectPassword(ctx context.Context, q *pb.ConnectPasswordRequest) (*pb.ConnectPasswordResponse, error) {
	r, err := s.connectPassword(callerOf(ctx), q)
	return r, s.reply(err)
}

// Assertion makes one client assertion.
func (s signerService) Assertion(ctx context.Context, q *pb.AssertionRequest) (*pb.AssertionResponse, error) {
	r, err := s.assertion(callerOf(ctx), q)
	return r, s.reply(err)
}

func (a *Agent) sign(c *caller, q *pb.SignRequest) (*pb.SignResponse, error) {
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

	a.mu.RLock()
	defer a.mu.RUnlock()
	p, err := a.authorizeLocked(u)
	if err != nil {
		return nil, err
	}
	out, err := signer.Sign(p.identity, r, rand.Text(), time.Now().Unix(), p.mac)
	if err != nil {
		return nil, a.failed(u, p, fmt.Errorf("signing for profile %q: %w", p.Name, err))
	}
	return &pb.SignResponse{
		Authorization: out.Authorization, Method: out.Method, Url: out.URL, Account: p.Account, Profile: p.Name,
		Nonce: out.Nonce, Timestamp: out.Timestamp, Environment: p.identity.Account.Environment(),
	}, nil
}

func (a *Agent) passport(c *caller, q *pb.PassportRequest) (*pb.PassportResponse, error) {
	u := use{caller: c, kind: policy.KindPassport, name: q.GetProfile()}
	version := q.GetVersion()
	if version == "" {
		version = soapVersion
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	p, err := a.authorizeLocked(u)
	if err != nil {
		return nil, err
	}
	out, err := signer.Passport(p.identity, rand.Text(), time.Now().Unix(), p.mac)
	xml := ""
	if err == nil {
		xml, err = out.XML(version, signer.ChildrenCore)
	}
	if err != nil {
		return nil, a.failed(u, p, fmt.Errorf("making a passport for profile %q: %w", p.Name, err))
	}
	return &pb.PassportResponse{
		Account: out.Account, ConsumerKey: out.ConsumerKey, Token: out.TokenID, Nonce: out.Nonce, Timestamp: out.Timestamp,
		Signature: out.Signature, Algorithm: out.Algorithm, Profile: p.Name, Environment: p.identity.Account.Environment(), Xml: xml,
	}, nil
}

func (a *Agent) connectPassword(c *caller, q *pb.ConnectPasswordRequest) (*pb.ConnectPasswordResponse, error) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	u := use{caller: c, kind: policy.KindConnectPassword, name: q.GetProfile()}
	p, err := a.authorizeLocked(u)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	password, err := signer.ConnectPassword(p.identity, rand.Text(), now.Unix(), p.mac)
	if err != nil {
		return nil, a.failed(u, p, fmt.Errorf("making a Connect password for profile %q: %w", p.Name, err))
	}
	return &pb.ConnectPasswordResponse{
		User: signer.ConnectUser, Password: password, ExpiresAt: now.Add(connectLife).Unix(),
		Account: p.Account, Profile: p.Name, Environment: p.identity.Account.Environment(),
	}, nil
}

func (a *Agent) assertion(c *caller, q *pb.AssertionRequest) (*pb.AssertionResponse, error) {
	u := use{caller: c, kind: policy.KindAssertion, name: q.GetProfile()}
	if q.GetAudience() != "" {
		target, err := signer.ParseTarget(q.GetAudience())
		if err != nil {
			u.fault = fmt.Errorf("reading the audience: %w", err)
		} else {
			u.target = &target
		}
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	p, err := a.authorizeLocked(u)
	if err != nil {
		return nil, err
	}
	claims, err := p.claims(q, time.Now())
	if err != nil {
		return nil, a.failed(u, p, err)
	}
	jwt, err := signer.Assertion(claims, p.key, rand.Reader)
	if err != nil {
		return nil, a.failed(u, p, fmt.Errorf("making an assertion for profile %q: %w", p.Name, err))
	}
	a.arena.ReleaseMemory()
	return &pb.AssertionResponse{
		Assertion: jwt, ExpiresAt: claims.Expires, TokenEndpoint: claims.Audience,
		Account: p.Account, Profile: p.Name, Environment: p.identity.Account.Environment(),
	}, nil
}

// claims returns what an assertion of p says. Everything but the choice among the
// profile's own scopes and hosts is the agent's.
func (l *live) claims(q *pb.AssertionRequest, now time.Time) (signer.AssertionClaims, error) {
	scopes := l.Scopes
	if len(q.GetScopes()) > 0 {
		scopes = q.GetScopes()
		for _, s := range scopes {
			if !slices.Contains(l.Scopes, s) {
				return signer.AssertionClaims{}, refuse(policy.ErrDenied, pb.CodeDenied, fmt.Sprintf("profile %q has no scope %.40q", l.Name, s),
					"it has "+strings.Join(l.Scopes, ", "), "")
			}
		}
	}
	aud := l.tokenEndpoint()
	if q.GetAudience() != "" {
		aud = q.GetAudience()
	}
	return signer.AssertionClaims{
		ClientID: l.ClientID, KeyID: l.CertificateID, Scopes: scopes, Audience: aud, Alg: l.Alg, ID: rand.Text(),
		IssuedAt: now.Add(-assertionSkew).Unix(), Expires: now.Add(assertionLife).Unix(),
	}, nil
}
