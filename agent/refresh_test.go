package agent

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/client/nstest"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// A public client's refresh token is replaced at each refresh, and none of those before is
// kept; a confidential client's stays. Both give access tokens that NetSuite takes.
func TestRefresh(t *testing.T) {
	w := startCode(t)
	w.login(w.public("public"))
	w.login(w.confidential("confidential"))
	seen := make(map[string]bool)
	for round := range 3 {
		for _, name := range []string{"public", "confidential"} {
			token := w.mustToken(name)
			if seen[token] {
				t.Errorf("round %d: %s gets a token that it had", round, name)
			}
			seen[token] = true
			w.accepted(t, token)
		}
		w.aged()
	}
	for name, want := range map[string]uint64{"public": 3, "confidential": 1} {
		p, err := w.admin.ShowProfile(t.Context(), name)
		if err != nil || len(p.GetVersions()) != 1 || p.GetVersions()[0].GetNumber() != want || p.GetConsent() != "" {
			t.Errorf("%s: got %v, %v, want version %d alone", name, p, err, want)
		}
		if (p.GetRefreshedAt() != 0) != (name == "public") {
			t.Errorf("%s: refreshed at %d", name, p.GetRefreshedAt())
		}
	}
	refreshes := 0
	for _, e := range w.entries() {
		if e.Event == audit.EventRefresh && e.Detail == "token=new" && e.Outcome == audit.OutcomeOK && e.Profile == "public" {
			refreshes++
		}
	}
	if refreshes != 2 {
		t.Errorf("%d refreshes on record, want 2", refreshes)
	}
	// What is there works after a restart, and a lock.
	w.restart()
	w.unlock()
	w.accepted(t, w.mustToken("public"))
}

