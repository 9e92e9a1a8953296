package agent

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/agent/oidc"
	"github.com/nsagent/nsagent/internal/grantlimits"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
)

// What the state of a grant can be.
const (
	grantActive  = "active"
	grantPending = "pending"
	grantUsedUp  = "used up"
	grantExpired = "expired"
	grantRevoked = "revoked"
	grantLocked  = "locked"
	grantDamaged = "damaged"
)

// ListGrants tells what grants there are.
func (s adminService) ListGrants(ctx context.Context, _ *pb.ListGrantsRequest) (*pb.ListGrantsResponse, error) {
	v, end, err := s.anyVault(ctx)
	if err != nil {
		return nil, s.reply(err)
	}
	defer end()
	grants, err := v.Grants()
	if err != nil {
		return nil, s.reply(err)
	}
	all, err := s.describeGrants(ctx, v, grants)
	if err != nil {
		return nil, s.reply(err)
	}
	slices.SortStableFunc(all, func(a, b *pb.Grant) int { return cmp.Compare(b.GetCreatedAt(), a.GetCreatedAt()) })
	return &pb.ListGrantsResponse{Grants: all}, nil
}

// ShowGrant tells about one grant.
func (s adminService) ShowGrant(ctx context.Context, q *pb.ShowGrantRequest) (*pb.ShowGrantResponse, error) {
	v, end, err := s.anyVault(ctx)
	if err != nil {
		return nil, s.reply(err)
	}
	defer end()
	g, err := grantCalled(v, q.GetId())
	if err != nil {
		return nil, s.reply(err)
	}
	m, err := s.describeGrant(ctx, v, g)
	if err != nil {
		return nil, s.reply(err)
	}
	return &pb.ShowGrantResponse{Grant: m}, nil
}

// RevokeGrant ends a grant.
func (s adminService) RevokeGrant(ctx context.Context, q *pb.RevokeGrantRequest) (*pb.RevokeGrantResponse, error) {
	r, err := s.endGrant(ctx, q)
	if err != nil {
		return nil, s.reply(s.denied(callerOf(ctx), audit.EventGrantRevoke, "", err))
	}
	return r, nil
}

func (a *Agent) endGrant(ctx context.Context, q *pb.RevokeGrantRequest) (*pb.RevokeGrantResponse, error) {
	v, _, err := a.vaultOfState(ctx)
	if err != nil {
		return nil, err
	}
	// Whoever unlocks or changes the vault may have it, or the turn, for long. The ledger is
	// enough for a locked vault, which learns of it at the next unlock.
	ended, err := a.endAtOnce(ctx, v, q.GetId())
	if err != nil {
		return nil, err
	}
	g, err := grantCalled(v, q.GetId())
	switch {
	case err != nil && ended != unlocktoken.ID{}:
		return nil, &recorded{err}
	case err != nil:
		return nil, err
	case g.ID != ended: // somebody else may have written what was looked at first
		if err := a.revokeGrant(ctx, callerOf(ctx), v, g.ID); err != nil {
			return nil, err
		}
	}
	r := &pb.RevokeGrantResponse{}
	if _, err := a.unlocked(); err == nil || q.GetRotate() {
		if v, g, err = a.endInVault(ctx, q, r); err != nil {
			return nil, &recorded{err}
		}
	}
	r.Grant, err = a.describeGrant(ctx, v, g)
	return r, err
}

// endInVault has the vault keep that a grant is revoked, in a turn, and gives its profiles
// new keys where that is asked for. It returns the vault and the grant as they are then.
func (a *Agent) endInVault(ctx context.Context, q *pb.RevokeGrantRequest, r *pb.RevokeGrantResponse) (v *vault.Vault, g vault.Grant, err error) {
	v, end, err := a.anyVault(ctx)
	if err != nil {
		return nil, g, err
	}
	defer end()
	if !v.Locked() { // else nothing says that what the file claims is the vault's own
		defer a.noteGeneration(v)
	}
	a.markRevoked(ctx, v)
	if g, err = grantCalled(v, q.GetId()); err != nil || !q.GetRotate() {
		return v, g, err
	}
	if r.Rotated, r.Affected, err = a.rekeyGrant(ctx, v, g); err != nil {
		return nil, g, err
	}
	g, err = grantCalled(v, q.GetId()) // it lost what it opened
	return v, g, err
}

