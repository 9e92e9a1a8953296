package agent

import (
	"os"
	"testing"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/internal/unlocktoken"
)

// A nil caller is the agent itself: it has no grant, came by no socket, lives, and is in the
// log as the process that it is.
func TestCallerIsTheAgentItself(t *testing.T) {
	var c *caller
	if c.granted() != nil || c.by() != nil {
		t.Errorf("got %v, %v", c.granted(), c.by())
	}
	if err := c.alive(); err != nil {
		t.Error(err)
	}
	var e audit.Event
	c.fill(&e)
	if e.UID != os.Getuid() || e.PID != os.Getpid() || e.Grant != "" {
		t.Errorf("got %+v", e)
	}
}

// The log names grant and socket of a caller, the latter where it has nothing else to say.
func TestCallerInTheLog(t *testing.T) {
	f := start(t)
	c := &caller{peer: livePeer(t, f), has: of(&granted{name: "g_x"}), socket: &grantSocket{name: "abc"}}
	for before, want := range map[string]string{"": "socket=abc", "approval=x": "approval=x"} {
		e := audit.Event{Detail: before}
		c.fill(&e)
		if e.Detail != want || e.Grant != "g_x" {
			t.Errorf("got %+v, want detail %q", e, want)
		}
	}
}

// A caller may use what both its socket and its right leave.
func TestCallerMayUse(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	f.addTBA("other")
	s := f.agent.session
	acme, other := s.profiles["acme"], s.profiles["other"]
	both, first := of(f.grantOn(unlocktoken.Caveats{}, "acme", "other")), of(f.grantOn(unlocktoken.Caveats{}, "acme"))
	for _, c := range []struct {
		socket      *grantSocket
		right       right
		acme, other bool
	}{
		{nil, ofOwner(), true, true}, {&grantSocket{}, ofOwner(), true, true}, {&grantSocket{profile: "acme"}, ofOwner(), true, false},
		{nil, both, true, true}, {nil, first, true, false}, {&grantSocket{profile: "other"}, both, false, true},
		{&grantSocket{profile: "other"}, first, false, false},
		{nil, right{}, false, false}, {&grantSocket{profile: "acme"}, right{}, false, false},
	} {
		who := &caller{socket: c.socket, has: c.right}
		if who.may(acme) != c.acme || who.may(other) != c.other {
			t.Errorf("by %v with %v: acme %v, other %v", c.socket != nil, c.right, who.may(acme), who.may(other))
		}
	}
}
