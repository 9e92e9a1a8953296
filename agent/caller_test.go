package agent

import (
	"os"
	"testing"

	"github.com/nsagent/nsagent/agent/audit"
)

// A nil caller is the agent itself: it has the owner's own right, came by no socket, lives,
// and is in the log as the process that it is.
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
	c := &caller{peer: livePeer(t, f), grant: &granted{name: "g_x"}, socket: &grantSocket{name: "abc"}}
	for before, want := range map[string]string{"": "socket=abc", "approval=x": "approval=x"} {
		e := audit.Event{Detail: before}
		c.fill(&e)
		if e.Detail != want || e.Grant != "g_x" {
			t.Errorf("got %+v, want detail %q", e, want)
		}
	}
}
