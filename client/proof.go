package client

import (
	"context"
	"maps"
	"slices"

	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// Proof shows that the person is there, for a call that widens rights or carries
// something out. The zero value is none: such a call then fails with ErrProof, or
// with ErrConfirm where no passphrase opens the vault.
type Proof struct {
	// Passphrase seals the vault's passphrase; nil: it is not given.
	Passphrase Sealer
	// Confirmed says that somebody said yes at a terminal.
	Confirmed bool
}

// sealWithProof seals secrets and the passphrase of a proof in one go.
func (a *Admin) sealWithProof(ctx context.Context, method, profile string, secrets map[string]Sealer, p Proof) ([]*pb.Sealed, *pb.Proof, error) {
	const passphrase = "passphrase"
	out := &pb.Proof{Confirmed: p.Confirmed}
	if p.Passphrase == nil {
		boxes, err := a.seal(ctx, method, profile, secrets)
		return boxes, out, err
	}
	all := maps.Clone(secrets)
	if all == nil {
		all = make(map[string]Sealer, 1)
	}
	all[passphrase] = p.Passphrase
	boxes, err := a.seal(ctx, method, profile, all)
	if err != nil {
		return nil, nil, err
	}
	i := slices.IndexFunc(boxes, func(m *pb.Sealed) bool { return m.GetField() == passphrase })
	out.Passphrase = boxes[i]
	return slices.Delete(boxes, i, i+1), out, nil
}
