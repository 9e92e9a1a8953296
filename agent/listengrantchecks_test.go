package agent

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/socketpath"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault/store"
)

// Each grant has a socket of its own, which ends with it alone, beside those that were
// opened otherwise.
func TestGrantsListenEach(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	own := f.openSocket("acme").Opened.GetPath()
	dir := shortDir(t)
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	g, err := f.grantAt(a, "acme")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.grantAt(b, "acme"); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{own, a, b} {
		if got := signAt(t, path, "acme", "GET"); got != "ok" {
			t.Errorf("%s: got %s", path, got)
		}
	}
	if _, err := f.admin.RevokeGrant(t.Context(), g.GetId(), false); err != nil {
		t.Fatal(err)
	}
	f.wantGone(a)
	for _, path := range []string{own, b} {
		if got := signAt(t, path, "acme", "GET"); got != "ok" {
			t.Errorf("%s, after another was revoked: got %s", path, got)
		}
	}
}

// The socket of a grant that begins later is there at once, and refuses until then.
func TestGrantListensBeforeItBegins(t *testing.T) {
	f, ahead := unlockedAhead(t)
	path := filepath.Join(shortDir(t), "s")
	s := f.spec("acme")
	s.Listen, s.Limits = path, &pb.GrantLimits{NotBefore: time.Now().Add(30 * time.Minute).Unix()}
	if _, err := f.admin.NewGrant(t.Context(), f.passphrase(testPassphrase), s.NewGrant); err != nil {
		t.Fatal(err)
	}
	if got := signAt(t, path, "acme", "GET"); got != string(pb.CodeGrantScope) {
		t.Errorf("before: got %s", got)
	}
	const wait = "wait until then, or have another token made:  nsagent grant new"
	_, err := f.through(path).Sign(t.Context(), client.Request{Profile: "acme", Method: "GET", URL: sandboxURL})
	if e, ok := errors.AsType[*client.Error](err); !ok || e.Next != wait {
		t.Errorf("before: got %v", err)
	}
	_, err = f.dialWith(f.mint(unlocktoken.Caveats{NotBefore: time.Now().Unix() + 1800}, "acme"))
	if e, ok := errors.AsType[*client.Error](err); !ok || e.Next != wait {
		t.Errorf("a token before: got %v", err)
	}
	ahead.Store(int64(31 * time.Minute))
	if got := signAt(t, path, "acme", "GET"); got != "ok" {
		t.Errorf("from then on: got %s", got)
	}
}

// TestGrantListensOnRecord: a socket that cannot be recorded is closed again, and there is no
// grant.
func TestGrantListensOnRecord(t *testing.T) {
	var f *fixture
	f = start(t, func(c *Config) {
		listen := c.Listen
		c.Listen = func(ctx context.Context, path string) (*os.File, error) {
			file, err := listen(ctx, path)
			return file, errors.Join(err, f.agent.audit.Close())
		}
	})
	f.unlock()
	f.addTBA("acme")
	path := filepath.Join(shortDir(t), "s")
	if _, err := f.grantAt(path, "acme"); errorCode(err) != string(pb.CodeAudit) {
		t.Errorf("got %v, want %s", err, pb.CodeAudit)
	}
	f.wantGone(path)
	if all := f.grants(t); len(all) != 0 {
		t.Errorf("%d grants", len(all))
	}
}

// TestGrantListensWithoutAWord: that a grant has no socket, or has it already, or is over, is
// nothing to warn of at an unlock. That its place was taken is.
func TestGrantListensWithoutAWord(t *testing.T) {
	var ahead shifted
	var said output
	f := start(t, ahead.clock, func(c *Config) { c.Log = slog.New(slog.NewTextHandler(&said, nil)) })
	f.unlock()
	f.addTBA("acme")
	f.mustGrant("acme")
	dir := shortDir(t)
	revoked, err := f.grantAt(filepath.Join(dir, "revoked"), "acme")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.admin.RevokeGrant(t.Context(), revoked.GetId(), false); err != nil {
		t.Fatal(err)
	}
	if _, err := f.grantAt(filepath.Join(dir, "ended"), "acme"); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "good")
	s := f.spec("acme")
	s.Listen, s.TTL = path, 24*time.Hour
	if _, err := f.admin.NewGrant(t.Context(), f.passphrase(testPassphrase), s.NewGrant); err != nil {
		t.Fatal(err)
	}
	ahead.Store(int64(time.Hour + time.Minute))
	unlock := func(when string, want int) {
		t.Helper()
		f.unlock()
		if got := strings.Count(said.String(), "a grant has no socket"); got != want {
			t.Errorf("%s: the log has %d warnings, want %d:\n%s", when, got, want, said.String())
		}
	}
	f.restart()
	unlock("after a restart", 0)
	if got := signAt(t, path, "acme", "GET"); got != "ok" {
		t.Errorf("got %s", got)
	}
	session := f.agent.session
	f.lock()
	f.agent.listenForGrants(t.Context(), session)
	unlock("after a lock, which came in between", 0)
	if err := f.admin.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.waitEnd()
	squatter, err := socketpath.Listen(path, 0o600, 4)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = squatter.Close() }()
	f.run()
	unlock("beside a squatter", 1)
}

