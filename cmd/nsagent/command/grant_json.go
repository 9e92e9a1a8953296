package command

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nsagent/nsagent/internal/grantlimits"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// scopeJSON is what a grant, or a block of a token, allows, in the output for programs.
// What is left out limits nothing.
type scopeJSON struct {
	Profiles    []string       `json:"profiles,omitempty"`
	Credentials []string       `json:"credentials,omitempty"`
	Kinds       []string       `json:"kinds,omitempty"`
	Hosts       []string       `json:"hosts,omitempty"`
	Methods     []string       `json:"methods,omitempty"`
	Paths       []string       `json:"paths,omitempty"`
	Scripts     []string       `json:"scripts,omitempty"`
	Operations  []string       `json:"operations,omitempty"`
	NotBefore   string         `json:"not_before,omitempty"`
	NotAfter    string         `json:"not_after,omitempty"`
	Uses        uint64         `json:"uses,omitzero"`
	Rate        string         `json:"rate,omitempty"`
	Networks    []string       `json:"networks,omitempty"`
	Identities  []identityJSON `json:"identities,omitempty"`
	Executables []string       `json:"executables,omitempty"`
	UIDs        []uint32       `json:"uids,omitempty"`
}

// identityJSON is an OIDC identity: issuer, and of each claim the values of which it must
// have one. Files for --oidc have the same form.
type identityJSON struct {
	Issuer string                  `json:"issuer"`
	Claims map[string]claimStrings `json:"claims"`
}

// grantJSON is a grant in the output for programs.
type grantJSON struct {
	Schema string `json:"schema"`
	ID     string `json:"id"`
	State  string `json:"state"`
	// Kind is what its token is for: kindBundle, kindSocket or kindToken; left out where that
	// is not known.
	Kind      string             `json:"kind,omitempty"`
	CreatedAt *string            `json:"created_at"`
	ExpiresAt *string            `json:"expires_at"`
	RevokedAt *string            `json:"revoked_at"`
	MadeBy    string             `json:"made_by"`
	Profiles  []grantProfileJSON `json:"profiles"`
	Scope     *scopeJSON         `json:"scope"`
	Listen    string             `json:"listen,omitempty"`
	Detached  bool               `json:"detached"`
	Audience  string             `json:"audience"`
	// UsesMade is how many of the uses of Scope were made; nil where they are not limited,
	// or are counted where the bundle is.
	UsesMade *uint64 `json:"uses_made,omitempty"`
}

type grantProfileJSON struct {
	Name       string `json:"name"`
	Credential string `json:"credential"`
	Opens      bool   `json:"opens_locked"`
	// Account and Environment are left out where the profile is gone.
	Account     string `json:"account,omitempty"`
	Environment string `json:"environment,omitempty"`
	// CertificateID is of the bundle's own certificate.
	CertificateID string `json:"certificate_id,omitempty"`
}

// What a grant is for: the file that its token opens, the socket on which it applies, or the
// token alone.
const (
	kindBundle = "bundle"
	kindSocket = "socket"
	kindToken  = "token"
)

// kindOf tells what a grant is for; "" where nothing is known of it.
func kindOf(g *pb.Grant) string {
	switch {
	case g.GetLimits() == nil:
		return ""
	case g.GetDetached():
		return kindBundle
	case g.GetListen() != "":
		return kindSocket
	}
	return kindToken
}

func grantForm(g *pb.Grant) grantJSON {
	out := grantJSON{
		Schema: "nsagent.grant/v1", ID: g.GetId(), State: g.GetState(), Kind: kindOf(g), CreatedAt: when(g.GetCreatedAt()), ExpiresAt: when(g.GetNotAfter()),
		RevokedAt: when(g.GetRevokedAt()), MadeBy: g.GetMadeBy(), Detached: g.GetDetached(), Audience: g.GetAudience(), Profiles: []grantProfileJSON{}, Listen: g.GetListen(),
	}
	for _, p := range g.GetProfiles() {
		out.Profiles = append(out.Profiles, grantProfileJSON{p.GetName(), p.GetCredential(), p.GetOpens(), p.GetAccount(), p.GetEnvironment(), p.GetCertificateId()})
	}
	if l := g.GetLimits(); l != nil {
		s := scopeForm(grantlimits.Caveats(l))
		s.Profiles = profileNames(g)
		s.NotAfter = rfc3339(g.GetNotAfter())
		out.Scope = &s
		if s.Uses > 0 && !out.Detached {
			made := g.GetUsesMade()
			out.UsesMade = &made
		}
	}
	return out
}

