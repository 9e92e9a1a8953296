package agent

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/nsagent/nsagent/client"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
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

// A program that is not known, as it hides itself, is approved for what it waits for and
// nothing else: what asks next may be any other. No proof is spent on more.
func TestRequestThatIsOfAnUnknownProgram(t *testing.T) {
	f := startAsking(t, func(c *Config) {
		c.Exe = func(context.Context, int32) (string, error) { return "", errors.New("hidden") }
	})
	done := f.signs(answered(t), writing(1))
	id := f.waiting(1, 1)[0].GetId()
	for _, span := range []string{"5m", "session"} {
		if err := f.admin.Approve(t.Context(), f.passphrase("not it"), id, span); !errors.Is(err, client.ErrRequest) || !strings.Contains(err.Error(), "a program that is not known is approved once alone") {
			t.Errorf("for %s: got %v", span, err)
		}
	}
	if err := f.approve(id, "once"); err != nil || <-done != nil {
		t.Fatalf("once: got %v", err)
	}
	again := f.signs(answered(t), writing(1))
	if err := f.admin.Deny(t.Context(), f.waiting(1, 1)[0].GetId()); err != nil || !errors.Is(<-again, client.ErrDeclined) {
		t.Errorf("asked again: got %v", err)
	}
}

// Who watches, and is interrupted, has found no fault: the log says nothing of it.
func TestWatchThatIsInterrupted(t *testing.T) {
	var said output
	f := startAsking(t, func(c *Config) { c.Log = slog.New(slog.NewTextHandler(&said, nil)) })
	d, _ := f.direct(t)
	ctx, interrupt := context.WithCancel(d.ctx)
	r, err := adminService{Agent: f.agent}.ListRequests(ctx, &pb.ListRequestsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	interrupt()
	_, err = adminService{Agent: f.agent}.ListRequests(ctx, &pb.ListRequestsRequest{After: r.GetRevision()})
	if status.Code(err) != codes.Canceled || strings.Contains(said.String(), "internal error") {
		t.Errorf("got %v, and the log says %q", err, said.String())
	}
}

// Who asks for the approval of what it waits for says so, and learns from the same answer
// whether it is the one that does; before the answer waits, so that its own word ends that.
func TestRequestThatIsAttended(t *testing.T) {
	f := startAsking(t)
	done := f.signs(answered(t), writing(1))
	f.waiting(1, 1)
	after := uint64(0)
	for _, asks := range []bool{true, false} {
		r, err := f.admin.Attend(answered(t), asks, after)
		if err != nil || len(r.GetRequests()) != 1 || r.GetRequests()[0].GetCallers()[0].GetAttended() != asks {
			t.Fatalf("asking %t: got %v, %v", asks, r, err)
		}
		after = r.GetRevision()
	}
	r, err := f.admin.Requests(t.Context(), 0)
	if err != nil || r.GetRevision() != after {
		t.Errorf("who says nothing changes something: got %v, %v", r, err)
	}
	if err := f.admin.Deny(t.Context(), r.GetRequests()[0].GetId()); err != nil || !errors.Is(<-done, client.ErrDeclined) {
		t.Errorf("denying it: got %v", err)
	}
}
