package agent

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault/envelope"
	"github.com/nsagent/nsagent/vault/store"
)

// forgeVault puts the next generation in the place of the vault file, as anybody can make it
// who can write there and knows no secret: its key slots, its past and the ids of its records
// are public. It is signed by a key of the forger's own, has no policy, and a grant under an
// id for every record, whose wraps are junk. The token has no shares. back puts the real file
// back.
func (f *fixture) forgeVault(id unlocktoken.ID) (token *unlocktoken.Token, back func()) {
	f.t.Helper()
	must := func(err error) {
		f.t.Helper()
		if err != nil {
			f.t.Fatal(err)
		}
	}
	real, err := os.ReadFile(f.paths.Vault)
	must(err)
	there, err := store.NewFile(f.paths.Vault).Load(f.t.Context())
	must(err)
	root, err := envelope.DecodeRoot(there.Root)
	must(err)
	forger, err := envelope.GenerateKeys(f.arena, rand.Reader, root.Vault)
	must(err)
	defer forger.Destroy()
	root.PublicKey, err = forger.PublicKey()
	must(err)
	g, err := forger.SealGrant(envelope.ID(id), nil)
	must(err)

	limits := unlocktoken.Caveats{NotAfter: time.Now().Unix() + 3600}
	change := store.Change{Put: make(map[store.ID][]byte)}
	after := maps.Clone(there.Records)
	var wrap []byte
	for record, encoded := range there.Records {
		switch envelope.TypeOf(encoded) {
		case envelope.TypePolicy:
			change.Delete = append(change.Delete, record)
			delete(after, record)
		case envelope.TypeGrant:
			of, err := envelope.DecodeGrant(encoded)
			must(err)
			wrap = bytes.Clone(of.Wraps[0].CK)
		default:
			limits.Credentials = append(limits.Credentials, unlocktoken.ID(record))
		}
	}
	wrap[0] ^= 1
	slices.SortFunc(limits.Credentials, func(a, b unlocktoken.ID) int { return bytes.Compare(a[:], b[:]) })
	for _, record := range limits.Credentials {
		g.Wraps = append(g.Wraps, envelope.Wrap{Record: envelope.ID(record), CK: wrap})
	}
	change.Put[store.ID(id)] = g.Encode()
	after[store.ID(id)] = change.Put[store.ID(id)]
	var leaves []envelope.Leaf
	for record, encoded := range after {
		leaves = append(leaves, envelope.ObjectLeaf(envelope.ID(record), encoded))
	}
	next, err := root.Next(forger, root.Slots, leaves)
	must(err)
	change.Root = next.Encode()
	_, err = store.NewFile(f.paths.Vault).Commit(f.t.Context(), there.Generation, change)
	must(err)

	seed := [32]byte{1}
	chain, err := unlocktoken.NewChain(unlocktoken.Authority{
		Vault: unlocktoken.ID(root.Vault), Grant: id, Mode: unlocktoken.Attached, IssuedAt: time.Now().Unix(), Caveats: limits,
	}, ed25519.NewKeyFromSeed(seed[:]).Public().(ed25519.PublicKey), func(m []byte) ([]byte, error) {
		signature, err := forger.SignGrant(m)
		return signature[:], err
	})
	must(err)
	token, err = unlocktoken.New(unlocktoken.IssuerHash(g.Issuer[:]), nil, chain, seed)
	must(err)
	return token, func() { f.t.Helper(); must(os.WriteFile(f.paths.Vault, real, 0o600)) }
}

