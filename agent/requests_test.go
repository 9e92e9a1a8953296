package agent

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/nsagent/nsagent/client"
)

// Who answers what does not wait is told so, and the log; nothing is approved in a vault
// that is locked.
func TestRequestThatDoesNotWait(t *testing.T) {
	f := startAsking(t)
	if err := f.admin.Deny(t.Context(), "zzzzzz"); !errors.Is(err, client.ErrNotFound) || !strings.Contains(err.Error(), `no request "zzzzzz" waits`) {
		t.Errorf("denying it: got %v", err)
	}
	if err := f.approve("zzzzzz", "once"); !errors.Is(err, client.ErrNotFound) || !strings.Contains(err.Error(), `no request "zzzzzz" waits`) {
		t.Errorf("approving it: got %v", err)
	}
	f.lock()
	if err := f.approve("zzzzzz", "once"); !errors.Is(err, client.ErrLocked) {
		t.Errorf("approving it while locked: got %v", err)
	}
	want := []string{"approval.deny denied NSA-NOTFOUND", "approval.give denied NSA-NOTFOUND", "approval.give denied NSA-LOCKED"}
	if got := f.events("approval.deny", "approval.give"); !slices.Equal(got, want) {
		t.Errorf("the log says %q", got)
	}
}

// Where policy wants codes an approval takes one, whatever the rule that asks says.
func TestRequestThatWaitsForACode(t *testing.T) {
	p := newPhone()
	f := startAsking(t, p.clock)
	f.enrol(p)
	f.adopt(strings.Replace(askPolicy, "version = 1\n", "version = 1\n[step_up]\nadmin = true\n", 1))
	done := f.signs(answered(t), writing(1))
	r := f.waiting(1, 1)[0]
	if r.GetTotp() {
		t.Fatalf("the rule wants a code itself: %v", r)
	}
	if err := f.approve(r.GetId(), "once"); !errors.Is(err, client.ErrTOTP) {
		t.Errorf("by a passphrase alone: got %v", err)
	}
	if err := f.admin.Approve(t.Context(), f.both(p.code(0)), r.GetId(), "once"); err != nil || <-done != nil {
		t.Errorf("with a code: got %v", err)
	}
}
