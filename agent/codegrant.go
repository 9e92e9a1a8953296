package agent

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/nsagent/nsagent/internal/secret"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// An authcode profile is an OAuth 2.0 client for which somebody has allowed NetSuite, in
// the browser, to give it a refresh token. Nothing is opened of it when the vault is
// unlocked: client secret and refresh token are opened from the vault for each refresh,
// about once an hour, and wiped after it.

// consent is what came of the last login, and became of it. Times are Unix seconds; zero
// means never.
type consent struct {
	// Role and Entity are internal IDs, as NetSuite named them.
	Role   string `cbor:"32,keyasint,omitempty"`
	Entity string `cbor:"33,keyasint,omitempty"`
	// Authorized is when somebody allowed it, Refreshed when the refresh token that is
	// kept came by another.
	Authorized int64 `cbor:"34,keyasint,omitempty"`
	Refreshed  int64 `cbor:"35,keyasint,omitempty"`
	// Refreshing is since when a refresh is under way whose answer is not kept yet, or
	// never will be.
	Refreshing int64 `cbor:"36,keyasint,omitempty"`
	// Consent is why somebody has to allow it again; empty: nobody has to.
	Consent string `cbor:"37,keyasint,omitempty"`
}

// Why somebody has to log in.
const (
	consentNew         = "new"         // nobody has yet
	consentRefused     = "refused"     // NetSuite refused the refresh token
	consentInterrupted = "interrupted" // the answer to a refresh got lost, and NetSuite refused the token before it
	consentChanged     = "changed"     // the profile changed in what somebody had allowed
)

// Kinds of client, as NetSuite has them.
const (
	clientConfidential = "confidential"
	clientPublic       = "public"
)

// client returns the kind of client that an authcode profile is.
func (p *profile) client() string {
	switch {
	case p.Auth != authCode:
		return ""
	case p.Confidential:
		return clientConfidential
	default:
		return clientPublic
	}
}

// scopeMCP is the scope of the NetSuite AI Connector Service, which goes with no other.
const scopeMCP = "mcp"

// checkCode checks the public part of an authcode credential.
//
// Source: NetSuite Help, "Step One GET Request to the Authorization Endpoint" and "Connect
// to the NetSuite AI Connector Service".
func (p *profile) checkCode() error {
	if err := checkScopes(p.Scopes, append(slices.Clone(m2mScopes), scopeMCP)); err != nil {
		return err
	}
	if slices.Contains(p.Scopes, scopeMCP) && len(p.Scopes) > 1 {
		return credential("scope mcp goes with no other scope", "NetSuite gives it alone: make a profile of its own for it")
	}
	return checkRedirect(p.RedirectURI)
}

const maxRedirect = 1024

// checkRedirect checks where NetSuite may send the browser after an OAuth 2.0 login: https,
// or a scheme that an application has for itself. Plain http is refused by NetSuite, for
// this machine too.
func checkRedirect(raw string) error {
	u, err := parseCallback("redirect_uri", raw)
	if err != nil {
		return err
	}
	switch u.Scheme {
	case "https":
		if u.Host == "" {
			return credential("redirect_uri has no host", "")
		}
	case "http":
		return credential("redirect_uri uses plain http", "NetSuite takes https for OAuth 2.0, on this machine too: such as https://127.0.0.1:8443/callback")
	case "javascript", "data", "file", "vbscript", "about", "blob":
		return credential("redirect_uri has a scheme that no application has for itself", "")
	}
	return nil
}

// checkCallback checks where NetSuite may send the browser in the three-step flow: https,
// or http on localhost.
//
// Source: NetSuite Help, "Create Integration Records for Applications to Use TBA".
func checkCallback(raw string) error {
	u, err := parseCallback("the callback", raw)
	if err != nil {
		return err
	}
	if u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || u.Hostname() != "localhost") {
		return credential("the callback is not one that NetSuite takes", "it begins with https://, or with http://localhost")
	}
	return nil
}

func parseCallback(name, raw string) (*url.URL, error) {
	if raw == "" {
		return nil, credential(name+" is missing", "it is the one on the integration record, to the letter")
	}
	printable := !strings.ContainsFunc(raw, func(r rune) bool { return r <= ' ' || r > '~' })
	u, err := url.Parse(raw)
	if len(raw) > maxRedirect || !printable || err != nil || u.Scheme == "" || u.User != nil || strings.Contains(raw, "#") {
		return nil, credential(name+" is not a URI that can be redirected to", "it is absolute and printable, without user name and fragment, and has at most 1024 characters")
	}
	return u, nil
}

