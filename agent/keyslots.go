package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nsagent/nsagent/agent/audit"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
	"github.com/nsagent/nsagent/vault/store"
)

// Fields of what is sealed to open a key slot.
const (
	fieldPassphrase    = "passphrase"
	fieldRecovery      = "recovery"
	fieldKeyFile       = "key_file"
	fieldNewPassphrase = "new_passphrase"
	fieldNewRecovery   = "new_recovery"
	fieldNewKeyFile    = "new_key_file"
)

// openSlot opens what a new key slot of a kind is to open by; m may be nil for a kind
// that takes nothing from the caller. The caller destroys both secrets of the slot.
func (a *Agent) openSlot(ctx context.Context, kind, cost string, m *pb.Sealed, method string) (s vault.Slot, err error) {
	s.Kind = vault.SlotKind(kind)
	want := ""
	switch s.Kind {
	case vault.SlotKeyring:
	case vault.SlotPassphrase, vault.SlotKeyringPassphrase:
		want = fieldNewPassphrase
	case vault.SlotRecovery:
		want = fieldNewRecovery
	case vault.SlotKeyFile:
		want = fieldNewKeyFile
	default:
		return s, refuse(ErrRequest, pb.CodeRequest, fmt.Sprintf("there is no key slot of kind %.40q", kind), "", "")
	}
	if s.KDF, err = kdf(cost); err != nil {
		return s, err
	}
	if m.GetField() != want {
		return s, refuse(ErrRequest, pb.CodeRequest, fmt.Sprintf("a key slot of kind %s needs %q, not %.40q", kind, want, m.GetField()), "", "")
	}
	if want == "" {
		return s, nil
	}
	b, err := a.open(ctx, m, method, "", maxPassphrase)
	if want == fieldNewPassphrase {
		s.Passphrase = b
	} else {
		s.Key = b
	}
	return s, err
}

func destroySlot(s vault.Slot) {
	s.Passphrase.Destroy()
	s.Key.Destroy()
}

// kdf returns the cost of a passphrase by its name; "" is zero.
func kdf(cost string) (vault.KDF, error) {
	switch cost {
	case "":
		return vault.KDF{}, nil
	case "default":
		return vault.KDFDefault, nil
	case "low":
		return vault.KDFLow, nil
	default:
		return vault.KDF{}, refuse(ErrRequest, pb.CodeRequest, fmt.Sprintf("unknown cost %.20q", cost), "it is default or low", "")
	}
}

// ListKeySlots tells what opens the vault.
func (s adminService) ListKeySlots(ctx context.Context, _ *pb.ListKeySlotsRequest) (*pb.ListKeySlotsResponse, error) {
	slots, err := s.keySlots(ctx)
	if err != nil {
		return nil, s.reply(err)
	}
	out := &pb.ListKeySlotsResponse{Slots: slotMessages(slots), Weakest: string(vault.Weakest(slots))}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if open, err := s.currentLocked(); err == nil {
		out.Totp = open.authenticator.message()
	}
	return out, nil
}

// keySlots returns the key slots of the vault, which stand in its public part.
func (a *Agent) keySlots(ctx context.Context) ([]vault.SlotInfo, error) {
	if s, err := a.unlocked(); err == nil {
		return s.vault.Slots(), nil
	}
	end, err := a.beginAdmin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	v, err := a.openVault(ctx)
	if errors.Is(err, store.ErrNotFound) {
		return nil, NoVault(a.cfg.Paths, ErrNoVault)
	}
	if err != nil {
		return nil, err
	}
	return v.Slots(), nil
}

func slotMessages(slots []vault.SlotInfo) []*pb.KeySlot {
	out := make([]*pb.KeySlot, 0, len(slots))
	for _, s := range slots {
		out = append(out, &pb.KeySlot{Id: s.ID.String(), Kind: string(s.Kind), MemoryKib: s.KDF.MemoryKiB, Passes: s.KDF.Time, Threads: uint32(s.KDF.Threads)})
	}
	return out
}