// TestForgedGrantOfALockedVault: nobody who can write the vault file gets a right from a
// locked agent, which would last beyond the unlock of the real one: not by a grant of their
// own, nor by one in the place of a real one, whose tokens are what they were.
func TestForgedGrantOfALockedVault(t *testing.T) {
	for name, id := range map[string]func(*unlocktoken.Token) unlocktoken.ID{
		"made up":    func(*unlocktoken.Token) unlocktoken.ID { return unlocktoken.ID{7} },
		"a real one": func(token *unlocktoken.Token) unlocktoken.ID { return grantIDOf(t, token) },
	} {
		f, token := lockedWith(t, unlocktoken.Caveats{})
		forged, back := f.forgeVault(id(token))
		p := f.present()
		if got := p.redeem(p.request(forged)); got != string(pb.CodeLocked) {
			t.Errorf("%s: without shares: got %s", name, got)
		}
		var shares []byte
		for _, record := range mustRead(t, forged).Authority.Caveats.Credentials {
			shares = append(append(shares, record[:]...), make([]byte, shareSize-credentialSize)...)
		}
		if got := p.redeem(p.requestWith(forged, shares, pb.Signer_Redeem_FullMethodName)); got != string(pb.CodeGrant) {
			t.Errorf("%s: with shares: got %s", name, got)
		}
		back()
		for _, locked := range []bool{true, false} {
			if !locked {
				f.unlock()
			}
			others := func(g *granted) bool { return unlocktoken.IssuerHash(g.signer[:]) != token.Issuer }
			if n := len(f.agent.presented.which(others)); n != 0 {
				t.Errorf("%s, locked %v: %d connections have the right of a forged grant", name, locked, n)
			}
			if _, err := f.show(token).Sign(t.Context(), request("acme")); err != nil {
				t.Errorf("%s, locked %v: the real grant: %v", name, locked, err)
			}
		}
	}
}

// TestForgedVaultWithdrawsNoIssuer: what a forged vault file lacks of the policy ends no job
// of an issuer that the real policy has, and no ID token is used up by it.
func TestForgedVaultWithdrawsNoIssuer(t *testing.T) {
	w := startJobs(t)
	w.lock()
	running := w.job()
	known := w.agent.issuers.Load()
	forged, back := w.forgeVault(unlocktoken.ID{7})
	next := w.issuer.Sign(t, w.issuer.GitHub(w.audience, time.Now()))
	p := w.present()
	q := p.request(forged)
	q.OidcToken, _ = p.sealedAs(fieldOIDCToken, next)
	if got := p.redeem(q); got != string(pb.CodeLocked) {
		t.Errorf("forged: got %s", got)
	}
	if w.agent.issuers.Load() != known {
		t.Error("the issuers are those of the forged vault")
	}
	if _, err := running.Sign(t.Context(), request("acme")); err != nil {
		t.Errorf("a job that was there before: %v", err)
	}
	back()
	if err := w.try(next); err != nil {
		t.Errorf("its ID token, by the real vault: %v", err)
	}
}

// TestRightOfAnotherVault: a right that was given while another vault was at the path, whose
// owner can give its records the ids of this one's, is none here once this one is unlocked:
// not on its connection, nor on a socket that was opened there, nor on one of its own, whose
// place is free for this vault's.
func TestRightOfAnotherVault(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	own := filepath.Join(shortDir(t), "s")
	if _, err := f.grantAt(own, "acme"); err != nil {
		t.Fatal(err)
	}
	token := f.mint(unlocktoken.Caveats{}, "acme")
	f.lock()
	f.shown(token)
	busy := f.show(token)
	s, err := busy.OpenSocket(t.Context(), client.SocketRequest{Profile: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	another := func(g *granted) bool { g.signer[0] ^= 1; return true }
	f.agent.presented.which(another)
	f.agent.sockets.ofGrants(another)
	f.unlock()
	if n := len(f.agent.presented.all()); n != 0 {
		t.Errorf("%d connections have its right", n)
	}
	if _, err := busy.Sign(t.Context(), request("acme")); errorCode(err) != string(pb.CodeGrant) {
		t.Errorf("on one that has opened a socket: got %v", err)
	}
	if got := signAt(t, s.Opened.GetPath(), "acme", "GET"); got != string(pb.CodeGrant) {
		t.Errorf("on the socket that was opened there: got %s", got)
	}
	if got := signAt(t, own, "acme", "GET"); got != "ok" {
		t.Errorf("on the socket of this vault's grant: got %s", got)
	}
}
