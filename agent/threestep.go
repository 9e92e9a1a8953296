package agent

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/agent/gateway"
	"github.com/nsagent/nsagent/internal/secret"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/signer"
)

// beginThreeStep asks for a request token, and returns the page on which somebody turns it
// into a lasting one.
//
// Source: NetSuite Help, "Step One Obtain An Unauthorized Request Token" and "Step Two";
// RFC 5849 section 2.1.
func (a *Agent) beginThreeStep(ctx context.Context, l *login, who *live, callback, role string) (string, error) {
	token, requestSecret, answer, err := a.step(ctx, l, who, "/rest/requesttoken", secret.Bytes{}, func(t signer.Target, key signer.MAC) (signer.Signed, error) {
		return signer.RequestToken(signer.Identity{Account: who.identity.Account, ConsumerKey: who.ConsumerKey}, t, callback, role, rand.Text(), a.timeFor(who).Unix(), key)
	})
	if err != nil {
		return "", err
	}
	l.requestToken, l.requestSecret, l.state = token, requestSecret, rand.Text()
	if answer.Kept["oauth_callback_confirmed"] != "true" || role != "" && answer.Kept["role"] != "" && answer.Kept["role"] != role {
		return "", l.unfinished("NetSuite did not confirm the callback and the role that were asked for", "")
	}
	return pageURL(who, "/app/login/secure/authorizetoken.nl", url.Values{"oauth_token": {token}, "state": {l.state}}), nil
}

// finishThreeStep turns the request token into a lasting one, and stores that.
//
// Source: NetSuite Help, "Step Three"; RFC 5849 section 2.3.
func (a *Agent) finishThreeStep(ctx context.Context, l *login, who *live, verifier secret.Bytes) error {
	text := ""
	// A string, since it is part of a header: good once, with both secrets, for minutes.
	if err := verifier.Use(func(p []byte) error { text = string(p); return nil }); err != nil {
		return err
	}
	if text == "" {
		return declined(l.profile.Name)
	}
	token, tokenSecret, _, err := a.step(ctx, l, who, "/rest/accesstoken", l.requestSecret, func(t signer.Target, key signer.MAC) (signer.Signed, error) {
		id := signer.Identity{Account: who.identity.Account, ConsumerKey: who.ConsumerKey, TokenID: l.requestToken}
		return signer.AccessToken(id, t, text, rand.Text(), a.timeFor(who).Unix(), key)
	})
	if err != nil {
		return err
	}
	defer tokenSecret.Destroy()
	l.profile.TokenID = token
	m, err := newTBA(a.arena, l.secret, tokenSecret)
	if err != nil {
		return err
	}
	defer m.destroy()
	if err := a.storeLogin(ctx, l, m, func(*live) {}); err != nil {
		return a.orphaned(ctx, l, m, l.session.line.cause(err))
	}
	return nil
}

// orphaned has the token of a login that could not be stored revoke itself, and returns why
// it could not be; where it is alive all the same, with where to end it.
func (a *Agent) orphaned(ctx context.Context, l *login, m material, cause error) error {
	ctx, cancel := l.session.line.during(ctx, exchangeTime+launchTime)
	defer cancel()
	err := a.carryOut(callerOf(ctx), changeOf(audit.EventProfileRevoke, l.profile, "not stored"), func() error {
		signOnly, err := a.arena.Clone(m.signOnly)
		if err != nil {
			return err
		}
		p, err := newLive(a.arena, l.profile, signOnly)
		if err != nil {
			return err
		}
		defer p.destroy()
		return a.revokeToken(ctx, l.session, p)
	})
	if err == nil {
		return notDone(cause, l.notStored(), "the token that NetSuite gave for it is revoked")
	}
	a.log.Error("a token that was not stored is not revoked", "profile", l.profile.Name, "token_id", l.profile.TokenID, "error", err)
	r := refusalOf(notDone(cause, l.notStored(), "token "+l.profile.TokenID+" is alive at NetSuite, and nobody has its secret"))
	return refuse(cause, r.Code, r.Message, r.Why, menuOfTokens)
}

