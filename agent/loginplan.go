package agent

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/nsagent/nsagent/agent/policy"
	"github.com/nsagent/nsagent/internal/secret"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/signer"
	"github.com/nsagent/nsagent/vault"
)

// planLogin checks what was asked for, and collects what is to be stored: of a profile
// that is there, or of one that comes along. The caller destroys the login.
func (a *Agent) planLogin(ctx context.Context, s *session, q *pb.BeginLoginRequest) (*login, error) {
	auth, ok := map[string]string{flowPKCE: authCode, flow3SA: authTBA}[q.GetFlow()]
	switch {
	case !ok:
		return nil, refuse(ErrRequest, pb.CodeRequest, fmt.Sprintf("there is no flow %.20q", q.GetFlow()), "it is pkce, for OAuth 2.0, or 3sa, for token-based authentication", "")
	case q.GetRole() != "" && q.GetFlow() == flowPKCE:
		return nil, refuse(ErrRequest, pb.CodeRequest, "a role can be asked for in the three-step flow only", "in the OAuth 2.0 flow it is chosen in the browser", "")
	case q.GetRole() != "" && signer.CheckRole(q.GetRole()) != nil:
		return nil, refuse(ErrRequest, pb.CodeRequest, "the role is not an internal ID", "it is letters, digits and underscores, such as 1042", "")
	}
	if err := checkName(q.GetProfile().GetName()); err != nil {
		return nil, err
	}
	a.mu.RLock()
	old := s.profiles[q.GetProfile().GetName()]
	a.mu.RUnlock()
	l := &login{flow: q.GetFlow(), session: s, old: old}
	var err error
	switch {
	case old == nil:
		err = a.planNewLogin(ctx, l, q, auth)
	case old.Auth != auth:
		err = refuse(ErrKind, pb.CodeRequest, fmt.Sprintf("profile %q has auth %s, and this flow is for %s", old.Name, old.Auth, auth), "", "use another flow, or another name")
	default:
		err = a.planLoginAgain(l, q)
	}
	if err == nil && auth == authCode {
		err = l.profile.check()
	} else if err == nil {
		err = checkCallback(q.GetRedirectUri())
	}
	if err != nil {
		l.destroy()
		return nil, err
	}
	return l, nil
}

// planNewLogin plans a login for a profile that comes along.
func (a *Agent) planNewLogin(ctx context.Context, l *login, q *pb.BeginLoginRequest, auth string) error {
	m := proto.CloneOf(q.GetProfile())
	if m.GetAuth() == "" {
		m.Auth = auth
	}
	field := "client_secret"
	switch {
	case m.GetAuth() != auth:
		return refuse(ErrKind, pb.CodeRequest, fmt.Sprintf("the profile has auth %.20q, and this flow is for %s", m.GetAuth(), auth), "", "")
	case auth == authCode && q.GetRedirectUri() != "":
		m.RedirectUri = q.GetRedirectUri()
	case auth == authTBA && m.GetTokenId() != "":
		return credential("token_id does not belong to a login", "NetSuite gives the token at its end")
	case auth == authTBA:
		// Stands in for the ID that NetSuite gives at the end, which is checked then.
		field, m.TokenId = "consumer_secret", m.GetConsumerKey()
	}
	p, err := newProfile(m, a.clock())
	if err != nil {
		return err
	}
	l.profile = p
	if auth == authTBA {
		p.TokenID = ""
	}
	for _, box := range q.GetSecrets() {
		if box.GetField() != field || !l.secret.IsZero() {
			return credential(fmt.Sprintf("%.40s does not belong to this login, or is given twice", box.GetField()), "")
		}
		if l.secret, err = a.open(ctx, box, pb.Admin_BeginLogin_FullMethodName, p.Name, maxSecret); err != nil {
			return err
		}
	}
	if auth == authTBA || !l.secret.IsZero() {
		p.Confidential = auth == authCode
		return checkSecret(field, l.secret)
	}
	return nil
}

// planLoginAgain plans a login for a profile that is there. It may get fewer scopes by it,
// and another redirect URI; to get more is an edit, which is proved.
func (a *Agent) planLoginAgain(l *login, q *pb.BeginLoginRequest) error {
	p, m := *l.old.profile, q.GetProfile()
	if rest := (&pb.Profile{Name: m.GetName(), Auth: m.GetAuth(), Scopes: m.GetScopes()}); !proto.Equal(m, rest) || len(q.GetSecrets()) > 0 || m.GetAuth() != "" && m.GetAuth() != p.Auth {
		return refuse(vault.ErrExists, pb.CodeExists, fmt.Sprintf("profile %q exists already", p.Name), "a login with it takes nothing but its name, scopes and a redirect URI", "change it first:  nsagent profile edit "+p.Name)
	}
	if scopes := m.GetScopes(); len(scopes) > 0 && p.Auth == authCode {
		for _, scope := range scopes {
			if !slices.Contains(p.Scopes, scope) {
				return refuse(policy.ErrDenied, pb.CodeDenied, fmt.Sprintf("profile %q has no scope %.40q", p.Name, scope), "it has "+strings.Join(p.Scopes, ", "), "widen it first:  nsagent profile edit "+p.Name)
			}
		}
		p.Scopes = slices.Clone(scopes)
	} else if len(scopes) > 0 {
		return credential("scopes do not belong to a profile with auth tba", "")
	}
	if uri := q.GetRedirectUri(); uri != "" && p.Auth == authCode {
		p.RedirectURI = uri
	}
	l.profile = &p
	raw, err := l.session.vault.OpenRaw(p.Name)
	if err != nil {
		return err
	}
	defer raw.Destroy()
	if p.Auth == authCode {
		var old secret.Bytes
		l.secret, old, err = openCode(a.arena, raw)
		old.Destroy()
		return err
	}
	got := &secrets{fields: make(map[string]secret.Bytes)}
	err = got.fillTBA(a.arena, raw)
	l.secret = got.fields["consumer_secret"]
	got.fields["token_secret"].Destroy()
	return err
}
