package command

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/client"
	"github.com/nsagent/nsagent/internal/secret"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

func newKey(e *env) *cobra.Command {
	c := &cobra.Command{
		Use:   "key",
		Short: "Manage what opens the vault",
		Long: `Manage the key slots of the vault. Any one of them opens it, so it is as safe as
the weakest. What changes them asks for the passphrase again, or takes the key
file; in a vault that the keyring alone opens, a yes at the terminal has to do.`,
	}
	c.AddCommand(newKeyList(e), newKeyAdd(e), newKeyRemove(e), newKeyPasswd(e), newKeyRecover(e))
	return c
}

// slotJSON is a key slot in the output for programs.
type slotJSON struct {
	ID      string `json:"id"`
	Kind    string `json:"kind"`
	Weakest bool   `json:"weakest"`
	Memory  uint32 `json:"memory_kib,omitzero"`
	Passes  uint32 `json:"passes,omitzero"`
	Threads uint32 `json:"threads,omitzero"`
}

// slotsJSON is what the key commands print for programs.
type slotsJSON struct {
	Schema   string     `json:"schema"`
	Weakest  string     `json:"weakest"`
	Slots    []slotJSON `json:"slots"`
	Warnings []string   `json:"warnings,omitempty"`
}

func newKeyList(e *env) *cobra.Command {
	return &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List what opens the vault",
		Args:    takes(),
		RunE: func(c *cobra.Command, _ []string) error {
			a, err := e.dialAdmin(c.Context())
			if err != nil {
				return err
			}
			defer func() { _ = a.Close() }()
			r, err := a.KeySlots(c.Context())
			if err != nil {
				return err
			}
			if e.json() {
				return e.printSlots(r.GetSlots(), r.GetWeakest(), nil)
			}
			rows := [][]string{{"ID", "KIND", "COST OF A TRY", ""}}
			for _, s := range r.GetSlots() {
				cost, mark := "", ""
				if s.GetMemoryKib() > 0 {
					cost = fmt.Sprintf("%d MiB, %d passes, %d threads", s.GetMemoryKib()>>10, s.GetPasses(), s.GetThreads())
				}
				if s.GetKind() == r.GetWeakest() && len(r.GetSlots()) > 1 {
					mark = "weakest"
				}
				rows = append(rows, []string{shortID(s.GetId()), s.GetKind(), cost, mark})
			}
			return e.table(rows)
		},
	}
}

// idLength is how much of a slot's id people see.
const idLength = 8

func shortID(id string) string { return id[:min(idLength, len(id))] }

// printSlots prints key slots for programs.
func (e *env) printSlots(slots []*pb.KeySlot, weakest string, warnings []string) error {
	out := slotsJSON{Schema: "nsagent.key/v1", Weakest: weakest, Slots: []slotJSON{}, Warnings: warnings}
	for _, s := range slots {
		out.Slots = append(out.Slots, slotJSON{
			ID: s.GetId(), Kind: s.GetKind(), Weakest: s.GetKind() == weakest, Memory: s.GetMemoryKib(), Passes: s.GetPasses(), Threads: s.GetThreads(),
		})
	}
	return e.printJSON(out)
}

// reportSlots says what opens the vault after a change.
func (e *env) reportSlots(done string, slots []*pb.KeySlot, weakest string, warnings []string) error {
	for _, w := range warnings {
		e.note("%s", w)
	}
	if e.json() {
		return e.printSlots(slots, weakest, warnings)
	}
	kinds := make([]string, 0, len(slots))
	for _, s := range slots {
		kinds = append(kinds, s.GetKind())
	}
	text := strings.Join(kinds, " or ")
	if len(kinds) > 1 {
		text += "; the weakest is " + weakest
	}
	e.say("%s; the vault opens by %s", done, text)
	return nil
}

type keyRemoveOptions struct{ opener openerFlags }

func newKeyRemove(e *env) *cobra.Command {
	var o keyRemoveOptions
	c := &cobra.Command{
		Use:   "rm ID",
		Short: "Remove something that opens the vault",
		Long: `Remove a key slot by its ID, or by the start of it. The last one stays. Copies
of the vault that were made before still open by what is removed.`,
		Example: "  nsagent key ls\n  nsagent key rm 1f3a9c02",
		Args:    takes("ID"),
		RunE:    func(c *cobra.Command, args []string) error { return runKeyRemove(c.Context(), e, args[0], o) },
	}
	o.opener.register(c)
	return c
}

