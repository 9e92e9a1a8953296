package command

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/client"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

func newKey(e *env) *cobra.Command {
	c := &cobra.Command{
		Use:   "key",
		Short: "Manage what opens the vault",
		Long: `Manage the key slots of the vault. Any one of them opens it, so it is as safe as
the weakest. What changes them asks for the passphrase again, or takes the key
file; in a vault that the keyring alone opens, for a code of the authenticator
app or, where none is set up, a yes at the terminal.`,
	}
	c.AddCommand(newKeyList(e), newKeyAdd(e), newKeyRemove(e), newKeyPasswd(e), newKeyRecover(e))
	return c
}

func newKeyList(e *env) *cobra.Command {
	return &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List what opens the vault",
		Args:    takes(),
		RunE: func(c *cobra.Command, _ []string) error {
			return e.manage(c.Context(), func(a *client.Admin) error {
				r, err := a.KeySlots(c.Context())
				if err != nil {
					return err
				}
				if e.json() {
					return e.printJSON(slotsForm(r, nil))
				}
				return e.table(slotRows(r))
			})
		},
	}
}

// keySlots is what each answer says of the key slots that there are.
type keySlots interface {
	GetSlots() []*pb.KeySlot
	GetWeakest() string
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
	TOTP     *totpJSON  `json:"totp,omitempty"`
	Warnings []string   `json:"warnings,omitempty"`
}

// totpJSON is the authenticator app in the output for programs.
type totpJSON struct {
	ID      string `json:"id"`
	Created string `json:"created_at"`
}

// withTOTP is an answer that tells of the authenticator app as well.
type withTOTP interface{ GetTotp() *pb.Totp }

// totpOf returns the authenticator app that an answer tells of; nil: none.
func totpOf(r keySlots) *pb.Totp {
	if w, ok := r.(withTOTP); ok {
		return w.GetTotp()
	}
	return nil
}

func slotsForm(r keySlots, warnings []string) slotsJSON {
	out := slotsJSON{Schema: "nsagent.key/v1", Weakest: r.GetWeakest(), Slots: []slotJSON{}, Warnings: warnings}
	for _, s := range r.GetSlots() {
		out.Slots = append(out.Slots, slotJSON{
			ID: s.GetId(), Kind: s.GetKind(), Weakest: s.GetKind() == r.GetWeakest(), Memory: s.GetMemoryKib(), Passes: s.GetPasses(), Threads: s.GetThreads(),
		})
	}
	if t := totpOf(r); t != nil {
		out.TOTP = &totpJSON{ID: t.GetId(), Created: time.Unix(t.GetCreatedAt(), 0).UTC().Format(time.RFC3339)}
	}
	return out
}

// slotRows returns the key slots as a table for people.
func slotRows(r keySlots) [][]string {
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
	if t := totpOf(r); t != nil {
		rows = append(rows, []string{shortID(t.GetId()), kindTOTP, "", "opens nothing"})
	}
	return rows
}

// idLength is how much of a slot's id people see.
const idLength = 8

func shortID(id string) string { return id[:min(idLength, len(id))] }

// reportSlots says what opens the vault after a change.
func (e *env) reportSlots(done string, r keySlots, warnings []string) error {
	for _, w := range warnings {
		e.note("%s", w)
	}
	if e.json() {
		return e.printJSON(slotsForm(r, warnings))
	}
	kinds := make([]string, 0, len(r.GetSlots()))
	for _, s := range r.GetSlots() {
		kinds = append(kinds, s.GetKind())
	}
	e.say("%s; the vault opens by %s", done, opensBy(kinds, r.GetWeakest()))
	return nil
}

// opensBy says what opens the vault, and which of it is the easiest.
func opensBy(kinds []string, weakest string) string {
	text := strings.Join(kinds, " or ")
	if len(kinds) > 1 {
		text += "; the weakest is " + weakest
	}
	return text
}

func hasKind(r keySlots, kind string) bool {
	return slices.ContainsFunc(r.GetSlots(), func(s *pb.KeySlot) bool { return s.GetKind() == kind })
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
	if t := r.GetTotp(); t != nil && len(id) >= shortest && strings.HasPrefix(t.GetId(), strings.ToLower(id)) {
		found = append(found, &pb.KeySlot{Id: t.GetId(), Kind: kindTOTP})
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return nil, &client.Error{Code: pb.CodeNotFound, Message: fmt.Sprintf("there is no key slot %.40q", id), Why: "none has an ID that begins so", Next: "list them:  nsagent key ls"}
	default:
		return nil, usage(fmt.Sprintf("more than one key slot begins with %.40q", id), "it may be cut as long as one alone is meant", "give more of it:  nsagent key ls -o json")
	}
}
