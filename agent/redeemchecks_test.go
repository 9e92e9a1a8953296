package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"os"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/peercred"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
)

// direct gives a presentation its keys with no connection in between: its calls come as
// those of conn do.
type direct struct {
	pb.SignerClient
	service signerService
	ctx     context.Context
	conn    *countedConn
}

func (d *direct) SealKey(_ context.Context, q *pb.SealKeyRequest, _ ...grpc.CallOption) (*pb.SealKeyResponse, error) {
	return d.service.SealKey(d.ctx, q)
}

func (f *fixture) direct(t *testing.T) (*direct, *presentation) {
	t.Helper()
	p := livePeer(t, f)
	here, there := net.Pipe()
	t.Cleanup(func() { _ = there.Close() })
	d := &direct{service: signerService{Agent: f.agent}, conn: &countedConn{Conn: peercred.NewConn(here, p)}}
	f.agent.welcome(d.conn, f.agent.commonRight())
	d.conn.onClose = func() { f.agent.leave(d.conn) }
	d.ctx = peer.NewContext(t.Context(), &peer.Peer{AuthInfo: peercred.AuthInfo{Peer: p, Conn: d.conn}})
	return d, &presentation{t: t, rpc: d}
}

// Whose right is over gets no key to show another token with, and shows none; whoever has
// a right shows none before anything else of it is looked at.
func TestTokenOnARightThatIsThere(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	d, p := f.direct(t)
	token := f.mint(unlocktoken.Caveats{}, "acme")
	good := p.request(token)
	here := d.conn.caller()

	here.has = of(f.grantOn(unlocktoken.Caveats{}, "acme"))
	if _, _, err := f.agent.present(d.ctx, here, &pb.RedeemRequest{}); refusedWith(err) != pb.CodeGrant {
		t.Errorf("with a right: got %v", err)
	}
	here.has.grant.revoked.Store(true)
	if _, _, err := f.agent.present(d.ctx, here, good); refusedWith(err) != pb.CodeRevoked {
		t.Errorf("with one that was revoked: got %v", err)
	}
	d.conn.right.Store(&here.has)
	if _, err := d.SealKey(d.ctx, &pb.SealKeyRequest{}); codeOf(err) != string(pb.CodeRevoked) {
		t.Errorf("a key for it: got %v", err)
	}
}

// A call that came by no connection of a socket has nothing that a right could be given to.
func TestTokenOnNoConnection(t *testing.T) {
	f := start(t)
	if _, err := f.agent.redeem(t.Context(), &pb.RedeemRequest{}); err == nil || !strings.Contains(err.Error(), "no socket has taken") {
		t.Errorf("got %v", err)
	}
}

// A token is not taken, and no refusal of one answered as such, wherever it comes from, where
// that cannot be recorded.
func TestTokenWithoutALog(t *testing.T) {
	f, token := lockedWith(t, unlocktoken.Caveats{})
	f.unlock()
	revoked := f.mint(unlocktoken.Caveats{}, "acme")
	if _, err := f.admin.RevokeGrant(t.Context(), unlocktoken.GrantName(grantIDOf(t, revoked)), false); err != nil {
		t.Fatal(err)
	}
	if err := f.admin.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := f.agent.arena.Info().Used
	kinds := map[string]struct {
		make     func(p *presentation) *pb.RedeemRequest
		recorded pb.Code
	}{
		"nothing sealed": {func(*presentation) *pb.RedeemRequest { return &pb.RedeemRequest{} }, pb.CodeRequest},
		"no seal key": {func(*presentation) *pb.RedeemRequest {
			return &pb.RedeemRequest{Shares: &pb.Sealed{Field: fieldShares, KeyId: []byte("x")}}
		}, pb.CodeRequest},
		"no chain": {func(p *presentation) *pb.RedeemRequest { q := p.request(token); q.Chain = nil; return q }, pb.CodeGrant},
		"no proof": {func(p *presentation) *pb.RedeemRequest { q := p.request(token); q.Proof = nil; return q }, pb.CodeGrant},
		"revoked":  {func(p *presentation) *pb.RedeemRequest { return p.request(revoked) }, pb.CodeRevoked},
		"shares that are cut": {func(p *presentation) *pb.RedeemRequest {
			return p.requestWith(token, shareBytes(token)[1:], pb.Signer_Redeem_FullMethodName)
		}, pb.CodeGrant},
		"a good one": {func(p *presentation) *pb.RedeemRequest { return p.request(token) }, "ok"},
	}
	shown := make(map[string]func() string)
	for kind, k := range kinds {
		p := f.present()
		if got := p.redeem(k.make(p)); got != string(k.recorded) {
			t.Errorf("%s, with a log: got %s, want %s", kind, got, k.recorded)
		}
		again := f.present()
		q := k.make(again)
		shown[kind] = func() string { return again.redeem(q) }
	}
	if err := f.agent.audit.Close(); err != nil {
		t.Fatal(err)
	}
	for kind, redeem := range shown {
		if got := redeem(); got != string(pb.CodeAudit) {
			t.Errorf("%s: got %s, want %s", kind, got, pb.CodeAudit)
		}
	}
	if err := f.admin.RemoveProfile(t.Context(), "nobody"); errorCode(err) != string(pb.CodeAudit) {
		t.Errorf("a change that is refused: got %v, want %s", err, pb.CodeAudit)
	}
	f.agent.closeAll(f.agent.presented.all())
	f.settles("of what was not recorded", before)
}

