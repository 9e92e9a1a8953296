package agent

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/nsagent/nsagent/agent/oidc"
	"github.com/nsagent/nsagent/internal/grantkey"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault/bundle"
)

// packed is what a bundle is to hold of one profile. Its secrets are destroyed by whoever
// made it.
type packed struct {
	credential unlocktoken.ID
	profile    *profile
	signOnly   secret.Bytes
	share      secret.Bytes
}

func (p packed) destroy() {
	p.signOnly.Destroy()
	p.share.Destroy()
}

// checkDetached refuses a grant that lasts too long for a bundle.
func checkDetached(life time.Duration) error {
	if life <= maxDetached {
		return nil
	}
	return refuse(ErrRequest, pb.CodeRequest, "the grant would last too long", fmt.Sprintf("a bundle at most %d days: nobody but NetSuite takes it back sooner", maxDetached/day), "make it shorter, and another one later:  --ttl 30d")
}

// bundleOf returns the bundle of a detached grant as text; nil for an attached one.
func (a *Agent) bundleOf(s *session, n *newGrant, g *unlocktoken.Grant, issuer [32]byte, shares secret.Bytes) ([]byte, error) {
	if n.Mode != unlocktoken.Detached {
		return nil, nil
	}
	var all []packed
	defer func() {
		for _, p := range all {
			p.destroy()
		}
	}()
	for i, p := range n.profiles {
		one := packed{credential: n.Caveats.Credentials[i], profile: p.forBundle()}
		var err error
		if l := n.lentFor(i); l != nil {
			one.profile = l.profile
			one.signOnly, err = a.arena.Clone(l.key)
		} else if p.Auth == authM2M { // it has become one since: its own key stays here
			err = changedElsewhere(p.Name)
		} else {
			one.signOnly, err = s.vault.OpenSignOnly(p.Name)
		}
		if err == nil {
			one.share, err = a.shareAt(shares, i)
		}
		all = append(all, one)
		if err != nil {
			return nil, err
		}
	}
	policy, err := s.policyForBundle()
	if err != nil {
		return nil, err
	}
	return a.sealBundle(g, issuer, all, policy, a.issuers.Load().configured, s.vault.SignGrant)
}

// forBundle returns what a bundle says of p: all that signing takes, and nothing for
// people.
func (p *profile) forBundle() *profile {
	return &profile{
		Name: p.Name, Account: p.Account, Auth: p.Auth, Access: p.Access, Scopes: p.Scopes, Created: p.Created,
		bound: bound{
			Endpoint: p.Endpoint, CA: p.CA, ConsumerKey: p.ConsumerKey, TokenID: p.TokenID,
			ClientID: p.ClientID, CertificateID: p.CertificateID, Certificate: p.Certificate, Alg: p.Alg, Expires: p.Expires,
		},
	}
}

// bundleNotice is what a bundle says to everybody: the issuers of the ID tokens that its
// grant asks for, as far as no agent knows them anyway.
type bundleNotice struct {
	Issuers []bundleIssuer `cbor:"1,keyasint,omitempty"`
}

// bundleIssuer is an oidc.Issuer.
type bundleIssuer struct {
	URL  string `cbor:"1,keyasint"`
	JWKS []byte `cbor:"2,keyasint,omitempty"`
	CA   string `cbor:"3,keyasint,omitempty"`
}

// sealBundle returns a bundle for a detached grant, as text. sign signs with the vault's
// grant key, of which issuer is the public half; policy is in force, and known are its
// issuers.
func (a *Agent) sealBundle(g *unlocktoken.Grant, issuer [32]byte, all []packed, policy []byte, known []oidc.Issuer, sign func([]byte) ([]byte, error)) ([]byte, error) {
	notice, err := a.codec.enc.Marshal(noticeOf(g, known))
	if err != nil {
		return nil, fmt.Errorf("encoding a bundle: %w", err)
	}
	var sources []bundle.Source
	defer func() {
		for _, s := range sources {
			s.Key.Destroy()
		}
	}()
	for _, p := range all {
		meta, err := a.codec.encodeBundled(p.profile, policy)
		if err != nil {
			return nil, err
		}
		key, err := grantkey.Derive(a.arena, nil, g, unlocktoken.IssuerHash(issuer[:]), p.credential, p.share)
		if err != nil {
			return nil, err
		}
		sources = append(sources, bundle.Source{Credential: p.credential, Name: p.profile.Name, Kind: p.profile.Auth, Meta: meta, SignOnly: p.signOnly, Key: key})
	}
	h := bundle.Head{Vault: g.Vault, Grant: g.Authority.Grant, Issuer: issuer, Authority: g.AuthorityHash, Public: notice}
	return bundle.Seal(a.arena, rand.Reader, h, unixSeconds(a.clock()), sources, sign)
}

// noticeOf returns the issuers that the identities of g name, of those that are known.
func noticeOf(g *unlocktoken.Grant, known []oidc.Issuer) (n bundleNotice) {
	named := make(map[string]bool)
	for _, c := range g.Blocks() {
		for _, i := range c.Identities {
			named[i.Issuer] = true
		}
	}
	for _, i := range known {
		if named[i.URL] {
			n.Issuers = append(n.Issuers, bundleIssuer(i))
		}
	}
	return n
}

// notice reads what a bundle says to everybody; anything but the canonical form is an error.
func (c profileCodec) notice(public []byte) (issuers []oidc.Issuer, err error) {
	var n bundleNotice
	if err := c.dec.Unmarshal(public, &n); err != nil {
		return nil, fmt.Errorf("%w: what it says to everybody", bundle.ErrFormat)
	}
	if again, _ := c.enc.Marshal(n); !bytes.Equal(again, public) {
		return nil, fmt.Errorf("%w: what it says to everybody is not canonical", bundle.ErrFormat)
	}
	for _, i := range n.Issuers {
		issuers = append(issuers, oidc.Issuer(i))
	}
	return issuers, nil
}

// readNotice takes over the issuers that a bundle brings.
func (a *Agent) readNotice(public []byte) error {
	issuers, err := a.codec.notice(public)
	if err != nil {
		return err
	}
	if err := a.knowIssuers(issuers); err != nil {
		return fmt.Errorf("%w: %w", bundle.ErrFormat, err)
	}
	return nil
}
