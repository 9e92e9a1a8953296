package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
)

// lent is the key and certificate of its own that a bundle gets for an M2M profile. The
// certificate ends with the grant, and is revoked with it: so NetSuite ends what nobody can
// take back from a file.
type lent struct {
	profile *profile // as the bundle has it
	key     secret.Bytes
}

// lentFor returns what was lent for one of the profiles; nil: nothing was.
func (n *newGrant) lentFor(i int) *lent {
	if n.lent == nil {
		return nil
	}
	return n.lent[i]
}

func (n *newGrant) destroyLent() {
	for _, l := range n.lent {
		if l != nil {
			l.key.Destroy()
		}
	}
}

// making are the grants that are not in the vault yet, and whose certificates are at
// NetSuite, or about to be.
type making struct {
	mu  sync.Mutex // guards ids
	ids map[unlocktoken.ID]bool
}

// begin notes a grant until end is called.
func (m *making) begin(id unlocktoken.ID) (end func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ids == nil {
		m.ids = make(map[unlocktoken.ID]bool)
	}
	m.ids[id] = true
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.ids, id)
	}
}

func (m *making) has(id unlocktoken.ID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ids[id]
}

// lends reports whether a bundle needs a certificate of its own for one of its profiles.
func (n *newGrant) lends() bool {
	return n.Mode == unlocktoken.Detached && slices.ContainsFunc(n.profiles, func(p *live) bool { return p.Auth == authM2M })
}

// lend makes a key and a certificate for each M2M profile of n, and uploads and tries them.
// The caller has no turn: the network may be slow. What fails leaves certificates that the
// agent revokes, since their grant does not come to be.
func (a *Agent) lend(ctx context.Context, n *newGrant) error {
	ctx, cancel := context.WithTimeout(ctx, rotationTime)
	defer cancel()
	n.lent = make([]*lent, len(n.profiles))
	for i, p := range n.profiles {
		if p.Auth != authM2M {
			continue
		}
		var err error
		if n.lent[i], err = a.lendOne(ctx, n, p.Name); err != nil {
			return notDone(err, fmt.Sprintf("profile %q got no certificate for the bundle", p.Name), "nothing was granted")
		}
	}
	return nil
}

func (a *Agent) lendOne(ctx context.Context, n *newGrant, name string) (*lent, error) {
	release, err := a.rotations.claim(name)
	if err != nil {
		return nil, err
	}
	defer release()
	listed, err := a.listCertificates(ctx, name)
	if err != nil {
		return nil, err
	}
	_, p, err := a.certified(name)
	if err != nil {
		return nil, err
	}
	if err := p.mayRetire(2); err != nil { // NetSuite may give it another ID than the one computed
		return nil, err
	}
	own := presentOf(listed)
	if !own.known() { // nothing is made, nor noted, that could not be uploaded
		return nil, refuse(ErrNetSuite, pb.CodeNetSuite, "", "it is not known for which entity and role: the present certificate is not in NetSuite's list", "see the list:  nsagent cert ls -p "+name)
	}
	r := &rotation{Agent: a, name: name}
	if _, err := r.makeRoom(ctx, p, listed); err != nil {
		return nil, err
	}
	q := p.forBundle()
	wish := certificateWish{kind: kindOfKey(p.key), name: unlocktoken.GrantName(n.Grant), until: n.Caveats.NotAfter}
	made, err := a.makeCertificate(q, wish, a.timeFor(p))
	if err != nil {
		return nil, err
	}
	l := &lent{profile: q, key: made.signOnly}
	if err := a.uploadLent(ctx, r, n, l, own); err != nil {
		l.key.Destroy()
		return nil, err
	}
	return l, nil
}

// uploadLent uploads the certificate of l for whom own stands for, and tries it. The vault
// comes first: it says what is to be revoked before there is anything.
func (a *Agent) uploadLent(ctx context.Context, r *rotation, n *newGrant, l *lent, own mapped) error {
	if err := a.noteLent(ctx, n, l); err != nil {
		return err
	}
	id, err := a.uploadCertificate(ctx, r.name, certificateUpload{pem: l.profile.Certificate, id: l.profile.CertificateID, standing: own.standing, of: own.id})
	if errors.Is(err, errUnsure) {
		listed, _ := a.listCertificates(ctx, r.name) // without a list it counts as not there
		if !slices.ContainsFunc(listed, func(m mapped) bool { return m.id == l.profile.CertificateID }) {
			return err
		}
		id, err = l.profile.CertificateID, nil
	}
	if err != nil {
		return err
	}
	if id != l.profile.CertificateID { // NetSuite gave it another than the one computed
		l.profile.CertificateID = id
		if err := a.noteLent(ctx, n, l); err != nil {
			return err
		}
	}
	copied, err := a.arena.Clone(l.key)
	if err != nil {
		return err
	}
	st, err := newLive(a.arena, l.profile, copied)
	if err != nil {
		return err
	}
	defer func() {
		st.supersede()
		st.destroy()
	}()
	return r.probe(ctx, st)
}

// noteLent notes in the vault that the certificate of l is revoked with the grant.
func (a *Agent) noteLent(ctx context.Context, n *newGrant, l *lent) error {
	s, old, end, err := a.beginChangeOf(ctx, l.profile.Name)
	if err != nil {
		return err
	}
	defer end()
	p := *old.profile
	p.retire(retired{ID: l.profile.CertificateID, After: n.Caveats.NotAfter, Grant: n.Grant[:]})
	next, err := old.with(&p)
	if err != nil {
		return err
	}
	_, err = a.replaceProfile(ctx, s, old, next, audit.EventCertNew, fmt.Sprintf("grant=%s certificate=%s", unlocktoken.GrantName(n.Grant), l.profile.CertificateID), vault.Edit{})
	return err
}

// fits reports whether p is still what l was made for.
func (l *lent) fits(p *live) bool {
	return p.Auth == authM2M && p.Account == l.profile.Account && p.Endpoint == l.profile.Endpoint && p.ClientID == l.profile.ClientID
}

// lentOver returns the IDs of the certificates that bundles have and that are to be revoked
// now: their grant was revoked, or never came to be.
//
// With the turn, nothing is noted and no grant is stored meanwhile. So whoever is not
// making a grant any more has stored it, or never will.
func (a *Agent) lentOver(ctx context.Context) (map[string]bool, error) {
	if !a.anyLent() {
		return nil, nil
	}
	s, end, err := a.beginChange(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	all, err := s.vault.Grants()
	if err != nil {
		return nil, err
	}
	l, err := a.openLedger(ctx, s.vault)
	if err != nil {
		return nil, err
	}
	defer func() { _ = l.Close() }()
	good := make(map[string]bool)
	for _, g := range all {
		_, revoked := a.isRevoked(l, g)
		good[string(g.ID[:])] = !revoked
	}
	over := make(map[string]bool)
	a.mu.RLock()
	defer a.mu.RUnlock()
	for _, p := range s.profiles {
		for _, r := range p.Retired {
			if r.lent() && !good[string(r.Grant)] && !a.making.has(unlocktoken.ID(r.Grant)) {
				over[r.ID] = true
			}
		}
	}
	return over, nil
}

// anyLent reports whether a bundle has a certificate beside a profile's own.
func (a *Agent) anyLent() bool {
	a.mu.RLock()
	defer a.mu.RUnlock()
	s, err := a.currentLocked()
	if err != nil {
		return false
	}
	for _, p := range s.profiles {
		if slices.ContainsFunc(p.Retired, retired.lent) {
			return true
		}
	}
	return false
}
