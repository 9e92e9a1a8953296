package command

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/agent"
	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/socketpath"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
	"github.com/nsagent/nsagent/vault/store"
)

func newVault(e *env) *cobra.Command {
	c := &cobra.Command{
		Use:   "vault",
		Short: "Check the files of the vault",
	}
	c.AddCommand(newVaultFsck(e))
	return c
}

func newVaultFsck(e *env) *cobra.Command {
	var from anyOpenerFlags
	c := &cobra.Command{
		Use:   "fsck",
		Short: "Check every file of the vault, and say what to do",
		Long: `Check every file of the vault: the vault itself, the generation before it, the
blobs of long secrets, the ledger, and the pin in the keyring against older
copies. Where an agent has the vault unlocked, or what opens it is given,
everything that is sealed is opened as well. It changes nothing and repairs
nothing, says what to do about each finding, and exits with 9 if there is a
problem. It starts no agent, so that a damaged vault can be looked at too. Where
an agent cannot record the check, as on a full disk, it is made without it.`,
		Example: `  nsagent vault fsck
  nsagent vault fsck --passphrase-file FILE
  nsagent vault fsck --recovery
  nsagent vault fsck -o json`,
		Args: takes(),
		RunE: func(c *cobra.Command, _ []string) error { return runVaultFsck(c.Context(), e, from) },
	}
	from.register(c)
	return c
}

func runVaultFsck(ctx context.Context, e *env, from anyOpenerFlags) error {
	p, err := e.paths()
	if err != nil {
		return err
	}
	all, err := e.fsckByAgent(ctx, p, from)
	if errors.Is(err, client.ErrAgent) {
		all, err = e.fsckHere(ctx, p, from)
	}
	if err != nil {
		return err
	}
	return e.printChecks(pb.ChecksForm("", all))
}

// fsckByAgent asks the agent that runs, if one does. Where the agent is locked and what
// opens the vault is given, there is more to see here.
func (e *env) fsckByAgent(ctx context.Context, p socketpath.Paths, from anyOpenerFlags) ([]*pb.Check, error) {
	if err := e.asleep(p); err != nil {
		return nil, err
	}
	a, err := client.DialAdmin(ctx, client.WithSocket(p.Admin))
	if err != nil {
		return nil, err
	}
	defer func() { _ = a.Close() }()
	r, err := a.CheckVault(ctx)
	if errors.Is(err, client.ErrAudit) { // which a check that only reads need not wait for
		e.note("the audit log cannot be written: this check is not recorded, and the agent, which has the ledger open, takes no part in it")
		return e.fsckHere(ctx, p, from)
	}
	if err == nil && r.GetLocked() && from.given() {
		return e.fsckHere(ctx, p, from)
	}
	return r.GetChecks(), err
}

// fsckHere looks at the files in this process.
func (e *env) fsckHere(ctx context.Context, p socketpath.Paths, from anyOpenerFlags) ([]*pb.Check, error) {
	arena, err := newArenaOf(0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = arena.Close() }()
	cfg := agent.FsckConfig{Paths: p, Arena: arena, Keyring: e.keyringDoor(arena)}
	if from.given() {
		by, err := from.read(e, arena)
		if err != nil {
			return nil, err
		}
		defer by.Destroy()
		v, err := vault.Open(ctx, vault.Config{Store: store.NewFile(p.Vault), Arena: arena, Keyring: cfg.Keyring, MachineKeyFile: p.MachineKey})
		if err == nil { // one that does not open is what Fsck finds
			if err := v.UnlockBy(ctx, vaultProof(by)); err != nil && !errors.Is(err, vault.ErrDamaged) && !errors.Is(err, vault.ErrRollback) {
				return nil, agentFailure("the vault cannot be opened", fmt.Errorf("unlocking: %w", err))
			} else if err == nil {
				defer v.Lock()
				cfg.Open = v
			}
		}
	}
	return agent.Fsck(ctx, cfg), nil
}

// vaultProof returns how what opens a vault goes to one in this process.
func vaultProof(o opening) vault.Proof {
	switch o.kind {
	case kindRecovery:
		return vault.Proof{Recovery: o.Bytes}
	case kindKeyFile:
		return vault.Proof{KeyFile: o.Bytes}
	default:
		return vault.Proof{Passphrase: o.Bytes}
	}
}
