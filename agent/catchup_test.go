package agent

import (
	"errors"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/secrettest"
	"github.com/nsagent/nsagent/internal/totp"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// TestTwoAgentsCatchUp: what an agent cannot read of the vault it does not take for known, and
// where one app has taken the place of another, it goes by the new one.
func TestTwoAgentsCatchUp(t *testing.T) {
	f, p := startWithPhone(t)
	g := f.beside()
	s := g.agent.session
	f.whileDamaged(func() {
		if err := g.agent.catchUp(s); err == nil {
			t.Error("a vault that cannot be read says nothing new")
		}
	})
	app := f.enrol(p)
	for blocks := 0; s.authenticator == nil; blocks++ {
		empty := secrettest.LeaveRoom(g.agent.arena, blocks)
		err := g.agent.catchUp(s)
		empty()
		if err == nil && s.authenticator == nil || err != nil && !errors.Is(err, secret.ErrFull) {
			t.Fatalf("room for %d blocks: got %v, want ErrFull, or the app", blocks, err)
		}
	}
	p.wait(1)
	if _, err := f.admin.RemoveKeySlot(t.Context(), f.both(p.code(0)), app.GetId()); err != nil {
		t.Fatal(err)
	}
	p.wait(1)
	other := newPhone()
	other.key = "another of 20 bytes!"[:totp.KeySize]
	other.now.Store(p.now.Load())
	app = f.enrol(other)
	if err := g.agent.catchUp(s); err != nil || s.authenticator.message().GetId() != app.GetId() {
		t.Errorf("got %v (%v), want %v", s.authenticator.message(), err, app)
	}
}

// TestTwoAgentsCatchUpWithoutRoom: a policy of another agent that cannot be read is not taken
// for none.
func TestTwoAgentsCatchUpWithoutRoom(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	g := f.beside()
	s := g.agent.session
	f.adopt(all)
	if err := s.vault.Refresh(); err != nil {
		t.Fatal(err)
	}
	empty := secrettest.LeaveRoom(g.agent.arena, 0)
	err := g.agent.catchUp(s)
	empty()
	if r := s.policy(); err != nil || !errors.Is(r.fault, secret.ErrFull) {
		t.Errorf("got %v, and a policy with the fault %v, want ErrFull", err, r.fault)
	}
	if _, err := g.signer.Sign(t.Context(), request("acme")); !errors.Is(err, client.ErrDenied) {
		t.Errorf("signing: got %v, want ErrDenied", err)
	}
	if err := g.agent.catchUp(s); err != nil || s.policy().fault != nil {
		t.Errorf("with room again: got %v, and the fault %v", err, s.policy().fault)
	}
}

// TestRenameThatFails: what is not there, has the name already, or is another's by now keeps
// its name, and that is said.
func TestRenameThatFails(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("p")
	if err := f.rename(client.Proof{}, "none", "x"); !errors.Is(err, client.ErrNoProfile) {
		t.Errorf("none: got %v", err)
	}
	if err := f.rename(client.Proof{}, "p", "p"); !errors.Is(err, client.ErrExists) || !strings.Contains(err.Error(), "has that name already") {
		t.Errorf("its own name: got %v", err)
	}
	g := f.beside()
	if _, err := f.admin.EditProfile(t.Context(), "p", client.ProfileEdit{Profile: &pb.Profile{Access: "read"}, Fields: []string{"access"}}); err != nil {
		t.Fatal(err)
	}
	if err := g.rename(client.Proof{}, "p", "q"); !errors.Is(err, client.ErrLimited) {
		t.Errorf("as it was: got %v", err)
	}
	f.sign("p")
}

// TestPolicyThatHasNoRoom: where there is no room to read the policy, an empty one is not
// shown in its place.
func TestPolicyThatHasNoRoom(t *testing.T) {
	f := start(t)
	f.unlock()
	want := f.adopt(all)
	empty := secrettest.LeaveRoom(f.agent.arena, 0)
	packed, _, err := f.admin.Policy(t.Context())
	empty()
	if err == nil || packed != nil {
		t.Errorf("without room: got %d bytes, %v", len(packed), err)
	}
	if packed, st, err := f.admin.Policy(t.Context()); err != nil || len(packed) == 0 || st.GetSha256() != want.GetSha256() {
		t.Errorf("got %v and %d bytes, %v", st, len(packed), err)
	}
}