// needsConsent returns the refusal for a profile that nobody has allowed, or not any more.
func (l *live) needsConsent() error {
	why := ""
	switch l.Consent {
	case "":
		return nil
	case consentNew:
		why = "nobody has logged in with it yet"
	case consentChanged:
		why = "it was changed in what somebody had allowed"
	case consentInterrupted:
		why = "a refresh was interrupted before its answer was stored, and NetSuite takes each refresh token once"
	default:
		why = "NetSuite refused the refresh token: its time is over (" + l.lifeOfConsent() + "), or it was revoked"
	}
	return consentNeeded(l.Name, why)
}

// consentLife is how long the refresh token of a confidential client lives.
//
// Source: NetSuite Help, "Refresh Token POST Request to the Token Endpoint".
const consentLife = 7 * 24 * time.Hour

// ends returns when the credential ends, in Unix seconds; 0 where it does not, or where only
// the integration record says when.
func (p *profile) ends() int64 {
	if p.Auth == authCode && p.Confidential && p.Authorized != 0 {
		return time.Unix(p.Authorized, 0).Add(consentLife).Unix()
	}
	return p.Expires
}

// lifeOfConsent says how long NetSuite lets a refresh token live.
//
// Source: NetSuite Help, "Refresh Token POST Request to the Token Endpoint".
func (l *live) lifeOfConsent() string {
	since := ""
	if l.Authorized != 0 {
		since = ", and the last login was at " + time.Unix(l.Authorized, 0).UTC().Format(time.RFC3339)
	}
	if l.Confidential {
		return "7 days" + since
	}
	return "2 days without use and 7 in all, unless the integration record says otherwise" + since
}

func consentNeeded(name, why string) error {
	return refuse(ErrConsent, pb.CodeConsent, fmt.Sprintf("profile %q needs somebody's consent in NetSuite", name), why, "nsagent login -p "+name)
}

// newCode makes the stored form of an authcode credential from a client secret and a
// refresh token, of which each may be the zero Bytes: a public client, and one that nobody
// has logged in with. What unlocking opens is random and says nothing of them.
func newCode(arena *secret.Arena, clientSecret, refreshToken secret.Bytes) (m material, err error) {
	if !clientSecret.IsZero() {
		if err := checkSecret("client_secret", clientSecret); err != nil {
			return material{}, err
		}
	}
	if m.raw, err = joinSecrets(arena, clientSecret, refreshToken); err != nil {
		return material{}, err
	}
	if m.signOnly, err = arena.Random(secretTag); err != nil {
		m.destroy()
		return material{}, err
	}
	return m, nil
}

// openCode returns the two secrets of the raw form of an authcode credential, which the
// caller destroys; one that is not there is the zero Bytes.
func openCode(arena *secret.Arena, raw secret.Bytes) (clientSecret, refreshToken secret.Bytes, err error) {
	got := &secrets{fields: make(map[string]secret.Bytes)}
	if err := got.split(arena, raw, "client_secret", "refresh_token"); err != nil {
		got.destroy()
		return secret.Bytes{}, secret.Bytes{}, err
	}
	return got.fields["client_secret"], got.fields["refresh_token"], nil
}

// codeGrant looks at what is stored of an authcode credential.
func (t *profileTest) codeGrant() {
	l := t.live
	again := "log in:  nsagent login -p " + l.Name
	raw, err := t.session.vault.OpenRaw(l.Name)
	if err != nil {
		t.add("secrets", checkProblem, "the secrets do not open: "+refusalOf(err).Message, "check the vault:  nsagent vault fsck")
		return
	}
	defer raw.Destroy()
	clientSecret, refreshToken, err := openCode(t.agent.arena, raw)
	defer clientSecret.Destroy()
	defer refreshToken.Destroy()
	switch {
	case err != nil || clientSecret.IsZero() == l.Confidential:
		t.add("client", checkProblem, "the stored secrets are not those of a "+l.client()+" client", "enter the client secret again:  nsagent profile edit "+l.Name)
		return
	default:
		t.add("client", checkOK, "it is a "+l.client()+" client", "")
	}
	switch refused := l.needsConsent(); {
	case refused != nil:
		t.add("consent", checkProblem, refusalOf(refused).Why, again)
	case refreshToken.IsZero():
		t.add("consent", checkProblem, "there is no refresh token", again)
	default:
		t.add("consent", checkOK, "somebody allowed it at "+time.Unix(l.Authorized, 0).UTC().Format(time.RFC3339), "")
	}
}
