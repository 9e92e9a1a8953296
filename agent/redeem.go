package agent

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
)

const (
	fieldShares    = "shares"
	fieldOIDCToken = "oidc_token"
	// maxOIDCToken is the longest token of an OIDC issuer that is taken, in bytes.
	maxOIDCToken = 16 << 10
)

// SealKey gives one-time keys for the secrets of the next Redeem.
func (s signerService) SealKey(ctx context.Context, q *pb.SealKeyRequest) (*pb.SealKeyResponse, error) {
	c := callerOf(ctx)
	if err := s.admit(c); err != nil {
		return nil, s.reply(err)
	}
	r, err := s.sealKey(ctx, s.tokenSeals, q)
	return r, s.reply(err)
}

// Redeem gives a connection the right of an unlock token, in the place of its own.
func (s signerService) Redeem(ctx context.Context, q *pb.RedeemRequest) (*pb.RedeemResponse, error) {
	g, err := s.redeem(ctx, q)
	if err != nil {
		return nil, s.reply(err)
	}
	return &pb.RedeemResponse{Grant: g.name, NotAfter: g.NotAfter()}, nil
}

// redeem checks the token, records that it is taken, and gives its right to the
// connection. A refusal is recorded, too.
func (a *Agent) redeem(ctx context.Context, q *pb.RedeemRequest) (*granted, error) {
	c := callerOf(ctx)
	defer a.tokenSeals.drop(c.peer, q.GetShares(), q.GetOidcToken())
	defer a.arena.ReleaseMemory()
	conn, _ := connectionOf(ctx)
	counted, ok := conn.(*countedConn)
	if !ok {
		return nil, errors.New("agent: a connection that no socket has taken")
	}
	a.mu.RLock()
	locks := a.locks
	a.mu.RUnlock()
	g, own, err := a.present(ctx, c, q)
	e := audit.Event{Event: audit.EventGrantRedeem, Outcome: audit.OutcomeOK}
	if g != nil {
		e.Grant = g.name
	}
	if err == nil {
		if err = a.recordDurably(c, e); err == nil {
			err = a.admitTo(counted, g, own, locks)
		} else if own != nil {
			own.destroy()
		}
		if err == nil {
			return g, nil
		}
	}
	e.Outcome, e.Reason = audit.OutcomeDenied, string(refusalOf(err).Code)
	if werr := a.record(c, e); werr != nil {
		return nil, fmt.Errorf("recording a refusal: %w", unrecorded(werr, err))
	}
	return nil, err
}

// admitTo gives a connection the right g, with what the token opened, if anything; it owns
// that.
func (a *Agent) admitTo(c *countedConn, g *granted, own *session, locks uint64) error {
	g.presenter = c
	if !a.presented.exchange(c, a.commonRight(), g) {
		if own != nil {
			own.destroy()
		}
		return taken()
	}
	a.watchFor()
	if own != nil {
		if err := a.keepOwn(own, locks); err != nil {
			return err
		}
	}
	_, err := a.goodAt(g, a.clock())
	return err // it may have been revoked since the ledger was looked at
}

// present checks a token, and opens what it opens where the agent is locked; own is nil
// where it is not. With an error it returns the right as well where the token was verified,
// so that the log can name it.
func (a *Agent) present(ctx context.Context, c *caller, q *pb.RedeemRequest) (g *granted, own *session, err error) {
	if err := a.admit(c); err != nil {
		return nil, nil, err
	}
	switch by := c.by(); {
	case c.right() == a.commonRight():
	case by != nil && c.right() == by.right:
		return nil, nil, ofSocket()
	default:
		return nil, nil, taken()
	}
	if f := q.GetShares().GetField(); f != fieldShares {
		return nil, nil, refuse(ErrRequest, pb.CodeRequest, "an unlock token comes with its shares sealed", fmt.Sprintf("the field is %q", fieldShares), "")
	}
	key, err := a.tokenSeals.take(q.GetShares().GetKeyId(), c.peer)
	if err != nil {
		return nil, nil, err
	}
	defer key.Destroy()
	if a.bundled != nil {
		g, err = a.presentToBundle(ctx, c, q, key)
		return g, nil, err
	}
	v, locked, grant, in, err := a.firstLook(ctx, q, key.PublicKey())
	if err != nil {
		return nil, nil, err
	}
	g = a.newGranted(grant, in.Issuer)
	g.vault = v
	mark, err := a.markOf(in)
	if err != nil {
		return g, nil, err
	}
	if mark != 0 {
		g.revoked.Store(true)
	}
	if err := a.admitGrant(ctx, v, g); err != nil {
		return g, nil, err
	}
	if locked && len(in.Records) == 0 {
		return g, nil, without()
	}
	shares, err := a.openBy(ctx, key, q.GetShares(), pb.Signer_Redeem_FullMethodName, "", maxShares)
	if err != nil {
		return g, nil, err
	}
	defer shares.Destroy()
	if err := checkShares(shares); err != nil {
		return g, nil, err
	}
	if q.GetOidcToken() != nil { // it is good once: not before the shares open something
		if err := a.identifyWith(ctx, v, c, g, shares, q.GetOidcToken()); err != nil {
			return g, nil, err
		}
	}
	if locked {
		own, err = a.openOwn(ctx, v, g, shares)
	}
	return g, own, err
}

