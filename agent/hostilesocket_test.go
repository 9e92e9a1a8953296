package agent

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/needs"
	"github.com/nsagent/nsagent/internal/rawhttp2"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
)

// TestGrantSocketStrangers: who connects needs to be nobody in particular; who gets at the
// path is for the directory to say.
func TestGrantSocketStrangers(t *testing.T) {
	needs.Root(t, "starts a process of another user")
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	path := f.openSocket("acme").Opened.GetPath()
	if got := startRole(t, nobody, roleVisit, path).rest(); strings.Count(got, "no connection:") != 2 {
		t.Errorf("through directories that are closed another user says %q", got)
	}
	for dir := filepath.Dir(path); dir != "/tmp" && dir != os.TempDir(); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil { // #nosec G302 -- that is the test
			t.Fatal(err)
		}
	}
	t.Setenv("NSAGENT_SOCK_UID", "0") // for the other user's client, which trusts its own alone
	p := startRole(t, nobody, roleSignMany, path, "5", sandboxURL)
	if got := p.rest(); strings.Contains(got, "NSA-") || !strings.Contains(got, "ok") {
		t.Errorf("another user on the socket says %q", got)
	}
	uid := -1
	for _, e := range f.entries() {
		switch {
		case e.Event == audit.EventSign:
			uid = e.UID
		case e.Event == audit.EventPeerRefused:
			t.Errorf("a stranger was refused: %+v", e)
		}
	}
	if uid != nobody {
		t.Errorf("the log names uid %d, want %d", uid, nobody)
	}
	if got := startRole(t, nobody, roleVisit, f.paths.Agent).rest(); strings.Contains(got, "bytes: 1") || !strings.Contains(got, "no connection") && !strings.Contains(got, "bytes: 0") {
		t.Errorf("on agent.sock the same user says %q", got)
	}
}

