package agent

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/grantkey"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/secrettest"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
)

// What the vault keeps of a grant is read in one form, and with a name for each credential.
func TestGrantMetaIsRefused(t *testing.T) {
	codec, err := newProfileCodec()
	if err != nil {
		t.Fatal(err)
	}
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	sign := func(m []byte) ([]byte, error) { return ed25519.Sign(key, m), nil }
	a := unlocktoken.Authority{Vault: unlocktoken.ID{1}, Grant: unlocktoken.ID{2}, Mode: unlocktoken.Attached, IssuedAt: 1, Caveats: unlocktoken.Caveats{NotAfter: 2, Credentials: []unlocktoken.ID{{3}}}}
	chain, err := unlocktoken.NewChain(a, ed25519.PublicKey(key[32:]), sign)
	if err != nil {
		t.Fatal(err)
	}
	unreadable := unlocktoken.Chain{chain[0]}
	unreadable[0].Payload = []byte("no caveats")
	good := grantMeta{Chain: chain.Encode(), Profiles: []string{"acme"}, Proof: "passphrase"}
	encode := func(edit func(*grantMeta)) []byte {
		m := good
		edit(&m)
		b, err := codec.enc.Marshal(&m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if _, _, err := codec.decodeGrant(encode(func(m *grantMeta) { m.Certificates = []string{""} })); err != nil {
		t.Fatal(err)
	}
	plain := encode(func(*grantMeta) {})
	for name, b := range map[string][]byte{
		"nothing":            nil,
		"more of it":         append(encode(func(*grantMeta) {}), 0),
		"not canonical":      append([]byte{0xb8, plain[0] & 0x1f}, plain[1:]...),
		"no chain":           encode(func(m *grantMeta) { m.Chain = []byte{1} }),
		"a chain of nothing": encode(func(m *grantMeta) { m.Chain = unreadable.Encode() }),
		"a name too few":     encode(func(m *grantMeta) { m.Profiles = nil }),
		"a name too many":    encode(func(m *grantMeta) { m.Profiles = []string{"acme", "two"} }),
		"certificates":       encode(func(m *grantMeta) { m.Certificates = []string{"a", "b"} }),
	} {
		if m, g, err := codec.decodeGrant(b); err == nil || m != nil || g != nil {
			t.Errorf("%s: got %v, %v, %v", name, m, g, err)
		}
	}
}

// The start of a name stands for a grant where it is long enough, and of no other.
func TestGrantIsCalled(t *testing.T) {
	all := []vault.Grant{{ID: [16]byte{1}}, {ID: [16]byte{2}}, {ID: [16]byte{2, 15: 1}}}
	name := func(i int) string { return unlocktoken.GrantName(all[i].ID) }
	for _, c := range []struct {
		name  string
		want  error
		found int
		why   string
	}{
		{name(0), nil, 0, ""}, {strings.ToUpper(name(0)[:unlocktoken.ShortestName]), nil, 0, ""}, {name(2), nil, 2, ""},
		{name(0)[:unlocktoken.ShortestName-1], vault.ErrNotFound, 0, "at least 6 characters"}, {"g_7777777", vault.ErrNotFound, 0, ""},
		{name(1)[:unlocktoken.ShortestName], ErrRequest, 0, ""},
	} {
		g, err := called(all, c.name)
		if !errors.Is(err, c.want) || err == nil && g.ID != all[c.found].ID || err != nil && !strings.Contains(refusalOf(err).Why, c.why) {
			t.Errorf("%s: got %x, %v", c.name, g.ID, err)
		}
	}
}

// planned returns a grant of acme that is proved, and its share.
func (f *fixture) planned(t *testing.T, detached bool) (*newGrant, secret.Bytes) {
	t.Helper()
	s := f.spec("acme")
	n, err := f.agent.planGrant(&pb.NewGrantRequest{Profiles: s.Profiles, TtlSeconds: 3600, Next: s.Next, Detached: detached})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.agent.chooseProfiles(f.agent.session, n, s.Profiles); err != nil {
		t.Fatal(err)
	}
	share, err := f.agent.arena.Take(s.shares)
	if err != nil {
		t.Fatal(err)
	}
	return n, share
}

// Wherever the room in locked memory ends, that is what is said, and no grant comes of it, in
// part either; where it suffices the grant is whole.
func TestNewGrantWithoutRoom(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	for _, detached := range []bool{false, true} {
		n, share := f.planned(t, detached)
		before := len(f.grants(t))
		for blocks := 0; ; blocks++ {
			empty := secrettest.LeaveRoom(f.agent.arena, blocks)
			r, err := f.agent.storeGrant(t.Context(), f.agent.session, n, share, "passphrase")
			empty()
			if err == nil {
				if (len(r.GetBundle()) > 0) != detached || r.GetGrant().GetProfiles()[0].GetOpens() == detached || r.GetGrant().GetState() != grantActive {
					t.Errorf("with room for %d blocks: got %v", blocks, r.GetGrant())
				}
				break
			}
			if now := len(f.grants(t)); !errors.Is(err, secret.ErrFull) || now != before && blocks < 20 {
				t.Fatalf("detached %v, with room for %d blocks: got %v, and %d grants", detached, blocks, err, now-before)
			}
		}
	}
}

func (f *fixture) grants(t *testing.T) []vault.Grant {
	t.Helper()
	all, err := f.agent.session.vault.Grants()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// What does not go through leaves no grant, and says why.
func TestNewGrantThatFails(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	_, old := f.mustGrant("acme")
	s := f.agent.session
	store := func(edit func(*newGrant)) error {
		n, share := f.planned(t, false)
		defer share.Destroy()
		edit(n)
		_, err := f.agent.storeGrant(t.Context(), s, n, share, "passphrase")
		return err
	}
	for name, c := range map[string]struct {
		edit func(*newGrant)
		want error
	}{
		"an id that is taken":    {func(n *newGrant) { n.Grant = f.grants(t)[0].ID }, vault.ErrExists},
		"issued after its end":   {func(n *newGrant) { n.IssuedAt = n.Caveats.NotAfter + 1 }, ErrRequest},
		"a profile that is gone": {func(n *newGrant) { n.profiles[0] = &live{profile: &profile{Name: "nobody"}} }, vault.ErrNotFound},
	} {
		if err := store(c.edit); !errors.Is(err, c.want) || errors.Is(c.want, ErrRequest) && refusedWith(err) != pb.CodeRequest {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
	f.unreadableLedger(t, func() {
		if _, _, err := f.newGrant(f.passphrase(testPassphrase), "acme"); !errors.Is(err, &client.Error{Code: pb.CodeUnsafe}) {
			t.Errorf("without the ledger: got %v", err)
		}
	})
	if all := f.grants(t); len(all) != 1 || unlocktoken.GrantName(all[0].ID) != old.GetId() {
		t.Errorf("%d grants are there", len(all))
	}
	n, share := f.planned(t, false)
	f.lock()
	if _, err := f.agent.storeGrant(t.Context(), s, n, share, "passphrase"); !errors.Is(err, vault.ErrLocked) {
		t.Errorf("locked: got %v", err)
	}
}

// unreadableLedger calls do while nobody can tell what was revoked.
func (f *fixture) unreadableLedger(t *testing.T, do func()) {
	t.Helper()
	if err := os.Chmod(f.paths.Ledger, 0o666); err != nil {
		t.Fatal(err)
	}
	do()
	if err := os.Chmod(f.paths.Ledger, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A request that contradicts itself is refused before anybody is asked for a proof.
func TestNewGrantRefusesByItself(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	ask := func(edit func(*pb.NewGrantRequest)) error {
		q := &pb.NewGrantRequest{Profiles: []string{"acme"}, TtlSeconds: 3600, Next: make([]byte, ed25519.PublicKeySize)}
		edit(q)
		_, err := f.agent.planGrant(q)
		return err
	}
	for says, edit := range map[string]func(*pb.NewGrantRequest){
		"a bundle has no socket": func(q *pb.NewGrantRequest) { q.Detached, q.Listen = true, "/tmp/s" },
		"bundle": func(q *pb.NewGrantRequest) {
			q.Detached, q.TtlSeconds = true, int64((366*24*time.Hour-time.Minute)/time.Second)
		},
		"paths": func(q *pb.NewGrantRequest) { q.Limits = &pb.GrantLimits{Paths: []string{"services"}} },
		"repository": func(q *pb.NewGrantRequest) {
			q.Limits = &pb.GrantLimits{Identities: []*pb.GrantIdentity{{Issuer: "https://token.actions.githubusercontent.com", Claims: []*pb.GrantClaim{{Name: "repository", Values: []string{"a/b"}}}}}}
		},
	} {
		if err := ask(edit); refusedWith(err) != pb.CodeRequest || !strings.Contains(fmt.Sprint(err, refusalOf(err)), says) {
			t.Errorf("want %q: got %v", says, err)
		}
	}
	for name, edit := range map[string]func(*pb.NewGrantRequest){
		"neither": func(*pb.NewGrantRequest) {}, "a socket": func(q *pb.NewGrantRequest) { q.Listen = "/tmp/s" }, "a bundle": func(q *pb.NewGrantRequest) { q.Detached = true },
	} {
		if err := ask(edit); err != nil {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// What changed while a grant was made is looked at again: the profile, and the vault that
// somebody else has changed.
func TestNewGrantOfWhatHasChanged(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	s := f.agent.session
	n, err := f.agent.planGrant(&pb.NewGrantRequest{Profiles: []string{"acme"}, TtlSeconds: 3600, Next: make([]byte, ed25519.PublicKeySize)})
	if err != nil {
		t.Fatal(err)
	}
	n.lent = []*lent{nil}
	if err := f.agent.chooseProfiles(s, n, []string{"acme"}); err != nil {
		t.Errorf("of which nothing was lent: got %v", err)
	}
	own := *s.profiles["acme"].profile
	own.Auth = authM2M
	n.lent[0] = &lent{profile: &own}
	if err := f.agent.chooseProfiles(s, n, []string{"acme"}); !errors.Is(err, ErrBusy) {
		t.Errorf("of which another was lent: got %v", err)
	}
	if err := s.vault.Remove(t.Context(), "acme"); err != nil {
		t.Fatal(err)
	}
	if err := f.agent.chooseProfiles(s, &newGrant{}, []string{"acme"}); refusedWith(err) != pb.CodeNoProfile {
		t.Errorf("which is gone: got %v", err)
	}
}

// Whoever gets the turn after the proof of a grant, and before it is stored, may lock: nothing
// comes of the grant then.
func TestNewGrantThatIsOvertakenByALock(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	begin := func() func() {
		end, err := f.agent.beginAdmin(t.Context())
		if err != nil {
			t.Error(err)
		}
		return end
	}
	waits := func(who string, n int32) {
		eventually(t, 10*time.Second, func() string {
			if f.agent.managers.Load() < n {
				return who + " does not wait for the turn"
			}
			return ""
		})
	}
	end, s := begin(), f.spec("acme")
	made, turn := make(chan error, 1), make(chan func(), 1)
	go func() {
		_, err := f.admin.NewGrant(t.Context(), f.passphrase(testPassphrase), s.NewGrant)
		made <- err
	}()
	waits("the grant", 2)
	go func() { turn <- begin() }()
	waits("who locks", 3)
	end()
	end = <-turn
	f.lock()
	end()
	if err := <-made; !errors.Is(err, client.ErrLocked) {
		t.Errorf("got %v, want ErrLocked", err)
	}
	f.unlock()
	if all := f.grants(t); len(all) != 0 {
		t.Errorf("%d grants are there", len(all))
	}
}

// The shares are taken in their own field alone, however well they are sealed.
func TestNewGrantSharesInAnotherField(t *testing.T) {
	f := start(t)
	d, _ := f.direct(t)
	for field, want := range map[string]pb.Code{fieldShares: pb.CodeOK, fieldPassphrase: pb.CodeRequest} {
		keys, err := f.agent.sealKey(d.ctx, f.agent.seals, &pb.SealKeyRequest{})
		if err != nil {
			t.Fatal(err)
		}
		k, to := keys.GetKeys()[0], secret.SealContext{VaultID: keys.GetVaultId(), Instance: keys.GetInstance(), Method: pb.Admin_NewGrant_FullMethodName, Field: field}
		box, err := secret.SealSlice(k.GetPublicKey(), to, make([]byte, grantkey.ShareSize))
		if err != nil {
			t.Fatal(err)
		}
		shares, err := f.agent.openShares(d.ctx, &pb.Sealed{Field: field, KeyId: k.GetId(), Box: box}, 1)
		shares.Destroy()
		if got := refusedWith(err); got != want {
			t.Errorf("as %s: got %v, want %s", field, err, want)
		}
	}
}

// What cannot be had of the machine or of the shares is said, and nothing is wrapped for it.
func TestNewGrantWithoutItsKeys(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	n, share := f.planned(t, false)
	wrap := func() ([]vault.NewWrap, error) {
		return f.agent.wrapsOf(t.Context(), f.agent.session, n, &unlocktoken.Grant{Authority: n.Authority}, [32]byte{}, share)
	}
	share.Destroy()
	if wraps, err := wrap(); len(wraps) != 0 || !errors.Is(err, secret.ErrDestroyed) {
		t.Errorf("without a share: got %d wraps, %v", len(wraps), err)
	}
	if err := os.WriteFile(f.paths.MachineKey, []byte("none"), 0o600); err != nil {
		t.Fatal(err)
	}
	if wraps, err := wrap(); len(wraps) != 0 || !errors.Is(err, vault.ErrMachineKey) {
		t.Errorf("without the machine key: got %d wraps, %v", len(wraps), err)
	}
}

// Where nothing was lent the vault keeps no list of certificates, not of empty names either.
func TestNewGrantWithoutCertificates(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	f.mustGrant("acme")
	m, _, err := f.agent.codec.decodeGrant(f.grants(t)[0].Meta)
	if err != nil || m.Certificates != nil {
		t.Errorf("got %q, %v", m.Certificates, err)
	}
}
