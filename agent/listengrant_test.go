package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/socketpath"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// grantAt makes a grant of an hour for GET with a socket at path.
func (f *fixture) grantAt(path string, profiles ...string) (*pb.Grant, error) {
	f.t.Helper()
	s := f.spec(profiles...)
	s.Listen, s.Limits = path, &pb.GrantLimits{Methods: []string{"GET"}}
	r, err := f.admin.NewGrant(f.t.Context(), f.passphrase(testPassphrase), s.NewGrant)
	return r.GetGrant(), err
}

// shortDir returns a directory for sockets.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "nsl")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// signAt signs by the JSON form of a socket and returns the code of the answer, or "ok".
func signAt(t *testing.T, path, profile, method string) string {
	t.Helper()
	return postTo(t, path, "/v1/sign", fmt.Sprintf(`{"profile":%q,"method":%q,"url":%q}`, profile, method, sandboxURL))
}

// TestGrantListens: a grant may have a socket, on which it applies to whoever connects. It
// outlives a lock, comes back with the first unlock of another agent, and ends with the grant.
func TestGrantListens(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	f.addTBA("other")
	path := filepath.Join(shortDir(t), "s")
	g, err := f.grantAt(path, "acme")
	if err != nil || g.GetListen() != path {
		t.Fatalf("got %v, %v", g, err)
	}
	check := func(when string) {
		t.Helper()
		for _, c := range []struct{ profile, method, want string }{
			{"acme", "GET", "ok"}, {"", "GET", "ok"}, {"acme", "POST", string(pb.CodeGrantScope)}, {"other", "GET", string(pb.CodeGrantScope)},
		} {
			if got := signAt(t, path, c.profile, c.method); got != c.want {
				t.Errorf("%s: %s for %q: got %s, want %s", when, c.method, c.profile, got, c.want)
			}
		}
	}
	check("new")
	st, err := f.through(path).Status(t.Context())
	if err != nil || st.GetProfiles() != 1 || st.GetAudit().GetPath() != "" {
		t.Errorf("status there: got %v, %v", st, err)
	}
	if err := f.admin.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := signAt(t, path, "acme", "GET"); got != string(pb.CodeLocked) {
		t.Errorf("locked: got %s", got)
	}
	_, err = f.through(path).Profiles(t.Context())
	if e, ok := errors.AsType[*client.Error](err); !ok || e.Next != "have its owner unlock it:  nsagent unlock" {
		t.Errorf("locked: got %v", err)
	}
	f.unlock()
	check("unlocked again")
	if n := len(f.agent.sockets.ofGrants(func(*granted) bool { return true })); n != 1 {
		t.Errorf("sockets after a second unlock: got %d, want 1", n)
	}

	f.restart()
	f.wantGone(path) // its vault is locked
	f.unlock()
	check("after a restart")
	if _, err := f.admin.RevokeGrant(t.Context(), g.GetId(), false); err != nil {
		t.Fatal(err)
	}
	f.wantGone(path)
	f.restart()
	f.unlock()
	if _, err := os.Lstat(path); err == nil {
		t.Error("the socket of a revoked grant came back")
	}
	last := ""
	for _, e := range f.entries() {
		if e.Event == audit.EventSocketOpen || e.Event == audit.EventSocketClose {
			last += fmt.Sprintln(e.Event, e.Outcome, e.Grant == g.GetId(), strings.Fields(e.Detail)[0])
		}
	}
	want := strings.Repeat("socket.open ok true socket=listen\nsocket.close ok true socket=listen\n", 2)
	if last != want {
		t.Errorf("log: got\n%swant\n%s", last, want)
	}
}

// A socket ends when its grant does.
func TestGrantListensUntilItsEnd(t *testing.T) {
	var ahead shifted
	f := start(t, ahead.clock)
	f.unlock()
	f.addTBA("acme")
	path := filepath.Join(shortDir(t), "s")
	if _, err := f.grantAt(path, "acme"); err != nil {
		t.Fatal(err)
	}
	if got := signAt(t, path, "acme", "GET"); got != "ok" {
		t.Fatalf("got %s", got)
	}
	ahead.Store(int64(time.Hour + time.Minute))
	wake(f.agent.ends) // it looks by itself every 15 seconds
	f.wantGone(path)
	f.restart()
	f.unlock()
	if _, err := os.Lstat(path); err == nil {
		t.Error("the socket of a grant that has ended came back")
	}
}

// The end of a socket is noted at once, so that a clock which is set back does not open it again.
func TestGrantListensNoMore(t *testing.T) {
	f, ahead := unlockedAhead(t)
	path := filepath.Join(shortDir(t), "s")
	if _, err := f.grantAt(path, "acme"); err != nil {
		t.Fatal(err)
	}
	for _, after := range []time.Duration{time.Hour - clockStep/6, time.Hour + clockStep/6} { // within a step
		ahead.Store(int64(after))
		f.agent.endGrants(time.Minute)
	}
	f.wantGone(path)
	ahead.Store(0)
	f.restart()
	f.unlock()
	if got := f.agent.sockets.ofGrants(func(*granted) bool { return true }); len(got) != 0 {
		t.Error("it is open again")
	}
}

// A grant that the vault has as revoked gets no socket, where the ledger does not know of it.
func TestGrantListensWithoutItsLedger(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	token, g := f.mustGrant("acme")
	path := filepath.Join(shortDir(t), "s")
	for _, revoked := range []bool{true, false} {
		f.markAlone(token, func(m map[int]any) {
			m[6] = path
			if !revoked {
				delete(m, 8)
			}
		})
		f.agent.listenForGrants(t.Context(), f.agent.session)
		if _, err := os.Lstat(path); (err == nil) == revoked {
			t.Errorf("%s, revoked %v: got %v", g.GetId(), revoked, err)
		}
	}
}

// TestGrantListensNowhere: what cannot be opened leaves no grant, and a place that others
// could use is not taken.
func TestGrantListensNowhere(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	dir := shortDir(t)
	at := func(name string) string { return filepath.Join(dir, name) }
	taken, err := socketpath.Listen(at("taken"), 0o600, 4)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	for _, err := range []error{os.WriteFile(at("file"), nil, 0o600), os.Symlink("taken", at("link"))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{at("taken"), at("file"), at("link"), at("none/s"), at(strings.Repeat("x", 110)), f.paths.Agent} {
		if _, err := f.grantAt(path, "acme"); errorCode(err) != string(pb.CodeSocket) {
			t.Errorf("%s: got %v, want %s", path, err, pb.CodeSocket)
		}
	}
	if all, err := f.admin.Grants(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("grants: got %v, %v, want none", all, err)
	}

	// At an unlock, a place that was taken meanwhile keeps nobody from anything else.
	if _, err := f.grantAt(at("a"), "acme"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.grantAt(at("b"), "acme"); err != nil {
		t.Fatal(err)
	}
	if err := f.admin.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.waitEnd()
	squatter, err := socketpath.Listen(at("a"), 0o600, 4)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = squatter.Close() }()
	f.run()
	f.unlock()
	if got := signAt(t, at("b"), "acme", "GET"); got != "ok" {
		t.Errorf("the other grant: got %s", got)
	}
	f.sign("acme")
	if _, err := client.Dial(t.Context(), client.WithSocket(at("a"))); !errors.Is(err, client.ErrAgent) {
		t.Errorf("the squatter is taken for the agent: %v", err)
	}
}
