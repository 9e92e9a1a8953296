package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
)

// prove checks the fresh proof of a call that widens rights or carries something
// out, and returns what it was for the log: "passphrase", "key-file", "recovery",
// "confirmed" or "totp", or two of them joined by "+". what names the call in messages,
// such as "widening a limit". withCode says whether a code is wanted beside the rest, as
// stepUp does, of what the vault says now.
//
// Where a key slot takes a passphrase or a key file, that is the proof, and wrong
// passphrases count as they do at unlock. In a vault that the keyring opens, and no passphrase or key
// file, a code is the proof, and without an app the word of a terminal has to do. The
// recovery code is always one, and alone: it is for who has lost the rest, the phone
// included.
//
// The caller holds its turn to change the vault (beginAdmin). The one-time keys of
// the proof are used up, or dropped with the call.
func (a *Agent) prove(ctx context.Context, s *session, p *pb.Proof, method, profile, what string, withCode func(*session) bool) (string, error) {
	if err := a.catchUp(s); err != nil {
		return "", err
	}
	sealed, fields := p.GetKey(), []string{fieldKeyFile, fieldRecovery}
	if sealed == nil {
		switch proofKind(s.vault.Slots()) {
		case vault.SlotPassphrase, vault.SlotKeyringPassphrase:
			sealed, fields = p.GetPassphrase(), []string{fieldPassphrase}
			if sealed == nil {
				return "", refuse(ErrProof, pb.CodeProof, what+" needs the passphrase again", "being unlocked is not enough for it", "give it at a terminal, or with --passphrase-file")
			}
		case vault.SlotKeyFile:
			return "", refuse(ErrProof, pb.CodeKey, what+" needs the key file again", "being unlocked is not enough for it", "give it with --key-file F")
		case vault.SlotKeyring:
			return a.proveWithoutKey(ctx, s, p, method, profile, what, withCode(s))
		default:
			return "", refuse(ErrProof, pb.CodeKey, what+" needs the recovery code", "nothing else opens the vault", "give it more ways to open:  nsagent key recover")
		}
	}
	proof, err := a.openProof(ctx, sealed, method, profile, fields...)
	if err != nil {
		return "", err
	}
	defer destroyProof(proof)
	return a.proveOpened(ctx, s, proof, p.GetTotp(), method, profile, what, withCode(s))
}

// proofKind returns the kind of key slot that a proof is held against where it is not the
// recovery code; "" where nothing else opens the vault.
func proofKind(slots []vault.SlotInfo) vault.SlotKind {
	for _, kind := range []vault.SlotKind{vault.SlotPassphrase, vault.SlotKeyringPassphrase, vault.SlotKeyFile, vault.SlotKeyring} {
		if slices.ContainsFunc(slots, func(i vault.SlotInfo) bool { return i.Kind == kind }) {
			return kind
		}
	}
	return ""
}

// proveWithoutKey is prove for a vault that the keyring opens, and nothing that somebody
// could type again.
func (a *Agent) proveWithoutKey(ctx context.Context, s *session, p *pb.Proof, method, profile, what string, withCode bool) (string, error) {
	if s.authenticator != nil || withCode {
		return a.proveCode(ctx, s, p.GetTotp(), method, profile, what)
	}
	if !p.GetConfirmed() {
		return "", refuse(ErrProof, pb.CodeConfirm, what+" has to be confirmed", "the vault has no passphrase that could be asked for", "do it at a terminal, and say yes")
	}
	return "confirmed", nil
}

// proveOpened is prove for what opens a key slot and was opened already, with the code
// beside it.
func (a *Agent) proveOpened(ctx context.Context, s *session, proof vault.Proof, code *pb.Sealed, method, profile, what string, withCode bool) (string, error) {
	withCode = withCode && proof.Recovery.IsZero()
	if withCode { // a passphrase takes a second to check
		if err := s.wantsCode(code, what); err != nil {
			return "", err
		}
	}
	if err := a.proveBy(ctx, s, proof); err != nil {
		return "", wrongProof(fmt.Errorf("proving: %w", err), proof, what)
	}
	if !withCode {
		return proofName(proof), nil
	}
	by, err := a.proveCode(ctx, s, code, method, profile, what)
	return proofName(proof) + "+" + by, err
}

// wrongProof says of an error of proveBy that the proof was wrong: the vault is open, and
// what an unlock says of the same would send people to unlock it.
func wrongProof(err error, proof vault.Proof, what string) error {
	const again = "do the command again, with the right one"
	needs := what + " needs the right one; nothing was changed"
	switch {
	case errors.Is(err, ErrBackoff):
		return refuse(err, pb.CodeBackoff, what+" is not taken for now", refusalOf(err).Why, "wait, then do the command again")
	case errors.Is(err, vault.ErrPassphrase) && errors.As(err, new(*Refusal)): // no keyring has a part in it
		return refuse(err, pb.CodePassphrase, "the passphrase is wrong", needs, again)
	case errors.Is(err, vault.ErrPassphrase):
		return refuse(err, pb.CodePassphrase, "the passphrase is wrong, or the keyring holds the share of another vault", needs, again)
	case errors.Is(err, vault.ErrKey) && !proof.Recovery.IsZero():
		return refuse(err, pb.CodeKey, "the recovery code is not that of this vault", "it is of another, or was replaced; nothing was changed", again)
	case errors.Is(err, vault.ErrKey):
		return refuse(err, pb.CodeKey, "the key file is not one of this vault", "it is of another, or was replaced; nothing was changed", again)
	}
	return err
}

// boxes returns what of a proof is sealed, beside others.
func boxes(p *pb.Proof, others ...*pb.Sealed) []*pb.Sealed {
	return append([]*pb.Sealed{p.GetPassphrase(), p.GetKey(), p.GetTotp()}, others...)
}

// openProof opens what opens a key slot; m may be nil. It has to be one of fields: what
// somebody names otherwise must not count for what it is not. The caller destroys it.
func (a *Agent) openProof(ctx context.Context, m *pb.Sealed, method, profile string, fields ...string) (p vault.Proof, err error) {
	if m == nil {
		return p, nil
	}
	if !slices.Contains(fields, m.GetField()) {
		return p, refuse(ErrRequest, pb.CodeRequest, fmt.Sprintf("a sealed %.40q proves nothing here", m.GetField()), "it has to be "+strings.Join(fields, " or "), "")
	}
	b, err := a.open(ctx, m, method, profile, maxPassphrase)
	if err != nil {
		return p, err
	}
	switch m.GetField() {
	case fieldPassphrase:
		p.Passphrase = b
	case fieldRecovery:
		p.Recovery = b
	case fieldKeyFile:
		p.KeyFile = b
	}
	return p, nil
}

func destroyProof(p vault.Proof) {
	p.Passphrase.Destroy()
	p.Recovery.Destroy()
	p.KeyFile.Destroy()
}

// proofName names what a proof is, for the audit log.
func proofName(p vault.Proof) string {
	switch {
	case !p.Recovery.IsZero():
		return string(vault.SlotRecovery)
	case !p.KeyFile.IsZero():
		return string(vault.SlotKeyFile)
	default:
		return string(vault.SlotPassphrase)
	}
}