// Sockets end with whoever asked for them, and with the agent; what one that was killed
// left is gone when the next begins.
func TestGrantSocketEnds(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	c := f.dial()
	s, err := c.OpenSocket(t.Context(), client.SocketRequest{Profile: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	held := rawDial(t, s.Opened.GetPath())
	_ = c.Close()
	f.wantGone(s.Opened.GetPath())
	if n, err := rawhttp2.AwaitClose(held, 10*time.Second); n != 0 || err != nil {
		t.Errorf("a connection to it: got %d bytes, %v, want its end", n, err)
	}
	<-s.Ended()
	if _, err := s.Close(); !errors.Is(err, client.ErrAgent) {
		t.Errorf("closing what has ended: got %v, want %v", err, client.ErrAgent)
	}

	last := f.openSocket("acme")
	dead := filepath.Join(filepath.Dir(last.Opened.GetPath()), "deadbeef")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: dead, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	_ = l.Close()
	f.restart()
	f.wantGone(last.Opened.GetPath())
	f.wantGone(dead)
	if _, err := last.Close(); !errors.Is(err, client.ErrAgent) {
		t.Errorf("after a restart: got %v, want %v", err, client.ErrAgent)
	}
}

// A socket outlives a lock: it answers that the vault is locked, and signs again after.
func TestGrantSocketLocked(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	path := f.openSocket("acme").Opened.GetPath()
	body := `{"url":"` + sandboxURL + `"}`
	if err := f.admin.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := postTo(t, path, "/v1/sign", body); got != string(pb.CodeLocked) {
		t.Errorf("locked: got %s", got)
	}
	if _, err := f.signer.OpenSocket(t.Context(), client.SocketRequest{Profile: "acme"}); !errors.Is(err, client.ErrLocked) {
		t.Errorf("another while locked: got %v", err)
	}
	f.unlock()
	if got := postTo(t, path, "/v1/sign", body); got != "ok" {
		t.Errorf("unlocked again: got %s", got)
	}
}

// TestGrantSocketThatIsLocked: who can unlock is told how, who came by a socket whom to ask,
// and nothing else is said in other words there.
func TestGrantSocketThatIsLocked(t *testing.T) {
	scope := refuse(ErrGrantScope, pb.CodeGrantScope, "m", "w", "n")
	const unlock = "unlock it:  nsagent unlock"
	for name, c := range map[string]struct {
		s    *grantSocket
		err  error
		next string
	}{
		"the owner":                     {nil, vault.ErrLocked, unlock},
		"on a socket":                   {new(grantSocket), vault.ErrLocked, "have its owner " + unlock},
		"where a token is shown again":  {new(grantSocket), errShownBefore, "have its owner " + unlock},
		"something else":                {new(grantSocket), scope, "n"},
		"something else, for the owner": {nil, scope, "n"},
	} {
		err := c.s.lockedFor(c.err)
		if got := refusalOf(err).Next; !errors.Is(err, c.err) || got != c.next {
			t.Errorf("%s: got %v, and to do %q, want %q", name, err, got, c.next)
		}
	}
	if err := new(grantSocket).lockedFor(nil); err != nil {
		t.Errorf("no error: got %v", err)
	}
}

// TestGrantSocketLimits: a hundred are no matter, there is an end to them, and those who
// flood one leave the others alone.
func TestGrantSocketLimits(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	var clients []*client.Client
	for i := range maxGrantSockets {
		if i%48 == 0 { // a connection has 64 calls
			clients = append(clients, f.dial())
		}
		if _, err := clients[len(clients)-1].OpenSocket(t.Context(), client.SocketRequest{Profile: "acme"}); err != nil {
			t.Fatalf("socket %d: %v", i, err)
		}
	}
	if _, err := f.signer.OpenSocket(t.Context(), client.SocketRequest{Profile: "acme"}); !errors.Is(err, client.ErrLimited) {
		t.Errorf("one too many: got %v, want %v", err, client.ErrLimited)
	}
	_ = clients[0].Close()
	dir, err := os.ReadDir(filepath.Join(filepath.Dir(f.paths.Agent), grantDir))
	if err != nil || len(dir) == 0 {
		t.Fatalf("got %d, %v", len(dir), err)
	}
	var s *client.Socket
	for end := time.Now().Add(10 * time.Second); s == nil; time.Sleep(time.Millisecond) { // when those of the first client are gone
		if s, err = f.signer.OpenSocket(t.Context(), client.SocketRequest{Profile: "acme"}); err != nil && time.Now().After(end) {
			t.Fatal(err)
		}
	}

	path := s.Opened.GetPath()
	for range maxSocketConnections {
		rawDial(t, path)
	}
	late := rawDial(t, path)
	if n, err := rawhttp2.AwaitClose(late, 10*time.Second); n != 0 || err != nil {
		t.Errorf("one connection too many: got %d bytes, %v, want its end", n, err)
	}
	f.sign("acme")
}

// TestGrantSocketHeir: who was left a connection by a process that ended is refused.
func TestGrantSocketHeir(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	path := f.openSocket("acme").Opened.GetPath()
	p := startRole(t, os.Geteuid(), roleLeave, path, "json")
	if got := p.line(); got != "left" {
		t.Fatalf("the child says %q", got)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	p.tell("go")
	if got := p.rest(); strings.Contains(got, " ok") || !strings.Contains(got, "sign "+string(pb.CodePeer)) {
		t.Errorf("the heir says %q", got)
	}
}

// A place that somebody else made unsafe, or took, is refused, and nothing is opened.
func TestGrantSocketPlace(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	dir := filepath.Join(filepath.Dir(f.paths.Agent), grantDir)
	for name, set := range map[string]func() error{
		"a link":                  func() error { return os.Symlink(t.TempDir(), dir) },
		"a file":                  func() error { return os.WriteFile(dir, nil, 0o600) },
		"one that others may use": func() error { return errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o777)) }, // #nosec G302 -- that is the test
	} {
		if err := set(); err != nil {
			t.Fatal(err)
		}
		if _, err := f.signer.OpenSocket(t.Context(), client.SocketRequest{Profile: "acme"}); errorCode(err) != string(pb.CodeUnsafe) {
			t.Errorf("%s: got %v, want %s", name, err, pb.CodeUnsafe)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	var denied int
	for _, e := range f.entries() {
		if e.Event == audit.EventSocketOpen && e.Outcome == audit.OutcomeDenied && e.Reason == string(pb.CodeUnsafe) {
			denied++
		}
	}
	if denied != 3 {
		t.Errorf("on record: got %d refusals, want 3", denied)
	}
	f.openSocket("acme")
}

// TestGrantSocketRemoved: who removes the socket's path, or puts something else there, keeps
// others from connecting and gets nothing; what is there stays when the socket ends.
func TestGrantSocketRemoved(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	s := f.openSocket("acme")
	path := s.Opened.GetPath()
	c := f.through(path)
	if _, err := c.Sign(t.Context(), client.Request{URL: sandboxURL}); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Sign(t.Context(), client.Request{URL: sandboxURL}); err != nil {
		t.Errorf("a connection from before: %v", err)
	}
	if _, err := client.Dial(t.Context(), client.WithSocket(path)); !errors.Is(err, client.ErrAgent) {
		t.Errorf("a new connection: got %v, want %v", err, client.ErrAgent)
	}
	other := f.openSocket("acme")
	if use, err := s.Close(); err != nil || use.GetMade() != 2 {
		t.Errorf("closed: got %v, %v, want 2 made", use, err)
	}
	if b, err := os.ReadFile(path); string(b) != "kept" || err != nil {
		t.Errorf("what took its place: got %q, %v", b, err)
	}
	if got := postTo(t, other.Opened.GetPath(), "/v1/sign", `{"url":"`+sandboxURL+`"}`); got != "ok" {
		t.Errorf("another socket: got %s", got)
	}
}
