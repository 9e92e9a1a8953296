package agent

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault/store"
)

// closedWithin fails the test unless the agent closes the stream in that time.
func closedWithin(t *testing.T, most time.Duration, streams ...pb.Signer_SignStreamClient) {
	t.Helper()
	begin := time.Now()
	for _, s := range streams {
		for {
			if _, err := s.Recv(); err != nil {
				break
			}
		}
	}
	if took := time.Since(begin); took > most {
		t.Errorf("the last of %d streams was closed after %s", len(streams), took)
	}
}

// idle opens a stream on which nothing is asked.
func (p *presentation) idle() pb.Signer_SignStreamClient {
	p.t.Helper()
	s, err := p.rpc.SignStream(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	return s
}

// withoutWatching has the agent of f notice nothing by itself until goOn is called.
func (f *fixture) withoutWatching() (goOn func()) {
	f.agent.sockets.mu.Lock() // where it looks for sockets to be closed, and waits
	wake(f.agent.hear)
	time.Sleep(20 * time.Millisecond)
	return f.agent.sockets.mu.Unlock
}

// Requirement T-06: what one agent revokes, locked or not, another one on the same vault
// serves no more, from the next request on, whatever state that is in; who is connected
// there and asks for nothing is sent away.
func TestTwoAgentsRevoke(t *testing.T) {
	for _, c := range []struct {
		name         string
		here, beside bool // locked
	}{{"both unlocked", false, false}, {"the other locked", false, true}, {"the first locked", true, false}, {"both locked", true, true}} {
		t.Run(c.name, func(t *testing.T) {
			f := start(t)
			f.unlock()
			f.addTBA("acme")
			g := f.beside()
			token, info := f.mustGrant("acme")
			kept, _ := f.mustGrant("acme")
			if c.beside {
				g.lock()
			}
			if c.here {
				f.lock()
			}
			other := g.shown(kept)
			before := g.agent.arena.Info().Used
			asked := g.shown(token)
			idle := []pb.Signer_SignStreamClient{asked.idle(), g.shown(token).idle()}
			sign := func(p *presentation) error {
				_, err := p.rpc.Sign(t.Context(), &pb.SignRequest{Url: sandboxURL})
				return err
			}
			for _, p := range []*presentation{asked, other} {
				if err := sign(p); err != nil {
					t.Fatal(err)
				}
			}
			goOn := g.withoutWatching()
			if _, err := f.admin.RevokeGrant(t.Context(), info.GetId(), false); err != nil {
				t.Fatal(err)
			}
			if err := sign(asked); codeOf(err) != string(pb.CodeRevoked) {
				t.Errorf("the next request: got %v", err)
			}
			goOn()
			closedWithin(t, inTime, idle...)
			if _, err := g.dialWith(token); !errors.Is(err, client.ErrRevoked) {
				t.Errorf("shown again: got %v", err)
			}
			if err := sign(other); err != nil {
				t.Errorf("of another grant: %v", err)
			}
			g.settles("after the end", before)
		})
	}
}

// TestTwoAgentsRevokeASocket: the socket that one agent has for a grant closes when another
// one revokes it, and so does every connection on one that was opened for a program; whoever
// asks there afterwards is told why.
func TestTwoAgentsRevokeASocket(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	g := f.beside()
	path := filepath.Join(shortDir(t), "s")
	listening, err := g.grantAt(path, "acme")
	if err != nil {
		t.Fatal(err)
	}
	token, shown := g.mustGrant("acme")
	opened, err := g.show(token).OpenSocket(t.Context(), client.SocketRequest{Profile: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	for grant, at := range map[string]string{listening.GetId(): path, shown.GetId(): opened.Opened.GetPath()} {
		idle := pb.NewSignerClient(rawGRPC(t, at))
		stream, err := idle.SignStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := signAt(t, at, "acme", "GET"); got != "ok" {
			t.Fatalf("got %s", got)
		}
		goOn := g.withoutWatching()
		if _, err := f.admin.RevokeGrant(t.Context(), grant, false); err != nil {
			t.Fatal(err)
		}
		if got := signAt(t, at, "acme", "GET"); got != string(pb.CodeRevoked) {
			t.Errorf("the next request: got %s", got)
		}
		goOn()
		closedWithin(t, inTime, stream)
		if at == path {
			g.wantGone(at)
		} else if got := signAt(t, at, "acme", "GET"); got != string(pb.CodeRevoked) {
			t.Errorf("afterwards: got %s", got)
		}
	}
	if use, err := opened.Close(); err != nil || use.GetMade() != 1 || use.GetRefused() != 2 {
		t.Errorf("how it was used: %v, %v", use, err)
	}
	g.wantGone(opened.Opened.GetPath())
}

// TestLedgerThatCannotBeRead: where nobody can tell what was revoked, nothing is done for a
// grant, nor is anybody asked to approve it, until that can be told again. The owner is served.
func TestLedgerThatCannotBeRead(t *testing.T) {
	f := startAsking(t)
	token, _ := f.mustGrant("acme")
	c := f.show(token)
	sign := func() error { _, err := c.Sign(t.Context(), request("acme")); return err }
	if err := os.Chmod(f.paths.Ledger, 0o666); err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(time.Second)
	if err := os.Chtimes(f.paths.Ledger, later, later); err != nil {
		t.Fatal(err)
	}
	if err := sign(); !errors.Is(err, &client.Error{Code: pb.CodeUnsafe}) {
		t.Errorf("got %v", err)
	}
	if _, err := c.Profiles(t.Context()); !errors.Is(err, &client.Error{Code: pb.CodeUnsafe}) {
		t.Errorf("another call: got %v", err)
	}
	if _, err := c.Sign(t.Context(), writing(1)); !errors.Is(err, &client.Error{Code: pb.CodeUnsafe}) {
		t.Errorf("a call that somebody has to approve: got %v", err)
	}
	f.sign("acme")
	if err := os.Chmod(f.paths.Ledger, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := sign(); err != nil {
		t.Errorf("it can be read again: %v", err)
	}
	if err := os.Rename(f.paths.Ledger, f.paths.Ledger+".away"); err != nil {
		t.Fatal(err)
	}
	if err := sign(); err != nil {
		t.Errorf("without a ledger: %v", err)
	}
}

// TestRevocationsThatAreNews: of all that the ledger has, what somebody here had to do with is
// news, and once.
func TestRevocationsThatAreNews(t *testing.T) {
	p := newPresented()
	known, stranger := unlocktoken.ID{1}, unlocktoken.ID{2}
	flag := p.flag(known)
	if news := p.revoke([]unlocktoken.ID{stranger, known}); !slices.Equal(news, []unlocktoken.ID{known}) || !flag.Load() {
		t.Errorf("got %v", news)
	}
	if news := p.revoke([]unlocktoken.ID{stranger, known}); len(news) > 0 || !flag.Load() {
		t.Errorf("a second time: got %v", news)
	}
}

// TestTwoAgentsRevokeWhoIsIdle: who is connected and calls nothing is sent away by the agent
// that was not told of the revocation, when the system tells that the ledger changes, and
// where it does not, as after its directory was moved.
func TestTwoAgentsRevokeWhoIsIdle(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	g := f.beside()
	dir := filepath.Dir(f.paths.Ledger)
	for _, noticed := range []bool{true, false} {
		if !noticed {
			for _, paths := range [][2]string{{dir, dir + ".away"}, {dir + ".away", dir}} {
				if err := os.Rename(paths[0], paths[1]); err != nil {
					t.Fatal(err)
				}
			}
		}
		eventually(t, inTime, func() string {
			if g.agent.noticing.Load() != noticed {
				return "it does not know whether the system tells of changes"
			}
			return ""
		})
		token, info := f.mustGrant("acme")
		idle := g.shown(token).idle()
		if _, err := f.admin.RevokeGrant(t.Context(), info.GetId(), false); err != nil {
			t.Fatal(err)
		}
		closedWithin(t, inTime, idle)
	}
}

// The ledger is read again where anything of its file is another, and only then.
func TestLedgerIsKnown(t *testing.T) {
	read := unix.Stat_t{Dev: 1, Ino: 2, Size: 3, Mtim: unix.Timespec{Sec: 4, Nsec: 5}}
	var l learnt
	if l.is(&read) {
		t.Error("before it was read")
	}
	l.file.Store(&read)
	for name, c := range map[string]struct {
		edit func(*unix.Stat_t)
		same bool
	}{
		"another device": {func(s *unix.Stat_t) { s.Dev++ }, false},
		"another file":   {func(s *unix.Stat_t) { s.Ino++ }, false},
		"another size":   {func(s *unix.Stat_t) { s.Size++ }, false},
		"another time":   {func(s *unix.Stat_t) { s.Mtim.Nsec++ }, false},
		"the very same":  {func(s *unix.Stat_t) { s.Nlink++ }, true},
	} {
		now := read
		c.edit(&now)
		if got := l.is(&now); got != c.same {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

// What a ledger has of other kinds, or of no grant, revokes none.
func TestRevocationsAreOfGrants(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	token := f.mint(unlocktoken.Caveats{}, "acme")
	c := f.show(token)
	id := grantIDOf(t, token)
	l, _ := f.openedLedger()
	err := l.Append(store.Entry{Kind: ledgerUses, Subject: id[:], Value: 1}, store.Entry{Kind: ledgerGrantRevoked, Subject: append(id[:], id[:]...), Value: 1})
	if err := errors.Join(err, l.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Sign(t.Context(), request("acme")); err != nil {
		t.Errorf("got %v", err)
	}
}

// What another agent has revoked is learnt of at the next call. Where the system does not tell
// of changes, somebody has to look often, while it matters to anybody.
func TestLedgerIsLookedAt(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	g := f.beside()
	const most = time.Hour
	g.agent.noticing.Store(false)
	if got := g.agent.endRevoked(most); got != most {
		t.Errorf("nobody is connected: got %s", got)
	}
	token, info := f.mustGrant("acme")
	c := g.show(token)
	if got := g.agent.endRevoked(most); got != learnEvery {
		t.Errorf("somebody is: got %s", got)
	}
	g.agent.noticing.Store(true)
	if got := g.agent.endRevoked(most); got != most {
		t.Errorf("the system tells: got %s", got)
	}
	if _, err := f.admin.RevokeGrant(t.Context(), info.GetId(), false); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Sign(t.Context(), request("acme")); !errors.Is(err, client.ErrRevoked) && !errors.Is(err, client.ErrAgent) {
		t.Errorf("revoked: got %v", err)
	}
	if _, err := g.dialWith(token); !errors.Is(err, client.ErrRevoked) {
		t.Errorf("shown again: got %v", err)
	}
}

// That nobody can tell what was revoked is said once, each time that it begins.
func TestLedgerThatCannotBeReadIsLoggedOnce(t *testing.T) {
	var said output
	f := start(t, func(c *Config) { c.Log = slog.New(slog.NewTextHandler(&said, nil)) })
	f.unlock()
	f.addTBA("acme")
	f.mustGrant("acme")
	later := time.Now()
	learn := func(good bool) {
		later = later.Add(time.Second)
		if err := os.Chtimes(f.paths.Ledger, later, later); err != nil {
			t.Fatal(err)
		}
		if err := f.agent.learn(); (err == nil) != good {
			t.Errorf("it can be read: %v; got %v", good, err)
		}
	}
	for turn := range 3 {
		learn(true)
		f.unreadableLedger(t, func() {
			learn(false)
			learn(false)
			if err := f.agent.heed(nil); err != nil {
				t.Errorf("the owner: got %v", err)
			}
		})
		learn(true)
		if n := strings.Count(said.String(), "grants give nothing"); n != turn+1 {
			t.Errorf("it was said %d times, want %d:\n%s", n, turn+1, said.String())
		}
	}
	if err := os.Rename(f.paths.Ledger, f.paths.Ledger+".away"); err != nil {
		t.Fatal(err)
	}
	if err := f.agent.learn(); err != nil {
		t.Errorf("without a ledger: got %v", err)
	}
}

// Whoever looks for the end of a bundle's grant notes the time.
func TestGrantTimeIsNoted(t *testing.T) {
	text, token := owner(t).mintBundle(unlocktoken.Caveats{}, nil, "acme")
	r := newRunner(t)
	r.mustServe(text, token.Text())
	size := func() int64 {
		fi, err := os.Stat(r.agent.cfg.Paths.Ledger)
		if err != nil {
			t.Fatal(err)
		}
		return fi.Size()
	}
	before := size()
	r.clock.Store(int64(30 * time.Minute))
	r.agent.endGrants(time.Minute)
	if size() == before {
		t.Error("the time is not noted")
	}
}
