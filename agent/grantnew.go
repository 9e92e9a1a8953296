package agent

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/internal/grantkey"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
)

// keptAfterEnd is how long a grant is listed after its end. Then the next new grant takes
// it out of the vault.
const keptAfterEnd = 30 * 24 * time.Hour

// newGrant is a grant that is being made.
type newGrant struct {
	unlocktoken.Authority
	profiles []*live
	next     ed25519.PublicKey
	listen   string  // see grantMeta.Listen
	lent     []*lent // of a bundle, in the order of profiles; nil: it needs none
}

// NewGrant makes a grant.
func (s adminService) NewGrant(ctx context.Context, q *pb.NewGrantRequest) (*pb.NewGrantResponse, error) {
	defer s.seals.drop(callerOf(ctx).peer, boxes(q.GetProof(), q.GetShares())...)
	r, err := s.makeGrant(ctx, q)
	if err != nil {
		return nil, s.reply(s.denied(callerOf(ctx), audit.EventGrantNew, "", err))
	}
	return r, nil
}

func (a *Agent) makeGrant(ctx context.Context, q *pb.NewGrantRequest) (*pb.NewGrantResponse, error) {
	n, err := a.planGrant(q)
	if err != nil {
		return nil, err
	}
	by, shares, err := a.proveGrant(ctx, n, q)
	if err != nil {
		return nil, err
	}
	defer shares.Destroy()
	if n.lends() {
		defer n.destroyLent()
		defer wake(a.tend) // what it does not need after all is revoked
		defer a.making.begin(n.Grant)()
		if err := a.lend(ctx, n); err != nil {
			return nil, err
		}
	}
	s, end, err := a.beginChange(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	if err := a.chooseProfiles(s, n, q.GetProfiles()); err != nil {
		return nil, err
	}
	return a.storeGrant(ctx, s, n, shares, by)
}

// proveGrant looks at the proof for n, and opens its key shares. It returns what the proof
// was.
func (a *Agent) proveGrant(ctx context.Context, n *newGrant, q *pb.NewGrantRequest) (by string, shares secret.Bytes, err error) {
	s, end, err := a.beginChange(ctx)
	if err != nil {
		return "", shares, err
	}
	defer end()
	if err := a.chooseProfiles(s, n, q.GetProfiles()); err != nil {
		return "", shares, err
	}
	if by, err = a.prove(ctx, s, q.GetProof(), pb.Admin_NewGrant_FullMethodName, "", "a new grant", (*session).stepUp); err != nil {
		return "", shares, err
	}
	if err = a.trustClock(ctx, s.vault, n.IssuedAt); err != nil {
		return "", shares, err
	}
	shares, err = a.openShares(ctx, q.GetShares(), len(n.profiles))
	return by, shares, err
}

// planGrant checks what a request says by itself.
func (a *Agent) planGrant(q *pb.NewGrantRequest) (*newGrant, error) {
	life, err := lifeOf(q.GetTtlSeconds())
	if err != nil {
		return nil, err
	}
	n := &newGrant{next: q.GetNext(), listen: q.GetListen()}
	if n.Caveats, err = caveatsOf(q.GetLimits()); err != nil {
		return nil, err
	}
	if err := checkIdentities(n.Caveats); err != nil {
		return nil, err
	}
	now := a.clock()
	if q.GetDetached() {
		if err := checkDetached(life); err != nil {
			return nil, err
		}
	}
	n.Mode, n.IssuedAt, n.Caveats.NotAfter = unlocktoken.Attached, now.Unix(), now.Add(life).Unix()
	if q.GetDetached() {
		n.Mode = unlocktoken.Detached
	}
	switch {
	case q.GetDetached() && q.GetListen() != "":
		return nil, refuse(ErrRequest, pb.CodeRequest, "a bundle has no socket", "it is for machines where this agent is not", "leave out --listen, or --bundle")
	case q.GetListen() != "" && len(n.Caveats.Identities) > 0:
		return nil, refuse(ErrRequest, pb.CodeRequest, "the socket would let nobody do anything", "who connects there shows no ID token, and the grant wants one", "leave out --listen, or --for and --oidc")
	case len(n.next) != ed25519.PublicKeySize:
		return nil, refuse(ErrRequest, pb.CodeRequest, "the key that narrows is no Ed25519 key", "", "")
	case n.Caveats.NotBefore > n.Caveats.NotAfter:
		return nil, refuse(ErrRequest, pb.CodeRequest, "the grant would end before it begins", "the time of --ttl runs from now on", "give it a longer one")
	case len(q.GetProfiles()) == 0 || len(q.GetProfiles()) > unlocktoken.MaxShares:
		return nil, refuse(ErrRequest, pb.CodeRequest, fmt.Sprintf("a grant is for 1 to %d profiles", unlocktoken.MaxShares), "", "name them:  nsagent grant new -p NAME")
	}
	_, _ = rand.Read(n.Grant[:]) // never fails, crypto/rand says
	return n, a.checkPlace(n.listen)
}

// chooseProfiles sets what n is for.
func (a *Agent) chooseProfiles(s *session, n *newGrant, names []string) error {
	if err := a.catchUp(s); err != nil { // the policy says which issuers there are
		return err
	}
	if err := checkIssuers(n.Caveats, s.policy().issuers()); err != nil {
		return err
	}
	n.Vault = unlocktoken.ID(s.vault.ID())
	n.profiles, n.Caveats.Credentials = nil, nil
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			return refuse(ErrRequest, pb.CodeRequest, fmt.Sprintf("profile %.80q is named twice", name), "a grant is for each of its profiles once", "name it once")
		}
		a.mu.RLock()
		p, err := s.find(name)
		a.mu.RUnlock()
		if err != nil {
			return err
		}
		if err := grantable(p); err != nil {
			return err
		}
		if err := leavesUse(p, n.Caveats); err != nil {
			return err
		}
		if l := n.lentFor(i); l != nil && !l.fits(p) {
			return changedElsewhere(name)
		}
		r, ok := s.vault.Record(p.Name)
		if !ok {
			return s.noProfile(name)
		}
		// What another agent has made of it goes into no grant as it was.
		if err := a.codec.sameAs(p, r); err != nil {
			return err
		}
		n.profiles = append(n.profiles, p)
		n.Caveats.Credentials = append(n.Caveats.Credentials, unlocktoken.ID(p.record))
	}
	return badCaveats(n.Authority.Check())
}

