package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/nsagent/nsagent/agent"
	"github.com/nsagent/nsagent/internal/doctor"
	"github.com/nsagent/nsagent/internal/secret"
	"github.com/nsagent/nsagent/internal/socketpath"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
	"github.com/nsagent/nsagent/vault"
	"github.com/nsagent/nsagent/vault/keyring"
	"github.com/nsagent/nsagent/vault/store"
)

// examineVault reads the vault without opening it, and tries the keyring, whose
// failure weighs more where the vault needs it.
func (e *env) examineVault(ctx context.Context, p socketpath.Paths) []doctor.Finding {
	arena, err := newArena()
	if err != nil {
		return []doctor.Finding{foundFault("vault", err)}
	}
	defer func() { _ = arena.Close() }()
	found, need := readVault(ctx, arena, p)
	found = append(found, examineCopies(ctx, arena, p)...)
	return append(found, e.tryKeyring(ctx, arena, p, need)...)
}

// keyringNeed says what a vault has to do with the keyring.
type keyringNeed int

const (
	// needUnknown is where there is no vault, or one that cannot be read.
	needUnknown keyringNeed = iota
	// needNone is a vault whose slots take no share.
	needNone
	// needSome is one that opens by a share, and by something else.
	needSome
	// needAll is one that without a keyring nothing opens but the recovery code, which nobody
	// types every day.
	needAll
)

// examineCopies looks at the files beside a vault that can be read: the generation before,
// the blobs of long secrets, and whether the ledger has seen a newer vault.
func examineCopies(ctx context.Context, arena *secret.Arena, p socketpath.Paths) []doctor.Finding {
	levels := map[string]doctor.Level{"ok": doctor.OK, "note": doctor.Warn, "problem": doctor.Problem}
	var out []doctor.Finding
	for _, c := range agent.FsckFiles(ctx, agent.FsckConfig{Paths: p, Arena: arena}) {
		if name := c.GetName(); name == "previous" || name == "blobs" || name == "ledger" {
			out = append(out, doctor.Finding{Check: "vault." + name, Level: levels[c.GetState()], Text: c.GetDetail(), Fix: c.GetRemedy()})
		}
	}
	return out
}

// readVault says whether the vault is sound, as far as that is known while it is
// locked, and how it opens.
func readVault(ctx context.Context, arena *secret.Arena, p socketpath.Paths) (out []doctor.Finding, need keyringNeed) {
	const check = "vault"
	v, err := vault.Open(ctx, vault.Config{Store: store.NewFile(p.Vault), Arena: arena})
	if errors.Is(err, store.ErrNotFound) {
		if err := checkPlace(p); err != nil {
			return []doctor.Finding{foundFault(check, err)}, needUnknown
		}
		return []doctor.Finding{{Check: check, Level: doctor.OK, Text: "none yet", Fix: "make one:  nsagent init"}}, needUnknown
	}
	if err != nil {
		return []doctor.Finding{foundFault(check, agentFailure("the vault cannot be read", err))}, needUnknown
	}
	var kinds []string
	shares, others := false, false
	for _, s := range v.Slots() {
		kinds = append(kinds, string(s.Kind))
		shares = shares || s.Kind.NeedsShare()
		others = others || !s.Kind.NeedsShare() && s.Kind != vault.SlotRecovery
	}
	switch {
	case !shares:
		need = needNone
	case others:
		need = needSome
	default:
		need = needAll
	}
	out = append(out, doctor.Finding{Check: check, Level: doctor.OK, Text: "its signature is right; it opens by " + strings.Join(kinds, " or ")})
	if slices.Contains(kinds, string(vault.SlotKeyring)) {
		out = append(out, doctor.Finding{Check: "vault.opens", Level: doctor.Warn, Text: "the keyring alone opens the vault", Why: "any program that runs as you can read its share",
			Fix: "see what else there is:  nsagent help modes"})
	}
	return out, need
}

// tryKeyring writes an entry, reads it back and removes it, by the same helper and
// under the same deadline as the agent; and looks for what the vault has in the keyring.
func (e *env) tryKeyring(ctx context.Context, arena *secret.Arena, p socketpath.Paths, need keyringNeed) []doctor.Finding {
	f := doctor.Finding{Check: "keyring", Level: doctor.OK, Text: "it keeps what is written, and gives it back"}
	door := e.keyringDoor(arena)
	err := useKeyring(ctx, door, arena)
	if err == nil {
		return append([]doctor.Finding{f}, inKeyring(ctx, door, arena, p, need)...)
	}
	code, text, why, _ := agent.Explain(err)
	if code == pb.CodeInternal {
		text, why = "the OS keyring cannot be tried", plain(err)
	}
	f.Text = text
	if why != "" {
		f.Text += ": " + plainText(why)
	}
	switch need {
	case needNone: // it stays so, and there is nothing to do about it
		f.Why = "the vault does without it; with it, an older copy of the vault is noticed even where the ledger is put back, too"
		return []doctor.Finding{f}
	case needAll:
		f.Level, f.Why = doctor.Problem, "the vault does not open without it"
	default:
		f.Level, f.Why = doctor.Warn, "nothing here needs it; with it, an older copy of the vault is noticed"
	}
	if f.Fix = keyring.Remedy(err); f.Fix == "" {
		f.Fix = "see:  nsagent help modes"
	}
	return []doctor.Finding{f}
}

// inKeyring looks whether the keyring has the share by which the vault opens, and whether it
// remembers a newer vault. It opens nothing.
func inKeyring(ctx context.Context, door *keyring.Door, arena *secret.Arena, p socketpath.Paths, need keyringNeed) (out []doctor.Finding) {
	if need == needUnknown {
		return nil
	}
	for _, c := range agent.FsckKeyring(ctx, agent.FsckConfig{Paths: p, Arena: arena, Keyring: door}) {
		if c.GetState() == "problem" {
			out = append(out, doctor.Finding{Check: "vault.pin", Level: doctor.Problem, Text: c.GetDetail(), Fix: c.GetRemedy()})
		}
	}
	if need == needNone {
		return out
	}
	v, err := vault.Open(ctx, vault.Config{Store: store.NewFile(p.Vault), Arena: arena, Keyring: door})
	if err == nil {
		err = v.CheckShare(ctx)
	}
	if err == nil {
		return append(out, doctor.Finding{Check: "keyring.share", Level: doctor.OK, Text: "the share of the vault is there"})
	}
	f := foundFault("keyring.share", agentFailure("the share of the vault cannot be read", err))
	if need != needAll {
		f.Level = doctor.Warn
	}
	return append(out, f)
}

// useKeyring is one round with an entry that nobody else has.
func useKeyring(ctx context.Context, door *keyring.Door, arena *secret.Arena) error {
	item := fmt.Sprintf("doctor/%d", os.Getpid())
	v, err := arena.Random(16)
	if err != nil {
		return err
	}
	defer v.Destroy()
	if err := door.Set(ctx, item, v); err != nil {
		return err
	}
	return door.Delete(ctx, item)
}
