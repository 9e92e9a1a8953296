package agent

import (
	"bytes"
	"fmt"

	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault/bundle"
)

// bundledMeta is what a bundle says of a profile, sealed with it. Integer keys keep the form
// stable, as those of profile.
type bundledMeta struct {
	// Profile is what a record of the vault has in its place.
	Profile []byte `cbor:"1,keyasint"`
	// Policy is the one that was in force when the bundle was made, as policy.Pack gives it;
	// empty: none was. Whoever opens the profile decides by it.
	Policy []byte `cbor:"2,keyasint,omitempty"`
}

// policyForBundle returns the policy that goes into a bundle. One that cannot be used goes
// into none: what it would forbid is not known.
func (s *session) policyForBundle() ([]byte, error) {
	text, ok, err := s.vault.Policy()
	if r := readRules(text, ok, err); r.fault != nil {
		return nil, refuse(r.fault, pb.CodePolicy, "the bundle is not made", "the policy in force cannot be used: "+policyFault(r.fault), "adopt another:  nsagent policy edit")
	}
	return text, nil
}

// encodeBundled returns what a bundle says of p, under a policy.
func (c profileCodec) encodeBundled(p *profile, policy []byte) ([]byte, error) {
	encoded, err := c.encode(p)
	if err != nil {
		return nil, fmt.Errorf("encoding a bundle: %w", err)
	}
	b, err := c.enc.Marshal(bundledMeta{Profile: encoded, Policy: policy})
	if err != nil {
		return nil, fmt.Errorf("encoding a bundle: %w", err)
	}
	if len(b) > bundle.MaxMeta {
		return nil, refuse(ErrPolicy, pb.CodePolicy, "the bundle is not made", fmt.Sprintf("the policy goes into it, and has %d bytes, compressed: with profile %q that is %d, of which a bundle holds %d", len(policy), p.Name, len(b), bundle.MaxMeta), "adopt a shorter one:  nsagent policy edit")
	}
	return b, nil
}

// decodeBundled returns what a bundle says of a profile, as a record of the vault has it,
// and the rules that go with it. The error wraps bundle.ErrFormat.
func (c profileCodec) decodeBundled(b []byte) (profile []byte, r *rules, err error) {
	var m bundledMeta
	if err := c.dec.Unmarshal(b, &m); err != nil {
		return nil, nil, fmt.Errorf("%w: what it says of a profile", bundle.ErrFormat)
	}
	if again, _ := c.enc.Marshal(m); !bytes.Equal(again, b) {
		return nil, nil, fmt.Errorf("%w: what it says of a profile is not canonical", bundle.ErrFormat)
	}
	if r = readRules(m.Policy, len(m.Policy) > 0, nil); r.fault != nil {
		return nil, nil, fmt.Errorf("%w: its policy: %w", bundle.ErrFormat, r.fault)
	}
	return m.Profile, r, nil
}
