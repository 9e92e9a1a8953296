package client

import (
	"context"

	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// Requests lists what waits until somebody approves it. Where after is the revision of an
// answer, it waits for a later state, 25 seconds at most; 0 is at once.
func (a *Admin) Requests(ctx context.Context, after uint64) (*pb.ListRequestsResponse, error) {
	return a.rpc.ListRequests(ctx, &pb.ListRequestsRequest{After: after})
}

// Attend tells that this process asks, at its terminal, for the approval of what it waits
// for itself, or no more, and returns what Requests does. Of all that wait for one request
// one asks, the first to say so: that it is this process, Attended of its caller says.
// Where a terminal asks, the agent has no pinentry program do it.
func (a *Admin) Attend(ctx context.Context, asks bool, after uint64) (*pb.ListRequestsResponse, error) {
	return a.rpc.ListRequests(ctx, &pb.ListRequestsRequest{Attends: &asks, After: after})
}

// Approve lets those go ahead who wait for the request of that id: "once", or also whoever
// asks the same for "5m" or the "session", until the vault is locked.
//
// The error matches ErrProof, ErrConfirm, ErrTOTP, ErrPassphrase or ErrKey where the proof
// is missing or wrong, ErrBackoff, ErrLocked, ErrRequest or ErrAgent, or has the code
// NSA-NOTFOUND where nothing of that id waits any more.
func (a *Admin) Approve(ctx context.Context, proof Proof, id, span string) error {
	_, p, err := a.sealWithProof(ctx, pb.Admin_ApproveRequest_FullMethodName, "", nil, proof)
	if err != nil {
		return err
	}
	_, err = a.rpc.ApproveRequest(ctx, &pb.ApproveRequestRequest{Proof: p, Id: text(id), For: text(span)})
	return err
}

// Deny sends those away who wait for the request of that id. It takes no proof.
func (a *Admin) Deny(ctx context.Context, id string) error {
	_, err := a.rpc.DenyRequest(ctx, &pb.DenyRequestRequest{Id: text(id)})
	return err
}