// rekeyGrant gives the profiles that g opens new keys. It returns their names, and the
// other grants that opened them.
func (a *Agent) rekeyGrant(ctx context.Context, v *vault.Vault, g vault.Grant) (names, affected []string, err error) {
	all, err := v.Records()
	if err != nil { // it is locked
		return nil, nil, refuse(err, pb.CodeLocked, "the profiles of grant "+unlocktoken.GrantName(g.ID)+" keep their keys", "the grant is revoked; the vault is locked, so that no new keys can be made", "unlock it, and do it again:  nsagent unlock")
	}
	var events []audit.Event
	opened := a.opened(g)
	for _, r := range all {
		if !slices.Contains(opened, [16]byte(r.ID)) {
			continue
		}
		p, err := a.codec.decodeRecord(r)
		if err != nil {
			return nil, nil, err
		}
		e := changeOf(audit.EventProfileRekey, p, "")
		e.Grant = unlocktoken.GrantName(g.ID)
		names, events = append(names, r.Name), append(events, e)
	}
	if len(names) == 0 {
		return nil, nil, nil
	}
	grants, err := v.Grants()
	if err != nil {
		return nil, nil, err
	}
	for _, other := range grants {
		shares := func(id [16]byte) bool { return slices.Contains(opened, id) }
		if other.ID != g.ID && slices.ContainsFunc(other.Records, shares) {
			affected = append(affected, unlocktoken.GrantName(other.ID))
		}
	}
	return names, affected, a.carryOutAll(callerOf(ctx), events, func() error { return v.Rekey(ctx, names) })
}

// anyVault returns the vault, unlocked if the agent has it so, and waits for its turn to
// look at it. end gives that up.
func (a *Agent) anyVault(ctx context.Context) (v *vault.Vault, end func(), err error) {
	end, err = a.beginAdmin(ctx)
	if err != nil {
		return nil, nil, err
	}
	v, _, err = a.vaultOfState(ctx)
	if err != nil {
		end()
		return nil, nil, err
	}
	return v, end, nil
}

// grantCalled returns the grant whose name is, or begins with, name.
func grantCalled(v *vault.Vault, name string) (g vault.Grant, err error) {
	all, err := v.Grants()
	if err != nil {
		return g, err
	}
	return called(all, name)
}

