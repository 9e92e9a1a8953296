package agent

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc/status"

	"github.com/nsagent/nsagent/agent/approval"
	"github.com/nsagent/nsagent/agent/audit"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// longestLook is how long a call waits for something new to approve.
const longestLook = 25 * time.Second

// ListRequests lists what waits for approval.
func (s adminService) ListRequests(ctx context.Context, q *pb.ListRequestsRequest) (*pb.ListRequestsResponse, error) {
	if q.Attends != nil {
		s.approvals.Attend(int(callerOf(ctx).peer.PID), q.GetAttends())
	}
	if q.GetAfter() != 0 {
		timer := time.NewTimer(longestLook)
		defer timer.Stop()
		select {
		case <-s.approvals.Changed(q.GetAfter()):
		case <-timer.C:
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err() // who asked has gone, and no fault has to be found
		}
	}
	all, revision := s.approvals.Requests()
	out := &pb.ListRequestsResponse{Revision: revision}
	now, boot := s.clock(), s.boottime()
	for _, r := range all {
		m := &pb.ApprovalRequest{
			Id: r.ID, Uid: &r.UID, Grant: r.Grant, Profile: r.Profile, Account: r.Account, Environment: r.Environment, Kind: r.Kind, Method: r.Method,
			FormSha256: r.FormSHA256, FormBytes: int64(r.FormBytes), Scopes: strings.Fields(r.Scopes), Socket: r.Socket, Url: r.URL, Rule: r.Rule, Totp: r.TOTP, Since: now.Add(r.Since - boot).Unix(), EndsIn: int64((r.Ends - boot + time.Second - 1) / time.Second),
		}
		for _, c := range r.Callers {
			m.Callers = append(m.Callers, &pb.WaitingCaller{Pid: int32(c.PID), Exe: valid(c.Exe), Parent: valid(c.Parent), Attended: c.Attended}) // #nosec G115 -- a pid fits
		}
		out.Requests = append(out.Requests, m)
	}
	return out, nil
}

// valid returns text that a message can hold: a path may have any byte.
func valid(path string) string { return strings.ToValidUTF8(path, "\uFFFD") }

// ApproveRequest lets those go ahead who wait for a request.
func (s adminService) ApproveRequest(ctx context.Context, q *pb.ApproveRequestRequest) (*pb.ApproveRequestResponse, error) {
	defer s.seals.drop(callerOf(ctx).peer, boxes(q.GetProof())...)
	if err := s.approveRequest(ctx, q); err != nil {
		return nil, s.reply(s.denied(callerOf(ctx), audit.EventApprovalGive, "", notWaiting(err, q.GetId())))
	}
	return &pb.ApproveRequestResponse{}, nil
}

// spans are how long an approval counts, by their names.
func spans() map[string]approval.Span {
	return map[string]approval.Span{"once": approval.Once, "5m": approval.FiveMinutes, "session": approval.Session}
}

func (a *Agent) approveRequest(ctx context.Context, q *pb.ApproveRequestRequest) error {
	span, ok := spans()[q.GetFor()]
	if !ok {
		return refuse(ErrRequest, pb.CodeRequest, fmt.Sprintf("an approval is not for %.20q", q.GetFor()), "it is for once, 5m or session", "")
	}
	s, end, err := a.beginChange(ctx)
	if err != nil {
		return err
	}
	defer end()
	if err := a.catchUp(s); err != nil { // under another policy nobody waits for this
		return err
	}
	r, err := a.approvals.Find(q.GetId())
	if err != nil {
		return err
	}
	if span != approval.Once && !r.Known() {
		return refuse(ErrRequest, pb.CodeRequest, "a program that is not known is approved once alone", "another one could not be told from it", "let go ahead what waits:  nsagent approve "+r.ID)
	}
	by, err := a.prove(ctx, s, q.GetProof(), pb.Admin_ApproveRequest_FullMethodName, "", "approving a request",
		func(s *session) bool { return s.stepUp() || r.TOTP })
	if err != nil {
		return err
	}
	e := requestEvent(r, audit.EventApprovalGive)
	e.Detail += " for=" + q.GetFor() + " proof=" + by
	return a.carryOut(callerOf(ctx), e, func() error { return a.approvals.Approve(r.ID, span) })
}

// DenyRequest sends those away who wait for a request. It takes no proof.
func (s adminService) DenyRequest(ctx context.Context, q *pb.DenyRequestRequest) (*pb.DenyRequestResponse, error) {
	r, err := s.approvals.Find(q.GetId())
	if err == nil {
		err = s.carryOut(callerOf(ctx), requestEvent(r, audit.EventApprovalDeny), func() error { return s.approvals.Deny(r.ID) })
	}
	if err != nil {
		return nil, s.reply(s.denied(callerOf(ctx), audit.EventApprovalDeny, "", notWaiting(err, q.GetId())))
	}
	return &pb.DenyRequestResponse{}, nil
}

// requestEvent is an entry about a request; who answers it stands in its other fields.
func requestEvent(r approval.Request, event string) audit.Event {
	return audit.Event{Event: event, Outcome: audit.OutcomeOK, Profile: r.Profile, Account: r.Account, Kind: r.Kind, Method: r.Method, Detail: "request=" + r.ID}
}

// notWaiting says that a request is no more.
func notWaiting(err error, id string) error {
	if !errors.Is(err, approval.ErrNotFound) {
		return err
	}
	return refuse(err, pb.CodeNotFound, fmt.Sprintf("no request %.20q waits", id), "it was answered, or waited too long, or never was", "see what waits:  nsagent requests")
}
