package agent

import (
	"errors"
	"testing"

	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// A caller who was given no right gets nothing, whether or not the vault is open: nothing is
// signed, listed or told, and no socket opened.
func TestNoRightGivesNothing(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	c := &caller{peer: livePeer(t, f)}
	for name, do := range map[string]func() error{
		"signing":  func() error { return f.signBy(t.Context(), c) },
		"profiles": func() error { _, err := f.agent.listProfiles(c); return err },
		"status":   func() error { _, err := f.agent.statusFor(c); return err },
		"a socket": func() error {
			_, _, err := f.agent.openSocket(t.Context(), c, &pb.OpenSocketRequest{Profile: "acme"})
			return err
		},
		"finding": func() error { _, err := f.agent.session.findFor(c, "acme"); return err },
		"a token": func() error { _, _, err := f.agent.present(t.Context(), c, &pb.RedeemRequest{}); return err },
	} {
		if err := do(); !errors.Is(err, errNoRight) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if now := new(countedConn).now(); now != (right{}) {
		t.Errorf("a connection that nobody welcomed has %+v", now)
	}
}

// The owner's right is for all profiles, and stays good; of one that is not there it says
// so, and not that it is not for it.
func TestOwnersRightIsWhole(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	s := f.agent.session
	if r := ofOwner(); !r.may(s, s.profiles["acme"]) {
		t.Error("a profile is not the owner's")
	}
	now := f.agent.clock()
	if at, err := f.agent.good(ofOwner(), now); err != nil || !at.Equal(now) {
		t.Errorf("got %v, %v", at, err)
	}
	if _, err := s.findFor(&caller{right: ofOwner()}, "absent"); refusedWith(err) != pb.CodeNoProfile {
		t.Errorf("a profile that is not there: got %v", err)
	}
}

// Where a grant is, the owner's right counts for nothing beside it.
func TestGrantStandsInPlaceOfTheOwnersRight(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("acme")
	f.addTBA("other")
	s := f.agent.session
	r := right{owner: true, grant: f.grantOn(unlocktoken.Caveats{}, "acme")}
	if !r.may(s, s.profiles["acme"]) || r.may(s, s.profiles["other"]) {
		t.Error("a grant gives what the owner may")
	}
	if _, err := s.findFor(&caller{right: r}, "other"); refusedWith(err) != pb.CodeGrantScope {
		t.Errorf("got %v", err)
	}
	r.grant.revoked.Store(true)
	if _, err := f.agent.good(r, f.agent.clock()); refusedWith(err) != pb.CodeRevoked {
		t.Errorf("got %v", err)
	}
}
