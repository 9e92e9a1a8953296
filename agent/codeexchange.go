package agent

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/agent/gateway"
	"github.com/nsagent/nsagent/internal/secret"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/signer"
)

// maxRefreshToken is the longest refresh token that is taken, in bytes.
const maxRefreshToken = 16 << 10

// tokenGrant is what the token endpoint gives for a code or a refresh token.
type tokenGrant struct {
	access bearer
	// refresh is the zero Bytes where none came: a confidential client keeps the one that
	// it has.
	refresh secret.Bytes
}

func (g tokenGrant) destroy() {
	g.access.token.Destroy()
	g.refresh.Destroy()
}

// beginCode makes what the OAuth 2.0 flow begins with, and returns the page to open.
//
// Source: NetSuite Help, "Step One GET Request to the Authorization Endpoint"; RFC 7636.
func (a *Agent) beginCode(l *login, who *live) (page string, err error) {
	if l.verifier, err = a.newVerifier(); err != nil {
		return "", err
	}
	challenge := ""
	err = l.verifier.Use(func(p []byte) (err error) {
		secret.Do(func() { challenge, err = signer.CodeChallenge(p) })
		challenge = strings.Clone(challenge)
		return err
	})
	if err != nil {
		return "", err
	}
	l.redirect, l.state = l.profile.RedirectURI, rand.Text()
	return pageURL(who, "/app/login/oauth2/authorize.nl", url.Values{
		"response_type": {"code"}, "client_id": {l.profile.ClientID}, "redirect_uri": {l.redirect}, "scope": {strings.Join(l.profile.Scopes, " ")},
		"state": {l.state}, "code_challenge": {challenge}, "code_challenge_method": {"S256"},
	}), nil
}

// newVerifier returns a code verifier of 64 characters, 320 random bits in base 32.
func (a *Agent) newVerifier() (secret.Bytes, error) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	v, err := a.arena.Random(64)
	if err != nil {
		return secret.Bytes{}, err
	}
	return v, v.Use(func(p []byte) error {
		for i := range p {
			p[i] = alphabet[p[i]%32]
		}
		return nil
	})
}

// finishCode exchanges the code of a login, and stores what comes for it.
//
// Source: NetSuite Help, "Step Two POST Request to the Token Endpoint".
func (a *Agent) finishCode(ctx context.Context, l *login, who *live, code secret.Bytes) error {
	var g tokenGrant
	err := a.exchanging(who, who.tokenEndpoint(), func() (err error) {
		var answer gateway.Answer
		g, answer, err = a.postGrant(ctx, l.session, who, l.secret,
			formField{name: "grant_type", plain: "authorization_code"}, formField{name: "code", secret: code},
			formField{name: "redirect_uri", plain: l.redirect}, formField{name: "code_verifier", secret: l.verifier})
		if err == nil {
			err = who.exchangeRefused(answer)
		}
		if err == nil && g.refresh.IsZero() {
			err = who.incomplete("refresh_token")
		}
		return err
	})
	if err != nil {
		g.destroy()
		return err
	}
	defer g.refresh.Destroy()
	m, err := newCode(a.arena, l.secret, g.refresh)
	if err != nil {
		g.access.token.Destroy()
		return err
	}
	defer m.destroy()
	owned := false
	err = a.storeLogin(ctx, l, m, func(next *live) {
		owned = true
		next.tokens.keep(tokenKey(next.Scopes), g.access)
	})
	if !owned {
		g.access.token.Destroy()
	}
	if err != nil {
		return notDone(l.session.line.cause(err), l.notStored(), "what NetSuite gave for it is with nobody, and ends by itself (Setup > Users/Roles > OAuth 2.0 Authorized Applications)")
	}
	return nil
}

