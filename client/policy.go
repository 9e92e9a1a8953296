package client

import (
	"context"

	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// Policy returns the policy in force: its text compressed with DEFLATE, empty if there is
// none. The error matches ErrLocked or ErrAgent.
func (a *Admin) Policy(ctx context.Context) (packed []byte, status *pb.PolicyStatus, err error) {
	r, err := a.rpc.ShowPolicy(ctx, &pb.ShowPolicyRequest{})
	return r.GetPacked(), r.GetPolicy(), err
}

// AdoptPolicy puts a policy in the place of the one in force, whose SHA-256 is replaces:
// packed is its text, compressed with DEFLATE; empty takes the policy away. It is durable
// when it returns.
//
// The error matches ErrPolicy where the policy is malformed or another one is in force by
// now, and else as that of AddKeySlot. After ErrAgent it may be in force or not.
func (a *Admin) AdoptPolicy(ctx context.Context, proof Proof, packed []byte, replaces string) (*pb.PolicyStatus, error) {
	_, p, err := a.sealWithProof(ctx, pb.Admin_AdoptPolicy_FullMethodName, "", nil, proof)
	if err != nil {
		return nil, err
	}
	r, err := a.rpc.AdoptPolicy(ctx, &pb.AdoptPolicyRequest{Proof: p, Packed: packed, Replaces: text(replaces)})
	return r.GetPolicy(), err
}
