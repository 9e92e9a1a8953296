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
