package agent

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/fxamacker/cbor/v2"

	"github.com/nsagent/nsagent/internal/pattern"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/signer"
	"github.com/nsagent/nsagent/vault"
	"github.com/nsagent/nsagent/vault/store"
)

// Kinds of credential.
const (
	authTBA    = "tba"
	authM2M    = "m2m"
	authCode   = "authcode" // a refresh token that somebody allowed in the browser
	authSecret = "secret"   // an API secret, which no call gives out
)

// Values of a profile's access limit.
const (
	accessRead  = "read"
	accessWrite = "write"
)

// profile is the metadata record of a credential: everything about it that is
// not secret. Its canonical CBOR form is bound to the secret by the vault, so no
// field can be changed without the keys. docs/vault-format.md draws it.
type profile struct {
	Name    string `cbor:"1,keyasint"`
	Account string `cbor:"2,keyasint"`
	Auth    string `cbor:"3,keyasint"`
	Access  string `cbor:"4,keyasint"`
	Owner   string `cbor:"5,keyasint,omitempty"`
	Note    string `cbor:"6,keyasint,omitempty"`

	bound

	Scopes []string `cbor:"14,keyasint,omitempty"`
	// Created is in Unix seconds.
	Created int64 `cbor:"16,keyasint"`

	// Previous goes with the previous version of the secret; nil: none is kept.
	Previous *previous `cbor:"20,keyasint,omitempty"`

	// For names the profile whose place this one is to take, and Change the change that
	// it belongs to; "" for a profile that callers use. See staged.go.
	For    string `cbor:"22,keyasint,omitempty"`
	Change string `cbor:"23,keyasint,omitempty"`

	// RotateAfter is the age, in seconds, at which the agent rotates the certificate by
	// itself; zero means never.
	RotateAfter int64 `cbor:"24,keyasint,omitempty"`
	// Retired are certificates of ours that are still to be revoked at NetSuite.
	Retired []retired `cbor:"25,keyasint,omitempty"`
	consent

	// record is the ID of the vault's record, and versions are those of its secret. They are
	// not part of the metadata.
	record   store.ID
	versions []vault.Version
}

// keptIn notes that r, as it is now, is the record of p.
func (p *profile) keptIn(r vault.Record) { p.record, p.versions = r.ID, r.Versions }

// bound is what belongs to one version of the secret: where it may go, the
// identifiers that NetSuite knows it by, and when it ends.
type bound struct {
	Endpoint string `cbor:"7,keyasint,omitempty"`
	CA       string `cbor:"8,keyasint,omitempty"`

	ConsumerKey string `cbor:"9,keyasint,omitempty"`
	TokenID     string `cbor:"10,keyasint,omitempty"`

	ClientID      string `cbor:"11,keyasint,omitempty"`
	CertificateID string `cbor:"12,keyasint,omitempty"`
	Certificate   string `cbor:"13,keyasint,omitempty"`
	Alg           string `cbor:"15,keyasint,omitempty"`

	// Expires is in Unix seconds; zero means never.
	Expires int64 `cbor:"17,keyasint,omitempty"`

	Hosts  []string `cbor:"18,keyasint,omitempty"`
	Header string   `cbor:"19,keyasint,omitempty"`

	RedirectURI string `cbor:"30,keyasint,omitempty"`
	// Confidential says that an authcode profile has a client secret.
	Confidential bool `cbor:"31,keyasint,omitempty"`

	// Stale is since when the secret is known to be from before a refresh of the
	// sandbox, in Unix seconds; zero means that it is not.
	Stale int64 `cbor:"40,keyasint,omitempty"`
}

// previous is what is kept of a profile for its previous secret.
type previous struct {
	Account string `cbor:"2,keyasint"`
	bound

	// Until, in Unix seconds, is when the secret is erased.
	Until int64 `cbor:"21,keyasint"`
}

// profileCodec is the strict canonical form of metadata records.
type profileCodec struct {
	enc cbor.EncMode
	dec cbor.DecMode
}

func newProfileCodec() (profileCodec, error) {
	enc, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		return profileCodec{}, err
	}
	dec, err := cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		MaxNestedLevels:   4,
	}.DecMode()
	return profileCodec{enc, dec}, err
}

func (c profileCodec) encode(p *profile) ([]byte, error) { return c.enc.Marshal(p) }

// decode reads a metadata record; anything but the canonical form is an error.
func (c profileCodec) decode(b []byte) (*profile, error) {
	var p profile
	if err := c.dec.Unmarshal(b, &p); err != nil {
		return nil, fmt.Errorf("decoding a metadata record: %w", err)
	}
	again, err := c.enc.Marshal(&p)
	if err != nil {
		return nil, fmt.Errorf("decoding a metadata record: %w", err)
	}
	if !slices.Equal(again, b) {
		return nil, fmt.Errorf("decoding a metadata record: %w: not canonical", ErrRequest)
	}
	return &p, nil
}

