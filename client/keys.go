package client

import (
	"context"
	"maps"
	"time"

	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

// UnlockBy is Unlock by any kind of key slot; the zero Proof leaves it to the keyring.
//
// The error matches ErrPassphrase, ErrKey, ErrBackoff, ErrKeyring, ErrNoVault,
// ErrRequest (for a time that is not allowed) or ErrAgent.
func (a *Admin) UnlockBy(ctx context.Context, proof Proof, hard time.Duration) (*pb.UnlockResponse, error) {
	_, p, err := a.sealWithProof(ctx, pb.Admin_Unlock_FullMethodName, "", nil, proof)
	if err != nil {
		return nil, err
	}
	return a.rpc.Unlock(ctx, &pb.UnlockRequest{Passphrase: p.GetPassphrase(), Key: p.GetKey(), ForSeconds: seconds(hard)})
}

// KeySlots tells what opens the vault; it works while the vault is locked.
func (a *Admin) KeySlots(ctx context.Context) (*pb.ListKeySlotsResponse, error) {
	return a.rpc.ListKeySlots(ctx, &pb.ListKeySlotsRequest{})
}

// NewSlot is a key slot to be made.
type NewSlot struct {
	// Kind is "keyring", "passphrase", "keyring+passphrase", "recovery" or "key-file".
	Kind string
	// Opener seals what opens it: a new passphrase, the 16 bytes of a recovery code or
	// the 32 bytes of a key file; nil for kind "keyring".
	Opener Sealer
	// Cost of a passphrase: "low", "default" or "", which means the same.
	Cost string
}

// secrets returns the opener under the name that it has on the wire.
func (s NewSlot) secrets() map[string]Sealer {
	switch {
	case s.Opener == nil:
		return nil
	case s.Kind == "recovery":
		return map[string]Sealer{"new_recovery": s.Opener}
	case s.Kind == "key-file":
		return map[string]Sealer{"new_key_file": s.Opener}
	default:
		return map[string]Sealer{newPassphrase: s.Opener}
	}
}

// Fields of what is new.
const (
	newPassphrase = "new_passphrase"
	newTOTP       = "new_totp"
	newTOTPSecret = "new_totp_secret"
)

// first returns the first box, nil of none.
func first(boxes []*pb.Sealed) *pb.Sealed {
	if len(boxes) == 0 {
		return nil
	}
	return boxes[0]
}

// AddKeySlot adds a way to open the unlocked vault. It is durable when it returns.
//
// The error matches ErrProof, ErrConfirm, ErrPassphrase or ErrKey where the proof is
// missing or wrong, ErrBackoff, ErrLocked, ErrKeyring, ErrRequest or ErrAgent. After
// ErrAgent the slot may be there or not.
func (a *Admin) AddKeySlot(ctx context.Context, proof Proof, slot NewSlot) (*pb.AddKeySlotResponse, error) {
	boxes, p, err := a.sealWithProof(ctx, pb.Admin_AddKeySlot_FullMethodName, "", slot.secrets(), proof)
	if err != nil {
		return nil, err
	}
	return a.rpc.AddKeySlot(ctx, &pb.AddKeySlotRequest{Proof: p, Kind: slot.Kind, Opener: first(boxes), Cost: slot.Cost})
}

// AddTOTP sets up an authenticator app: secret seals the 20 random bytes that were given to
// it, code the six digits that it shows for them. It is durable when it returns. Where both
// are nil the proof is checked, nothing is set up, and nil returned.
//
// The error matches ErrTOTP where the code is not one of the secret, ErrExists where there
// is an app already, or is one of AddKeySlot.
func (a *Admin) AddTOTP(ctx context.Context, proof Proof, secret, code Sealer) (*pb.Totp, error) {
	secrets := map[string]Sealer{newTOTPSecret: secret, newTOTP: code}
	maps.DeleteFunc(secrets, func(_ string, s Sealer) bool { return s == nil })
	boxes, p, err := a.sealWithProof(ctx, pb.Admin_AddTOTP_FullMethodName, "", secrets, proof)
	if err != nil {
		return nil, err
	}
	q := &pb.AddTOTPRequest{Proof: p}
	for _, m := range boxes {
		if m.GetField() == newTOTP {
			q.Code = m
		} else {
			q.Secret = m
		}
	}
	out, err := a.rpc.AddTOTP(ctx, q)
	return out.GetTotp(), err
}

// RemoveKeySlot takes the slot with this id away, unless it is the last one. Errors as
// AddKeySlot.
func (a *Admin) RemoveKeySlot(ctx context.Context, proof Proof, id string) (*pb.RemoveKeySlotResponse, error) {
	_, p, err := a.sealWithProof(ctx, pb.Admin_RemoveKeySlot_FullMethodName, "", nil, proof)
	if err != nil {
		return nil, err
	}
	return a.rpc.RemoveKeySlot(ctx, &pb.RemoveKeySlotRequest{Proof: p, Id: text(id)})
}

// ChangePassphrase puts a new passphrase in the place of the old one, in every slot that
// the old one opens; cost is that of NewSlot, "" keeps it. The old one is the passphrase of
// proof, which may have a code beside it. Errors as AddKeySlot, and ErrTOTP.
func (a *Admin) ChangePassphrase(ctx context.Context, proof Proof, fresh Sealer, cost string) (*pb.ChangePassphraseResponse, error) {
	boxes, p, err := a.sealWithProof(ctx, pb.Admin_ChangePassphrase_FullMethodName, "", map[string]Sealer{newPassphrase: fresh}, Proof{Passphrase: proof.Passphrase, TOTP: proof.TOTP})
	if err != nil {
		return nil, err
	}
	return a.rpc.ChangePassphrase(ctx, &pb.ChangePassphraseRequest{Passphrase: p.GetPassphrase(), NewPassphrase: first(boxes), Cost: cost, Totp: p.GetTotp()})
}

// Recover puts slot, of a kind with passphrase or keyring, in the place of all such
// slots; code seals the 16 bytes of the recovery code. The vault must be unlocked, which
// the recovery code does as well. Errors as AddKeySlot.
func (a *Admin) Recover(ctx context.Context, code Sealer, slot NewSlot) (*pb.RecoverResponse, error) {
	boxes, p, err := a.sealWithProof(ctx, pb.Admin_Recover_FullMethodName, "", slot.secrets(), Proof{Recovery: code})
	if err != nil {
		return nil, err
	}
	return a.rpc.Recover(ctx, &pb.RecoverRequest{Recovery: p.GetKey(), Kind: slot.Kind, NewPassphrase: first(boxes), Cost: slot.Cost})
}