// step has an exchanger make the request of a step, signed with the consumer secret and,
// where there is one, the secret of the request token. The secret that comes back is the
// caller's.
func (a *Agent) step(ctx context.Context, l *login, who *live, path string, requestSecret secret.Bytes, sign func(signer.Target, signer.MAC) (signer.Signed, error)) (token string, tokenSecret secret.Bytes, answer gateway.Answer, err error) {
	fail := func(err error) (string, secret.Bytes, gateway.Answer, error) {
		return "", secret.Bytes{}, gateway.Answer{}, err
	}
	signed, err := a.signStep(l.secret, requestSecret, who.url("restlets.api", path), sign)
	if err != nil {
		return fail(err)
	}
	receiver, err := a.arena.NewReceiver()
	if err != nil {
		return fail(err)
	}
	defer receiver.Destroy()
	const member = "oauth_token_secret"
	err = a.exchanging(who, signed.URL, func() (err error) {
		answer, err = a.network.exchange(ctx, l.session, gateway.Job{
			Method: signed.Method, URL: signed.URL, CA: who.CA, Milliseconds: exchangeTime.Milliseconds(), Read: gateway.ReadForm,
			Keep: []string{"oauth_token", "oauth_callback_confirmed", "role", "error"},
			Seal: []gateway.Sealing{{Member: member, Key: receiver.PublicKey(), Instance: a.instance[:], Profile: who.Name}},
		}, gateway.Payload{Authorization: gateway.Plain(signed.Authorization)})
		if err != nil {
			return err
		}
		who.skew.learn(answer, a.clock(), a.boottime)
		a.shareSkew(l.session, who)
		if err := l.stepRefused(who, answer); err != nil {
			return err
		}
		if token = answer.Kept["oauth_token"]; publicID("oauth_token", token) != nil || len(answer.Sealed[member]) == 0 {
			return l.unfinished("the answer lacks oauth_token or oauth_token_secret", "")
		}
		return nil
	})
	if err != nil {
		return fail(err)
	}
	tokenSecret, err = receiver.Open(answer.Sealed[member], secret.SealContext{Instance: a.instance[:], Method: gateway.SealMethod, Profile: who.Name, Field: member})
	if err != nil {
		return fail(fmt.Errorf("opening a sealed token secret: %w", err))
	}
	return token, tokenSecret, answer, nil
}

// signStep signs a step under a key that exists for it alone.
func (a *Agent) signStep(consumerSecret, requestSecret secret.Bytes, to string, sign func(signer.Target, signer.MAC) (signer.Signed, error)) (signer.Signed, error) {
	t, err := signer.ParseTarget(to)
	if err != nil {
		return signer.Signed{}, err
	}
	key, err := signingKey(a.arena, consumerSecret, requestSecret)
	if err != nil {
		return signer.Signed{}, err
	}
	defer key.Destroy()
	mac, err := a.arena.NewHMACKey(key)
	if err != nil {
		return signer.Signed{}, err
	}
	defer mac.Destroy()
	return sign(t, mac)
}

// stepRefused returns why an answer to a step has no token.
//
// Source: NetSuite Help, "Error Messages for the TBA Authorization Flow". Body and status
// of a refusal are not documented; the code stands in the header WWW-Authenticate at other
// endpoints, and a body that is a form may have it.
func (l *login) stepRefused(who *live, a gateway.Answer) error {
	host := hostOf(who.url("restlets.api", ""))
	if a.Failure != gateway.FailedNothing {
		return unreached(a.Failure, fmt.Sprintf("nobody could log in for profile %q", l.profile.Name), host)
	}
	if a.Status == http.StatusOK && a.Readable && a.Kept["error"] == "" {
		return nil
	}
	code, _, _ := strings.Cut(a.Kept["error"], " ") // InvalidCallback has a URL behind it
	if _, after, ok := strings.Cut(a.Challenge, `error="`); ok && code == "" {
		code, _, _ = strings.Cut(after, `"`)
	}
	for _, m := range meaningsOfSteps() {
		if slices.Contains(m.codes, code) {
			return l.unfinished("NetSuite answered "+code+": "+m.text, loginTrail)
		}
	}
	if why := otherwise(a, host); why != "" {
		return l.unfinished(why, loginTrail)
	}
	return l.unfinished(fmt.Sprintf("%s answered HTTP %d: consumer key, consumer secret or callback are not those of the integration record, or the account is another", host, a.Status), loginTrail)
}

// meaning is what codes of NetSuite's say.
type meaning struct {
	codes []string
	text  string
}

func meaningsOfSteps() []meaning {
	return []meaning{
		{[]string{"consumer_key_unknown", "UnknownIntegration"}, "this account has no integration record with that consumer key"},
		{[]string{"consumer_key_refused", "IntegrationBlocked"}, "the integration record is blocked"},
		{[]string{"AuthorizationFlowRequired"}, "the integration record lacks the box TBA: Authorization Flow"},
		{[]string{"InvalidCallback"}, "the callback is not on the integration record"},
		{[]string{"InvalidSignature"}, "the consumer secret is not that of the consumer key"},
		{[]string{"InvalidVerifier"}, "the verifier is not the one that the browser got"},
		{[]string{"token_rejected", "TokenRejected"}, "the request token is used, too old or of another account"},
		{[]string{"permission_denied", "EntityOrRoleDisabled"}, "the user or the role is inactive, or the role lacks the permission Log in using Access Tokens"},
		{[]string{"InvalidTimestamp"}, "the clock of this machine is more than five minutes off"},
		{[]string{"FeatureDisabled"}, "token-based authentication is off in this account"},
	}
}

// unfinished is the refusal for a login that came to nothing.
func (l *login) unfinished(why, next string) error {
	return refuse(ErrNetSuite, pb.CodeNetSuite, fmt.Sprintf("nobody could log in for profile %q", l.profile.Name), why, next)
}