// grantable refuses what no token can be made for.
func grantable(p *live) error {
	why := ""
	switch p.Auth {
	case authCode:
		why = "its refresh token changes with each use, and only the unlocked vault can keep the new one"
	case authSecret:
		why = "it holds an API secret, which no caller is given, so that there is nothing a token could allow"
	default:
		return nil
	}
	return refuse(ErrKind, pb.CodeRequest, fmt.Sprintf("no grant can be made for profile %q", p.Name), why, "use a profile of kind tba or m2m:  nsagent profile ls")
}

// openShares opens the key shares of n profiles.
func (a *Agent) openShares(ctx context.Context, m *pb.Sealed, n int) (secret.Bytes, error) {
	if f := m.GetField(); f != fieldShares {
		return secret.Bytes{}, refuse(ErrRequest, pb.CodeRequest, fmt.Sprintf("a new grant needs its shares sealed, not a %.40q", f), "", "")
	}
	b, err := a.open(ctx, m, pb.Admin_NewGrant_FullMethodName, "", maxShares)
	if err != nil {
		return b, err
	}
	if b.Len() != n*grantkey.ShareSize {
		b.Destroy()
		return secret.Bytes{}, refuse(ErrRequest, pb.CodeRequest, "the shares do not fit the profiles", fmt.Sprintf("one of %d bytes for each", grantkey.ShareSize), "")
	}
	return b, nil
}

