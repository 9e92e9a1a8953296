package agent

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"

	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
)

// Everybody on agent.sock has the right of the token that opened the bundle. Who shows a
// token there all the same, as the steps of a CI job do whose environment names it, has of
// that right what their token leaves: it takes from it, and adds nothing.

// shareDigests returns a hash of each share. It tells equal shares from others, and nobody
// finds 32 random bytes by it. Of shares that are gone there is none, as they give nothing.
func shareDigests(shares secret.Bytes) map[unlocktoken.ID][sha256.Size]byte {
	digests := make(map[unlocktoken.ID][sha256.Size]byte)
	_ = shares.Use(func(p []byte) error {
		for ; len(p) >= shareSize; p = p[shareSize:] {
			var digest [sha256.Size]byte
			secret.Do(func() { digest = sha256.Sum256(p[:shareSize]) })
			digests[unlocktoken.ID(p[:credentialSize])] = digest
		}
		return nil
	})
	return digests
}

// presentToBundle is present for an agent that serves a bundle.
func (a *Agent) presentToBundle(ctx context.Context, c *caller, q *pb.RedeemRequest, key *secret.Receiver) (*granted, error) {
	shown, err := a.verifyBundled(q, key.PublicKey())
	if err != nil {
		return nil, err
	}
	shares, err := a.openBy(ctx, key, q.GetShares(), pb.Signer_Redeem_FullMethodName, "", maxShares)
	if err != nil {
		return nil, err
	}
	defer shares.Destroy()
	if err := checkShares(shares); err != nil {
		return nil, err
	}
	g, err := a.withinBundle(shown, shares)
	if err != nil {
		return nil, err
	}
	if _, err := a.goodAt(g, a.clock()); err != nil {
		return g, err
	}
	return g, a.identifyWithin(ctx, c, g, q.GetOidcToken())
}

// verifyBundled returns what a chain says that is of the grant whose bundle is served.
func (a *Agent) verifyBundled(q *pb.RedeemRequest, public []byte) (*unlocktoken.Grant, error) {
	served := a.bundled
	chain, said, err := chainOf(q)
	if err != nil {
		return nil, err
	}
	switch {
	case said.Vault != served.Vault:
		return nil, notServed("it is of another vault than the bundle that this agent serves")
	case said.Mode != unlocktoken.Detached:
		return nil, notServed("it is for the agent that has the vault, and this one serves a bundle")
	}
	challenge := unlocktoken.Challenge(served.Vault[:], a.instance[:], q.GetShares().GetKeyId(), public)
	g, err := chain.Verify(ed25519.PublicKey(served.signer[:]), challenge, q.GetProof())
	if err != nil {
		return nil, badToken(err)
	}
	if g.AuthorityHash != served.AuthorityHash {
		return nil, notServed("it is of another grant than the bundle that this agent serves")
	}
	return g, nil
}

// notServed is the refusal of a token that has nothing to do with the bundle.
func notServed(why string) error {
	return refuse(ErrGrant, pb.CodeGrant, "the unlock token was not taken", why, "use what the agent serves:  unset NSAGENT_TOKEN")
}

// withinBundle returns the right that a verified token has on the bundle: what both it and
// the token that opened the bundle allow, with the profiles whose shares both have.
func (a *Agent) withinBundle(shown *unlocktoken.Grant, shares secret.Bytes) (*granted, error) {
	served := a.bundled
	digests := shareDigests(shares)
	var both []unlocktoken.ID
	for _, id := range served.Authority.Caveats.Credentials {
		digest, has := digests[id]
		opened, is := served.shares[id]
		switch {
		case !has || !is || !shown.Covers(id):
		case digest != opened:
			return nil, refuse(ErrGrant, pb.CodeGrant, "the unlock token was not taken", "a key share of it was changed", "give the token as it was printed")
		default:
			both = append(both, id)
		}
	}
	if len(both) == 0 {
		return nil, notServed("it was narrowed to profiles that this agent does not serve, or to none")
	}
	g := a.newGranted(served.Grant.Within(shown, both), served.signer)
	g.served, g.clock, g.issuer, g.claims = served.granted, served.clock, served.granted.issuer, served.claims
	return g, nil
}

// identifyWithin notes whom the job is for whom g was made. Where the bundle was opened by a
// job that said so, it is that one, and what says so now is not looked at: it was used then.
func (a *Agent) identifyWithin(ctx context.Context, c *caller, g *granted, m *pb.Sealed) error {
	switch {
	case !asksForJob(g.Grant) || g.issuer.URL != "":
		return nil
	case m == nil:
		return noJob()
	}
	token, err := a.openIDToken(ctx, c, m)
	if err != nil {
		return err
	}
	defer token.Destroy()
	return a.identify(ctx, g, token, func() (*ledger, error) { return a.bundleLedger(ctx, g.Grant) })
}

// ofSocket is the refusal of a token on a socket that has a right already.
func ofSocket() error {
	return refuse(ErrGrant, pb.CodeGrant, "the unlock token was not taken", "this socket is of a grant already, whose right everybody has there", "use that:  unset NSAGENT_TOKEN")
}

// lockedBundle is the refusal of a bundle that somebody has locked.
func lockedBundle() error {
	return refuse(vault.ErrLocked, pb.CodeLocked, "the bundle is locked", "its token opened it when the agent was started, and it was locked since", "start it again:  nsagent agent stop && nsagent agent start --bundle FILE")
}
