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
	found, needs := readVault(ctx, arena, p)
	found = append(found, examineCopies(ctx, arena, p)...)
	return append(found, e.tryKeyring(ctx, arena, needs))
}

// examineCopies looks at the files beside a vault that can be read: the generation before,
// and the blobs of long secrets.
func examineCopies(ctx context.Context, arena *secret.Arena, p socketpath.Paths) []doctor.Finding {
	levels := map[string]doctor.Level{"ok": doctor.OK, "note": doctor.Warn, "problem": doctor.Problem}
	var out []doctor.Finding
	for _, c := range agent.FsckFiles(ctx, agent.FsckConfig{Paths: p, Arena: arena}) {
		if name := c.GetName(); name == "previous" || name == "blobs" {
			out = append(out, doctor.Finding{Check: "vault." + name, Level: levels[c.GetState()], Text: c.GetDetail(), Fix: c.GetRemedy()})
		}
	}
	return out
}

// readVault says whether the vault is sound, as far as that is known while it is
// locked, and how it opens. needs is true where without a keyring nothing opens it but
// the recovery code, which nobody types every day.
func readVault(ctx context.Context, arena *secret.Arena, p socketpath.Paths) (out []doctor.Finding, needs bool) {
	const check = "vault"
	v, err := vault.Open(ctx, vault.Config{Store: store.NewFile(p.Vault), Arena: arena})
	if errors.Is(err, store.ErrNotFound) {
		if err := checkPlace(p); err != nil {
			return []doctor.Finding{foundFault(check, err)}, false
		}
		return []doctor.Finding{{Check: check, Level: doctor.OK, Text: "none yet", Fix: "make one:  nsagent init"}}, false
	}
	if err != nil {
		return []doctor.Finding{foundFault(check, agentFailure("the vault cannot be read", err))}, false
	}
	var kinds []string
	needs = true
	for _, s := range v.Slots() {
		kinds = append(kinds, string(s.Kind))
		needs = needs && (strings.HasPrefix(string(s.Kind), string(vault.SlotKeyring)) || s.Kind == vault.SlotRecovery)
	}
	out = append(out, doctor.Finding{Check: check, Level: doctor.OK, Text: "its signature is right; it opens by " + strings.Join(kinds, " or ")})
	if slices.Contains(kinds, string(vault.SlotKeyring)) {
		out = append(out, doctor.Finding{Check: "vault.opens", Level: doctor.Warn, Text: "the keyring alone opens the vault", Why: "any program that runs as you can read its share",
			Fix: "see what else there is:  nsagent help modes"})
	}
	return out, needs
}

// tryKeyring writes an entry, reads it back and removes it, by the same helper and
// under the same deadline as the agent.
func (e *env) tryKeyring(ctx context.Context, arena *secret.Arena, needed bool) doctor.Finding {
	f := doctor.Finding{Check: "keyring", Level: doctor.OK, Text: "it keeps what is written, and gives it back"}
	err := useKeyring(ctx, e.keyringDoor(arena), arena)
	if err == nil {
		return f
	}
	code, text, why, _ := agent.Explain(err)
	if code == pb.CodeInternal {
		text, why = "the OS keyring cannot be tried", plain(err)
	}
	f.Text, f.Level = text, doctor.Warn
	if why != "" {
		f.Text += ": " + plainText(why)
	}
	f.Why = "nothing here needs it; with it, an older copy of the vault is noticed"
	if needed {
		f.Level, f.Why = doctor.Problem, "the vault does not open without it"
	}
	if f.Fix = keyring.Remedy(err); f.Fix == "" {
		f.Fix = "see:  nsagent help modes"
	}
	return f
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