// A grant that has ended, or that the ledger alone has as revoked, gets no socket, not even
// for a moment, and that is nothing to warn of.
func TestGrantListensNotOnceItIsOver(t *testing.T) {
	for what, end := range map[string]func(f *fixture, ahead *shifted){
		"ended": func(_ *fixture, ahead *shifted) { ahead.Store(int64(2 * time.Hour)) },
		"revoked in the ledger": func(f *fixture, _ *shifted) {
			l, v := f.openedLedger()
			all, err := v.Grants()
			if err != nil || len(all) != 1 {
				t.Fatalf("%d grants, %v", len(all), err)
			}
			err = l.Append(store.Entry{Kind: ledgerGrantRevoked, Subject: all[0].ID[:], Value: 1})
			if err := errors.Join(err, l.Close()); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(what, func(t *testing.T) {
			var ahead shifted
			var said output
			var made atomic.Int64
			f := start(t, ahead.clock, func(c *Config) {
				c.Log = slog.New(slog.NewTextHandler(&said, nil))
				listen := c.Listen
				c.Listen = func(ctx context.Context, path string) (*os.File, error) {
					made.Add(1)
					return listen(ctx, path)
				}
			})
			f.unlock()
			f.addTBA("acme")
			path := filepath.Join(shortDir(t), "s")
			if _, err := f.grantAt(path, "acme"); err != nil {
				t.Fatal(err)
			}
			end(f, &ahead)
			f.agent.closeListeners(func(*granted) bool { return true })
			f.wantGone(path)
			f.agent.listenForGrants(t.Context(), f.agent.session)
			if n := made.Load(); n != 1 || strings.Contains(said.String(), "a grant has no socket") {
				t.Errorf("%d sockets were made, want that of the time before; the log has\n%s", n, said.String())
			}
		})
	}
}

// TestGrantPlaces: where no socket can be made, the refusal says what to type, and comes before
// the proof is asked for.
func TestGrantPlaces(t *testing.T) {
	f := start(t, func(c *Config) {
		listen := c.Listen
		c.Listen = func(ctx context.Context, path string) (*os.File, error) { // as the parent process does
			if err := socketpath.CheckShared(filepath.Dir(path)); err != nil {
				return nil, err
			}
			return listen(ctx, path)
		}
	})
	f.unlock()
	f.addTBA("acme")
	dir := shortDir(t)
	path := filepath.Join(dir, "s")
	g, err := f.grantAt(path, "acme")
	if err != nil {
		t.Fatal(err)
	}
	open := filepath.Join(dir, "open")
	if err := errors.Join(os.Mkdir(open, 0o700), os.Chmod(open, 0o777)); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ path, why, next string }{
		"of a grant":   {path, "grant " + g.GetId() + " listens there", "nsagent grant revoke " + g.GetId()},
		"no directory": {filepath.Join(dir, "none", "s"), "the directory " + dir + "/none is not there", `mkdir -p -m 700 "` + dir + `/none"`},
	} {
		s := f.spec("acme")
		s.Listen = c.path
		_, err := f.admin.NewGrant(t.Context(), client.Proof{}, s.NewGrant)
		if e := (*client.Error)(nil); !errors.As(err, &e) || e.Code != pb.CodeSocket || e.Why != c.why || !strings.Contains(e.Next, c.next) {
			t.Errorf("%s: got %+v", name, err)
		}
	}
	for name, c := range map[string]struct{ path, why, next string }{
		"open to others": {filepath.Join(open, "s"), "others may write in", `run:  chmod go-w "` + open + `"`},
		"for all":        {"/tmp/nsagent-test.sock", "/tmp", "mkdir -p -m 700 ~/.local/state/acme"},
	} {
		_, err := f.grantAt(c.path, "acme")
		if e := (*client.Error)(nil); !errors.As(err, &e) || e.Code != pb.CodeSocket || !strings.Contains(e.Why, c.why) || !strings.Contains(e.Next, c.next) || strings.Contains(e.Why, "chmod") {
			t.Errorf("%s: got %+v", name, err)
		}
	}
}
