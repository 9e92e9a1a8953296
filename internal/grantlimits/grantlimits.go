// Package grantlimits turns the limits of a grant from the form of the API into caveats,
// and back.
//
// # Guarantee
//
// Nothing that a caveat of either form says is lost on the way, or limits less.
//
// # What the user must still do
//
// Check the caveats, and set credentials and end, which the limits do not have.
package grantlimits

import (
	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// Caveats returns limits as caveats, unchecked. nil limits nothing.
func Caveats(m *pb.GrantLimits) unlocktoken.Caveats {
	c := unlocktoken.Caveats{
		Kinds: m.GetKinds(), Hosts: m.GetHosts(), Methods: m.GetMethods(), Paths: m.GetPaths(), Scripts: m.GetScripts(), Operations: m.GetOperations(),
		NotBefore: m.GetNotBefore(), Uses: m.GetUses(), Networks: m.GetNetworks(),
	}
	if m.GetRateCount() != 0 || m.GetRateSeconds() != 0 { // half a rate is for Check to refuse
		c.Rate = &unlocktoken.Rate{Count: m.GetRateCount(), Seconds: m.GetRateSeconds()}
	}
	for _, i := range m.GetIdentities() {
		identity := unlocktoken.Identity{Issuer: i.GetIssuer()}
		for _, claim := range i.GetClaims() {
			identity.Claims = append(identity.Claims, unlocktoken.Claim{Name: claim.GetName(), Values: claim.GetValues()})
		}
		c.Identities = append(c.Identities, identity)
	}
	if len(m.GetExecutables())+len(m.GetUids()) > 0 {
		c.Peer = &unlocktoken.Peer{Executables: m.GetExecutables(), UIDs: m.GetUids()}
	}
	return c
}

// Limits returns the caveats of a grant as limits: what Caveats gives, and an end and
// credentials, which it leaves out.
func Limits(c unlocktoken.Caveats) *pb.GrantLimits {
	m := &pb.GrantLimits{
		Kinds: c.Kinds, Hosts: c.Hosts, Methods: c.Methods, Paths: c.Paths, Scripts: c.Scripts, Operations: c.Operations,
		NotBefore: c.NotBefore, Uses: c.Uses, Networks: c.Networks,
	}
	if c.Rate != nil {
		m.RateCount, m.RateSeconds = c.Rate.Count, c.Rate.Seconds
	}
	for _, i := range c.Identities {
		identity := &pb.GrantIdentity{Issuer: i.Issuer}
		for _, claim := range i.Claims {
			identity.Claims = append(identity.Claims, &pb.GrantClaim{Name: claim.Name, Values: claim.Values})
		}
		m.Identities = append(m.Identities, identity)
	}
	if c.Peer != nil {
		m.Executables, m.Uids = c.Peer.Executables, c.Peer.UIDs
	}
	return m
}