// called is grantCalled among all.
func called(all []vault.Grant, name string) (g vault.Grant, err error) {
	var found []vault.Grant
	for _, g := range all {
		if len(name) >= unlocktoken.ShortestName && strings.HasPrefix(unlocktoken.GrantName(g.ID), strings.ToLower(name)) {
			found = append(found, g)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		why := ""
		if len(name) < unlocktoken.ShortestName {
			why = fmt.Sprintf("its start has at least %d characters", unlocktoken.ShortestName)
		}
		return g, refuse(vault.ErrNotFound, pb.CodeNotFound, fmt.Sprintf("there is no grant %.40q", name), why, "list them:  nsagent grant ls")
	default:
		return g, refuse(ErrRequest, pb.CodeRequest, fmt.Sprintf("more than one grant begins with %.40q", name), "", "give more of it:  nsagent grant ls -o json")
	}
}

func (a *Agent) describeGrant(ctx context.Context, v *vault.Vault, g vault.Grant) (*pb.Grant, error) {
	all, err := a.describeGrants(ctx, v, []vault.Grant{g})
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

// describeGrants returns what is told of grants of v. Those that were revoked are in the
// ledger; where it cannot be read nothing is told, since a grant would look good.
func (a *Agent) describeGrants(ctx context.Context, v *vault.Vault, grants []vault.Grant) ([]*pb.Grant, error) {
	k, _, err := a.ledgerKeyOf(ctx, v) // before the counters are held: it may ask the keyring
	if err != nil {
		return nil, err
	}
	defer k.Destroy()
	defer a.counters.hold()()
	l, err := a.lendLedger(ctx, k.key, k.vault)
	if err != nil {
		return nil, err
	}
	defer func() { _ = l.Close() }()
	if !v.Locked() { // of what is locked no times are told
		id := a.idOf(v)
		a.grantClocks.of(id).load(l, id)
	}
	records := make(map[unlocktoken.ID]vault.Record)
	there, _ := v.Records() // none while it is locked
	for _, r := range there {
		records[unlocktoken.ID(r.ID)] = r
	}
	all := make([]*pb.Grant, 0, len(grants))
	for _, g := range grants {
		m := &pb.Grant{Id: unlocktoken.GrantName(g.ID), State: grantLocked}
		if g.Meta != nil {
			if err := a.fillGrant(m, g, records, l); err != nil {
				a.log.Error("a grant of the vault cannot be read", "grant", m.GetId(), "error", err)
				m = &pb.Grant{Id: m.GetId(), State: grantDamaged} // the others are told all the same
			}
		}
		if at, revoked := a.isRevoked(l, g); revoked {
			m.State, m.RevokedAt = grantRevoked, at
		}
		all = append(all, m)
	}
	return all, nil
}

// clockOf returns the time by which a grant is judged, which for that takes note of nothing.
// Of a bundle that is the one of whoever serves it, which is not known here: the machine's
// stands for that.
func (a *Agent) clockOf(g *unlocktoken.Grant) int64 {
	now := a.clock()
	if g.Mode != unlocktoken.Detached {
		now = a.grantClocks.of(g.Vault[:]).would(g.IssuedAt, now)
	}
	return now.Unix()
}

// stateOf returns what is told of a grant at a time, unless it was revoked. One that was made
// when the clock was ahead has not begun by the clock that counts.
func stateOf(g *unlocktoken.Grant, now int64) string {
	switch {
	case now > g.NotAfter():
		return grantExpired
	case now < g.NotBefore(), isAhead(g.IssuedAt, now):
		return grantPending
	}
	return grantActive
}

// fillGrant fills in what only the unlocked vault says. records are all of the vault's; l
// counts the uses.
func (a *Agent) fillGrant(m *pb.Grant, g vault.Grant, records map[unlocktoken.ID]vault.Record, l *ledger) error {
	meta, grant, err := a.codec.decodeGrant(g.Meta)
	if err != nil {
		return fmt.Errorf("%w: grant %s: %w", vault.ErrDamaged, m.GetId(), err)
	}
	m.State = stateOf(grant, a.clockOf(grant))
	m.Detached, m.Audience = grant.Mode == unlocktoken.Detached, oidc.Audience(grant.Vault)
	m.CreatedAt, m.NotAfter, m.Limits = grant.IssuedAt, grant.NotAfter(), grantlimits.Limits(grant.Caveats)
	m.Listen = meta.Listen
	if !m.Detached {
		m.UsesMade = a.usesMade(l, grant)
		if most := grant.Caveats.Uses; m.State == grantActive && most > 0 && m.UsesMade >= most {
			m.State = grantUsedUp
		}
	}
	m.MadeBy = strings.TrimRight(fmt.Sprintf("%s, uid %d, %s", meta.Proof, meta.UID, meta.Exe), ", ")
	for i, id := range grant.Caveats.Credentials {
		opens := slices.ContainsFunc(g.Records, func(r [16]byte) bool { return bytes.Equal(r[:], id[:]) })
		g := &pb.GrantProfile{Name: meta.Profiles[i], Credential: fmt.Sprintf("%x", id[:]), Opens: opens}
		if r, there := records[id]; there {
			g.Name = r.Name
			g.Account, g.Environment = a.accountOf(r)
		}
		if len(meta.Certificates) > 0 {
			g.CertificateId = meta.Certificates[i]
		}
		m.Profiles = append(m.Profiles, g)
	}
	return nil
}

// accountOf returns the account of a profile's record, and its environment; "" where it
// cannot be read, which is told elsewhere.
func (a *Agent) accountOf(r vault.Record) (id, environment string) {
	p, err := a.codec.decode(r.Meta)
	if err != nil {
		return "", ""
	}
	l, err := describe(p)
	if err != nil {
		return "", ""
	}
	return l.Account, l.identity.Account.Environment()
}
