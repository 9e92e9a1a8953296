package agent

import (
	"errors"
	"testing"
	"time"

	"github.com/nsagent/nsagent/client"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// A token that has ended when it arrives counts as a failure with a pause: whoever waits
// would otherwise have the next one got at once, without an end.
func TestTokenThatEndedOnItsWay(t *testing.T) {
	f := start(t)
	token, err := f.arena.Take([]byte("token"))
	if err != nil {
		t.Fatal(err)
	}
	tk := &tokens{}
	const now = time.Hour
	_, fl, lead, err := tk.ask("a", now)
	if err != nil || !lead {
		t.Fatalf("got %t, %v", lead, err)
	}
	tk.land("a", bearer{token: token, ends: now}, nil, now)
	<-fl.done
	if !errors.Is(fl.err, ErrNetSuite) {
		t.Errorf("who waited got %v", fl.err)
	}
	if _, _, lead, err = tk.ask("a", now); lead || !errors.Is(err, ErrNetSuite) {
		t.Errorf("at once: got %t, %v", lead, err)
	}
	if _, _, lead, err = tk.ask("a", now+shortestPause); !lead || err != nil {
		t.Errorf("after the pause: got %t, %v", lead, err)
	}
}

// A refresh token that could not be stored outlives a change of what is said of its profile,
// and not a new consent.
func TestUnsavedTokenIsInherited(t *testing.T) {
	w := startCode(t)
	w.login(w.public("p"))
	unsaved := func(value string) {
		t.Helper()
		b, err := w.agent.arena.Take([]byte(value))
		if err != nil {
			t.Fatal(err)
		}
		w.agent.mu.RLock()
		defer w.agent.mu.RUnlock()
		w.agent.session.profiles["p"].tokens.setUnsaved(b)
	}
	kept := func() string {
		t.Helper()
		w.agent.mu.RLock()
		defer w.agent.mu.RUnlock()
		b, err := w.agent.session.profiles["p"].tokens.unsavedCopy(w.agent.arena)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Destroy()
		var value string
		if !b.IsZero() {
			_ = b.Use(func(p []byte) error { value = string(p); return nil })
		}
		return value
	}
	unsaved("newest")
	w.edit("p", client.ProfileEdit{Profile: &pb.Profile{Note: "n"}, Fields: []string{"note"}})
	if got := kept(); got != "newest" {
		t.Errorf("after an edit of the note: %q", got)
	}
	w.login(client.Login{Flow: "pkce", Profile: &pb.Profile{Name: "p"}})
	if got := kept(); got != "" {
		t.Errorf("after a new login: %q", got)
	}
}