func runKeyRemove(ctx context.Context, e *env, id string, o keyRemoveOptions) error {
	arena, err := newArena()
	if err != nil {
		return err
	}
	defer func() { _ = arena.Close() }()
	a, err := e.dialAdmin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = a.Close() }()
	slot, err := findSlot(ctx, a, id)
	if err != nil {
		return err
	}
	var r *pb.RemoveKeySlotResponse
	err = e.proved(arena, o.opener, func(proof client.Proof) (err error) {
		r, err = a.RemoveKeySlot(ctx, proof, slot.GetId())
		return err
	})
	if err != nil {
		return err
	}
	return e.reportSlots("removed "+slot.GetKind()+" "+shortID(slot.GetId()), r.GetSlots(), r.GetWeakest(), r.GetWarnings())
}

// findSlot returns the one slot whose id begins with id.
func findSlot(ctx context.Context, a *client.Admin, id string) (*pb.KeySlot, error) {
	const shortest = 4
	r, err := a.KeySlots(ctx)
	if err != nil {
		return nil, err
	}
	var found []*pb.KeySlot
	for _, s := range r.GetSlots() {
		if len(id) >= shortest && strings.HasPrefix(s.GetId(), strings.ToLower(id)) {
			found = append(found, s)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return nil, &client.Error{Code: pb.CodeNotFound, Message: fmt.Sprintf("there is no key slot %.40q", id), Next: "list them:  nsagent key ls"}
	default:
		return nil, usage(fmt.Sprintf("more than one key slot begins with %.40q", id), "", "give more of it:  nsagent key ls -o json")
	}
}

type keyPasswdOptions struct {
	old   passphraseFlags
	fresh newPassphraseFlags
}

func newKeyPasswd(e *env) *cobra.Command {
	var o keyPasswdOptions
	c := &cobra.Command{
		Use:   "passwd",
		Short: "Change the passphrase",
		Long: `Change the passphrase: it asks for the old one, and twice for the new one. What
the old one opened, the new one opens; the old one opens copies of the vault
that were made before.`,
		Example: `  nsagent key passwd
  nsagent key passwd --passphrase-file OLD --new-passphrase-file NEW`,
		Args: takes(),
		RunE: func(c *cobra.Command, _ []string) error { return runKeyPasswd(c.Context(), e, o) },
	}
	o.old.register(c)
	o.fresh.register(c)
	return c
}

func runKeyPasswd(ctx context.Context, e *env, o keyPasswdOptions) error {
	if err := o.fresh.check(); err != nil {
		return err
	}
	arena, err := newArena()
	if err != nil {
		return err
	}
	defer func() { _ = arena.Close() }()
	a, err := e.dialAdmin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = a.Close() }()
	old, err := o.oldPassphrase(e, arena)
	if err != nil {
		return err
	}
	defer old.Destroy()
	fresh, err := o.fresh.get(e, arena)
	if err != nil {
		return err
	}
	defer fresh.Destroy()
	r, err := a.ChangePassphrase(ctx, sealer(old), sealer(fresh), o.fresh.kdf)
	if err != nil {
		return err
	}
	if e.json() {
		return e.printJSON(struct {
			Schema  string `json:"schema"`
			Changed int32  `json:"changed"`
		}{"nsagent.key-passwd/v1", r.GetChanged()})
	}
	e.say("the passphrase is changed")
	e.note("copies of the vault from before still open by the old one, vault.nsv.prev until the next change")
	return nil
}

func (o keyPasswdOptions) oldPassphrase(e *env, arena *secret.Arena) (secret.Bytes, error) {
	if o.old.given() {
		return o.old.read(e, arena)
	}
	b, err := e.askPassphrase(arena, "Old passphrase: ", false)
	if isNoTerminal(err) {
		return b, usage("there is no terminal to ask for the old passphrase on", "", "give it as a file:  --passphrase-file F")
	}
	return b, err
}