// message returns the profile in the form of the API.
func (p *profile) message() *pb.Profile {
	env := ""
	if a, err := signer.ParseAccount(p.Account); err == nil {
		env = a.Environment()
	}
	out := &pb.Profile{
		Name: p.Name, Account: p.Account, Auth: p.Auth, Access: p.Access, Owner: p.Owner, Note: p.Note,
		Endpoint: p.Endpoint, Ca: p.CA, ConsumerKey: p.ConsumerKey, TokenId: p.TokenID,
		ClientId: p.ClientID, CertificateId: p.CertificateID, Certificate: p.Certificate, Scopes: p.Scopes,
		Alg: p.Alg, CreatedAt: p.Created, ExpiresAt: p.ends(), Environment: env,
		Hosts: p.Hosts, Header: p.Header, RedirectUri: p.RedirectURI, Client: p.client(),
		Role: p.Role, Entity: p.Entity, AuthorizedAt: p.Authorized, RefreshedAt: p.Refreshed, Consent: p.Consent, StaleSince: p.Stale, RotateAfter: p.RotateAfter,
	}
	for _, r := range p.Retired {
		out.Retired = append(out.Retired, &pb.RetiredCertificate{CertificateId: r.ID, After: r.After, Grant: r.grantName()})
	}
	for i, v := range p.versions {
		m := &pb.SecretVersion{Number: v.Number, State: "current", Since: v.Created.Unix()}
		if i > 0 {
			m.State = "previous"
			if p.Previous != nil {
				m.Until = p.Previous.Until
			}
		}
		out.Versions = append(out.Versions, m)
	}
	return out
}

var profileName = pattern.New(`^[a-z0-9][a-z0-9._-]{0,62}$`)

func checkName(name string) error {
	if !profileName().MatchString(name) || strings.Contains(name, "..") {
		return refuse(ErrRequest, pb.CodeRequest, fmt.Sprintf("%.80q is not a profile name", name),
			"a name has 1 to 63 characters of a-z, 0-9, dot, underscore and hyphen, and begins with a letter or digit", "")
	}
	return nil
}