// What a token opened is wiped where somebody locked while it was looked at.
func TestTokenWhileSomebodyLocks(t *testing.T) {
	f, token := lockedWith(t, unlocktoken.Caveats{})
	before := f.agent.arena.Info().Used
	d, p := f.direct(t)
	g, own, err := f.agent.present(d.ctx, d.conn.caller(), p.request(token))
	if err != nil || own == nil {
		t.Fatal(err)
	}
	locks := f.agent.locks
	f.lock()
	if err := f.agent.admitTo(d.conn, g, own, locks); !errors.Is(err, vault.ErrLocked) || g.own != nil {
		t.Errorf("got %v, want ErrLocked; kept %v", err, g.own != nil)
	}
	f.settles("after the lock", before)
}

// What is wrong with a token is said in words that tell where it belongs.
func TestTokenThatBelongsElsewhere(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	foreign := startApart(t)
	foreign.unlock()
	foreign.addTBA("acme")
	_, detached := f.mintBundle(unlocktoken.Caveats{}, nil, "acme")
	removed := f.mint(unlocktoken.Caveats{}, "acme")
	seed := [32]byte(seedOf(t, removed))
	a := mustRead(t, removed).Authority
	a.Grant[0]++
	chain, err := unlocktoken.NewChain(a, removed.Chain[0].Next, f.agent.session.vault.SignGrant)
	if err != nil {
		t.Fatal(err)
	}
	if removed, err = unlocktoken.New(removed.Issuer, removed.Shares, chain, seed); err != nil {
		t.Fatal(err)
	}
	for says, token := range map[string]*unlocktoken.Token{
		"of another vault":  foreign.mint(unlocktoken.Caveats{}, "acme"),
		"it opens a bundle": detached,
		"no such grant":     removed,
	} {
		p := f.present()
		if _, err := p.rpc.Redeem(t.Context(), p.request(token)); codeOf(err) != string(pb.CodeGrant) || !strings.Contains(whyOf(err), says) {
			t.Errorf("got %v (%s), want %q", err, whyOf(err), says)
		}
	}
}

// sealedAs seals b in a field of Redeem, and returns the challenge of its key.
func (p *presentation) sealedAs(field string, b []byte) (m *pb.Sealed, challenge []byte) {
	p.t.Helper()
	keys, err := p.rpc.SealKey(p.t.Context(), &pb.SealKeyRequest{})
	if err != nil {
		p.t.Fatal(err)
	}
	k := keys.GetKeys()[0]
	where := secret.SealContext{VaultID: keys.GetVaultId(), Instance: keys.GetInstance(), Method: pb.Signer_Redeem_FullMethodName, Field: field}
	box, err := secret.SealSlice(k.GetPublicKey(), where, b)
	if err != nil {
		p.t.Fatal(err)
	}
	return &pb.Sealed{Field: field, KeyId: k.GetId(), Box: box}, unlocktoken.Challenge(keys.GetVaultId(), keys.GetInstance(), k.GetId(), k.GetPublicKey())
}

