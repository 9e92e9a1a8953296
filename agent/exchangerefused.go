package agent

import (
	"fmt"
	"strings"

	"github.com/nsagent/nsagent/agent/gateway"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/signer"
)

// exchangeRefused returns why an answer of the token endpoint has no access token, or nil
// for one that may have.
//
// Source: NetSuite Help, "Response Errors in Step Two and in the Refresh Token Response".
// Which error a fault gives is not documented in full: the message says what each can
// mean, and where NetSuite tells more.
func (l *live) exchangeRefused(a gateway.Answer) error {
	what := fmt.Sprintf("no access token for profile %q", l.Name)
	host := hostOf(l.tokenEndpoint())
	if a.Failure != gateway.FailedNothing {
		return unreached(a.Failure, what, host)
	}
	if a.Status == 200 && a.Readable {
		return nil
	}
	why := ""
	if code := a.Kept["error"]; a.Readable && l.meaning(code) != "" {
		why = "NetSuite answered " + code + ": " + l.meaning(code)
	} else if why = otherwise(a, host); why == "" {
		why = fmt.Sprintf("%s answered HTTP %d and nothing that a token endpoint says", host, a.Status)
	}
	return refuse(ErrNetSuite, pb.CodeNetSuite, what, why, loginTrail)
}

// meaning says what an error of the token endpoint can mean for l; "" for what is none.
func (l *live) meaning(code string) string {
	if l.Auth == authCode {
		switch code {
		case "invalid_grant":
			return "the code or token was used, revoked or is too old, or redirect URI or verifier are not those of its login"
		case "invalid_client":
			return "the client ID or the client secret is not that of the integration record, or the account is another"
		case "invalid_request":
			return "the integration record takes another kind of client: a public one has no client secret, any other has one"
		}
	}
	switch code {
	case "invalid_grant":
		return "the certificate expired, was revoked or belongs to another account, or the clock of this machine is wrong"
	case "invalid_client":
		return "the client ID is not that of the certificate's integration record, or the account is another"
	case "invalid_scope":
		return "the integration record lacks one of " + strings.Join(l.Scopes, ", ")
	case "unauthorized_client", "unsupported_grant_type", "invalid_request":
		if l.Auth == authCode {
			return "the integration record does not allow Authorization Code Grant"
		}
		return "the certificate is not known to this account, or the integration record does not allow Client Credentials"
	}
	return ""
}

// otherwise says what an answer without a code of NetSuite's means, or "".
func otherwise(a gateway.Answer, host string) string {
	switch {
	case a.Status >= 300 && a.Status < 400:
		return fmt.Sprintf("%s answered with a redirect (HTTP %d), which is never followed: the account ID or endpoint is not right", host, a.Status)
	case a.Status == 429 || a.Status == 503:
		return fmt.Sprintf("NetSuite has no room for the request now (HTTP %d)", a.Status)
	case a.Status >= 500:
		return fmt.Sprintf("NetSuite has a fault of its own now (HTTP %d)", a.Status)
	}
	return ""
}

// hostOf returns host and port of a URL of a profile.
func hostOf(raw string) string {
	t, err := signer.ParseTarget(raw)
	if err != nil {
		return ""
	}
	_, host, _ := strings.Cut(t.Origin(), "://")
	return host
}