// postGrant posts a grant to the token endpoint of p, as the client that p is. A
// public client names itself in the form, a confidential one in the header, and none in
// both: NetSuite refuses that.
//
// What comes back is to be asked with exchangeRefused before it is used.
//
// Source: NetSuite Help, "Step Two POST Request to the Token Endpoint" and "Refresh Token
// POST Request to the Token Endpoint".
func (a *Agent) postGrant(ctx context.Context, s *session, p *live, clientSecret secret.Bytes, fields ...formField) (g tokenGrant, answer gateway.Answer, err error) {
	job := p.tokenJob(p.tokenEndpoint())
	job.Read, job.Keep = gateway.ReadObject, []string{"error", "expires_in"}
	receivers := make(map[string]*secret.Receiver)
	for _, member := range []string{"access_token", "refresh_token"} {
		r, err := a.arena.NewReceiver()
		if err != nil {
			return g, answer, err
		}
		defer r.Destroy()
		receivers[member] = r
		job.Seal = append(job.Seal, gateway.Sealing{Member: member, Key: r.PublicKey(), Instance: a.instance[:], Profile: p.Name})
	}
	begin := a.boottime()
	if answer, err = a.postAs(ctx, s, p, clientSecret, job, fields...); err != nil {
		return g, answer, err
	}
	p.skew.learn(answer, a.clock(), a.boottime)
	a.shareSkew(s, p)
	if p.exchangeRefused(answer) != nil {
		return g, answer, nil
	}
	for member, to := range map[string]*secret.Bytes{"access_token": &g.access.token, "refresh_token": &g.refresh} {
		box := answer.Sealed[member]
		if len(box) == 0 {
			continue
		}
		if *to, err = receivers[member].Open(box, secret.SealContext{Instance: a.instance[:], Method: gateway.SealMethod, Profile: p.Name, Field: member}); err != nil {
			g.destroy()
			return tokenGrant{}, answer, fmt.Errorf("opening the sealed %s: %w", member, err)
		}
	}
	seconds, ok := answer.Seconds("expires_in")
	if !ok || g.access.token.Len() == 0 || g.access.token.Len() > maxAccessToken {
		g.access.token.Destroy()
		g.access = bearer{}
	} else {
		life := time.Duration(seconds) * time.Second
		g.access.ends, g.access.expires = begin+life-min(tokenMargin, life/2), a.clock().Add(life-(a.boottime()-begin)).Unix()
	}
	if g.refresh.Len() > maxRefreshToken {
		g.destroy()
		return tokenGrant{}, answer, p.incomplete("refresh_token")
	}
	return g, answer, nil
}

// tokenJob is a form to be posted for p.
func (l *live) tokenJob(to string) gateway.Job {
	return gateway.Job{Method: http.MethodPost, URL: to, CA: l.CA, Milliseconds: exchangeTime.Milliseconds(), ContentType: gateway.Form}
}

// postAs has an exchanger post a form for a session, as the client that p is.
func (a *Agent) postAs(ctx context.Context, s *session, p *live, clientSecret secret.Bytes, job gateway.Job, fields ...formField) (gateway.Answer, error) {
	var payload gateway.Payload
	if p.Confidential {
		basic, err := a.basic(p.ClientID, clientSecret)
		if err != nil {
			return gateway.Answer{}, err
		}
		defer basic.Destroy()
		payload.Authorization = basic
	} else {
		fields = append(fields, formField{name: "client_id", plain: p.ClientID})
	}
	body, err := a.form(fields...)
	if err != nil {
		return gateway.Answer{}, err
	}
	defer body.Destroy()
	payload.Body = body
	return a.network.exchange(ctx, s, job, payload)
}

// incomplete is the refusal for an answer of the token endpoint that lacks something.
func (l *live) incomplete(what string) error {
	return refuse(ErrNetSuite, pb.CodeNetSuite, fmt.Sprintf("no access token for profile %q", l.Name), "the answer of the token endpoint lacks "+what, "look at account and endpoint:  nsagent profile show "+l.Name)
}

// exchanging records that a request is made for p which gives tokens, and then has it made.
// One that fails is recorded again, as failed.
func (a *Agent) exchanging(p *live, to string, make func() error) error {
	e := audit.Event{Event: audit.EventExchange, Outcome: audit.OutcomeOK, Profile: p.Name, Account: p.Account, Kind: p.Auth, Method: http.MethodPost}
	if t, err := signer.ParseTarget(to); err == nil {
		e.Host, e.Path = t.Host(), t.Path()
	}
	if err := a.record(nil, e); err != nil {
		return fmt.Errorf("recording an exchange: %w", err)
	}
	err := make()
	if err == nil {
		return nil
	}
	e.Outcome, e.Reason = audit.OutcomeFailed, string(refusalOf(err).Code)
	if werr := a.record(nil, e); werr != nil {
		a.log.Error("audit log not written after a failed exchange", "error", werr)
	}
	return err
}