// Shares and ID tokens are taken in their own fields alone, however well they are sealed.
func TestTokenInAnotherField(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	token := f.mint(unlocktoken.Caveats{}, "acme")
	for field, want := range map[string]string{fieldShares: "ok", fieldPassphrase: string(pb.CodeRequest)} {
		p := f.present()
		shares, challenge := p.sealedAs(field, shareBytes(token))
		q := &pb.RedeemRequest{Chain: token.Chain.Encode(), Proof: token.Prove(challenge), Shares: shares}
		if got := p.redeem(q); got != want {
			t.Errorf("shares as %s: got %s, want %s", field, got, want)
		}
	}
	for field, want := range map[string]pb.Code{fieldOIDCToken: pb.CodeGrant, fieldPassphrase: pb.CodeRequest} {
		p := f.present()
		q := p.request(token)
		q.OidcToken, _ = p.sealedAs(field, []byte("no ID token"))
		if got := p.redeem(q); got != string(want) {
			t.Errorf("an ID token as %s: got %s, want %s", field, got, want)
		}
	}
}

// An ID token that was changed on its way is refused as that, and read by nobody.
func TestTokenWithAChangedIDToken(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	p := f.present()
	q := p.request(f.mint(unlocktoken.Caveats{}, "acme"))
	q.OidcToken, _ = p.sealedAs(fieldOIDCToken, []byte("no ID token"))
	q.OidcToken.Box[40] ^= 1
	if got := p.redeem(q); got != string(pb.CodeRequest) {
		t.Errorf("got %s", got)
	}
}

// What concerns grants is asked of the vault that is unlocked; of the file where none is.
func TestVaultOfState(t *testing.T) {
	f := start(t)
	f.unlock()
	if v, locked, err := f.agent.vaultOfState(t.Context()); err != nil || locked || v != f.agent.session.vault {
		t.Errorf("unlocked: got %v, %v", locked, err)
	}
	f.lock()
	if v, locked, err := f.agent.vaultOfState(t.Context()); err != nil || !locked || !v.Locked() {
		t.Errorf("locked: got %v, %v", locked, err)
	}
}

// While the vault is unlocked a token opens nothing by its shares; what it may do it has
// from the session.
func TestTokenOpensNothingOfAnUnlockedVault(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	token := f.mint(unlocktoken.Caveats{}, "acme")
	none, err := token.Narrow(unlocktoken.Caveats{}, []unlocktoken.ID{}, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	before := f.agent.arena.Info().Used
	for _, c := range []*client.Client{f.show(token), f.show(none)} {
		if _, err := c.Sign(t.Context(), request("acme")); err != nil {
			t.Error(err)
		}
	}
	f.settles("with two tokens shown", before)
}

// A token of which nothing is left is taken by an agent that is unlocked, and for nothing;
// a locked one says why it opens nothing.
func TestTokenWhoseProfileIsGone(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	token, _ := f.mustGrant("acme")
	if err := f.admin.RemoveProfile(t.Context(), "acme"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.shown(token).rpc.Sign(t.Context(), &pb.SignRequest{Url: sandboxURL}); codeOf(err) != string(pb.CodeGrantScope) {
		t.Errorf("unlocked: got %v", err)
	}
	f.lock()
	p := f.present()
	if _, err := p.rpc.Redeem(t.Context(), p.request(token)); codeOf(err) != string(pb.CodeGrant) || !strings.Contains(whyOf(err), "are gone") {
		t.Errorf("locked: got %v (%s)", err, whyOf(err))
	}
}

// An agent that is locked and finds its vault no more refuses tokens, and goes on.
func TestTokenWithoutItsVault(t *testing.T) {
	f, token := lockedWith(t, unlocktoken.Caveats{})
	p := f.present()
	q := p.request(token)
	away := f.paths.Vault + ".away"
	if err := os.Rename(f.paths.Vault, away); err != nil {
		t.Fatal(err)
	}
	if got := p.redeem(q); got == "ok" || got == string(pb.CodeInternal) {
		t.Errorf("without it: got %s", got)
	}
	if err := os.Rename(away, f.paths.Vault); err != nil {
		t.Fatal(err)
	}
	f.show(token)
}

// Where the grants of a vault cannot be read, that is said, and not that one is missing.
func TestGrantsThatCannotBeRead(t *testing.T) {
	damaged := errors.New("damaged")
	if _, err := grantIn(func() ([]vault.Grant, error) { return nil, damaged }, unlocktoken.ID{}); !errors.Is(err, damaged) {
		t.Errorf("got %v, want %v", err, damaged)
	}
}

// An agent that cannot read its ledger takes no token: it does not know what was revoked.
func TestTokenWithoutALedger(t *testing.T) {
	f, token := lockedWith(t, unlocktoken.Caveats{})
	f.withLedger([]byte("no ledger"))
	p := f.present()
	if got := p.redeem(p.request(token)); got == "ok" || got == string(pb.CodeInternal) || got == string(pb.CodeGrant) {
		t.Errorf("got %s", got)
	}
}
