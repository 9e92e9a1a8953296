package agent

import (
	"context"
	"fmt"
	"slices"

	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
)

// prove checks the fresh proof of a call that widens rights or carries something
// out, and returns what it was for the log: "passphrase" or "confirmed". what names
// the call in messages, such as "widening a limit".
//
// Where a key slot takes a passphrase, that is the proof, and wrong ones count as
// they do at unlock. In a vault without one the word of a terminal has to do.
//
// The caller holds its turn to change the vault (beginAdmin). The one-time key of
// the passphrase is used up, or dropped with the call.
func (a *Agent) prove(ctx context.Context, s *session, p *pb.Proof, method, profile, what string) (string, error) {
	takesPassphrase := slices.ContainsFunc(s.vault.Slots(), func(i vault.SlotInfo) bool { return i.Kind.NeedsPassphrase() })
	switch {
	case !takesPassphrase && !p.GetConfirmed():
		return "", refuse(ErrProof, pb.CodeConfirm, what+" has to be confirmed", "the vault has no passphrase that could be asked for", "do it at a terminal, and say yes")
	case !takesPassphrase:
		return "confirmed", nil
	case p.GetPassphrase() == nil:
		return "", refuse(ErrProof, pb.CodeProof, what+" needs the passphrase again", "being unlocked is not enough for it", "give it at a terminal, or with --passphrase-file")
	}
	passphrase, err := a.open(ctx, p.GetPassphrase(), method, profile, maxPassphrase)
	if err != nil {
		return "", err
	}
	defer passphrase.Destroy()
	if passphrase.Len() == 0 {
		return "", fmt.Errorf("proving: %w", vault.ErrPassphrase)
	}
	if _, err := a.tryUnlock(ctx, s.vault, passphrase); err != nil {
		return "", fmt.Errorf("proving: %w", err)
	}
	return "passphrase", nil
}