// newProfile checks the public part of a profile as it came in and returns its
// stored form. Account and access are normalised.
func newProfile(m *pb.Profile, now time.Time) (*profile, error) {
	if err := checkName(m.GetName()); err != nil {
		return nil, err
	}
	account, err := signer.ParseAccount(m.GetAccount())
	if err != nil {
		return nil, fmt.Errorf("checking profile %q: %w", m.GetName(), err)
	}
	p := &profile{
		Name: m.GetName(), Account: account.ID(), Auth: m.GetAuth(), Access: m.GetAccess(), Owner: m.GetOwner(),
		Note: m.GetNote(), Created: now.Unix(), Scopes: m.GetScopes(),
		bound: bound{
			ConsumerKey: m.GetConsumerKey(), TokenID: m.GetTokenId(), ClientID: m.GetClientId(),
			CertificateID: m.GetCertificateId(), Certificate: m.GetCertificate(), Alg: m.GetAlg(), CA: m.GetCa(),
			Hosts: m.GetHosts(), Header: m.GetHeader(), RedirectURI: m.GetRedirectUri(),
		},
	}
	switch p.Auth {
	case authSecret:
		p.Expires = m.GetExpiresAt()
	case authCode:
		p.Consent = consentNew
	}
	switch {
	case p.Auth == authM2M:
		p.RotateAfter = m.GetRotateAfter()
	case m.GetRotateAfter() != 0:
		return nil, credential(fmt.Sprintf("rotate_after does not belong to a profile with auth %q", p.Auth), "")
	}
	if p.Access == "" {
		p.Access = accessWrite
		if !account.Sandbox() {
			p.Access = accessRead
		}
	}
	if p.Endpoint, err = endpointOrigin(m.GetEndpoint()); err != nil {
		return nil, err
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	return p, nil
}

// check checks what is not the account or the endpoint.
func (p *profile) check() error {
	checks := []error{
		oneOf("access", p.Access, accessRead, accessWrite),
		oneOf("auth", p.Auth, authTBA, authM2M, authCode, authSecret),
		text("owner", p.Owner, 256), text("note", p.Note, 1024),
	}
	for _, err := range checks {
		if err != nil {
			return err
		}
	}
	if err := checkCA(p.CA, p.Endpoint); err != nil {
		return err
	}
	return p.checkCredential()
}

// checkCredential checks that the public parts of the credential are those of its
// kind, and only those.
func (p *profile) checkCredential() error {
	tba := []field{{"consumer_key", p.ConsumerKey}, {"token_id", p.TokenID}}
	client := []field{{"client_id", p.ClientID}}
	scopes := []field{{"scopes", strings.Join(p.Scopes, " ")}}
	ofM2M := []field{{"certificate_id", p.CertificateID}, {"certificate", p.Certificate}, {"alg", p.Alg}}
	ofCode := []field{{"redirect_uri", p.RedirectURI}}
	ofSecret := []field{{"hosts", strings.Join(p.Hosts, " ")}, {"header", p.Header}}
	var need, other []field
	switch p.Auth {
	case authTBA:
		need, other = tba, slices.Concat(client, scopes, ofM2M, ofCode, ofSecret)
	case authM2M:
		need, other = client, slices.Concat(tba, ofCode, ofSecret)
	case authCode:
		need, other = client, slices.Concat(tba, ofM2M, ofSecret)
	default:
		other = slices.Concat(tba, client, scopes, ofM2M, ofCode)
	}
	for _, f := range need {
		if err := publicID(f.name, f.value); err != nil {
			return err
		}
	}
	for _, f := range other {
		if f.value != "" {
			return credential(fmt.Sprintf("%s does not belong to a profile with auth %q", f.name, p.Auth), "")
		}
	}
	switch p.Auth {
	case authTBA:
		return nil
	case authCode:
		return p.checkCode()
	case authSecret:
		return p.checkSecret()
	}
	if err := checkRotateAfter(p.RotateAfter); err != nil {
		return err
	}
	if p.CertificateID == "" && p.Certificate == "" {
		return credential("certificate_id or certificate is missing", "one of the two is needed for kid")
	}
	if p.CertificateID != "" {
		if err := publicID("certificate_id", p.CertificateID); err != nil {
			return err
		}
	}
	return checkScopes(p.Scopes, m2mScopes)
}

type field struct{ name, value string }

// scopes that a client-credentials token may have; mcp is not available to them
// (NetSuite Help, "The Request Token Structure").
var m2mScopes = []string{"restlets", "rest_webservices", "suite_analytics"}

func checkScopes(scopes, known []string) error {
	if len(scopes) == 0 {
		return credential("scopes are missing", "give some of "+strings.Join(known, ", "))
	}
	for i, s := range scopes {
		if !slices.Contains(known, s) {
			return credential(fmt.Sprintf("unknown scope %.40q", s), "scopes are "+strings.Join(known, ", "))
		}
		if slices.Contains(scopes[:i], s) {
			return credential(fmt.Sprintf("scope %q is given twice", s), "")
		}
	}
	return nil
}

// publicID checks a public identifier: printable ASCII without blanks.
func publicID(name, v string) error {
	if v == "" {
		return credential(name+" is missing", "")
	}
	if len(v) > 128 {
		return credential(name+" is too long", "at most 128 characters")
	}
	for i := range len(v) {
		if v[i] <= ' ' || v[i] > '~' || v[i] == '&' {
			return credential(name+" has a character that NetSuite does not use", "a blank or line end copied along with it?")
		}
	}
	return nil
}

func oneOf(name, v string, allowed ...string) error {
	if slices.Contains(allowed, v) {
		return nil
	}
	return credential(fmt.Sprintf("%s is %.40q", name, v), "it is one of "+strings.Join(allowed, ", "))
}

func text(name, v string, limit int) error {
	if len(v) > limit {
		return credential(name+" is too long", fmt.Sprintf("at most %d bytes", limit))
	}
	if strings.ContainsFunc(v, func(r rune) bool { return unicode.IsControl(r) || r == utf8.RuneError }) {
		return credential(name+" has a control character", "")
	}
	return nil
}

func credential(message, why string) error {
	return refuse(ErrCredential, pb.CodeCredential, message, why, "")
}

// endpointOrigin returns the exact origin of an endpoint, or "" for none. Plain
// http is for mocks on the loopback interface only: a signed request that crosses
// a network in clear can be taken and replayed.
func endpointOrigin(raw string) (string, error) {
	if raw == "" {
		return "", nil
	}
	t, err := signer.ParseEndpoint(raw)
	if err != nil {
		return "", refuse(err, pb.CodeCredential, "endpoint is not an origin", "give scheme, host and port only, such as https://127.0.0.1:8443", "")
	}
	if t.Scheme() == "http" && !loopback(t.Host()) {
		return "", credential("endpoint uses plain http", "plain http is accepted for loopback addresses only")
	}
	return t.Origin(), nil
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && ip.IsLoopback()
}

func checkCA(ca, endpoint string) error {
	if ca == "" {
		return nil
	}
	if endpoint == "" {
		return credential("ca_file without endpoint", "NetSuite's own hosts are verified against the system's roots")
	}
	if _, err := signer.ParseCertificate([]byte(ca)); err != nil {
		return refuse(err, pb.CodeCredential, "ca_file cannot be read", "one PEM block of type CERTIFICATE is needed, and nothing else", "")
	}
	return nil
}