// However many callers ask, one refresh is made, and each is on record once.
func TestOneRefresh(t *testing.T) {
	w := startCode(t)
	w.login(w.public("p"))
	w.aged()
	before, uses := w.exchanges("/token"), w.uses("p")
	var group sync.WaitGroup
	for range 64 {
		group.Go(func() {
			if _, err := w.tokenOf("p"); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if got := w.exchanges("/token") - before; got != 1 {
		t.Errorf("%d refreshes, want 1", got)
	}
	if got := w.uses("p") - uses; got != 64 {
		t.Errorf("%d uses on record, want 64", got)
	}
}

func (f *fixture) uses(profile string) int {
	n := 0
	for _, e := range f.entries() {
		if e.Event == audit.EventToken && e.Profile == profile {
			n++
		}
	}
	return n
}

// A refresh token that NetSuite refuses is asked for once. Uses are refused from then on
// without a request, and the profile says so, until somebody logs in.
func TestRefreshRefused(t *testing.T) {
	w := startCode(t)
	for _, l := range []client.Login{w.public("p"), w.confidential("p")} {
		w.login(l)
		w.aged()
		if !w.server.RefreshSandbox("1234567_SB1") {
			t.Fatal("there is no such account")
		}
		before := w.exchanges("/token")
		for range 3 {
			_, err := w.tokenOf("p")
			if !errors.Is(err, client.ErrConsent) || !strings.Contains(err.Error(), "NetSuite refused the refresh token") {
				t.Fatalf("got %v", err)
			}
		}
		w.clock.Add(int64(longestPause))
		if _, err := w.tokenOf("p"); !errors.Is(err, client.ErrConsent) {
			t.Errorf("later: got %v", err)
		}
		if got := w.exchanges("/token") - before; got != 1 {
			t.Errorf("%d requests, want 1", got)
		}
		w.consent("p", "refused")
		w.restart()
		w.unlock()
		if _, err := w.tokenOf("p"); !errors.Is(err, client.ErrConsent) {
			t.Errorf("after a restart: got %v", err)
		}
		w.consent("p", "refused")
		w.login(client.Login{Flow: "pkce", Profile: &pb.Profile{Name: "p"}})
		w.accepted(t, w.mustToken("p"))
		w.consent("p", "")
		if err := w.admin.RemoveProfile(t.Context(), "p"); err != nil {
			t.Fatal(err)
		}
	}
}

// consent fails unless a profile needs consent for this reason; "": it needs none.
func (f *fixture) consent(name, why string) {
	f.t.Helper()
	p, err := f.admin.ShowProfile(f.t.Context(), name)
	if err != nil || p.GetConsent() != why {
		f.t.Errorf("consent of %s: got %q, %v, want %q", name, p.GetConsent(), err, why)
	}
	r, err := f.signer.Profiles(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	want := "ready"
	if why != "" {
		want = "consent"
	}
	for _, s := range r.GetProfiles() {
		if s.GetName() == name && s.GetState() != want {
			f.t.Errorf("state of %s: got %s, want %s", name, s.GetState(), want)
		}
	}
}

// A refresh that NetSuite did not carry out costs nothing but a wait; one that it carried
// out, and whose answer got lost, is told as what it is.
func TestRefreshOverBadNetwork(t *testing.T) {
	harmless := map[string]nstest.Fault{
		"no connection": {Kind: "drop"}, "a page": {Kind: "html"}, "a redirect": {Kind: "redirect", Location: "https://evil.example/"},
		"5xx": {Kind: "status", Status: 502, Body: "<html>"}, "rate": {Kind: "rate"}, "another error": {Kind: "status", Status: 401, Body: `{"error":"invalid_client"}`},
	}
	w := startCode(t)
	w.login(w.public("p"))
	for name, f := range harmless {
		w.aged()
		f.Times = -1
		w.inject(t, f)
		if _, err := w.tokenOf("p"); !errors.Is(err, client.ErrNetSuite) && !errors.Is(err, client.ErrNetwork) {
			t.Errorf("%s: got %v", name, err)
		}
		w.consent("p", "")
		w.server.ClearFaults()
		w.clock.Add(int64(shortestPause))
		w.accepted(t, w.mustToken("p"))
	}
	lost := map[string]nstest.Fault{
		"a cut answer": {Kind: "cut", After: 20}, "no answer": {Kind: "drop", CarryOut: true}, "a lie about its length": {Kind: "length", ContentLength: 100_000},
		"a page in its place": {Kind: "html", CarryOut: true}, "an answer without a token": {Kind: "status", Status: 200, Body: `{"expires_in":3600}`, CarryOut: true},
	}
	for name, f := range lost {
		w.aged()
		w.inject(t, f)
		for range 2 {
			_, err := w.tokenOf("p")
			if err == nil || strings.Contains(err.Error(), "eyJ") {
				t.Errorf("%s: got %v", name, err)
			}
			w.clock.Add(int64(shortestPause))
		}
		if _, err := w.tokenOf("p"); !errors.Is(err, client.ErrConsent) || !strings.Contains(err.Error(), "a refresh was interrupted") {
			t.Errorf("%s: got %v", name, err)
		}
		w.consent("p", "interrupted")
		w.login(client.Login{Flow: "pkce", Profile: &pb.Profile{Name: "p"}})
		w.accepted(t, w.mustToken("p"))
	}
	// A confidential client loses nothing by it.
	w.login(w.confidential("q"))
	w.aged()
	w.inject(t, nstest.Fault{Kind: "cut", After: 20, Times: -1})
	if _, err := w.tokenOf("q"); !errors.Is(err, client.ErrNetwork) {
		t.Errorf("got %v", err)
	}
	w.server.ClearFaults()
	w.clock.Add(int64(shortestPause))
	w.accepted(t, w.mustToken("q"))
}

// held lets the next answer of the token endpoint wait until release is closed; inside is
// closed when it does.
func (n *netsuite) held() (inside, release chan struct{}) {
	inside, release = make(chan struct{}), make(chan struct{})
	var once sync.Once
	n.onVerdict(func(v nstest.Verdict) {
		if strings.HasSuffix(v.URL, "/token") {
			once.Do(func() { close(inside); <-release })
		}
	})
	return inside, release
}

// waitsForRefresh makes a call while a refresh of profile p is under way, which must wait for
// that, in this function of the agent. It returns what came of both.
func (w *codeWorld) waitsForRefresh(where string, call func() error) (called, token error) {
	w.t.Helper()
	w.login(w.public("p"))
	w.aged()
	inside, release := w.held()
	got, ended := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := w.tokenOf("p")
		got <- err
	}()
	<-inside
	go func() { ended <- call() }()
	awaitIn(w.t, where)
	close(release)
	return <-ended, <-got
}

// Whoever changes a profile waits for the refresh that is under way, and what that brings
// is not lost: not to an edit, nor to another name.
func TestChangeDuringRefresh(t *testing.T) {
	w := startCode(t)
	renamed, token := w.waitsForRefresh("beginChangeOf", func() error {
		_, err := w.admin.RenameProfile(t.Context(), client.Proof{}, "p", "q")
		return err
	})
	if renamed != nil {
		t.Error(renamed)
	}
	if token != nil && !errors.Is(token, client.ErrNoProfile) { // the caller asked for the old name
		t.Error(token)
	}
	w.aged()
	w.accepted(t, w.mustToken("q"))
}

// Whoever unlocks what is unlocked already waits for the refresh that is under way: the
// session that begins knows what it brought, and asks nobody for consent.
func TestUnlockDuringRefresh(t *testing.T) {
	w := startCode(t)
	unlocked, token := w.waitsForRefresh("beginUnlock", func() error {
		_, err := w.admin.Unlock(t.Context(), w.sealer(testPassphrase), 0)
		return err
	})
	if err := errors.Join(unlocked, token); err != nil {
		t.Error(err)
	}
	w.aged()
	w.accepted(t, w.mustToken("p"))
}

// A lock in the middle of a refresh is a lock: what comes is dropped, and told so.
func TestLockDuringRefresh(t *testing.T) {
	w := startCode(t)
	w.login(w.public("p"))
	w.aged()
	var once sync.Once
	w.onVerdict(func(v nstest.Verdict) {
		if strings.HasSuffix(v.URL, "/token") {
			once.Do(func() {
				if err := w.admin.Lock(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
	})
	if _, err := w.tokenOf("p"); !errors.Is(err, client.ErrLocked) {
		t.Errorf("got %v", err)
	}
	w.unlock()
	if _, err := w.tokenOf("p"); !errors.Is(err, client.ErrConsent) || !strings.Contains(err.Error(), "interrupted") {
		t.Errorf("after it: got %v", err)
	}
}

// A refresh token that is good once is not lost with the time that was there to wait for a
// turn: once it is sent, the answer is waited for and stored.
func TestRefreshOutlivesItsWait(t *testing.T) {
	w := startCode(t)
	w.login(w.public("p"))
	w.aged()
	ctx, over := context.WithCancel(t.Context())
	w.onVerdict(func(v nstest.Verdict) {
		if strings.HasSuffix(v.URL, "/token") {
			over()
		}
	})
	s := w.agent.session
	p := s.profiles["p"]
	b, _, err := w.agent.refresh(ctx, s, &p)
	if err != nil || b.token.IsZero() || ctx.Err() == nil {
		t.Fatalf("got %v", err)
	}
	b.token.Destroy()
	w.consent("p", "")
	w.accepted(t, w.mustToken("p"))
	// Whoever has no time left does not send it at all.
	before := w.exchanges("/token")
	if _, _, err := w.agent.refresh(ctx, s, &p); !errors.Is(err, ErrBusy) || w.exchanges("/token") != before {
		t.Errorf("without time: got %v, and %d requests", err, w.exchanges("/token")-before)
	}
}

// An agent that is stopped in the middle of a refresh ends once what comes is stored.
func TestStopDuringRefresh(t *testing.T) {
	w := startCode(t)
	w.login(w.public("p"))
	w.aged()
	inside, release := w.held()
	go func() { _, _ = w.tokenOf("p") }()
	<-inside
	if err := w.admin.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	awaitIn(t, "awaitRefreshes")
	close(release)
	w.waitEnd()
	w.run()
	w.unlock()
	w.accepted(t, w.mustToken("p"))
}