// AddKeySlot adds a way to open the vault.
func (s adminService) AddKeySlot(ctx context.Context, q *pb.AddKeySlotRequest) (*pb.AddKeySlotResponse, error) {
	const method = pb.Admin_AddKeySlot_FullMethodName
	defer s.seals.drop(callerOf(ctx).peer, boxes(q.GetProof(), q.GetOpener())...)
	slot, err := s.openSlot(ctx, q.GetKind(), q.GetCost(), q.GetOpener(), method)
	defer destroySlot(slot)
	var slots []vault.SlotInfo
	if err == nil {
		slots, err = s.changeSlots(ctx, s.proof(ctx, q.GetProof(), method, "adding a key slot"), func(open *session) (slotChange, error) {
			if slot.Kind == vault.SlotPassphrase {
				opens, err := open.vault.PassphraseOpens(ctx, slot.Passphrase)
				if err != nil {
					return slotChange{}, err
				}
				if opens {
					return slotChange{}, refuse(vault.ErrSlot, pb.CodeRequest, "the vault opens by that passphrase already", "a second key slot for it opens nothing more", "take another passphrase, or put another in its place:  nsagent key passwd")
				}
			}
			return slotChange{
				audit.Event{Event: audit.EventKeyAdd, Kind: string(slot.Kind)},
				func() error { return open.vault.AddSlot(ctx, slot) },
			}, nil
		})
	}
	if err != nil {
		return nil, s.reply(s.denied(callerOf(ctx), audit.EventKeyAdd, "", err))
	}
	return &pb.AddKeySlotResponse{Slots: slotMessages(slots), Weakest: string(vault.Weakest(slots))}, nil
}

// RemoveKeySlot takes a way to open the vault away.
func (s adminService) RemoveKeySlot(ctx context.Context, q *pb.RemoveKeySlotRequest) (*pb.RemoveKeySlotResponse, error) {
	const method = pb.Admin_RemoveKeySlot_FullMethodName
	defer s.seals.drop(callerOf(ctx).peer, boxes(q.GetProof())...)
	var gone vault.SlotInfo
	prove := func(open *session) (string, error) {
		// Who has the passphrase alone must not put another phone in the place of this one.
		return s.prove(ctx, open, q.GetProof(), method, "", "removing a key slot",
			func(open *session) bool { return open.stepUp() || open.authenticator.is(q.GetId()) })
	}
	slots, err := s.changeSlots(ctx, prove, func(open *session) (slotChange, error) {
		if open.authenticator.is(q.GetId()) {
			return s.removeTOTP(ctx, open), nil
		}
		all := open.vault.Slots()
		i := slices.IndexFunc(all, func(i vault.SlotInfo) bool { return i.ID.String() == q.GetId() })
		switch {
		case i < 0:
			return slotChange{}, refuse(vault.ErrNotFound, pb.CodeNotFound, fmt.Sprintf("there is no key slot %.40q", q.GetId()), "", "list them:  nsagent key ls")
		case len(all) == 1:
			return slotChange{}, refuse(vault.ErrSlot, pb.CodeRequest, "the last key slot is not removed", "nothing would open the vault any more", "add another one before:  nsagent key add KIND")
		}
		gone = all[i]
		return slotChange{
			audit.Event{Event: audit.EventKeyRemove, Kind: string(gone.Kind), Detail: "slot=" + gone.ID.String()},
			func() error { return open.vault.RemoveSlot(ctx, gone.ID) },
		}, nil
	})
	if err != nil {
		return nil, s.reply(s.denied(callerOf(ctx), audit.EventKeyRemove, "", err))
	}
	return &pb.RemoveKeySlotResponse{Slots: slotMessages(slots), Weakest: string(vault.Weakest(slots)), Warnings: afterRemoval(gone, slots)}, nil
}

