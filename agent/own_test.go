package agent

import (
	"crypto/rand"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
)

// openedOwn is what a token opened of a locked agent, before its connection has it.
type openedOwn struct {
	conn *countedConn
	g    *granted
	own  *session
}

// openOwn shows a token, short of giving anybody the right.
func (f *fixture) openOwn(t *testing.T, token *unlocktoken.Token) openedOwn {
	t.Helper()
	d, p := f.direct(t)
	g, own, err := f.agent.present(d.ctx, d.conn.caller(), p.request(token))
	if err != nil || own == nil {
		t.Fatalf("got %v, %v", own, err)
	}
	g.presenter = d.conn
	return openedOwn{d.conn, g, own}
}

// What a token opened is kept for nobody who is gone, and for no grant that was revoked
// while it was opened, or whose job is one no more.
func TestOwnIsKeptForWhoIsThere(t *testing.T) {
	f, token := lockedWith(t, unlocktoken.Caveats{})
	before := f.agent.arena.Info().Used
	for name, c := range map[string]struct {
		change func(openedOwn)
		kept   bool
	}{
		"gone":      {func(o openedOwn) { f.agent.presented.leave(o.conn) }, false},
		"revoked":   {func(o openedOwn) { o.g.revoked.Store(true) }, false},
		"withdrawn": {func(o openedOwn) { o.g.issuer.URL = "https://ci.example" }, false},
		"there":     {func(openedOwn) {}, true},
	} {
		o := f.openOwn(t, token)
		c.change(o)
		if err := f.agent.keepOwn(o.own, f.agent.locks); err != nil {
			t.Fatal(err)
		}
		if kept := o.g.own != nil; kept != c.kept {
			t.Errorf("%s: kept %v", name, kept)
		}
		f.agent.dropOwn(o.g)
		o.g.revoked.Store(false) // all rights of a grant share it
		f.settles(name, before)
	}
}

// TestOwnIsNotKeptBesideAnOpenVault: what a token opened is not kept where the vault was unlocked
// meanwhile: that is what its connection uses, as everybody does.
func TestOwnIsNotKeptBesideAnOpenVault(t *testing.T) {
	f, token := lockedWith(t, unlocktoken.Caveats{})
	o := f.openOwn(t, token)
	f.unlock()
	before := f.agent.arena.Info().Used
	if err := f.agent.keepOwn(o.own, f.agent.locks); err != nil || o.g.own != nil {
		t.Errorf("got %v, kept %v", err, o.g.own != nil)
	}
	if after := f.agent.arena.Info().Used; after >= before {
		t.Errorf("%d bytes of locked memory are in use, and %d were before", after, before)
	}
}

// A connection that is gone gets no right, and one that shares a right with the presenter
// takes nothing away when it closes.
func TestRightsOfConnections(t *testing.T) {
	f, token := lockedWith(t, unlocktoken.Caveats{})
	o, other := f.openOwn(t, token), &countedConn{}
	f.agent.presented.leave(other)
	if f.agent.presented.exchange(other, right{}, o.g) {
		t.Error("a connection that is gone got a right")
	}
	if !f.agent.presented.exchange(o.conn, ofOwner(), o.g) || f.agent.presented.exchange(o.conn, ofOwner(), o.g) {
		t.Error("a connection did not get one right")
	}
	if err := f.agent.keepOwn(o.own, f.agent.locks); err != nil {
		t.Fatal(err)
	}
	if beside := new(countedConn); !f.agent.presented.exchange(beside, right{}, o.g) {
		t.Error("no right for a second connection")
	} else if f.agent.leave(beside); o.g.own == nil {
		t.Error("what the presenter opened went with another connection")
	}
	if f.agent.leave(o.conn); o.g.own != nil {
		t.Error("what the presenter opened stayed")
	}
}

// TestTokenThatOpensNothing: a locked agent does not take a token for profiles that have new
// keys since, and says what is to be done; an unlocked one takes it.
func TestTokenThatOpensNothing(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	f.addTBA("other")
	token := f.mint(unlocktoken.Caveats{}, "acme", "other")
	id, _ := f.agent.session.vault.RecordID("other")
	only := []unlocktoken.ID{unlocktoken.ID(id)}
	narrow, err := token.Narrow(unlocktoken.Caveats{Credentials: only}, only, rand.Reader)
	if err == nil {
		err = f.agent.session.vault.Rekey(t.Context(), []string{"other"})
	}
	if err != nil {
		t.Fatal(err)
	}
	f.lock()
	if _, err := f.dialWith(narrow); !errors.Is(err, client.ErrLocked) || !strings.Contains(err.Error(), "new keys") {
		t.Errorf("locked: got %v", err)
	}
	f.unlock()
	if _, err := f.show(narrow).Sign(t.Context(), request("other")); err != nil {
		t.Errorf("unlocked: %v", err)
	}
}