// scopeForm returns what caveats say.
func scopeForm(c unlocktoken.Caveats) scopeJSON {
	s := scopeJSON{
		Kinds: c.Kinds, Hosts: c.Hosts, Methods: c.Methods, Paths: c.Paths, Scripts: c.Scripts, Operations: c.Operations,
		NotBefore: rfc3339(c.NotBefore), NotAfter: rfc3339(c.NotAfter), Uses: c.Uses, Networks: c.Networks,
	}
	for _, id := range c.Credentials {
		s.Credentials = append(s.Credentials, fmt.Sprintf("%x", id[:]))
	}
	if c.Rate != nil {
		s.Rate = rateText(*c.Rate)
	}
	for _, i := range c.Identities {
		f := identityJSON{i.Issuer, make(map[string]claimStrings, len(i.Claims))}
		for _, claim := range i.Claims {
			f.Claims[claim.Name] = claim.Values
		}
		s.Identities = append(s.Identities, f)
	}
	if c.Peer != nil {
		s.Executables, s.UIDs = c.Peer.Executables, c.Peer.UIDs
	}
	return s
}

// rows returns the scope for people.
func (s *scopeJSON) rows() [][2]string {
	list := func(l []string) string { return strings.Join(l, ", ") }
	rows := [][2]string{
		{"kinds", list(s.Kinds)}, {"hosts", list(s.Hosts)}, {"methods", list(s.Methods)}, {"paths", list(s.Paths)}, {"scripts", list(s.Scripts)},
		{"operations", list(s.Operations)}, {"begins", dayOf(s.NotBefore)}, {"rate", s.Rate}, {"networks", list(s.Networks)}, {"executables", list(s.Executables)},
	}
	if s.Uses > 0 {
		rows = append(rows, [2]string{"uses", strconv.FormatUint(s.Uses, 10)})
	}
	var uids, jobs []string
	for _, u := range s.UIDs {
		uids = append(uids, strconv.FormatUint(uint64(u), 10))
	}
	for _, i := range s.Identities {
		text := i.Issuer
		for _, name := range sortedKeys(i.Claims) {
			text += fmt.Sprintf(" %s=%s", name, strings.Join(i.Claims[name], "|"))
		}
		jobs = append(jobs, text)
	}
	// One of them has to fit, and not all.
	return append(rows, [2]string{"uid", list(uids)}, [2]string{"OIDC identity", strings.Join(jobs, " or ")})
}

// summary returns the scope for people, in one line.
func (s *scopeJSON) summary() string {
	var parts []string
	for _, r := range filled(s.rows()) {
		parts = append(parts, strings.Join(r[:], " "))
	}
	if parts == nil {
		return "no limits of its own"
	}
	return strings.Join(parts, "; ")
}

// rateText returns a rate as it is typed, such as 200/h.
func rateText(r unlocktoken.Rate) string {
	for _, u := range rateUnits {
		if r.Seconds == u.seconds {
			return fmt.Sprintf("%d/%s", r.Count, u.name)
		}
	}
	return r.String()
}

// rfc3339 shows an instant for programs; "" for 0.
func rfc3339(unix int64) string {
	if unix == 0 {
		return ""
	}
	return time.Unix(unix, 0).UTC().Format(time.RFC3339)
}

// when is rfc3339 with null for 0.
func when(unix int64) *string {
	if unix == 0 {
		return nil
	}
	s := rfc3339(unix)
	return &s
}

// orEmpty returns a list that JSON shows as one.
func orEmpty(l []string) []string {
	if l == nil {
		return []string{}
	}
	return l
}