// afterRemoval says what is weaker now that a slot is gone.
func afterRemoval(gone vault.SlotInfo, left []vault.SlotInfo) []string {
	var out []string
	daily := slices.DeleteFunc(slices.Clone(left), func(s vault.SlotInfo) bool { return s.Kind == vault.SlotRecovery })
	switch weaker := func(s vault.SlotInfo) bool {
		return s.Kind != gone.Kind && vault.Weakest([]vault.SlotInfo{s, gone}) == s.Kind
	}; {
	case gone.Kind == "": // the authenticator app, which opens nothing
	case len(daily) == 0:
		out = append(out, "only the recovery code opens the vault now")
	case gone.Kind != vault.SlotRecovery && !slices.ContainsFunc(daily, func(s vault.SlotInfo) bool { return !weaker(s) }):
		out = append(out, fmt.Sprintf("what opens the vault now is weaker than what was removed: %s instead of %s", vault.Weakest(daily), gone.Kind))
	}
	if gone.Kind == vault.SlotRecovery && len(daily) == len(left) {
		out = append(out, "no recovery code opens the vault any more: who forgets the passphrase or loses the keyring loses the vault")
	}
	return out
}

// ChangePassphrase puts a new passphrase in the place of an old one.
func (s adminService) ChangePassphrase(ctx context.Context, q *pb.ChangePassphraseRequest) (*pb.ChangePassphraseResponse, error) {
	const method = pb.Admin_ChangePassphrase_FullMethodName
	defer s.seals.drop(callerOf(ctx).peer, q.GetPassphrase(), q.GetNewPassphrase(), q.GetTotp())
	// The old passphrase is proof and ingredient, and its key works once.
	old, err := s.openProof(ctx, q.GetPassphrase(), method, "", fieldPassphrase)
	defer destroyProof(old)
	var fresh vault.Slot
	if err == nil {
		fresh, err = s.openSlot(ctx, string(vault.SlotPassphrase), q.GetCost(), q.GetNewPassphrase(), method)
	}
	defer destroySlot(fresh)
	changed := 0
	if err == nil {
		_, err = s.changeSlots(ctx, s.proofBy(ctx, old, q.GetTotp(), method, "changing the passphrase"), func(open *session) (slotChange, error) {
			return slotChange{
				audit.Event{Event: audit.EventKeyPassphrase},
				func() (err error) {
					changed, err = open.vault.ChangePassphrase(ctx, old.Passphrase, fresh.Passphrase, fresh.KDF)
					return err
				},
			}, nil
		})
	}
	if err != nil {
		return nil, s.reply(s.denied(callerOf(ctx), audit.EventKeyPassphrase, "", err))
	}
	return &pb.ChangePassphraseResponse{Changed: int32(changed)}, nil // #nosec G115 -- at most 8
}

// slotChange is a change of the key slots: what is recorded of it, and how it is made.
type slotChange struct {
	event audit.Event
	make  func() error
}

// proof returns the check of a fresh proof that is sealed for a call.
func (a *Agent) proof(ctx context.Context, p *pb.Proof, method, what string) func(*session) (string, error) {
	return func(s *session) (string, error) { return a.prove(ctx, s, p, method, "", what, (*session).stepUp) }
}

// proofBy returns the check of a fresh proof that was opened already, and of the code
// beside it.
func (a *Agent) proofBy(ctx context.Context, p vault.Proof, code *pb.Sealed, method, what string) func(*session) (string, error) {
	return func(s *session) (string, error) {
		if err := a.catchUp(s); err != nil {
			return "", err
		}
		return a.proveOpened(ctx, s, p, code, method, "", what, s.stepUp())
	}
}

// changeSlots changes the key slots of the unlocked vault: it checks the fresh proof,
// has plan say what to do or why not, records it, makes it and returns the slots that
// are there then.
func (a *Agent) changeSlots(ctx context.Context, prove func(*session) (string, error), plan func(*session) (slotChange, error)) ([]vault.SlotInfo, error) {
	s, end, err := a.beginChange(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	by, err := prove(s)
	if err != nil {
		return nil, err
	}
	change, err := plan(s)
	if err != nil {
		return nil, err
	}
	change.event.Outcome = audit.OutcomeOK
	change.event.Detail = strings.Join(strings.Fields(change.event.Kind+" "+change.event.Detail+" proof="+by), " ")
	if err := a.carryOut(callerOf(ctx), change.event, change.make); err != nil {
		return nil, err
	}
	return s.vault.Slots(), nil
}