// Nothing is opened for a token but what it covers, whatever shares come with it.
func TestOwnIsWhatTheTokenCovers(t *testing.T) {
	f, token := startLocked(t)
	all := f.openOwn(t, token)
	defer all.own.destroy()
	if len(all.own.profiles) != 2 {
		t.Fatalf("control: %d profiles", len(all.own.profiles))
	}
	acme := all.own.profiles["acme"].record
	narrow, err := token.Narrow(unlocktoken.Caveats{Credentials: []unlocktoken.ID{unlocktoken.ID(acme)}}, nil, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	narrow.Shares = token.Shares
	some := f.openOwn(t, narrow)
	defer some.own.destroy()
	if _, ok := some.own.profiles["acme"]; !ok || len(some.own.profiles) != 1 {
		t.Errorf("%d profiles are open, want acme", len(some.own.profiles))
	}
}

// Where something goes wrong nothing stays open, and the error is that of what did.
func TestOwnThatCannotBeOpened(t *testing.T) {
	f, token := startLocked(t)
	before := f.agent.arena.Info().Used
	d, p := f.direct(t)
	v, _, err := f.agent.vaultOfState(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	try := func() error {
		shares, err := f.agent.arena.Take(shareBytes(token))
		if err != nil {
			t.Fatal(err)
		}
		defer shares.Destroy()
		g := f.agent.newGranted(mustRead(t, token), token.Issuer)
		own, err := f.agent.openOwn(t.Context(), v, g, shares)
		if own != nil {
			own.destroy()
		}
		return err
	}
	key, err := os.ReadFile(f.paths.MachineKey)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		key  []byte
		want error
	}{{[]byte("no key"), vault.ErrMachineKey}, {key, vault.ErrDamaged}} {
		if err := os.WriteFile(f.paths.MachineKey, c.key, 0o600); err != nil {
			t.Fatal(err)
		}
		f.whileDamaged(func() {
			if err := try(); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
	wrong := token.Shares[0]
	wrong.Key[0] ^= 1
	other := *token
	other.Shares = append([]unlocktoken.Share{wrong}, token.Shares[1:]...)
	if _, _, err := f.agent.present(d.ctx, d.conn.caller(), p.request(&other)); refusedWith(err) != pb.CodeGrant || !strings.Contains(refusalOf(err).Why, "its shares are not of this grant") {
		t.Errorf("with a wrong share: got %v", err)
	}
	f.unlock()
	if _, err := f.agent.session.vault.Edit(t.Context(), "acme", func(vault.Record) (vault.Edit, error) { return vault.Edit{Meta: []byte{0xff}}, nil }); err != nil {
		t.Fatal(err)
	}
	f.lock()
	if _, own, err := f.agent.present(d.ctx, d.conn.caller(), p.request(token)); err == nil || own != nil {
		t.Errorf("with a record that cannot be read: got %v, %v", own, err)
	}
	f.settles("at the end", before)
}

// A record that is to take a profile's place is nobody's to use; one that cannot be read is
// an error. Their secrets are wiped.
func TestOwnRecords(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	records, err := f.agent.session.vault.Records()
	if err != nil {
		t.Fatal(err)
	}
	next := *f.agent.session.profiles["acme"].profile
	next.For, next.Name = "acme", stagedName("acme")
	staged := records[0]
	staged.Name = next.Name
	if staged.Meta, err = f.agent.codec.encode(&next); err != nil {
		t.Fatal(err)
	}
	damaged := records[0]
	damaged.Meta = []byte{0xff}
	before := f.agent.arena.Info().Used
	for name, c := range map[string]struct {
		r      vault.Record
		secret string
		wrong  bool
		holds  int
	}{"acme": {records[0], "", false, 1}, "staged": {staged, "", false, 0}, "damaged": {damaged, "", true, 0}, "no secret": {records[0], "x", true, 0}} {
		secret, err := f.agent.session.vault.OpenSignOnly("acme")
		if err == nil && c.secret != "" {
			secret.Destroy()
			secret, err = f.agent.arena.Take([]byte(c.secret))
		}
		if err != nil {
			t.Fatal(err)
		}
		s := &session{profiles: make(map[string]*live)}
		if err := f.agent.addOwn(s, vault.Opened{Record: c.r, SignOnly: secret}); (err != nil) != c.wrong || len(s.profiles) != c.holds {
			t.Errorf("%s: got %v and %d profiles", name, err, len(s.profiles))
		}
		s.destroy()
		f.settles(name, before)
	}
}

// A refresh token and an API secret are of no use by a token's own shares; a certificate
// and a pair are.
func TestOwnOpensNoRefreshToken(t *testing.T) {
	for auth, opens := range map[string]bool{authTBA: true, authM2M: true, authCode: false, authSecret: false} {
		p := &live{profile: &profile{Name: "p", Auth: auth}}
		if err := (&session{of: &granted{}}).opens(p); (err == nil) != opens || err != nil && refusedWith(err) != pb.CodeLocked {
			t.Errorf("%s by a token: got %v", auth, err)
		}
		if err := (&session{}).opens(p); err != nil {
			t.Errorf("%s in a session: got %v", auth, err)
		}
	}
}

// Who finds gone what a token had opened is told why, where the grant is over.
func TestOwnThatWasDropped(t *testing.T) {
	f, token := lockedWith(t, unlocktoken.Caveats{})
	o := f.openOwn(t, token)
	o.own.destroy()
	if err := f.agent.dropped(o.g); !errors.Is(err, vault.ErrLocked) {
		t.Errorf("of a good grant: got %v", err)
	}
	o.g.revoked.Store(true)
	if err := f.agent.dropped(o.g); !errors.Is(err, ErrRevoked) {
		t.Errorf("of one that was revoked: got %v", err)
	}
}