// storeGrant signs the grant, wraps the keys of its profiles, records it and puts it into
// the vault.
func (a *Agent) storeGrant(ctx context.Context, s *session, n *newGrant, shares secret.Bytes, by string) (*pb.NewGrantResponse, error) {
	chain, err := unlocktoken.NewChain(n.Authority, n.next, s.vault.SignGrant)
	if errors.Is(err, unlocktoken.ErrCaveats) {
		return nil, badCaveats(err)
	}
	if err != nil {
		return nil, err
	}
	issuer, err := s.vault.GrantKey()
	if err != nil {
		return nil, err
	}
	g, err := chain.Read()
	if err != nil {
		return nil, err
	}
	wraps, err := a.wrapsOf(ctx, s, n, g, issuer, shares)
	defer destroyWraps(wraps)
	if err != nil {
		return nil, err
	}
	text, err := a.bundleOf(s, n, g, issuer, shares)
	if err != nil {
		return nil, err
	}
	c := callerOf(ctx)
	meta := grantMeta{Chain: chain.Encode(), UID: c.uid(), Exe: valid(c.peer.Exe()), Proof: by, Listen: n.listen}
	for i, p := range n.profiles {
		meta.Profiles = append(meta.Profiles, p.Name)
		if n.lent == nil {
			continue
		}
		id := ""
		if l := n.lentFor(i); l != nil {
			id = l.profile.CertificateID
		}
		meta.Certificates = append(meta.Certificates, id)
	}
	encoded, err := a.codec.enc.Marshal(&meta)
	if err != nil {
		return nil, fmt.Errorf("encoding a grant: %w", err)
	}
	add := vault.NewGrant{ID: n.Grant, Meta: encoded, Wraps: wraps, Over: a.grantsOver(s)}
	if err := a.carryOutAll(c, n.events(by), func() error {
		if err := s.vault.AddGrant(ctx, add); err != nil {
			return err
		}
		err := a.listenOn(ctx, c, s, &meta, g)
		if err != nil { // nobody has its token yet
			err = errors.Join(err, s.vault.RemoveGrant(ctx, n.Grant))
		}
		return err
	}); err != nil {
		return nil, err
	}
	r := &pb.NewGrantResponse{Chain: meta.Chain, Issuer: issuer[:], Bundle: text}
	made := vault.Grant{ID: n.Grant, Issuer: issuer, Meta: encoded}
	for _, id := range n.Caveats.Credentials {
		r.Credentials = append(r.Credentials, id[:])
		if len(wraps) > 0 {
			made.Records = append(made.Records, id)
		}
	}
	r.Grant, err = a.describeGrant(ctx, s.vault, made)
	return r, err
}

// wrapsOf returns what the vault needs to let the shares open the profiles. It returns what
// it made before an error as well. For a bundle the vault needs nothing.
func (a *Agent) wrapsOf(ctx context.Context, s *session, n *newGrant, g *unlocktoken.Grant, issuer [32]byte, shares secret.Bytes) ([]vault.NewWrap, error) {
	if n.Mode == unlocktoken.Detached {
		return nil, nil
	}
	machine, _, err := s.vault.MachineKey(ctx)
	if err != nil {
		return nil, err
	}
	defer machine.Destroy()
	var wraps []vault.NewWrap
	for i, p := range n.profiles {
		share, err := a.shareAt(shares, i)
		if err != nil {
			return wraps, err
		}
		key, err := grantkey.Derive(a.arena, machine, g, unlocktoken.IssuerHash(issuer[:]), n.Caveats.Credentials[i], share)
		share.Destroy()
		if err != nil {
			return wraps, err
		}
		wraps = append(wraps, vault.NewWrap{Record: p.Name, Key: key})
	}
	return wraps, nil
}

// shareAt returns a copy of one of the shares.
func (a *Agent) shareAt(shares secret.Bytes, i int) (secret.Bytes, error) {
	return a.compose(grantkey.ShareSize, func(to []byte) ([]byte, error) {
		err := shares.Use(func(b []byte) error { to = append(to, b[i*grantkey.ShareSize:(i+1)*grantkey.ShareSize]...); return nil })
		return to, err
	})
}

func destroyWraps(wraps []vault.NewWrap) {
	for _, w := range wraps {
		w.Key.Destroy()
	}
}

// events are the entries of a new grant: one for each profile, so that its history has it.
func (n *newGrant) events(by string) []audit.Event {
	var all []audit.Event
	for _, p := range n.profiles {
		e := changeOf(audit.EventGrantNew, p.profile, "until="+time.Unix(n.Caveats.NotAfter, 0).UTC().Format(time.RFC3339)+" proof="+by)
		e.Grant = unlocktoken.GrantName(n.Grant)
		all = append(all, e)
	}
	return all
}

// grantsOver returns the grants that ended long ago. What cannot be read stays.
func (a *Agent) grantsOver(s *session) (over [][16]byte) {
	all, _ := s.vault.Grants()
	before := a.clock().Add(-keptAfterEnd).Unix()
	for _, v := range all {
		if _, g, err := a.codec.decodeGrant(v.Meta); err == nil && g.NotAfter() < before {
			over = append(over, v.ID)
		}
	}
	return over
}
