package client

import (
	"context"
	"maps"

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
	// TOTP seals a code of the authenticator app, six digits: in place of a passphrase in a
	// vault that has none, or beside it. Such a call fails with ErrTOTP without.
	TOTP Sealer
	// Confirmed says that somebody said yes at a terminal.
	Confirmed bool
}

// sealers returns what of p is sealed, by field.
func (p Proof) sealers() map[string]Sealer {
	all := make(map[string]Sealer, 2)
	switch {
	case p.Recovery != nil:
		all[fieldRecovery] = p.Recovery
	case p.KeyFile != nil:
		all[fieldKeyFile] = p.KeyFile
	case p.Passphrase != nil:
		all[fieldPassphrase] = p.Passphrase
	}
	if p.TOTP != nil {
		all[fieldTOTP] = p.TOTP
	}
	return all
}

// Fields of a proof.
const (
	fieldPassphrase = "passphrase"
	fieldKeyFile    = "key_file"
	fieldRecovery   = "recovery"
	fieldTOTP       = "totp"
)

// sealWithProof seals secrets and what a proof holds in one go.
func (a *Admin) sealWithProof(ctx context.Context, method, profile string, secrets map[string]Sealer, p Proof) ([]*pb.Sealed, *pb.Proof, error) {
	all := p.sealers()
	maps.Copy(all, secrets)
	boxes, err := a.seal(ctx, method, profile, all)
	if err != nil {
		return nil, nil, err
	}
	out := &pb.Proof{Confirmed: p.Confirmed}
	rest := boxes[:0]
	for _, m := range boxes {
		switch m.GetField() {
		case fieldPassphrase:
			out.Passphrase = m
		case fieldKeyFile, fieldRecovery:
			out.Key = m
		case fieldTOTP:
			out.Totp = m
		default:
			rest = append(rest, m)
		}
	}
	return rest, out, nil
}
