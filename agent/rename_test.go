package agent

import (
	"errors"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/client"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// denyPayroll keeps one profile from everything, and allows the rest to read.
const denyPayroll = `version = 1
[[rule]]
name = "payroll"
effect = "deny"
profiles = ["payroll"]
what = ["*"]
[[rule]]
name = "reads"
effect = "allow"
what = ["GET /**"]
`

func (f *fixture) rename(proof client.Proof, name, to string) error {
	_, err := f.admin.RenameProfile(f.t.Context(), proof, name, to)
	return err
}

// TestRenameUnderAPolicy guards that a rule which names a profile is not dodged by giving the
// profile another name, and none is entered: that takes a fresh proof.
func TestRenameUnderAPolicy(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("payroll")
	f.adopt(denyPayroll)
	reads := func(profile string) error {
		_, err := f.signer.Sign(t.Context(), client.Request{Profile: profile, URL: sandboxURL})
		return err
	}
	for name, c := range map[string]struct {
		proof client.Proof
		want  pb.Code
	}{
		"no proof":         {client.Proof{}, pb.CodeProof},
		"a yes":            {client.Proof{Confirmed: true}, pb.CodeProof},
		"wrong passphrase": {f.passphrase("wrong"), pb.CodePassphrase},
	} {
		if err := f.rename(c.proof, "payroll", "x"); errorCode(err) != string(c.want) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
	if err := reads("x"); !errors.Is(err, client.ErrNoProfile) {
		t.Errorf("by the name that it did not get: %v", err)
	}
	if err := reads("payroll"); !errors.Is(err, client.ErrDenied) {
		t.Errorf("by its own name: %v", err)
	}
	if err := f.rename(f.passphrase(testPassphrase), "payroll", "x"); err != nil {
		t.Fatal(err)
	}
	if err := reads("x"); err != nil {
		t.Errorf("somebody has proved the name: %v", err)
	}
	log := f.entries()
	if e := log[len(log)-2]; e.Event != "profile.rename" || e.Detail != "to=x proof=passphrase" {
		t.Errorf("on record: %+v", e)
	}
	f.adopt("")
	if err := f.rename(client.Proof{}, "x", "payroll"); err != nil {
		t.Errorf("names decide nothing without a policy: %v", err)
	}
}

// What cannot be read may have had a rule for the name, and what another agent on the vault has
// adopted since has one.
func TestRenameUnderAPolicyThatIsNotKnown(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("payroll")
	f.beside().adopt(denyPayroll)
	if err := f.rename(client.Proof{}, "payroll", "x"); !errors.Is(err, client.ErrProof) {
		t.Errorf("of another agent: got %v", err)
	}
	f.adopt("")
	if _, _, err := f.admin.Policy(t.Context()); err != nil { // the agent has caught up
		t.Fatal(err)
	}
	f.agent.session.rules.Store(&rules{fault: errors.New("odd")})
	if err := f.rename(client.Proof{}, "payroll", "x"); !errors.Is(err, client.ErrProof) {
		t.Errorf("not to be read: got %v", err)
	}
}

// askedAgain checks that a use of acme that was approved for the session is asked about again.
func (f *fixture) askedAgain(t *testing.T, what string) {
	t.Helper()
	done := f.signs(answered(t), writing(1))
	if err := f.admin.Deny(f.t.Context(), f.waiting(1, 1)[0].GetId()); err != nil {
		f.t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, client.ErrDeclined) {
		t.Errorf("%s: got %v", what, err)
	}
}

// approveForSession has somebody approve a use of acme for the session.
func (f *fixture) approveForSession(t *testing.T) {
	t.Helper()
	done := f.signs(answered(t), writing(1))
	if err := f.approve(f.waiting(1, 1)[0].GetId(), "session"); err != nil {
		f.t.Fatal(err)
	}
	if err := <-done; err != nil {
		f.t.Fatal(err)
	}
	if _, err := f.signer.Sign(f.t.Context(), writing(1)); err != nil {
		f.t.Fatalf("approved for the session: %v", err)
	}
}

// TestApprovalIsOfTheProfile guards that another profile of the account that comes to have a
// name does not inherit what was approved for it.
func TestApprovalIsOfTheProfile(t *testing.T) {
	proved := func(f *fixture, name, to string) {
		f.t.Helper()
		if err := f.rename(f.passphrase(testPassphrase), name, to); err != nil {
			f.t.Fatal(err)
		}
	}
	for name, change := range map[string]func(*fixture){
		"another is given its name": func(f *fixture) { proved(f, "acme", "old"); proved(f, "other", "acme") },
		"it has its name again":     func(f *fixture) { proved(f, "acme", "old"); proved(f, "old", "acme") },
		"it is removed, and another is renamed": func(f *fixture) {
			if err := f.admin.RemoveProfile(f.t.Context(), "acme"); err != nil {
				f.t.Fatal(err)
			}
			proved(f, "other", "acme")
		},
		"it is removed, and added": func(f *fixture) {
			if err := f.admin.RemoveProfile(f.t.Context(), "acme"); err != nil {
				f.t.Fatal(err)
			}
			f.addTBA("acme")
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := startAsking(t)
			f.addTBA("other")
			f.approveForSession(t)
			change(f)
			f.askedAgain(t, name)
		})
	}
}

// Who waits for a profile that is renamed or removed is decided on anew, so that nobody says
// yes to what was shown of another.
func TestRenameEndsWhatWaits(t *testing.T) {
	for name, change := range map[string]func(*fixture) error{
		"renamed": func(f *fixture) error { return f.rename(f.passphrase(testPassphrase), "acme", "old") },
		"removed": func(f *fixture) error { return f.admin.RemoveProfile(f.t.Context(), "acme") },
	} {
		f := startAsking(t)
		done := f.signs(answered(t), writing(1))
		f.waiting(1, 1)
		if err := change(f); err != nil {
			t.Fatal(err)
		}
		if err := <-done; !errors.Is(err, client.ErrNoProfile) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// An approval that is on its way while the name changes hands is none for who has it then.
func TestApprovalIsOfOneCredential(t *testing.T) {
	f := startAsking(t)
	f.addTBA("other")
	u := &use{caller: &caller{peer: livePeer(t, f), has: ofOwner()}, kind: "sign", method: "POST"}
	u.approved, u.approval = f.asked(u, f.agent.session.profiles["acme"]).Question, "abc"
	if f.asked(u, f.agent.session.profiles["acme"]) != nil {
		t.Error("what was approved is asked again")
	}
	for _, to := range [][2]string{{"acme", "old"}, {"other", "acme"}} {
		if err := f.rename(f.passphrase(testPassphrase), to[0], to[1]); err != nil {
			t.Fatal(err)
		}
	}
	if f.asked(u, f.agent.session.profiles["acme"]) == nil {
		t.Error("another credential goes by the approval")
	}
}

// TestRenameSaysWhy: who is asked for a proof is told what for.
func TestRenameSaysWhy(t *testing.T) {
	f := start(t)
	f.unlock()
	f.addTBA("payroll")
	f.adopt(denyPayroll)
	if err := f.rename(client.Proof{}, "payroll", "x"); err == nil || !strings.Contains(err.Error(), "renaming a profile under a policy needs the passphrase again") {
		t.Errorf("got %v", err)
	}
}
