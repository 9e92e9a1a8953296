package client

import (
	"context"
	"crypto/ed25519"
	"time"

	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// NewGrant is a grant to be made.
type NewGrant struct {
	// Profiles are names, none twice.
	Profiles []string
	// Limits are what has to hold for a use; nil: nothing but the time.
	Limits *pb.GrantLimits
	// TTL is how long it lasts from now on, at most a year.
	TTL time.Duration
	// Next is the public half of the key that may narrow the token.
	Next ed25519.PublicKey
	// Shares seals a random key share of 32 bytes for each profile, in their order.
	Shares Sealer
	// Listen is the absolute path of a socket on which the grant applies to whoever connects;
	// empty: none is made.
	Listen string
	// Detached asks for a bundle, which the token opens in the place of the vault.
	Detached bool
}

// NewGrant makes a grant. What it answers, the shares and the key that belongs to Next
// make the unlock token. It is durable when it returns.
//
// The error matches ErrProof, ErrConfirm, ErrPassphrase or ErrKey where the proof is
// missing or wrong, ErrBackoff, ErrLocked, ErrNoProfile, ErrRequest or ErrAgent. After
// ErrAgent the grant may be there or not; without its token it is of no use to anybody.
func (a *Admin) NewGrant(ctx context.Context, proof Proof, n NewGrant) (*pb.NewGrantResponse, error) {
	boxes, p, err := a.sealWithProof(ctx, pb.Admin_NewGrant_FullMethodName, "", map[string]Sealer{fieldShares: n.Shares}, proof)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(n.Profiles))
	for i, name := range n.Profiles {
		names[i] = text(name)
	}
	return a.rpc.NewGrant(ctx, &pb.NewGrantRequest{Proof: p, Profiles: names, Limits: n.Limits, TtlSeconds: seconds(n.TTL), Next: n.Next, Shares: first(boxes), Listen: text(n.Listen), Detached: n.Detached})
}

const fieldShares = "shares"

// Grants returns the grants, the newest first. It works while the vault is locked, and
// then knows little of them.
func (a *Admin) Grants(ctx context.Context) ([]*pb.Grant, error) {
	r, err := a.rpc.ListGrants(ctx, &pb.ListGrantsRequest{})
	return r.GetGrants(), err
}

// Grant returns the grant of that id, or the only one whose id begins like that. The error
// matches ErrNotFound, ErrRequest or ErrAgent.
func (a *Admin) Grant(ctx context.Context, id string) (*pb.Grant, error) {
	r, err := a.rpc.ShowGrant(ctx, &pb.ShowGrantRequest{Id: text(id)})
	return r.GetGrant(), err
}

// RevokeGrant ends a grant for good, from the next request on; it works while the vault is
// locked. With rotate its profiles get new keys as well, for which the vault must be
// unlocked: where the error then matches ErrLocked, the grant is revoked all the same.
// Other errors as of Grant.
func (a *Admin) RevokeGrant(ctx context.Context, id string, rotate bool) (*pb.RevokeGrantResponse, error) {
	return a.rpc.RevokeGrant(ctx, &pb.RevokeGrantRequest{Id: text(id), Rotate: rotate})
}

// AmbientToken returns the text of the unlock token that the environment of this process
// names, nil where it names none, for who looks at it or narrows it. The caller wipes it.
// The error matches ErrGrant.
func AmbientToken() ([]byte, error) {
	t, err := ambientToken()
	if t == nil || err != nil {
		return nil, err
	}
	return t.Text(), nil
}
