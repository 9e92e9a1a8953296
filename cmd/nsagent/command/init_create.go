package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/nsagent/nsagent/agent"
	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/socketpath"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
	"github.com/nsagent/nsagent/vault/store"
)

// checkPlace refuses a place that has a vault, or what an earlier one left behind:
// its copy would be overwritten, and its ledger would not fit to a new one.
func checkPlace(p socketpath.Paths) error {
	if _, err := os.Lstat(p.Vault); err == nil {
		return agentFailure("", fmt.Errorf("making the vault: %w", store.ErrExists))
	}
	if path := agent.Leftover(p); path != "" {
		dir := filepath.Dir(p.Vault)
		return &client.Error{
			Code: pb.CodeExists, Message: "an earlier vault was here",
			Why:  fmt.Sprintf("%s is gone, and %s was left behind", filepath.Base(p.Vault), path),
			Next: fmt.Sprintf("put it back, or move the rest away:  mv %s %s.old", dir, dir),
		}
	}
	return nil
}

// createVault records that a vault is made, makes it, shows its recovery code and
// returns its id. If it cannot be made, nothing is left of it, and the log says so; if
// nobody takes the code down, the vault is there and the error says what it lacks. A
// running agent, which has no vault yet, holds the log; then nobody else can record
// anything. made is called once the vault is there.
func createVault(ctx context.Context, e *env, arena *secret.Arena, p socketpath.Paths, s newSlots, made func()) (id []byte, recorded bool, err error) {
	const what = "the vault cannot be made"
	for _, dir := range []string{filepath.Dir(p.Vault), p.AuditDir} {
		if err := socketpath.EnsureDir(dir); err != nil {
			return nil, false, agentFailure(what, err)
		}
	}
	kind := s.slots[0].Kind
	log, err := audit.Open(p.AuditDir, audit.Options{})
	record := func(entry audit.Event) error {
		entry.UID, entry.PID = os.Geteuid(), os.Getpid()
		entry.Exe, _ = os.Readlink(self) // evidence only
		if entry.Outcome == "" {
			entry.Outcome = audit.OutcomeOK
		}
		_, err := log.AppendSync(entry)
		return err
	}
	switch {
	case errors.Is(err, audit.ErrInUse):
		record = func(audit.Event) error { return nil }
	case err != nil:
		return nil, false, agentFailure(what, fmt.Errorf("opening the audit log: %w", err))
	default:
		recorded = true
		defer func() { _ = log.Close() }() // every entry was fsynced
	}
	entry := audit.Event{Event: audit.EventVaultCreate, Detail: strings.Join(s.kinds(), " ")}
	if err := record(entry); err != nil {
		return nil, false, agentFailure(what, fmt.Errorf("recording the new vault: %w", err))
	}
	cfg := vault.Config{Store: store.NewFile(p.Vault), Arena: arena, Keyring: e.keyringDoor(arena), MachineKeyFile: p.MachineKey}
	v, err := vault.Create(ctx, cfg, s.slots[0], s.slots[1:]...)
	if err != nil {
		failed := initFailure(what, err, kind)
		entry.Outcome, entry.Reason = audit.OutcomeFailed, string(failure(failed).Code)
		return nil, false, errors.Join(failed, record(entry))
	}
	defer v.Lock()
	if recorded {
		// The first checkpoint: its key is what an auditor starts from. If it cannot be
		// made now, the first unlock tries again.
		if keys, err := agent.CheckpointKeys(arena, v); err == nil {
			log.StartCheckpoints(keys).Stop()
		}
	}
	e.makeMachineKey(ctx, v, cfg, kind)
	made()
	if s.show {
		err = s.showRecovery(context.WithoutCancel(ctx), e, arena, v, record)
	}
	return v.ID(), recorded, err
}

// makeMachineKey makes the key of the ledger. A vault that opens without the keyring
// must not depend on a keyring that did not answer: it may be locked for good,
// as in a session over SSH. Where no key can be made now, the first unlock tries
// again.
func (e *env) makeMachineKey(ctx context.Context, v *vault.Vault, cfg vault.Config, kind vault.SlotKind) {
	if protection := v.RollbackProtection(); !kind.NeedsShare() && strings.HasPrefix(protection, "weak") {
		cfg.Keyring = nil
		var err error
		if v, err = vault.Open(ctx, cfg); err != nil {
			return
		}
	}
	if key, _, err := v.MachineKey(ctx); err == nil {
		key.Destroy()
	}
}

// initFailure is agentFailure, with the way round for a machine whose keyring does
// not help.
func initFailure(what string, err error, kind vault.SlotKind) error {
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("making the vault: %w", context.Canceled)
	}
	err = agentFailure(what, fmt.Errorf("making the vault: %w", err))
	if f := failure(err); f.Code == pb.CodeKeyring && kind.NeedsShare() {
		return &client.Error{Code: f.Code, Message: f.Message, Why: f.Why, Next: "do without it:  nsagent init --unlock passphrase   (nsagent help modes)"}
	}
	return err
}
