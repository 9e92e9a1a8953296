package agent

import (
	"context"
	"errors"
	"fmt"

	"github.com/nsagent/nsagent/internal/unlocktoken"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
	"github.com/nsagent/nsagent/vault/store"
)

// A revocation is in the ledger, where it can be written while the vault is locked, and in
// the vault, which is signed and opens nothing for the grant from then on. What one of them
// lacks it gets from the other, at the next unlock: a revocation by a locked agent goes
// into the vault, and a ledger that was lost learns what the vault knows.

// isRevoked returns when g was revoked, in Unix seconds. While the vault is locked only the
// ledger says so.
func (a *Agent) isRevoked(l *ledger, g vault.Grant) (at int64, revoked bool) {
	if at, revoked := l.Get(ledgerGrantRevoked, g.ID[:]); revoked {
		return int64(at), true // #nosec G115 -- written from times
	}
	at, _ = a.markOf(g) // whoever takes a token or lists grants sees that it cannot be read
	return at, at != 0
}

// markOf returns since when the vault has g as revoked; 0: it has not, or is locked. The
// error says that nobody can tell.
func (a *Agent) markOf(g vault.Grant) (at int64, err error) {
	if g.Meta == nil {
		return 0, nil
	}
	m, _, err := a.codec.decodeGrant(g.Meta)
	if err != nil {
		return 0, refuse(errors.Join(ErrGrant, err), pb.CodeGrant, "the unlock token was not taken", "what the vault keeps of its grant cannot be read, and may say that it was revoked: it is damaged, or of a newer nsagent", "update nsagent, or have its owner make another:  nsagent grant new")
	}
	return m.Revoked, nil
}

// markRevoked has the vault keep that grants are revoked, as the ledger says, if it is
// unlocked. Those that it keeps so already cost nothing. Where it cannot, the next unlock
// sees to that. The caller has its turn.
func (a *Agent) markRevoked(ctx context.Context, v *vault.Vault) {
	if v.Locked() {
		return
	}
	if err := a.mark(ctx, v); err != nil {
		a.log.Warn("the vault does not have that grants were revoked; the ledger does", "error", err)
	}
}

func (a *Agent) mark(ctx context.Context, v *vault.Vault) error {
	all, err := v.Grants()
	if err != nil {
		return err
	}
	var owed []vault.EndedGrant
	err = a.useLedger(ctx, v, func(l *ledger) (err error) {
		owed, err = a.unmarked(l, all)
		return err
	})
	if len(owed) == 0 {
		return err
	}
	return v.EndGrants(ctx, owed)
}

// unmarked returns those of all that the ledger has as revoked, and the vault not yet, as it
// is to keep them.
func (a *Agent) unmarked(l *ledger, all []vault.Grant) (ended []vault.EndedGrant, err error) {
	for _, g := range all {
		at, revoked := l.Get(ledgerGrantRevoked, g.ID[:])
		if !revoked {
			continue
		}
		m, _, err := a.codec.decodeGrant(g.Meta)
		if err != nil || m.Revoked != 0 {
			continue // the ledger has it
		}
		m.Revoked = max(int64(at), 1) // #nosec G115 -- written from times
		meta, err := a.codec.enc.Marshal(m)
		if err != nil {
			return nil, fmt.Errorf("encoding a grant: %w", err)
		}
		ended = append(ended, vault.EndedGrant{ID: g.ID, Meta: meta})
	}
	return ended, nil
}

// settleRevocations has ledger and vault agree on what is revoked, once v is unlocked. What
// fails is tried again at the next unlock; until then each is asked for what it knows.
func (a *Agent) settleRevocations(ctx context.Context, v *vault.Vault, k *ledgerKey) {
	ctx, cancel := finishing(ctx)
	defer cancel()
	if err := a.settle(ctx, v, k); err != nil {
		a.log.Warn("vault and ledger do not agree on the grants that were revoked", "error", err)
	}
}

func (a *Agent) settle(ctx context.Context, v *vault.Vault, k *ledgerKey) error {
	all, err := v.Grants()
	if len(all) == 0 {
		return err
	}
	var owed []vault.EndedGrant
	err = k.use(ctx, func(l *ledger) (err error) {
		owed, err = a.unmarked(l, all)
		return errors.Join(err, l.Append(a.unknown(l, all)...))
	})
	if len(owed) == 0 {
		return err
	}
	if err := errors.Join(err, v.EndGrants(ctx, owed)); err != nil { // it may ask the keyring
		return err
	}
	return k.use(ctx, func(l *ledger) error { return a.noteGenerationIn(l, v) })
}

// unknown returns what the vault says of the revocation of all, and the ledger does not.
func (a *Agent) unknown(l *ledger, all []vault.Grant) (entries []store.Entry) {
	for _, g := range all {
		if _, known := l.Get(ledgerGrantRevoked, g.ID[:]); known {
			continue
		}
		if at, _ := a.markOf(g); at != 0 {
			entries = append(entries, store.Entry{Kind: ledgerGrantRevoked, Subject: g.ID[:], Value: uint64(at)}) // #nosec G115 -- written from times
		}
	}
	return entries
}

// forgotten says what a ledger that has not seen v before does not know, if that matters.
func (a *Agent) forgotten(v *vault.Vault) []string {
	if all, _ := v.Grants(); len(all) == 0 { // what cannot be read is told by whoever needs it
		return nil
	}
	return []string{"the ledger of this machine is new: what unlock tokens had used counts from zero, and what was revoked while the vault was locked may be good again; look at the grants (nsagent grant ls)"}
}

// newLedger is the refusal of a token by an agent that is locked, and whose ledger has
// not seen the vault yet: it says nothing of what was revoked or used up.
func newLedger() error {
	return refuse(vault.ErrLocked, pb.CodeLocked, "the unlock token was not taken", "the ledger of this machine is new, and does not say what was revoked", "unlock the vault once:  nsagent unlock")
}

// without is the refusal of a grant that no share opens anything of.
func without() error {
	return refuse(ErrGrant, pb.CodeGrant, "the unlock token opens nothing here", "it was revoked, or its profiles have new keys or are gone", "have its owner make another:  nsagent grant new")
}

// opened returns the records that g opens, or opened until it was revoked.
func (a *Agent) opened(g vault.Grant) [][16]byte {
	m, grant, err := a.codec.decodeGrant(g.Meta)
	if err != nil || m.Revoked == 0 || grant.Mode == unlocktoken.Detached {
		return g.Records
	}
	var ids [][16]byte
	for _, id := range grant.Caveats.Credentials {
		ids = append(ids, id)
	}
	return ids
}