// taken is the refusal of a second token.
func taken() error {
	return refuse(ErrGrant, pb.CodeGrant, "an unlock token was shown on this connection before", "a connection keeps the right that it has", "connect again to show another")
}

// firstLook verifies what a token says, and returns the vault that it is of. A locked agent
// reads the file for that, for one token at a time, and asks no keyring: anybody can show
// something made up. What opens the grant afterwards looks at the age of the vault.
func (a *Agent) firstLook(ctx context.Context, q *pb.RedeemRequest, public []byte) (v *vault.Vault, locked bool, grant *unlocktoken.Grant, in vault.Grant, err error) {
	if s, err := a.unlocked(); err == nil {
		grant, in, err = a.verify(s.vault, s.vault.Grants, q, public)
		return s.vault, false, grant, in, err
	}
	select {
	case a.looking <- struct{}{}:
		defer func() { <-a.looking }()
	case <-ctx.Done():
		return nil, true, nil, in, fmt.Errorf("waiting to look at a token: %w", errors.Join(ErrBusy, ctx.Err()))
	}
	if v, err = a.openVaultAt(ctx, a.tokenKeyrings); err != nil {
		return nil, true, nil, in, err
	}
	grant, in, err = a.verify(v, func() ([]vault.Grant, error) { return v.GrantsUnpinned(ctx) }, q, public)
	return v, true, grant, in, err
}

// vaultOfState returns the vault of the session, or the locked one.
func (a *Agent) vaultOfState(ctx context.Context) (v *vault.Vault, locked bool, err error) {
	a.mu.RLock()
	s, err := a.currentLocked()
	a.mu.RUnlock()
	if err == nil {
		return s.vault, false, nil
	}
	v, err = a.openVault(ctx)
	return v, true, err
}

// verify returns what a chain says, and what grants has of its grant. The last block of the
// chain belongs to whoever made the proof, for the seal key public.
func (a *Agent) verify(v *vault.Vault, grants func() ([]vault.Grant, error), q *pb.RedeemRequest, public []byte) (g *unlocktoken.Grant, in vault.Grant, err error) {
	chain, said, err := chainOf(q)
	if err != nil {
		return nil, in, err
	}
	switch {
	case said.Vault != unlocktoken.ID(v.ID()):
		return nil, in, refuse(ErrGrant, pb.CodeGrant, "the unlock token was not taken", "it is of another vault", "use a token that  nsagent grant new  made here")
	case said.Mode != unlocktoken.Attached:
		return nil, in, refuse(ErrGrant, pb.CodeGrant, "the unlock token was not taken", "it opens a bundle, and works without this agent", "run an agent on the bundle:  nsagent agent run --bundle F")
	}
	if in, err = grantIn(grants, said.Authority.Grant); err != nil {
		return nil, in, err
	}
	challenge := unlocktoken.Challenge(v.ID(), a.instance[:], q.GetShares().GetKeyId(), public)
	g, err = chain.Verify(ed25519.PublicKey(in.Issuer[:]), challenge, q.GetProof())
	if err != nil {
		return nil, in, badToken(err)
	}
	return g, in, nil
}

