package agent

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/socketpath"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// openSocket opens a socket for a profile, with the owner's right.
func (f *fixture) openSocket(profile string) *client.Socket {
	f.t.Helper()
	s, err := f.signer.OpenSocket(f.t.Context(), client.SocketRequest{Profile: profile})
	if err != nil {
		f.t.Fatalf("OpenSocket(%s): %v", profile, err)
	}
	f.t.Cleanup(func() { _, _ = s.Close() })
	return s
}

// through returns a client on a socket of a grant.
func (f *fixture) through(path string) *client.Client {
	f.t.Helper()
	c, err := client.Dial(f.t.Context(), client.WithSocket(path))
	if err != nil {
		f.t.Fatalf("Dial(%s): %v", path, err)
	}
	f.t.Cleanup(func() { _ = c.Close() })
	return c
}

// postTo calls the JSON form at a path and returns the code of the answer, or "ok".
func postTo(t *testing.T, socket, call, body string) string {
	t.Helper()
	h := overUnix(socket)
	defer h.CloseIdleConnections()
	r, err := h.Post("http://nsagent"+call, "application/json", strings.NewReader(body))
	if err != nil {
		return err.Error()
	}
	defer func() { _ = r.Body.Close() }()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return jsonCode(b)
}

func TestGrantSocket(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	f.addTBA("other")
	s := f.openSocket("acme")
	o := s.Opened
	if o.GetProfile() != "acme" || o.GetAccount() != "1234567_SB1" || o.GetEnvironment() != "sandbox" || o.GetExpiresAt() < time.Now().Unix()+800 {
		t.Errorf("opened: got %v", o)
	}
	fi, err := os.Lstat(o.GetPath())
	if err != nil || fi.Mode() != fs.ModeSocket|0o666 {
		t.Errorf("socket: got %v, %v, want mode 0666", fi, err)
	}
	if err := socketpath.CheckDir(filepath.Dir(o.GetPath())); err != nil {
		t.Errorf("its directory: %v", err)
	}

	c := f.through(o.GetPath())
	for _, profile := range []string{"acme", ""} { // the only one that is named, and the only one there is
		if r, err := c.Sign(t.Context(), client.Request{Profile: profile, URL: sandboxURL}); err != nil || r.GetProfile() != "acme" {
			t.Errorf("Sign(%q): got %v, %v", profile, r.GetProfile(), err)
		}
	}
	if got := postTo(t, o.GetPath(), "/v1/sign", `{"url":"`+sandboxURL+`"}`); got != "ok" {
		t.Errorf("JSON: got %s", got)
	}
	for _, profile := range []string{"other", "nobody"} {
		if _, err := c.Sign(t.Context(), client.Request{Profile: profile, URL: sandboxURL}); errorCode(err) != string(pb.CodeGrantScope) {
			t.Errorf("Sign(%s): got %v, want %s", profile, err, pb.CodeGrantScope)
		}
	}
	if got := postTo(t, o.GetPath(), "/v1/passport", `{"profile":"other"}`); got != string(pb.CodeGrantScope) {
		t.Errorf("JSON for another profile: got %s", got)
	}
	list, err := c.Profiles(t.Context())
	if err != nil || len(list.GetProfiles()) != 1 || list.GetProfiles()[0].GetName() != "acme" {
		t.Errorf("profiles: got %v, %v, want the one", list, err)
	}
	st, err := c.Status(t.Context())
	if err != nil || st.GetProfiles() != 1 || st.GetAudit().GetPath() != "" || len(st.GetSockets()) != 1 || st.GetSockets()[0].GetPath() != o.GetPath() {
		t.Errorf("status: got %v, %v, want nothing of the owner's", st, err)
	}

	// There is nothing to manage with.
	raw := rawGRPC(t, o.GetPath())
	for _, method := range methods(pb.Admin_ServiceDesc) {
		if err := raw.Invoke(t.Context(), method, &pb.LockRequest{}, &pb.LockResponse{}); status.Code(err) != codes.Unimplemented {
			t.Errorf("%s: got %v, want Unimplemented", method, err)
		}
	}
	if f.locked() {
		t.Fatal("something locked the agent")
	}

	use, err := s.Close()
	if err != nil || use.GetMade() != 3 || use.GetRefused() != 3 {
		t.Errorf("used: got %v, %v, want 3 made and 3 refused", use, err)
	}
	f.wantGone(o.GetPath())
	if _, err := c.Sign(t.Context(), client.Request{URL: sandboxURL}); !errors.Is(err, client.ErrAgent) {
		t.Errorf("a client of a socket that ended: got %v, want %v", err, client.ErrAgent)
	}
	f.sign("other") // nothing of this touched agent.sock
	name := filepath.Base(o.GetPath())
	var got []string
	for _, e := range f.entries() {
		if strings.Contains(e.Detail, "socket="+name) {
			got = append(got, strings.Join([]string{e.Event, e.Outcome, e.Reason, e.Profile, e.Detail}, " "))
		}
	}
	in := "socket=" + name
	want := []string{
		"socket.open ok  acme " + in + " ttl=900",
		"sign ok  acme " + in, "sign ok  acme " + in, "sign ok  acme " + in,
		"sign denied NSA-GRANT-SCOPE other " + in, "sign denied NSA-GRANT-SCOPE nobody " + in, "passport denied NSA-GRANT-SCOPE other " + in,
		"socket.close ok  acme " + in + " made=3 refused=3",
	}
	if !slices.Equal(got, want) {
		t.Errorf("log: got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// wantGone waits until nothing is at path.
func (f *fixture) wantGone(path string) {
	f.t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			return
		}
		if time.Now().After(end) {
			f.t.Fatalf("%s is still there", path)
		}
	}
}

// A socket refuses once its time is over, also what came through a connection from before.
func TestGrantSocketTime(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	s, err := f.signer.OpenSocket(t.Context(), client.SocketRequest{Profile: "acme", TTL: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	path := s.Opened.GetPath()
	c := f.through(path)
	if _, err := c.Sign(t.Context(), client.Request{URL: sandboxURL}); err != nil {
		t.Fatal(err)
	}
	inner, err := c.OpenSocket(t.Context(), client.SocketRequest{TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	f.clock.Add(int64(time.Minute))
	for _, p := range []string{path, inner.Opened.GetPath()} {
		if got := postTo(t, p, "/v1/sign", `{"url":"`+sandboxURL+`"}`); got != string(pb.CodeExpired) {
			t.Errorf("JSON after its time: got %s", got)
		}
	}
	if _, err := c.Sign(t.Context(), client.Request{URL: sandboxURL}); !errors.Is(err, client.ErrExpired) {
		t.Errorf("Sign after its time: got %v, want %v", err, client.ErrExpired)
	}
	if _, err := c.OpenSocket(t.Context(), client.SocketRequest{}); !errors.Is(err, client.ErrExpired) {
		t.Errorf("another socket after its time: got %v, want %v", err, client.ErrExpired)
	}
	for _, ttl := range []time.Duration{-time.Second, longestTTL + time.Second} {
		if _, err := f.signer.OpenSocket(t.Context(), client.SocketRequest{Profile: "acme", TTL: ttl}); !errors.Is(err, client.ErrRequest) {
			t.Errorf("for %s: got %v, want %v", ttl, err, client.ErrRequest)
		}
	}
}

// A socket that was asked for on another one never gives more than that.
func TestGrantSocketInSocket(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	f.addTBA("other")
	outer := f.openSocket("acme")
	c := f.through(outer.Opened.GetPath())
	if _, err := c.OpenSocket(t.Context(), client.SocketRequest{Profile: "other"}); errorCode(err) != string(pb.CodeGrantScope) {
		t.Errorf("for another profile: got %v", err)
	}
	inner, err := c.OpenSocket(t.Context(), client.SocketRequest{})
	if err != nil || inner.Opened.GetProfile() != "acme" {
		t.Fatalf("for its own: got %v, %v", inner, err)
	}
	path := inner.Opened.GetPath()
	for body, want := range map[string]string{`{"url":"` + sandboxURL + `"}`: "ok", `{"profile":"other","url":"` + sandboxURL + `"}`: string(pb.CodeGrantScope)} {
		if got := postTo(t, path, "/v1/sign", body); got != want {
			t.Errorf("%s: got %s, want %s", body, got, want)
		}
	}
	if _, err := outer.Close(); err != nil {
		t.Fatal(err)
	}
	<-inner.Ended()
	f.wantGone(path)
}

// TestGrantSocketOfGrant: on the socket that a caller with an unlock token opened, what the
// token says holds for whoever connects, and its revocation.
func TestGrantSocketOfGrant(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	f.addTBA("other")
	f.addTBA("third")
	g := f.grantOn(unlocktoken.Caveats{Methods: []string{"GET"}}, "acme", "other")
	s, opened, err := f.agent.openSocket(t.Context(), &caller{peer: livePeer(t, f), has: of(g)}, &pb.OpenSocketRequest{})
	if err != nil || opened.GetProfile() != "" {
		t.Fatalf("got %v, %v, want no profile of two", opened, err)
	}
	defer f.agent.recordClosed(nil, s)
	sign := func(profile, method string) string {
		return postTo(t, s.path, "/v1/sign", fmt.Sprintf(`{"profile":%q,"method":%q,"url":%q}`, profile, method, sandboxURL))
	}
	for _, c := range []struct{ profile, method, want string }{
		{"acme", "GET", "ok"}, {"other", "GET", "ok"},
		{"acme", "POST", string(pb.CodeGrantScope)}, {"third", "GET", string(pb.CodeGrantScope)}, {"", "GET", string(pb.CodeNoProfile)},
	} {
		if got := sign(c.profile, c.method); got != c.want {
			t.Errorf("%s by %q: got %s, want %s", c.method, c.profile, got, c.want)
		}
	}
	entries := f.entries()
	if last := entries[len(entries)-1]; last.Grant != g.name {
		t.Errorf("the last entry names the grant %q, want %q", last.Grant, g.name)
	}
	g.revoked.Store(true)
	if got := sign("acme", "GET"); got != string(pb.CodeRevoked) {
		t.Errorf("after revocation: got %s", got)
	}
}
