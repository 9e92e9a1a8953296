package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/nsagent/nsagent/agent/audit"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
	"github.com/nsagent/nsagent/vault/store"
)

// Recover puts a new key slot in the place of those that a lost keyring or a forgotten
// passphrase made useless, for who has the recovery code.
func (s adminService) Recover(ctx context.Context, q *pb.RecoverRequest) (*pb.RecoverResponse, error) {
	const method = pb.Admin_Recover_FullMethodName
	defer s.seals.drop(callerOf(ctx).peer, q.GetRecovery(), q.GetNewPassphrase())
	slot, err := s.openSlot(ctx, q.GetKind(), q.GetCost(), q.GetNewPassphrase(), method)
	defer destroySlot(slot)
	var slots []vault.SlotInfo
	var warnings []string
	var code vault.Proof
	if err == nil {
		code, err = s.openProof(ctx, q.GetRecovery(), method, "", fieldRecovery)
	}
	defer func() { destroyProof(code) }()
	if err == nil && code.Recovery.IsZero() {
		err = refuse(ErrRequest, pb.CodeRequest, "nothing but the recovery code recovers a vault", "", "")
	}
	if err == nil {
		slots, err = s.changeSlots(ctx, s.proofBy(ctx, code, nil, method, "recovering the vault"), func(open *session) (slotChange, error) {
			lost, err := s.ledgerIsLost(ctx, open.vault)
			e := audit.Event{Event: audit.EventKeyRecover, Kind: string(slot.Kind)}
			if lost {
				e.Detail = "ledger=new"
			}
			return slotChange{e, func() error {
				warnings = open.notes
				if lost {
					warnings = []string{fmt.Sprintf("the ledger of this machine was started anew, since its key is lost: that this is the newest copy of the vault, only you can tell; what unlock tokens had used, and what was revoked while the vault was locked, it does not know: look at the grants, and revoke what should not be there (nsagent grant ls); the old ledger is %s", s.cfg.Paths.Ledger+oldLedger)}
					if err := s.renewLedger(ctx, open, slot.Kind.NeedsShare()); err != nil {
						return err
					}
				}
				return open.vault.Recover(ctx, slot)
			}}, err
		})
	}
	if err != nil {
		return nil, s.reply(s.denied(callerOf(ctx), audit.EventKeyRecover, "", err))
	}
	return &pb.RecoverResponse{Slots: slotMessages(slots), Weakest: string(vault.Weakest(slots)), Warnings: warnings}, nil
}

// oldLedger is what is added to the name of a ledger that no key verifies any more.
const oldLedger = ".old"

// ledgerIsLost reports whether the ledger of this machine, or the key under which it
// stands, is gone or another machine's. Who has the recovery code may start it anew.
func (a *Agent) ledgerIsLost(ctx context.Context, v *vault.Vault) (bool, error) {
	l, err := a.openLedger(ctx, v)
	switch {
	case err == nil:
		return false, l.Close()
	case lostLedger(err):
		return true, nil
	default:
		return false, err
	}
}

// renewLedger moves the ledger aside and begins a new one, under a new machine key
// where the old one cannot be had. Where inKeyring is not asked for, a keyring that does
// not answer is done without.
func (a *Agent) renewLedger(ctx context.Context, s *session, inKeyring bool) error {
	err := os.Rename(a.cfg.Paths.Ledger, a.cfg.Paths.Ledger+oldLedger)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("moving the ledger aside: %w", err)
	}
	key, weak, err := s.vault.MachineKey(ctx)
	if err != nil {
		key, weak, err = s.vault.NewMachineKey(ctx, inKeyring)
	}
	if err != nil {
		return fmt.Errorf("renewing the machine key: %w", err)
	}
	k := &ledgerKey{a, key, s.vault.ID()}
	defer k.Destroy()
	err = k.use(ctx, func(l *ledger) error {
		return l.Append(store.Entry{Kind: ledgerGeneration, Subject: k.vault, Value: s.vault.Generation()})
	})
	if err != nil {
		return fmt.Errorf("beginning a ledger: %w", err)
	}
	a.settleRevocations(ctx, s.vault, k)
	a.mu.Lock()
	defer a.mu.Unlock()
	s.weakMachineKey, s.notes = weak, nil
	return nil
}
