package agent

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/nsagent/nsagent/agent/policy"
	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// eyes look at processes for an agent under test.
type eyes struct {
	looks atomic.Int32
	// look is what happens at the look of that number, the first being 1; nil: nothing.
	look func(n int32, asked policy.Facts) error
}

// startWithEyes returns an agent with the profile acme, which a program at /a may use.
func startWithEyes(t *testing.T) (*fixture, *eyes) {
	t.Helper()
	e := new(eyes)
	f := start(t, func(c *Config) {
		c.Evidence = func(_ context.Context, _ int32, asked policy.Facts) (policy.Evidence, error) {
			n := e.looks.Add(1)
			if e.look != nil {
				if err := e.look(n, asked); err != nil {
					return policy.Evidence{}, err
				}
			}
			return policy.Evidence{Known: asked, Exe: "/a", Unit: "a.service"}, nil
		}
	})
	f.unlock()
	f.addTBA("acme")
	f.adopt(allowsTo(`exe = "/a"`))
	return f, e
}

// allowsTo returns a policy that allows all to who is meant.
func allowsTo(who string) string {
	return fmt.Sprintf("version = 1\n[[rule]]\nname = \"a\"\neffect = \"allow\"\nenvironment = \"sandbox\"\nwhat = \"*\"\nwho = { %s }\n", who)
}

// connected returns a caller on a connection of its own, by a socket or by agent.sock.
func (f *fixture) connected(s *grantSocket) *caller {
	return &caller{peer: livePeer(f.t.(*testing.T), f), has: ofOwner(), socket: s, evidence: new(evidence)}
}

func (f *fixture) signBy(ctx context.Context, c *caller) error {
	_, err := f.agent.sign(ctx, c, &pb.SignRequest{Profile: "acme", Url: sandboxURL})
	return err
}

// TestEvidenceIsAskedAgain: a look that told nothing denies what it was for, and no more;
// what was learnt before it stays known.
func TestEvidenceIsAskedAgain(t *testing.T) {
	f, e := startWithEyes(t)
	fails := errors.New("too many processes are looked at")
	e.look = func(n int32, _ policy.Facts) error {
		if n == 1 || n == 3 {
			return fails
		}
		return nil
	}
	sign := func() error {
		_, err := f.signer.Sign(t.Context(), client.Request{Profile: "acme", URL: sandboxURL})
		return err
	}
	if err := sign(); !errors.Is(err, client.ErrDenied) {
		t.Errorf("not known: got %v", err)
	}
	if err := sign(); err != nil || e.looks.Load() != 2 {
		t.Errorf("asked again: %v, %d looks", err, e.looks.Load())
	}
	f.adopt(allowsTo(`exe = "/a", unit = "a.service"`))
	if err := sign(); !errors.Is(err, client.ErrDenied) || e.looks.Load() != 3 {
		t.Errorf("the unit is not known: got %v after %d looks", err, e.looks.Load())
	}
	f.adopt(allowsTo(`exe = "/a"`))
	if err := sign(); err != nil || e.looks.Load() != 3 {
		t.Errorf("the program is known since before: %v, %d looks", err, e.looks.Load())
	}
}

// TestEvidenceOfWhoGetsNothing: nobody is looked at for what is refused before the policy is
// asked.
func TestEvidenceOfWhoGetsNothing(t *testing.T) {
	f, e := startWithEyes(t)
	narrow := f.connected(nil)
	narrow.has = of(f.grantOn(unlocktoken.Caveats{Methods: []string{"PUT"}}, "acme"))
	if err := f.signBy(t.Context(), narrow); refusedWith(err) != pb.CodeGrantScope || e.looks.Load() != 0 {
		t.Errorf("what a grant does not do: got %v after %d looks", err, e.looks.Load())
	}
	revoked := f.connected(nil)
	revoked.has = of(f.grantOn(unlocktoken.Caveats{}, "acme"))
	revoked.has.grant.revoked.Store(true)
	for name, c := range map[string]struct {
		caller *caller
		q      *pb.SignRequest
	}{
		"no such profile":       {f.connected(nil), &pb.SignRequest{Profile: "nobody", Url: sandboxURL}},
		"another host":          {f.connected(nil), &pb.SignRequest{Profile: "acme", Url: "https://ci.example/x"}},
		"a grant that is over":  {revoked, &pb.SignRequest{Profile: "acme", Url: sandboxURL}},
		"a socket that is over": {f.connected(&grantSocket{closed: true}), &pb.SignRequest{Profile: "acme", Url: sandboxURL}},
	} {
		if _, err := f.agent.sign(t.Context(), c.caller, c.q); err == nil || e.looks.Load() != 0 {
			t.Errorf("%s: got %v after %d looks", name, err, e.looks.Load())
		}
	}
	if err := f.signBy(t.Context(), &caller{peer: livePeer(t, f), has: ofOwner()}); refusedWith(err) != pb.CodeDenied || e.looks.Load() != 0 {
		t.Errorf("a caller without a connection: got %v after %d looks", err, e.looks.Load())
	}
	if err := f.signBy(t.Context(), f.connected(nil)); err != nil || e.looks.Load() != 1 {
		t.Errorf("control: %v, %d looks", err, e.looks.Load())
	}
}

// TestEvidenceIsNotAllThatCounts: what changes while a process is looked at counts, a policy
// that asks for more included.
func TestEvidenceIsNotAllThatCounts(t *testing.T) {
	f, e := startWithEyes(t)
	c := f.connected(nil)
	c.has = of(f.grantOn(unlocktoken.Caveats{}, "acme"))
	e.look = func(int32, policy.Facts) error { c.has.grant.revoked.Store(true); return nil }
	if err := f.signBy(t.Context(), c); refusedWith(err) != pb.CodeRevoked {
		t.Errorf("a grant that is revoked meanwhile: got %v", err)
	}
	var second policy.Facts
	e.look = func(n int32, asked policy.Facts) error {
		if n == 2 {
			f.adopt(allowsTo(`exe = "/a", unit = "a.service"`))
		}
		second = asked
		return nil
	}
	if err := f.signBy(t.Context(), f.connected(nil)); err != nil || e.looks.Load() != 3 || second != policy.FactExe|policy.FactCgroup {
		t.Errorf("a policy that is adopted meanwhile: %v, %d looks, the last for %b", err, e.looks.Load(), second)
	}
}
