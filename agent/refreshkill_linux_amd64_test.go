//go:build !race

// These tests look at the product from outside, which has no race detector: one run
// of them is enough.

package agent

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/client/nstest"
	"github.com/nsagent/nsagent/internal/calltrap"
	"github.com/nsagent/nsagent/internal/needs"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// codeDaemon is the product with a NetSuite.
type codeDaemon struct {
	*daemon
	netsuite
	admin *client.Admin
	agent *client.Client
}

// again starts the agent, connects to it and unlocks.
func (d *codeDaemon) again() {
	d.t.Helper()
	d.start()
	d.admin, d.agent = d.dialAdmin(), d.dial()
	d.unlocked()
}

func (d *codeDaemon) unlocked() {
	d.t.Helper()
	if _, err := d.admin.Unlock(d.t.Context(), sealWith(d.arena, testPassphrase), 0); err != nil {
		d.t.Fatal(err)
	}
}

// relocked drops the access tokens that are kept.
func (d *codeDaemon) relocked() {
	d.t.Helper()
	if err := d.admin.Lock(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
	d.unlocked()
}

// login logs in with a new profile, or with one that is there, and returns the code that
// the browser brought.
func (d *codeDaemon) login(l client.Login) (code string) {
	d.t.Helper()
	begun, err := d.admin.BeginLogin(d.t.Context(), l)
	if err != nil {
		d.t.Fatal(err)
	}
	q := d.browse(d.t, begun.GetAuthorizeUrl(), "allow")
	code = q.Get("code") + q.Get("oauth_verifier")
	_, err = d.admin.FinishLogin(d.t.Context(), client.LoginAnswer{
		ID: begun.GetId(), Profile: l.Profile.GetName(), State: q.Get("state"), Code: sealWith(d.arena, code), Company: q.Get("company"), RequestToken: q.Get("oauth_token"),
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return code
}

// await waits for the end of an agent that was killed, and ends one that was not reached.
func (d *codeDaemon) await() {
	d.t.Helper()
	if _, err := d.ask(); err == nil {
		d.kill()
		return
	}
	_ = d.awaitEnd()
}

func (d *codeDaemon) token(name string) error {
	_, err := d.agent.AccessToken(d.t.Context(), client.AccessTokenRequest{Profile: name})
	return err
}

// moment is how far a refresh has come.
type moment struct {
	calls    int  // of the agent on its files
	intended bool // the intent is about to become durable
	answered bool // NetSuite has answered
	storing  bool // the new refresh token is about to become durable
	stored   bool // it is
}

// watched runs do while the agent's calls on its files are looked at, and kills it before
// the first one at a moment that kill names; nil: it lives. What comes back tells how far it
// came, also by what NetSuite does for an exchanger that outlived the agent.
func (d *codeDaemon) watched(kill func(moment) bool, do func()) func() moment {
	d.t.Helper()
	var mu sync.Mutex // guards m
	var m moment
	d.onVerdict(func(nstest.Verdict) {
		mu.Lock()
		defer mu.Unlock()
		m.answered = true
	})
	trap, err := calltrap.Attach(d.pid, calltrap.Handler{Before: func(c *calltrap.Call) syscall.Errno {
		if !c.Within(filepath.Dir(d.paths.Vault), d.paths.AuditDir) {
			return 0
		}
		mu.Lock()
		defer mu.Unlock()
		m.calls++
		underWay := m.storing && !m.stored // by another thread: whether it comes through is open
		if c.To == d.paths.Vault {
			m.intended, m.storing = true, m.answered
		}
		if kill != nil && !underWay && kill(m) {
			kill = nil
			_ = syscall.Kill(d.pid, syscall.SIGKILL)
		}
		return 0
	}, After: func(c *calltrap.Call) syscall.Errno {
		mu.Lock()
		defer mu.Unlock()
		m.stored = m.stored || m.storing && c.To == d.paths.Vault
		return 0
	}})
	if err != nil {
		d.t.Fatal(err)
	}
	do()
	if err := trap.Detach(); err != nil {
		d.t.Error(err)
	}
	return func() moment {
		mu.Lock()
		defer mu.Unlock()
		return m
	}
}

// TestKilledInRefresh: the agent is killed at each of its calls on files during a refresh
// of a public client, which are those between its decision, the intent, NetSuite's answer
// and the write of the new refresh token. Afterwards the chain goes on, or the agent says
// that consent is needed, and says so where NetSuite had answered and the answer was not
// durable, and nowhere else. The vault is whole.
//
// The short form takes the calls around each of these moments.
func TestKilledInRefresh(t *testing.T) {
	needs.Root(t, "stops the system calls of another process")
	d := &codeDaemon{daemon: newDaemon(t, 0, "")}
	d.listen(t)
	d.again()
	d.login(client.Login{Flow: "pkce", Profile: d.codeProfile("p", publicID22(), "restlets")})
	d.relocked()
	whole := d.watched(nil, func() {
		if err := d.token("p"); err != nil {
			t.Fatal(err)
		}
	})()
	if !whole.intended || !whole.answered || !whole.stored {
		t.Fatalf("control: a refresh came to %+v", whole)
	}
	points := map[string]func(moment) bool{
		"at the intent":    func(m moment) bool { return m.intended },
		"after the answer": func(m moment) bool { return m.answered },
		"at the write":     func(m moment) bool { return m.storing },
		"after the write":  func(m moment) bool { return m.stored },
	}
	if needs.Long() {
		for n := range whole.calls {
			points[fmt.Sprintf("at call %d", n+1)] = func(m moment) bool { return m.calls == n+1 }
		}
	}
	lost, went := 0, 0
	for name, kill := range points {
		d.relocked()
		far := d.watched(kill, func() {
			if err := d.token("p"); err == nil {
				t.Logf("%s: the access token was given out", name)
			}
		})
		d.await()
		came := far()
		d.onVerdict(nil)
		d.again()
		err := d.token("p")
		switch interrupted := came.answered && !came.stored; {
		case interrupted && errors.Is(err, client.ErrConsent) && strings.Contains(err.Error(), "a refresh was interrupted"):
			lost++
			d.login(client.Login{Flow: "pkce", Profile: &pb.Profile{Name: "p"}})
		case !interrupted && err == nil:
			went++
		default:
			t.Errorf("killed %s: it came to %+v, and then: %v", name, came, err)
		}
		d.must("vault", "fsck") // which exits with 9 where it finds a problem
	}
	if lost < 2 || went < 2 {
		t.Errorf("control: %d times the chain went on, %d times consent was needed", went, lost)
	}
	t.Logf("%d points of %d: the chain went on %d times, and was lost %d times", len(points), whole.calls, went, lost)
}
