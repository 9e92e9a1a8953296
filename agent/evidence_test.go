package agent

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/nsagent/nsagent/agent/policy"
	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/peercred"
)

// A process is looked at when a rule asks, what is told is kept as long as its connection,
// and what cannot be told gives no right.
func TestEvidence(t *testing.T) {
	var asked atomic.Int32
	var answer atomic.Pointer[policy.Evidence]
	var fault atomic.Bool
	f := start(t, func(c *Config) {
		c.Evidence = func(_ context.Context, _ int32, facts policy.Facts) (policy.Evidence, error) {
			asked.Add(1)
			if fault.Load() {
				return policy.Evidence{}, errors.New("no answer")
			}
			e := *answer.Load()
			e.Known &= facts
			return e, nil
		}
	})
	f.unlock()
	f.addTBA("acme")
	answer.Store(&policy.Evidence{Known: 15, Exe: "/a", Unit: "nightly.service"})
	sign := func(c *client.Client) error {
		_, err := c.Sign(t.Context(), client.Request{Profile: "acme", URL: sandboxURL})
		return err
	}
	rule := func(effect, who string) string {
		return fmt.Sprintf("[[rule]]\nname = \"%s %s\"\neffect = %q\nenvironment = \"sandbox\"\nwhat = \"*\"\nwho = { %s }\n", effect, who[:4], effect, who)
	}
	f.adopt(all)
	if err := sign(f.signer); err != nil || asked.Load() != 0 {
		t.Errorf("a policy that asks nothing: %v, looked %d times", err, asked.Load())
	}
	f.adopt("version = 1\n" + rule("allow", `unit = "nightly.service"`))
	for range 3 {
		if err := sign(f.signer); err != nil {
			t.Error(err)
		}
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("looked %d times, want 1", n)
	}
	answer.Store(&policy.Evidence{Known: 15, Exe: "/a", Unit: "other.service"})
	if err := sign(f.dial()); !errors.Is(err, client.ErrDenied) {
		t.Errorf("another unit: got %v", err)
	}
	if err := sign(f.signer); err != nil {
		t.Errorf("the first connection is as it was: %v", err)
	}
	// A policy that asks for more has the process looked at again.
	f.adopt("version = 1\n" + rule("allow", `exe = "/a"`))
	if err := sign(f.signer); err != nil {
		t.Error(err)
	}
	fault.Store(true)
	if err := sign(f.dial()); !errors.Is(err, client.ErrDenied) {
		t.Errorf("not known, to a rule that allows: got %v", err)
	}
	f.adopt("version = 1\n" + rule("deny", `exe = "/b"`) + rule("allow", `uid = `+fmt.Sprint(f.agent.owner)))
	if err := sign(f.dial()); !errors.Is(err, client.ErrDenied) {
		t.Errorf("not known, to a rule that denies: got %v", err)
	}
	fault.Store(false)
	if err := sign(f.dial()); err != nil {
		t.Errorf("known, and not meant: %v", err)
	}
}

// A process that has ended is not known, whatever its number says.
func TestEvidenceOfWhoIsGone(t *testing.T) {
	f := start(t)
	peer := livePeer(t, f)
	f.agent.cfg.Evidence = func(context.Context, int32, policy.Facts) (policy.Evidence, error) {
		_ = peer.Close() // as if it ended while it was looked at
		return policy.Evidence{Known: 15, Exe: "/a"}, nil
	}
	c := &caller{peer: peer, has: ofOwner(), evidence: new(evidence)}
	f.agent.awaitLook(t.Context(), c, policy.FactExe)
	if got := c.evidence.known(); got != (policy.Evidence{}) {
		t.Errorf("got %+v", got)
	}
}

// Nobody is asked about a process that is gone or has no number here, and what comes with
// an error is not believed.
func TestEvidenceThatIsNotTaken(t *testing.T) {
	f := start(t)
	here := policy.Evidence{Known: policy.FactExe, Exe: livePeer(t, f).Exe()}
	if got := f.agent.lookAt(livePeer(t, f), policy.FactExe); got != here || got.Exe == "" {
		t.Errorf("by the agent alone: got %+v, want %+v", got, here)
	}
	if got := f.agent.lookAt(&peercred.Peer{}, policy.FactExe); got != (policy.Evidence{}) {
		t.Errorf("of a program that is not known: got %+v", got)
	}
	asked, fault := 0, error(nil)
	f.agent.cfg.Evidence = func(context.Context, int32, policy.Facts) (policy.Evidence, error) {
		asked++
		return here, fault
	}
	gone, outside, there := livePeer(t, f), livePeer(t, f), livePeer(t, f)
	_ = gone.Close()
	outside.PID = 0
	for _, p := range []*peercred.Peer{gone, outside} {
		if got := f.agent.lookAt(p, policy.FactExe); got != (policy.Evidence{}) || asked != 0 {
			t.Errorf("got %+v, asked %d times", got, asked)
		}
	}
	if got := f.agent.lookAt(there, policy.FactExe); got != here || asked != 1 {
		t.Errorf("control: got %+v, asked %d times", got, asked)
	}
	fault = errors.New("no answer")
	if got := f.agent.lookAt(there, policy.FactExe); got != (policy.Evidence{}) {
		t.Errorf("with an error: got %+v", got)
	}
}
