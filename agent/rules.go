package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/nsagent/nsagent/agent/oidc"
	"github.com/nsagent/nsagent/agent/policy"
	"github.com/nsagent/nsagent/internal/secret"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
)

// rules is the policy that the vault holds, made ready. The zero value is none.
type rules struct {
	policy *policy.Policy
	// sum is the SHA-256 of its text in hex; empty: there is none.
	sum string
	// kept is the SHA-256 of what the vault keeps of it; zero: there is none.
	kept [sha256.Size]byte
	// fault is why the policy cannot be used. Nothing is allowed then: what it would
	// forbid is not known.
	fault error
}

// newRules reads a policy as the vault keeps it. The error wraps policy.ErrSyntax.
func newRules(packed []byte) (*rules, error) {
	text, err := policy.Unpack(packed)
	if err != nil {
		return nil, err
	}
	p, err := policy.Parse(text)
	if err != nil {
		return nil, err
	}
	if files := p.Files(); len(files) > 0 {
		return nil, fmt.Errorf("%w: the content of %s is not copied in", policy.ErrSyntax, files[0])
	}
	sum := sha256.Sum256([]byte(text))
	return &rules{policy: p, sum: hex.EncodeToString(sum[:]), kept: sha256.Sum256(packed)}, nil
}

// are reports whether r are the rules that the vault keeps as packed; empty: none.
func (r *rules) are(packed []byte) bool {
	if len(packed) == 0 {
		return r.fault == nil && r.policy == nil
	}
	return r.kept == sha256.Sum256(packed)
}

// readRules makes the policy of a vault ready, from what reading it returned. One that
// cannot be read leaves rules with a fault, so that its owner can unlock and adopt another.
func readRules(packed []byte, ok bool, err error) *rules {
	if err == nil && !ok {
		return new(rules)
	}
	var r *rules
	if err == nil {
		r, err = newRules(packed)
	}
	if err != nil {
		return &rules{fault: err}
	}
	return r
}

// decide decides an attempt.
func (r *rules) decide(at policy.Attempt) (policy.Decision, error) {
	if r.fault != nil {
		return policy.Decision{Index: -1}, refuse(r.fault, pb.CodeDenied, "the policy in force cannot be used, and nothing is allowed without it", policyFault(r.fault), "adopt another:  nsagent policy edit")
	}
	d := r.policy.Decide(at)
	if d.Err != nil {
		return d, d.Err
	}
	return d, nil
}

// policy returns the policy in force.
func (s *session) policy() *rules {
	if r := s.rules.Load(); r != nil {
		return r
	}
	return new(rules)
}

// putInForce has s decide by r from now on.
func (a *Agent) putInForce(s *session, r *rules) {
	s.rules.Store(r)
	a.learnIssuers(r)
}

// stepUp reports whether proofs take a code beside the passphrase. A policy that cannot
// be read may have wanted one.
func (s *session) stepUp() bool {
	r := s.policy()
	return r.fault != nil && s.authenticator != nil || r.policy != nil && r.policy.StepUp.Admin
}

// timeout returns how long a caller waits for an approval.
func (r *rules) timeout() time.Duration {
	if r.policy == nil {
		return policy.DefaultTimeout
	}
	return r.policy.Approval.Within()
}

// status tells of the rules.
func (r *rules) status() *pb.PolicyStatus {
	out := &pb.PolicyStatus{Sha256: r.sum}
	if r.policy != nil {
		out.Rules = int32(len(r.policy.Rules)) // #nosec G115 -- at most 10,000
	}
	if r.fault != nil {
		out.Fault = policyFault(r.fault)
	}
	return out
}

// policyFault says what is wrong with a policy, as far as callers may know.
func policyFault(err error) string {
	switch {
	case errors.Is(err, policy.ErrSyntax):
		return reason(err, policy.ErrSyntax)
	case errors.Is(err, vault.ErrPolicy):
		return "it was adopted on another machine, or its machine key is gone"
	}
	return "it cannot be read from the vault"
}

// issuers returns those of the policy.
func (r *rules) issuers() (all []oidc.Issuer) {
	if r.policy == nil {
		return nil
	}
	for _, i := range r.policy.Issuers {
		all = append(all, oidc.NewIssuer(i.URL, i.JWKS, i.CA))
	}
	return all
}

// fitToAdopt refuses what can be read and is no policy to be in force: one with an issuer of
// which no token could ever be good. The error wraps policy.ErrSyntax.
func (r *rules) fitToAdopt() error {
	for _, i := range r.issuers() {
		if fault := i.Fault(); fault != "" {
			return fmt.Errorf("%w: %s", policy.ErrSyntax, fault)
		}
	}
	return nil
}

// machineKey returns the machine key, under which a locked agent reads the policy; nil
// where there is none to be had. The caller destroys it.
func (a *Agent) machineKey(ctx context.Context, v *vault.Vault) *secret.HMACKey {
	ctx, cancel := context.WithTimeout(ctx, ledgerTime)
	defer cancel()
	key, _, err := v.MachineKey(ctx)
	if err != nil {
		a.log.Warn("the policy cannot be read while the vault is locked", "error", err)
	}
	return key
}
