package command

import (
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/nsagent/nsagent/agent/audit"
	"github.com/nsagent/nsagent/client"
	pb "github.com/nsagent/nsagent/proto/nsagent/v1"
)

func newAuditProve(e *env) *cobra.Command {
	var held string
	c := &cobra.Command{
		Use:   "prove NUMBER [FILE]",
		Short: "Write a proof that an entry is in the log",
		Long: `Write a proof that the entry of this number is in the log, to FILE or to
standard output: one text with that entry, and no other, that audit verify
checks on any machine, with no secret. It needs no agent and no passphrase.

The proof holds all checkpoints up to the first that covers the entry, and
verifies with --key by the first public key. With --checkpoint it is a proof
under a checkpoint that somebody holds, is short, and verifies by that alone.`,
		Example: `  nsagent audit prove 4711 proof.txt
  nsagent audit verify --key acme.pub proof.txt
  nsagent audit prove 4711 --checkpoint kept.txt`,
		Args: takes("NUMBER", "[FILE]"),
		RunE: func(_ *cobra.Command, args []string) error { return runAuditProve(e, held, args) },
	}
	c.Flags().StringVar(&held, "checkpoint", "", "a `FILE` with a checkpoint that covers the entry; of several, the newest")
	return c
}

func runAuditProve(e *env, heldPath string, args []string) error {
	seq, err := strconv.ParseUint(args[0], 10, 63)
	if err != nil || seq == 0 {
		return usage(fmt.Sprintf("%.30q is no number of an entry", args[0]), "entries are counted from 1", "see them:  nsagent audit query")
	}
	var held *audit.Checkpoint
	if heldPath != "" {
		all, err := readHeld(heldPath)
		if err != nil {
			return err
		}
		held = &all[len(all)-1]
	}
	p, err := e.auditPaths()
	if err != nil {
		return err
	}
	err = e.writeTo(args[1:], func(w io.Writer) error { return audit.Prove(w, p.AuditDir, seq, held) })
	switch {
	case errors.Is(err, audit.ErrNotCovered) && held != nil:
		return &client.Error{Code: pb.CodeNotFound, Message: fmt.Sprintf("the checkpoint does not cover entry %d", seq), Why: fmt.Sprintf("it covers entries 1 to %d", held.Size), Next: "name a newer one, or leave --checkpoint out"}
	case errors.Is(err, audit.ErrNotCovered):
		return &client.Error{Code: pb.CodeNotFound, Message: fmt.Sprintf("no checkpoint covers entry %d", seq), Why: "it is not there yet, or not signed yet: that is done within a minute while the vault is unlocked, and at lock", Next: "nsagent unlock"}
	case errors.Is(err, audit.ErrNoEntry):
		return &client.Error{Code: pb.CodeNotFound, Message: fmt.Sprintf("entry %d cannot be proved", seq), Why: "a segment of the log that is needed was deleted", Next: "use an export of it from before"}
	case errors.Is(err, audit.ErrCheckpoint) && held != nil:
		return &client.Error{Code: pb.CodeAuditBad, Message: "the checkpoint is none of this log", Why: plain(err), Next: "check the log against it:  nsagent audit verify --checkpoint " + heldPath}
	}
	return e.written(err, p.AuditDir)
}
