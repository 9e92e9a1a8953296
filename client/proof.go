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
	// KeyFile seals the 32 bytes of a key file, Recovery the 16 of a recovery code;
	// either takes the place of the passphrase.
	KeyFile, Recovery Sealer
	// Confirmed says that somebody said yes at a terminal.
	Confirmed bool
}

// opener returns what of p is sealed, and its field; "" if there is nothing.
func (p Proof) opener() (field string, seal Sealer) {
	switch {
	case p.Recovery != nil:
		return "recovery", p.Recovery
	case p.KeyFile != nil:
		return "key_file", p.KeyFile
	case p.Passphrase != nil:
		return "passphrase", p.Passphrase
	default:
		return "", nil
	}
}

// sealWithProof seals secrets and what a proof holds in one go.
func (a *Admin) sealWithProof(ctx context.Context, method, profile string, secrets map[string]Sealer, p Proof) ([]*pb.Sealed, *pb.Proof, error) {
	out := &pb.Proof{Confirmed: p.Confirmed}
	field, seal := p.opener()
	if seal == nil {
		boxes, err := a.seal(ctx, method, profile, secrets)
		return boxes, out, err
	}
	all := maps.Clone(secrets)
	if all == nil {
		all = make(map[string]Sealer, 1)
	}
	all[field] = seal
	boxes, err := a.seal(ctx, method, profile, all)
	if err != nil {
		return nil, nil, err
	}
	i := slices.IndexFunc(boxes, func(m *pb.Sealed) bool { return m.GetField() == field })
	if field == "passphrase" {
		out.Passphrase = boxes[i]
	} else {
		out.Key = boxes[i]
	}
	return slices.Delete(boxes, i, i+1), out, nil
}
