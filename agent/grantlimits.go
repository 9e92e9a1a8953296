package agent

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// maxGrantLife is the longest that a grant lasts.
const maxGrantLife = 366 * 24 * time.Hour

// caveatsOf returns the limits of a new grant as caveats, without its end and its
// credentials.
func caveatsOf(m *pb.GrantLimits) (unlocktoken.Caveats, error) {
	c := unlocktoken.Caveats{
		Kinds: m.GetKinds(), Hosts: m.GetHosts(), Methods: m.GetMethods(), Paths: m.GetPaths(), Scripts: m.GetScripts(),
		NotBefore: m.GetNotBefore(), Uses: m.GetUses(), Networks: m.GetNetworks(),
	}
	if m.GetRateCount() != 0 || m.GetRateSeconds() != 0 {
		c.Rate = &unlocktoken.Rate{Count: m.GetRateCount(), Seconds: m.GetRateSeconds()}
	}
	for _, i := range m.GetIdentities() {
		identity := unlocktoken.Identity{Issuer: i.GetIssuer()}
		for _, claim := range i.GetClaims() {
			identity.Claims = append(identity.Claims, unlocktoken.Claim{Name: claim.GetName(), Values: claim.GetValues()})
		}
		c.Identities = append(c.Identities, identity)
	}
	if len(m.GetExecutables()) > 0 {
		c.Peer = &unlocktoken.Peer{Executables: m.GetExecutables()}
	}
	return c, badCaveats(c.Check())
}

// badCaveats is the refusal of limits that make no sense; nil of nil.
func badCaveats(err error) error {
	if err == nil {
		return nil
	}
	why := err.Error()
	if errors.Is(err, unlocktoken.ErrCaveats) {
		_, why, _ = strings.Cut(why, unlocktoken.ErrCaveats.Error()+": ")
	}
	return refuse(errors.Join(ErrRequest, err), pb.CodeRequest, "the limits of the grant cannot be used", why, "see:  nsagent grant new --help")
}

// limitsOf is the inverse of caveatsOf.
func limitsOf(c unlocktoken.Caveats) *pb.GrantLimits {
	m := &pb.GrantLimits{
		Kinds: c.Kinds, Hosts: c.Hosts, Methods: c.Methods, Paths: c.Paths, Scripts: c.Scripts,
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
		m.Executables = c.Peer.Executables
	}
	return m
}

// lifeOf returns how long a new grant lasts.
func lifeOf(seconds int64) (time.Duration, error) {
	const most = int64(maxGrantLife / time.Second)
	switch {
	case seconds <= 0:
		return 0, refuse(ErrRequest, pb.CodeRequest, "it is not said how long the grant lasts", "a grant without an end is not made", "say it:  --ttl 8h")
	case seconds > most:
		return 0, refuse(ErrRequest, pb.CodeRequest, "the grant would last too long", fmt.Sprintf("at most %d days", most/(24*3600)), "make it shorter, and another one later:  --ttl 90d")
	}
	return time.Duration(seconds) * time.Second, nil
}
