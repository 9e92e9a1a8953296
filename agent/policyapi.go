package agent

import (
	"context"
	"errors"
	"fmt"

	"github.com/nsagent/nsagent/agent/audit"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// AdoptPolicy puts a policy in force.
func (s adminService) AdoptPolicy(ctx context.Context, q *pb.AdoptPolicyRequest) (*pb.AdoptPolicyResponse, error) {
	defer s.seals.drop(callerOf(ctx).peer, boxes(q.GetProof())...)
	st, err := s.adoptPolicy(ctx, q)
	if err != nil {
		return nil, s.reply(s.denied(callerOf(ctx), audit.EventPolicyAdopt, "", err))
	}
	return &pb.AdoptPolicyResponse{Policy: st}, nil
}

func (a *Agent) adoptPolicy(ctx context.Context, q *pb.AdoptPolicyRequest) (*pb.PolicyStatus, error) {
	s, end, err := a.beginChange(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	if err := a.catchUp(s); err != nil {
		return nil, err
	}
	next, detail := new(rules), "policy=none"
	// Before the proof: a policy that is wrong uses up no code, and counts no wrong guess. So
	// what reading one takes has to be bounded.
	if len(q.GetPacked()) > 0 {
		if next, err = newRules(q.GetPacked()); err == nil {
			err = next.fitToAdopt()
		}
		if err != nil {
			return nil, refuse(errors.Join(ErrPolicy, err), pb.CodePolicy, "the policy is not adopted", policyFault(err), "check it:  nsagent policy check")
		}
		detail = fmt.Sprintf("rules=%d sha256=%s", len(next.policy.Rules), next.sum)
	}
	if next.policy != nil && next.policy.StepUp.Admin && s.authenticator == nil {
		return nil, refuse(ErrPolicy, pb.CodePolicy, "the policy is not adopted", "step_up.admin wants a code with each proof, and no authenticator app is set up: nobody could give one, not even to take the policy away",
			"set one up first:  nsagent key add totp")
	}
	// Also to forbid more: who could, could keep the owner out of every profile.
	by, err := a.prove(ctx, s, q.GetProof(), pb.Admin_AdoptPolicy_FullMethodName, "", "changing the policy", (*session).stepUp)
	if err != nil {
		return nil, err
	}
	e := audit.Event{Event: audit.EventPolicyAdopt, Outcome: audit.OutcomeOK, Detail: detail + " proof=" + by}
	err = a.carryOut(callerOf(ctx), e, func() error {
		machine := a.machineKey(ctx, s.vault)
		if machine != nil {
			defer machine.Destroy()
		}
		if err := s.vault.SetPolicy(ctx, q.GetPacked(), machine, lookedAt(q.GetReplaces())); err != nil {
			return err
		}
		a.putInForce(s, next)
		a.approvals.Drop() // who waits is decided on anew
		return nil
	})
	if err != nil {
		return nil, err
	}
	return next.status(), nil
}

// lookedAt refuses to replace another policy than that of this sum, as ShowPolicy has told
// it: what another agent on the vault has adopted since, perhaps to forbid more, would be
// lost unseen.
func lookedAt(sum string) func(old []byte, err error) error {
	return func(old []byte, err error) error {
		if readRules(old, old != nil, err).sum == sum {
			return nil
		}
		return refuse(ErrPolicy, pb.CodePolicy, "the policy is not adopted", "another one is in force by now than when the difference was looked at", "look again:  nsagent policy edit")
	}
}

// ShowPolicy returns the policy in force.
func (s adminService) ShowPolicy(ctx context.Context, _ *pb.ShowPolicyRequest) (*pb.ShowPolicyResponse, error) {
	r, err := s.showPolicy(ctx)
	return r, s.reply(err)
}

func (a *Agent) showPolicy(ctx context.Context) (*pb.ShowPolicyResponse, error) {
	s, end, err := a.beginChange(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	if err := a.catchUp(s); err != nil {
		return nil, err
	}
	packed, _, err := s.vault.Policy()
	if err != nil {
		return nil, err
	}
	return &pb.ShowPolicyResponse{Policy: s.policy().status(), Packed: packed}, nil
}