// chainOf returns the chain of a presentation and what it says: for its names alone, until its
// signatures are checked.
func chainOf(q *pb.RedeemRequest) (unlocktoken.Chain, *unlocktoken.Grant, error) {
	chain, err := unlocktoken.DecodeChain(q.GetChain())
	if err != nil { // of no chain nothing can be read
		return nil, nil, badToken(err)
	}
	said, err := chain.Read()
	if err != nil {
		return nil, nil, badToken(err)
	}
	return chain, said, nil
}

// grantIn returns what the vault has of a grant.
func grantIn(grants func() ([]vault.Grant, error), id unlocktoken.ID) (in vault.Grant, err error) {
	all, err := grants()
	if err != nil {
		return in, err
	}
	for _, g := range all {
		if unlocktoken.ID(g.ID) == id {
			return g, nil
		}
	}
	return in, refuse(ErrGrant, pb.CodeGrant, "the unlock token was not taken", "the vault has no such grant: it was removed, or is of a later copy of the vault", "have its owner make another:  nsagent grant new")
}

// badToken says what is wrong with a token, never what is in it.
func badToken(err error) error {
	why := "it is damaged, or a part is missing"
	switch {
	case errors.Is(err, unlocktoken.ErrSignature):
		why = "a part of it was changed, or it was not made by this vault"
	case errors.Is(err, unlocktoken.ErrUnknownCaveat):
		why = "it is limited in a way that this version of nsagent does not know"
	case errors.Is(err, unlocktoken.ErrCaveats):
		_, why, _ = strings.Cut(err.Error(), unlocktoken.ErrCaveats.Error()+": ")
	}
	return refuse(errors.Join(ErrGrant, err), pb.CodeGrant, "the unlock token was not taken", why, "give the token as  nsagent grant new  printed it")
}

// admitGrant refuses a grant that has ended, has not begun, or was revoked, and a locked
// vault that is older than one which was unlocked or changed on this machine.
func (a *Agent) admitGrant(ctx context.Context, v *vault.Vault, g *granted) error {
	locked, id := v.Locked(), g.Authority.Grant
	var seen uint64
	var now time.Time
	var over error
	err := a.useLedger(ctx, v, func(l *ledger) error {
		known := false
		if seen, known = l.Get(ledgerGeneration, v.ID()); locked && !known {
			return newLedger()
		}
		if _, revoked := l.Get(ledgerGrantRevoked, id[:]); revoked {
			g.revoked.Store(true)
		}
		now, over = a.goodBy(l, g, false)
		return nil
	})
	if err != nil {
		return err
	}
	if locked { // without the ledger: it may ask the keyring
		if err := v.AtLeast(ctx, seen); err != nil {
			return err
		}
	}
	if over != nil {
		return over
	}
	if begin := g.NotBefore(); now.Unix() < begin {
		return g.notBegun("does not allow anything yet", "it begins at "+time.Unix(begin, 0).UTC().Format(time.RFC3339))
	}
	return nil
}

// identifyWith notes for g, whose token came with these shares, whom an OIDC token is of.
func (a *Agent) identifyWith(ctx context.Context, v *vault.Vault, c *caller, g *granted, shares secret.Bytes, m *pb.Sealed) error {
	token, err := a.openIDToken(ctx, c, m)
	if err != nil {
		return err
	}
	defer token.Destroy()
	if v.Locked() {
		if err := a.learnLocked(ctx, v, g, shares); err != nil {
			return err
		}
	}
	return a.identify(ctx, g, token, func() (*ledger, error) { return a.openLedger(ctx, v) })
}

// openIDToken opens the ID token that came with an unlock token.
func (a *Agent) openIDToken(ctx context.Context, c *caller, m *pb.Sealed) (secret.Bytes, error) {
	if m.GetField() != fieldOIDCToken {
		return secret.Bytes{}, refuse(ErrRequest, pb.CodeRequest, fmt.Sprintf("a sealed %.40s says nothing of a job", m.GetField()), "", "")
	}
	key, err := a.tokenSeals.take(m.GetKeyId(), c.peer)
	if err != nil {
		return secret.Bytes{}, err
	}
	return a.openBy(ctx, key, m, pb.Signer_Redeem_FullMethodName, "", maxOIDCToken)
}
